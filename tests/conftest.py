"""Fixtures for all tests: a home of their own, and two tiny releases in it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from genstudio import registry
from genstudio.configs.features import ClassifierConfig
from genstudio.releases import weights
from genstudio.releases.release import Companions
from genstudio.samplers.guidance import Guidance, Plus
from genstudio.samplers.recipe import Recipe, TopK
from tests.releases import tiny


def pytest_sessionstart() -> None:
    """Processes of pytest-xdist share the processors, and so do the programs that they start."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        threads = max(1, torch.get_num_threads() // workers)
        torch.set_num_threads(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for imported weights and cached codes; no test touches the user's."""
    folder = tmp_path / "home"
    monkeypatch.setenv("GENSTUDIO_HOME", str(folder))
    return folder


@pytest.fixture
def tiny_var(home: Path) -> str:
    """The name of a tiny generator with random weights, installed beside its tokenizer."""
    recipe = Recipe(guidance=Guidance(cfg=1.5, ramp=Plus()), filters=(TopK(32),))
    generator = replace(tiny.release(tiny.GENERATOR, "tiny-var"), tokenizer="tiny-vq", recipe=recipe)
    for release in (generator, tiny.release(tiny.VQ, "tiny-vq")):
        network = registry.build(release.config, "cpu")
        weights.save_release(home / "models" / release.name, _calm(network), release)
    return generator.name


@pytest.fixture
def tiny_llamagen(home: Path) -> str:
    """The name of a tiny next-token generator with random weights, beside its tokenizer, draft and drafter.

    Its codes are decided sharply enough that drafts are accepted, and loosely enough that they are refused.
    """
    recipe = Recipe(guidance=Guidance(cfg=2.0), filters=(TopK(12),))
    draft = replace(tiny.SEQUENCE, depth=1)
    for config, name in ((tiny.SEQUENCE, "tiny-llamagen"), (draft, "tiny-draft")):
        release = replace(
            tiny.release(config, name),
            tokenizer="tiny-grid-vq",
            recipe=recipe,
            companions=Companions(draft="tiny-draft", drafter="tiny-drafter")
            if name == "tiny-llamagen"
            else Companions(),
        )
        network = _calm(registry.build(config, "cpu"))
        for value in network.parameters():
            value.data.mul_(2)
        weights.save_release(home / "models" / name, network, release)
    for more in (tiny.release(tiny.GRID_VQ, "tiny-grid-vq"), tiny.release(tiny.DRAFTER, "tiny-drafter")):
        network = _calm(registry.build(more.config, "cpu"))
        weights.save_release(home / "models" / more.name, network, more)
    return "tiny-llamagen"


@pytest.fixture
def tiny_judge(home: Path) -> str:
    """The name of a tiny classifier with random weights for the pictures and classes of `tiny_var`."""
    config = ClassifierConfig(channels=3, pixels=8, width=8, features=16, classes=10)
    release = tiny.release(config, "tiny-judge")
    weights.save_release(home / "models" / release.name, _calm(registry.build(config, "cpu")), release)
    return release.name


def _calm(network: nn.Module) -> nn.Module:
    """Random weights small enough that pictures differ and nothing saturates."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in network.parameters():
            value.normal_(std=0.15, generator=generator)
    return network
