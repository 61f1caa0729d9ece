"""The machine is asked, never guessed; what it lacks is said in words."""

import subprocess
import sys

import pytest
import torch

from genstudio.errors import GenstudioError
from genstudio.runtime import Runtime, versions


def _machine(monkeypatch, *, gpus: int, bf16: bool = True) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("gpus", "bf16", "device", "dtype"),
    [(0, False, "cpu", "float32"), (1, True, "cuda", "bfloat16"), (1, False, "cuda", "float32")],
)
def test_auto_takes_the_best_that_is_there(gpus, bf16, device, dtype, monkeypatch) -> None:
    _machine(monkeypatch, gpus=gpus, bf16=bf16)
    assert Runtime.choose() == Runtime(device, dtype)


@pytest.mark.parametrize(
    ("dtype", "decoder"), [("float32", "float32"), ("bfloat16", "bfloat16"), ("float16", "float32")]
)
def test_decoders_follow_into_bfloat16_alone(dtype, decoder) -> None:
    assert Runtime("cuda", dtype).decoder_dtype == decoder


def test_a_choice_is_kept(monkeypatch) -> None:
    _machine(monkeypatch, gpus=2)
    chosen = Runtime.choose("cuda:1", "fp16")
    assert chosen == Runtime("cuda:1", "float16") == Runtime.choose("cuda:1", "float16")
    assert (chosen.torch_dtype, chosen.torch_device) == (torch.float16, torch.device("cuda:1"))
    assert chosen.facts()["versions"]["torch"]
    assert chosen.facts()["threads"] == torch.get_num_threads()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("cuda",), "no cuda device"),
        (("mps",), "no mps device"),
        (("tpu",), "no device 'tpu'"),
        (("cpu", "fp16"), "fp16 needs a GPU"),
        (("cpu", "int4"), "no number type 'int4'"),
    ],
)
def test_what_the_machine_lacks_is_named(flags, message, monkeypatch) -> None:
    _machine(monkeypatch, gpus=0)
    with pytest.raises(GenstudioError, match=message):
        Runtime.choose(*flags)


def test_a_gpu_without_bf16_and_a_missing_second_gpu(monkeypatch) -> None:
    _machine(monkeypatch, gpus=1, bf16=False)
    with pytest.raises(GenstudioError, match="no bf16"):
        Runtime.choose("cuda", "bf16")
    with pytest.raises(GenstudioError, match="cuda:1"):
        Runtime.choose("cuda:1")


def test_the_module_and_versions_need_no_torch_import() -> None:
    code = "import sys, genstudio.runtime as r; r.versions(); print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
    assert versions()["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch) -> None:
    _machine(monkeypatch, gpus=2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert Runtime.choose().device == Runtime.choose("cuda").device == "cuda:1"
    assert Runtime.choose("cuda:0").device == "cuda:0" and Runtime.choose("cpu").device == "cpu"
