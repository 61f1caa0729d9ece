"""`genstudio doctor`: what a bug report needs, on any machine, data or no data."""

from pathlib import Path

import torch

from tests.support import genstudio


def test_the_report_names_versions_device_kernels_and_folders(home: Path) -> None:
    (home / "models" / "x").mkdir(parents=True)
    (home / "models" / "x" / "model.safetensors").write_bytes(b"12345")
    data = genstudio("doctor", "--json").data
    assert data["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert data["machine"]["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert data["devices"]["kernels"]["cpu"] == "torch"
    twins = ["decode_attention", "keyed_bits", "modulate", "nearest_code", "relaxed_mass"]
    assert data["devices"]["twins"] == twins
    assert data["folders"]["home"] == str(home)
    assert data["folders"]["models_bytes"] == 5
    assert data["folders"]["disk_free_bytes"] > 0


def test_data_that_is_missing_says_how_to_get_it(home: Path, monkeypatch) -> None:
    monkeypatch.setattr("genstudio.data.fashion.DEBIAN_FOLDER", Path("/nowhere"))
    monkeypatch.setenv("GENSTUDIO_DATA", "/nowhere")
    data = genstudio("doctor", "--json").data["data"]
    assert data["fashion"].startswith("missing. Fashion-MNIST is not here")
    assert "dataset-fashion-mnist" in data["fashion"]


def test_people_get_one_fact_per_line(home: Path) -> None:
    found = genstudio("doctor")
    assert found.code == 0
    names = [line.split()[0] for line in found.out.splitlines()]
    assert {"versions:", "torch", "devices:", "kernels", "home", "fashion"} <= set(names)
