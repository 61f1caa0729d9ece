"""Names and shapes of the layers that official tokenizers of one family share, as their authors wrote them.

Written from the description of the architecture, never from the tables under test.
"""

from collections.abc import Iterator

Shape = tuple[int, ...]
Named = tuple[str, Shape]


def res_block(name: str, before: int, width: int) -> Iterator[Named]:
    yield from norm(f"{name}.norm1", before)
    yield from conv(f"{name}.conv1", before, width, 3)
    yield from norm(f"{name}.norm2", width)
    yield from conv(f"{name}.conv2", width, width, 3)
    if before != width:
        yield from conv(f"{name}.nin_shortcut", before, width, 1)


def attention(name: str, width: int) -> Iterator[Named]:
    yield from norm(f"{name}.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        yield from conv(f"{name}.{part}", width, width, 1)


def conv(name: str, before: int, after: int, kernel: int) -> Iterator[Named]:
    yield f"{name}.weight", (after, before, kernel, kernel)
    yield f"{name}.bias", (after,)


def linear(name: str, before: int, after: int) -> Iterator[Named]:
    yield f"{name}.weight", (after, before)
    yield f"{name}.bias", (after,)


def norm(name: str, width: int) -> Iterator[Named]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)
