"""Small networks with random weights, and their releases, for tests of this folder."""

from dataclasses import replace

import torch
from torch import nn

from genstudio import registry
from genstudio.configs.drafter import DrafterConfig
from genstudio.configs.kl import KLConfig
from genstudio.configs.llamagen import Caption, LlamaGenConfig
from genstudio.configs.mar import MARConfig
from genstudio.configs.multiscale_vq import MultiScaleVQConfig
from genstudio.configs.nar import NARConfig
from genstudio.configs.var import VARConfig
from genstudio.configs.vq import VQConfig
from genstudio.releases.release import Config, Release

VQ = MultiScaleVQConfig(
    channels=3,
    width=32,
    width_mult=(1, 2),
    res_blocks=1,
    code_width=8,
    vocab=64,
    sizes=(1, 2, 4),
    phis=4,
    phi_ratio=0.5,
    quant_kernel=3,
    beta=0.25,
)
GRID_VQ = VQConfig(
    channels=3,
    width=8,
    width_mult=(1, 2, 2),
    res_blocks=1,
    latent_width=12,
    code_width=4,
    vocab=32,
    pixels=16,
    groups=4,
)
KL = KLConfig(
    channels=3, width=8, width_mult=(1, 2, 2), res_blocks=1, code_width=4, pixels=16, scale=0.5, groups=4
)
GENERATOR = VARConfig(
    classes=10,
    depth=2,
    width=64,
    heads=4,
    mlp_ratio=4.0,
    vocab=64,
    code_width=8,
    sizes=(1, 2, 4),
    shared_adaln=False,
    l2_attention=True,
)
SEQUENCE = LlamaGenConfig(depth=2, width=32, heads=4, hidden=48, vocab=32, side=4, classes=10)
CAPTIONED = replace(SEQUENCE, classes=0, caption=Caption(slots=5, width=12))
MASKED = MARConfig(
    classes=10,
    depth=2,
    width=32,
    heads=4,
    decoder_depth=3,
    decoder_width=24,
    decoder_heads=3,
    head_depth=2,
    head_width=16,
    side=4,
    code_width=4,
    buffer=3,
)
DRAFTER = DrafterConfig(width=32, heads=4, hidden=48, vocab=32, side=4, condition_slots=1)
NEIGHBOUR = NARConfig(depth=2, width=32, heads=4, hidden=48, vocab=32, side=4, classes=10)
NEIGHBOUR_CAPTIONED = replace(NEIGHBOUR, classes=0, caption=Caption(slots=5, width=12))


def network(config: Config, seed: int = 0) -> nn.Module:
    """A network whose every number is random, so that no two tensors can be mistaken for each other."""
    built = registry.build(config, "cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in built.state_dict().values():
            value.normal_(generator=generator)
    return built


def release(config: Config, name: str = "tiny") -> Release:
    """A release of these numbers and nothing else."""
    return Release(name=name, title="A tiny network", config=config, licence=None, source="a test")
