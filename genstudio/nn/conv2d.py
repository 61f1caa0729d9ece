"""The convolutional encoder and decoder that VQGAN introduced and this family shares (VAR, LlamaGen, MAR).

Module names are VAR's (`down.{level}.block.{n}`, `mid.block_1`, `up.{level}`, level 0 being full size). Other
codes keep queries, keys and values apart or count levels from the deepest: their tables of names say so.
Shapes: B pictures, C channels, h x w cells.
"""

from collections.abc import Iterable
from typing import Final

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

GROUPS, EPS = 32, 1e-6  # of the group norms, unless a network has another number of groups
DEEPEST: Final = (-1,)  # levels with attention, counted from full size, or with a minus from the deepest


class Encoder(nn.Module):
    """Pixels to latents: one level per entry of `mult`, each level but the last halves the side."""

    def __init__(
        self,
        channels: int,
        width: int,
        mult: tuple[int, ...],
        res_blocks: int,
        latent: int,
        groups: int = GROUPS,
        attention: tuple[int, ...] = DEEPEST,
    ) -> None:
        super().__init__()
        widths = [width * factor for factor in mult]
        attended = {level % len(widths) for level in attention}
        self.conv_in = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList()
        for level, (before, after) in enumerate(zip([width, *widths[:-1]], widths, strict=True)):
            down = level < len(widths) - 1
            self.down.append(Level(before, after, res_blocks, groups, level in attended, down=down))
        self.mid = Middle(widths[-1], groups)
        self.norm_out = _norm(widths[-1], groups)
        self.conv_out = nn.Conv2d(widths[-1], latent, 3, padding=1)

    def forward(self, x_BChw: Tensor) -> Tensor:
        """[B, channels, H, W] to [B, latent, H / 2^(levels-1), W / 2^(levels-1)]."""
        x_BChw = self.conv_in(x_BChw)
        for level in self.down:
            x_BChw = level(x_BChw)
        x_BChw = self.mid(x_BChw)
        return self.conv_out(_activated(self.norm_out, x_BChw))


class Decoder(nn.Module):
    """Latents to pixels: the encoder's levels in reverse, with one more residual block in each."""

    def __init__(
        self,
        channels: int,
        width: int,
        mult: tuple[int, ...],
        res_blocks: int,
        latent: int,
        groups: int = GROUPS,
        attention: tuple[int, ...] = DEEPEST,
    ) -> None:
        super().__init__()
        widths = [width * factor for factor in mult]
        attended = {level % len(widths) for level in attention}
        self.conv_in = nn.Conv2d(latent, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1], groups)
        self.up = nn.ModuleList()
        for level, (after, before) in enumerate(zip(widths, [*widths[1:], widths[-1]], strict=True)):
            self.up.append(Level(before, after, res_blocks + 1, groups, level in attended, up=level > 0))
        self.norm_out = _norm(width * mult[0], groups)
        self.conv_out = nn.Conv2d(width * mult[0], channels, 3, padding=1)

    def forward(self, z_BChw: Tensor) -> Tensor:
        """[B, latent, h, w] to [B, channels, h * 2^(levels-1), w * 2^(levels-1)]."""
        x_BChw = self.mid(self.conv_in(z_BChw))
        for level in reversed(list(self.up)):
            x_BChw = level(x_BChw)
        return self.conv_out(_activated(self.norm_out, x_BChw))


class Level(nn.Module):
    """Residual blocks at one resolution, each followed by attention where asked, then the change of size."""

    def __init__(
        self,
        before: int,
        after: int,
        blocks: int,
        groups: int,
        attention: bool,
        down: bool = False,
        up: bool = False,
    ) -> None:
        super().__init__()
        inputs = [before] + [after] * (blocks - 1)
        self.block = nn.ModuleList(ResBlock(width, after, groups) for width in inputs)
        self.attn = nn.ModuleList(SpatialAttention(after, groups) for _ in inputs if attention)
        if down:
            self.downsample = Downsample(after)
        if up:
            self.upsample = Upsample(after)

    def forward(self, x_BChw: Tensor) -> Tensor:
        for number, block in enumerate(self.block):
            x_BChw = block(x_BChw)
            if self.attn:
                x_BChw = self.attn[number](x_BChw)
        for change in self._changes():
            x_BChw = change(x_BChw)
        return x_BChw

    def _changes(self) -> Iterable[nn.Module]:
        return (child for name, child in self.named_children() if name.endswith("sample"))


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.block_1 = ResBlock(width, width, groups)
        self.attn_1 = SpatialAttention(width, groups)
        self.block_2 = ResBlock(width, width, groups)

    def forward(self, x_BChw: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x_BChw)))


class ResBlock(nn.Module):
    """norm, SiLU, 3x3 convolution, twice, added to the input (through a 1x1 convolution if widths differ)."""

    def __init__(self, before: int, after: int, groups: int) -> None:
        super().__init__()
        self.norm1 = _norm(before, groups)
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.norm2 = _norm(after, groups)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()

    def forward(self, x_BChw: Tensor) -> Tensor:
        h_BChw = self.conv1(_activated(self.norm1, x_BChw))
        h_BChw = self.conv2(_activated(self.norm2, h_BChw))
        return h_BChw.add_(self.nin_shortcut(x_BChw))


class SpatialAttention(nn.Module):
    """One head over all cells, scale C^-1/2, queries, keys and values from one 1x1 convolution."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.norm = _norm(width, groups)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, x_BChw: Tensor) -> Tensor:
        height = x_BChw.shape[-2]
        q, k, v = rearrange(self.qkv(self.norm(x_BChw)), "B (three C) h w -> three B 1 (h w) C", three=3)
        y_B1nC = F.scaled_dot_product_attention(q, k, v)
        y_BChw = rearrange(y_B1nC, "B 1 (h w) C -> B C h w", h=height)
        return x_BChw + self.proj_out(y_BChw)


class Downsample(nn.Module):
    """3x3 convolution of stride 2 after one row and column of zeros on the right and bottom alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x_BChw: Tensor) -> Tensor:
        return self.conv(F.pad(x_BChw, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest-neighbour doubling, then a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x_BChw: Tensor) -> Tensor:
        return self.conv(F.interpolate(x_BChw, scale_factor=2, mode="nearest"))


def _activated(norm: nn.Module, x_BChw: Tensor) -> Tensor:
    """SiLU of a norm; in place where no gradient needs what the norm gave, since these maps are large."""
    h_BChw = norm(x_BChw)
    return F.silu(h_BChw, inplace=not h_BChw.requires_grad)


def _norm(width: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, width, eps=EPS)
