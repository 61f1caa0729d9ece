"""What terminals make of escape codes: small decoders, written from the protocols, for tests alone."""

import io
import re
from base64 import b64decode

import numpy as np
from PIL import Image


def kitty(text: str) -> tuple[dict[str, str], Image.Image]:
    """Keys of the first chunk, and the picture of all."""
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in chunks) == text
    keys = [dict(pair.split("=") for pair in one.split(",")) for one, _ in chunks]
    assert [one["m"] for one in keys] == ["1"] * (len(keys) - 1) + ["0"]
    assert all(len(data) <= 4096 and (len(data) % 4 == 0) for _, data in chunks)
    return keys[0], Image.open(io.BytesIO(b64decode("".join(data for _, data in chunks))))


def iterm2(text: str) -> tuple[dict[str, str], Image.Image]:
    """Keys and picture."""
    found = re.fullmatch(r"\x1b\]1337;File=([^:]*):([^\a]*)\a", text)
    assert found is not None
    data = b64decode(found[2])
    keys = dict(pair.split("=") for pair in found[1].split(";"))
    assert int(keys["size"]) == len(data)
    return keys, Image.open(io.BytesIO(data))


def sixel(text: str) -> np.ndarray:
    """RGB levels [H,W,3]; places that nothing was drawn on are -1."""
    found = re.fullmatch(r'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\', text, flags=re.S)
    assert found is not None
    width, height = int(found[1]), int(found[2])
    canvas = np.full((-(-height // 6) * 6, width, 3), -1)
    colours: dict[int, tuple[int, ...]] = {}
    x = y = now = 0
    for define, choose, count, sign in re.findall(
        r"#(\d+;2;\d+;\d+;\d+)|#(\d+)|!(\d+)(?=[?-~])|([?-~$-])", found[3]
    ):
        if define:
            number, _, *percent = map(int, define.split(";"))
            colours[number] = tuple(round(one * 2.55) for one in percent)
        elif choose:
            now = int(choose)
        elif count:
            repeat = int(count)
            continue
        elif sign == "$":
            x = 0
        elif sign == "-":
            x, y = 0, y + 6
        else:
            for row in range(6):
                if ord(sign) - 63 >> row & 1:
                    canvas[y + row, x : x + repeat] = colours[now]
            x += repeat
        repeat = 1
    assert (canvas[height:] == -1).all()
    return canvas[:height]


def blocks(text: str) -> np.ndarray:
    """RGB levels [H,W,3] of half blocks in 24-bit colours."""
    rows = []
    for line in text.split("\r\n"):
        upper, lower, colour = [], [], [0] * 6
        for codes, block in re.findall(r"\x1b\[([\d;]*)m|(▀)", line):
            if block:
                upper.append(colour[:3])
                lower.append(colour[3:])
            elif codes != "0":
                numbers = [int(code) for code in codes.split(";")]
                assert numbers[:2] == [38, 2] and numbers[5:7] == [48, 2]
                colour = numbers[2:5] + numbers[7:10]
        assert line.endswith("\x1b[0m")
        rows += [upper, lower]
    return np.array(rows)
