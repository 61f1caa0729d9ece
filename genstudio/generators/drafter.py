"""EAGLE's draft network for a Llama-like target (EAGLE-2; in LANTERN, arXiv 2410.03355).

It continues the target's own features: one code and the features of the slot that made it give the features
of the slot that follows, which the target's head reads. The first block has no norm in front of its attention
and no norm stands behind the last. Its sequence lacks the target's first slot, so that every code stands one
slot earlier than there.
Shapes: R rows, n fed slots, C width.
"""

import torch
from torch import Tensor, nn

from genstudio.cache.protocol import Cache
from genstudio.configs.drafter import DrafterConfig
from genstudio.nn.blocks import LlamaBlock
from genstudio.nn.linear import Linear
from genstudio.nn.rope import Rope, axial_angles, raster
from genstudio.samplers.values import Feed

STD = 0.02


class Drafter(nn.Module):
    """Codes and features to features, through a few blocks of its own."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__()
        self.config = config
        head_dim = config.width // config.heads
        self.code_embed = nn.Embedding(config.vocab, config.width)
        self.fc = Linear(2 * config.width, config.width, bias=config.bias)
        places_SP = axial_angles(raster(config.side, config.side), head_dim, config.rope_base)
        self.rope = Rope(places_SP, zeros=config.condition_slots - 1)
        self.blocks = nn.ModuleList(
            LlamaBlock(config.width, config.heads, config.hidden, config.norm_eps)
            for _ in range(config.depth)
        )
        self.blocks[0].norm1 = nn.Identity()

    def forward(self, ids_Rn: Tensor, features_RnC: Tensor, feed: Feed, cache: Cache | None = None) -> Tensor:
        """`features_RnC` are the target's behind its last norm, or the drafter's own in their place."""
        x_RnC = self.fc(torch.cat([self.code_embed(ids_Rn), features_RnC], dim=-1))
        x_RnC = x_RnC.to(features_RnC.dtype)  # autocast lowers products; the sum of residuals stays
        turns_RnP = self.rope(feed.at_Rn)
        for layer, block in enumerate(self.blocks):
            x_RnC = block(x_RnC, turns_RnP, feed, cache, layer)
        return x_RnC


def initialise(network: Drafter, generator: torch.Generator) -> None:
    """Initial values from one seeded generator: normal with std 0.02 as LlamaGen's, norms 1, biases 0. Code
    vectors are best taken from the teacher afterwards."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if "norm" in name:
                value.fill_(1)
            elif name.endswith("bias"):
                value.zero_()
            else:
                nn.init.normal_(value, std=STD, generator=generator)
