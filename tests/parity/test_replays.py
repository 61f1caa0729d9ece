"""The official code's numbers from the studio's own modules; and that a difference would be seen."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from genstudio.errors import Exit, GenstudioError
from genstudio.parity.fixture import Fixture, judge
from genstudio.parity.llamagen import replay_network
from genstudio.parity.replays import check, main
from tests.support import parity_folder

FOLDERS = [
    "var-vqvae",
    "var-transformer",
    "var-transformer-shared",
    "mar-vae",
    "mar-transformer",
    "mar-sample",
    "disa",
    "mar-diffusion",
    "cspd",
    "metrics",
    "llamagen-vq",
    "llamagen-gpt-c2i",
    "llamagen-gpt-t2i",
    "nar-image",
    "nar-image-t2i",
    "sjd-criterion",
    "sjd-run",
    "lantern-accept",
    "lantern-run",
    "distilled-decoding-flowmap",
    "distilled-decoding-var",
    "distilled-decoding-llamagen",
]


@pytest.mark.parametrize("name", FOLDERS)
def test_every_output_of_the_fixture_is_reproduced(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for sibling in Fixture(parity_folder(name)).meta.get("siblings", ()):
        parity_folder(sibling)
    assert check(parity_folder(name))
    shown = capsys.readouterr().out
    total = len(Fixture(parity_folder(name)).outputs)
    assert f"covered {total} of {total} outputs" in shown
    assert "FAIL" not in shown


@pytest.mark.parametrize("name", ["llamagen-gpt-c2i", "llamagen-gpt-t2i"])
def test_every_output_but_the_picture_needs_no_sibling(name: str) -> None:
    fixture = Fixture(parity_folder(name))
    verdicts = fixture.compare(replay_network(fixture))
    assert {verdict.name for verdict in verdicts} == set(fixture.outputs) - {"greedy_image"}
    assert all(verdict.fine for verdict in verdicts)


def test_a_missing_sibling_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _copied(parity_folder("llamagen-gpt-c2i"), tmp_path)
    monkeypatch.delenv("GENSTUDIO_PARITY", raising=False)
    with pytest.raises(GenstudioError, match="LlamaGen VQ tokenizer"):
        check(folder)


def test_a_changed_weight_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _copied(parity_folder("var-transformer"), tmp_path)
    tensors = load_file(folder / "weights.safetensors")
    tensors["var.blocks.1.attn.proj.weight"][0, 0] += 0.05
    save_file(tensors, folder / "weights.safetensors")
    assert main([folder]) == Exit.CHECK
    assert "FAIL" in capsys.readouterr().out


def test_an_output_that_no_replay_makes_is_not_covered(tmp_path: Path) -> None:
    folder = _copied(parity_folder("var-transformer"), tmp_path)
    meta = json.loads((folder / "meta.json").read_text())
    meta["io"]["labels"]["role"] = "output"
    meta["io"]["labels_too"] = {**meta["io"].pop("labels")}
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(KeyError, match="labels"):
        main([folder])


def test_outputs_cannot_be_read_by_a_replay() -> None:
    fixture = Fixture(parity_folder("sjd-run"))
    with pytest.raises(KeyError, match="not fed"):
        fixture.fed(fixture.outputs[0])


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text(json.dumps({"method": "Teapot", "io": {}}))
    save_file({"x": torch.zeros(1)}, tmp_path / "io.safetensors")
    with pytest.raises(GenstudioError, match="Teapot") as caught:
        main([tmp_path])
    assert caught.value.code == Exit.USAGE


def test_a_folder_without_fixture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GenstudioError, match="no fixture folder"):
        main([tmp_path])


@pytest.mark.parametrize(
    ("ours", "official", "entry", "fine"),
    [
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.1]), {"max_abs": 0.2}, True),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.3]), {"max_abs": 0.2}, False),
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, 2.3]), {"max_abs": 9.0}, False),
        (torch.tensor([-torch.inf, 1.0]), torch.tensor([-torch.inf, 1.0]), {"max_abs": 0.1}, True),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), {"max_abs": 0}, False),
        (
            torch.tensor([7], dtype=torch.uint8),
            torch.tensor([8], dtype=torch.uint8),
            {"compare": "uint8-off-by-one"},
            True,
        ),
        (torch.zeros(2), torch.zeros(3), {"max_abs": 1.0}, False),
        (torch.zeros(2), torch.zeros(2), {"max_abs": 1.0, "compare": "by-eye"}, False),
    ],
)
def test_the_rules_of_comparison(
    ours: torch.Tensor, official: torch.Tensor, entry: dict[str, object], fine: bool
) -> None:
    assert judge("x", ours, official, entry).fine is fine


def _copied(folder: Path, target: Path) -> Path:
    for file in folder.iterdir():
        shutil.copyfile(file, target / file.name)
    return target
