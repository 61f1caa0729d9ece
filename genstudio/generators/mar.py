"""MAR: masked autoregression over continuous tokens, a random set of them at a time (arXiv 2406.11838).

An encoder sees the known tokens behind slots that hold the class; a decoder sees all places and says, for
each place that is asked for, what its token depends on; a diffusion head draws the token from that alone.
Differs from the official code: places come as indices, so that nothing waits for a mask; the decoder's last
block works for the asked places alone; nothing is dropped here.
Shapes: B pictures, R rows, L tokens of a picture in raster order, n known ones, m asked ones, C channels of a
token, E width of the encoder, D width of the decoder, F buffer slots, k noises for each token of a loss.
"""

from collections.abc import Iterable
from itertools import chain

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from genstudio.configs.mar import MARConfig
from genstudio.generators.base import Generator
from genstudio.nn.blocks import ViTBlock
from genstudio.nn.denoiser import Denoiser
from genstudio.samplers.diffusion_loss import DiffusionLoss, Parts
from genstudio.samplers.orders import MaskedOrder
from genstudio.samplers.values import ALL, Cond, Given

STD = 0.02


class MAR(Generator):
    """The network: condition once, then a pass over all tokens for each step; `head` denoises."""

    config: MARConfig

    def __init__(self, config: MARConfig) -> None:
        super().__init__()
        self.config = config
        width, inner, slots = config.width, config.decoder_width, config.buffer + config.codes
        self.class_embed = nn.Embedding(config.classes, width)
        self.null_class = nn.Parameter(torch.empty(1, width))
        self.token_embed = nn.Linear(config.token_width, width)
        self.encoder_pos = nn.Parameter(torch.empty(1, slots, width))
        self.embed_norm = nn.LayerNorm(width, eps=1e-6)
        self.encoder_blocks = _blocks(config.depth, width, config.heads, config)
        self.encoder_norm = nn.LayerNorm(width, eps=config.norm_eps)
        self.decoder_embed = nn.Linear(width, inner)
        self.mask_token = nn.Parameter(torch.empty(1, 1, inner))
        self.decoder_pos = nn.Parameter(torch.empty(1, slots, inner))
        self.decoder_blocks = _blocks(config.decoder_depth, inner, config.decoder_heads, config)
        self.decoder_norm = nn.LayerNorm(inner, eps=config.norm_eps)
        self.head_pos = nn.Parameter(torch.empty(1, config.codes, inner))
        self.head = Denoiser(
            channels=config.token_width,
            outputs=2 * config.token_width,
            condition=inner,
            width=config.head_width,
            depth=config.head_depth,
        )

    @property
    def order(self) -> MaskedOrder:
        """One token at a time; a walk may take fewer steps."""
        return MaskedOrder(self.config.codes, self.config.codes)

    @property
    def channels(self) -> int:
        """Numbers of one token."""
        return self.config.token_width

    def tokens(self, latents_BChw: Tensor) -> Tensor:
        """Latents to tokens [B,L,C] in raster order; a token of several cells holds channel by channel."""
        p = self.config.patch
        return rearrange(latents_BChw, "B c (h p) (w q) -> B (h w) (c p q)", p=p, q=p)

    def latents(self, tokens_BLC: Tensor) -> Tensor:
        """The inverse of `tokens`."""
        p, side = self.config.patch, self.config.side
        return rearrange(tokens_BLC, "B (h w) (c p q) -> B c (h p) (w q)", h=side, w=side, p=p, q=p)

    def condition(self, given: Given, null: bool) -> Cond:
        """The buffer's slots [R,F,E] of labels [B]; `null` appends the null rows. The label behind the last
        class stands for no class. Raises ValueError without labels."""
        if given.label_B is None:
            raise ValueError("MAR is conditioned on labels; none were given.")
        label_R = given.label_B
        if null:
            label_R = torch.cat([label_R, torch.full_like(label_R, self.config.classes)])
        class_RE = F.embedding(label_R, torch.cat([self.class_embed.weight, self.null_class]))
        return Cond(class_RE[:, None].expand(-1, self.config.buffer, -1))

    def forward(
        self, tokens_RLC: Tensor, known_Rn: Tensor, cond: Cond, asked_Rm: Tensor | None = None
    ) -> Tensor:
        """What the head needs for the places `asked_Rm` (all L without it), [R,m,D], given the tokens at the
        places `known_Rn`; other tokens are not looked at. Places are ascending in every row."""
        return self.decode(self.encode(tokens_RLC, known_Rn, cond), known_Rn, asked_Rm)

    def encode(self, tokens_RLC: Tensor, known_Rn: Tensor, cond: Cond) -> Tensor:
        """Hidden states [R,F+n,E] of the buffer and the known tokens."""
        known_RnC = torch.take_along_dim(tokens_RLC, known_Rn[..., None], 1)
        token_RnE = self.token_embed(known_RnC.to(self.token_embed.weight.dtype))
        x_RnE = torch.cat([cond.start_RTD.to(token_RnE.dtype), token_RnE], dim=1)
        x_RnE = self.embed_norm(x_RnE + self.encoder_pos[0, self._slots(known_Rn)])
        for block in self.encoder_blocks:
            x_RnE = block(x_RnE)
        return self.encoder_norm(x_RnE)

    def decode(self, h_RnE: Tensor, known_Rn: Tensor, asked_Rm: Tensor | None = None) -> Tensor:
        """The decoder's states [R,m,D] at the asked places; masked ones hold the mask token before it."""
        if asked_Rm is None:
            asked_Rm = torch.arange(self.config.codes, device=h_RnE.device).expand(len(h_RnE), -1)
        x_RSD = self.mask_token.expand(len(h_RnE), self.decoder_pos.shape[1], -1)
        h_RnD = self.decoder_embed(h_RnE).to(x_RSD.dtype)
        at_RnD = self._slots(known_Rn)[..., None].expand_as(h_RnD)
        x_RSD = x_RSD.scatter(1, at_RnD, h_RnD) + self.decoder_pos
        *blocks, last = self.decoder_blocks
        for block in blocks:
            x_RSD = block(x_RSD)
        x_RmD = last(x_RSD, self.config.buffer + asked_Rm)
        return self.decoder_norm(x_RmD) + self.head_pos[0, asked_Rm]

    def lengthless(self) -> Iterable[nn.Module]:
        blocks = chain(self.encoder_blocks, self.decoder_blocks)
        return (block.get_submodule("mlp") for block in blocks)

    def _slots(self, known_Rn: Tensor) -> Tensor:
        """Slots of the buffer and of the known tokens, [R,F+n]."""
        buffer = self.config.buffer
        front_F = torch.arange(buffer, device=known_Rn.device)
        return torch.cat([front_F.expand(len(known_Rn), -1), buffer + known_Rn], dim=1)


def token_losses(
    network: MAR,
    loss: DiffusionLoss,
    tokens_BLC: Tensor,
    given: Given,
    order_BL: Tensor,
    t_kBm: Tensor,
    noise_kBmC: Tensor,
) -> Parts:
    """Losses of the first m places of every order, all others known: k times m of each picture, flat.

    Official code runs the head for known tokens too, and multiplies their losses by 0.
    """
    masked_Bm, known_Bn = split(order_BL, t_kBm.shape[-1])
    z_BmD = network(tokens_BLC, known_Bn, network.condition(given, null=False), masked_Bm)
    copies, t_N, noise_NC = len(t_kBm), t_kBm.flatten(), noise_kBmC.flatten(0, 2)
    z_ND = repeat(z_BmD, "B m D -> (k B m) D", k=copies)
    clean_BmC = torch.take_along_dim(tokens_BLC, masked_Bm[..., None], 1)
    clean_NC = repeat(clean_BmC, "B m C -> (k B m) C", k=copies)
    x_NC = loss.noised(clean_NC, t_N, noise_NC)
    return loss.losses(network.head(x_NC, ALL, network.head.prepare(z_ND, t_N)), clean_NC, t_N, noise_NC)


def split(order_BL: Tensor, masked: int) -> tuple[Tensor, Tensor]:
    """Places of the first `masked` entries of every order, and of the others, ascending."""
    return order_BL[:, :masked].sort(dim=1).values, order_BL[:, masked:].sort(dim=1).values


def initialise(network: MAR, generator: torch.Generator) -> None:
    """The official initial values, from one seeded generator: linear layers Xavier-uniform with biases 0;
    tables, places and the mask token normal with std 0.02; norms 1 and 0; the head's adaLN and last layer 0,
    so that a fresh head predicts no noise, and its time embedding normal with std 0.02."""
    with torch.no_grad():
        for name, value in network.named_parameters():
            if "norm" in name and name.endswith("weight"):
                value.fill_(1)
            elif name.endswith("bias") or "adaln" in name or "output_proj" in name:
                value.zero_()
            elif value.ndim != 2 or "time_embed" in name or name in ("class_embed.weight", "null_class"):
                nn.init.normal_(value, std=STD, generator=generator)
            else:
                nn.init.xavier_uniform_(value, generator=generator)


def _blocks(depth: int, width: int, heads: int, config: MARConfig) -> nn.ModuleList:
    hidden = round(width * config.mlp_ratio)
    return nn.ModuleList(ViTBlock(width, heads, hidden, config.norm_eps) for _ in range(depth))
