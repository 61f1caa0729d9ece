"""The walk over a random order, a set of tokens at a time (MAR, arXiv 2406.11838; DiSA shortens its chains).

Every step looks at all tokens that are known, asks for the next few places of the order, and denoises their
tokens. The official order is read from its end. Tokens that are given before are in front of the order, and
the plan is that of the others. How many places a step makes is the same for all pictures, so that nothing
waits for the device; which ones they are is drawn for each.
`look`, `made` and `keep` are apart, so that several networks can walk on one state.
Shapes: B pictures, R rows (B, or 2B = [given | null]), L tokens of a picture in raster order, n known ones,
m places of a step, C channels of a token, D width of what the network says of a place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from einops import rearrange
from torch import Tensor

from genstudio.samplers.denoise import Head, chain_for, denoise
from genstudio.samplers.draws import At, Use
from genstudio.samplers.orders import MaskedOrder
from genstudio.samplers.solve import Solved
from genstudio.samplers.values import Codes, Cond, Given, Unit
from genstudio.samplers.walk import Job


class Masked(Protocol):
    """The network of a masked method; places are ascending in every row."""

    @property
    def head(self) -> Head: ...
    @property
    def order(self) -> MaskedOrder: ...
    @property
    def channels(self) -> int: ...
    def condition(self, given: Given, null: bool) -> Cond: ...
    def __call__(self, tokens_RLC: Tensor, known_Rn: Tensor, cond: Cond, asked_Rm: Tensor) -> Tensor: ...
    def tokens(self, latents_BChw: Tensor) -> Tensor: ...
    def latents(self, tokens_BLC: Tensor) -> Tensor: ...


@dataclass
class MaskedState:
    """Where B pictures stand: the condition, the tokens in raster order (0 where none is made yet), and the
    places of all tokens in the order of generation, given ones first. `unit` counts units made."""

    job: Job
    cond: Cond
    units: tuple[Unit, ...]
    tokens_BLC: Tensor
    place_BL: Tensor
    known: int
    unit: int = 0
    stats: dict[str, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        return self.unit == len(self.units)

    @property
    def done(self) -> int:
        return self.units[self.unit - 1].made.stop if self.unit else self.known

    def places(self, span: slice) -> Tensor:
        """Where the tokens of a span of the order stand, ascending: int64 [B,m]."""
        return self.place_BL[:, span].sort(dim=1).values


class Look(NamedTuple):
    """What a network says of the places of a unit (null rows only where they have a say), where these stand,
    and the weight of guidance."""

    z_RmD: Tensor
    place_Bm: Tensor
    weight: float


class MaskedWalk:
    """One set of tokens per `advance`."""

    def __init__(self, network: Masked) -> None:
        self.network = network

    @property
    def total(self) -> int:
        return self.network.order.codes

    def start(self, job: Job) -> MaskedState:
        """All tokens masked but those that are given. Raises GenstudioError for more steps than tokens."""
        return opened(self.network, job)

    def advance(self, state: MaskedState) -> None:
        """Make the tokens of the next unit of every picture."""
        seen = look(self.network, state, state.units[state.unit])
        keep(state, seen.place_Bm, made(self.network, state, seen).x)
        state.unit += 1

    def codes(self, state: MaskedState) -> Codes:
        """The latents, and which of their cells are known."""
        latents_BChw = self.network.latents(state.tokens_BLC)
        if state.done == self.total:
            return Codes("latents", (latents_BChw,))
        known_BLC = torch.zeros_like(state.tokens_BLC, dtype=torch.bool)
        place_Bn1 = state.place_BL[:, : state.done, None]
        known_BLC.scatter_(1, place_Bn1.expand(-1, -1, self.network.channels), True)
        return Codes("latents", (latents_BChw,), self.network.latents(known_BLC)[:, 0].flatten(1))


def opened(network: Masked, job: Job) -> MaskedState:
    """The state before the first unit: the order is drawn and the condition computed here, once."""
    codes, device = network.order.codes, job.seed_B.device
    place_BL = job.draws.order(Use.ORDER, job.seed_B, codes).flip(-1)
    tokens_BLC = torch.zeros(job.batch, codes, network.channels, device=device)
    known = 0
    if job.given.prefix is not None:
        tokens_BLC, known_BL = _given_tokens(network, job.given.prefix)
        known = int(known_BL[0].sum())
        last_BL = (~known_BL).gather(1, place_BL).long().argsort(dim=1, stable=True)
        place_BL = place_BL.gather(1, last_BL)
    steps = codes if job.recipe.steps is None else job.recipe.steps
    units = MaskedOrder(codes, steps, known).units()[: job.until]
    null = job.always_null or any(job.weight(unit) != 1 for unit in units)
    return MaskedState(job, network.condition(job.given, null), units, tokens_BLC, place_BL, known)


def look(network: Masked, state: MaskedState, unit: Unit) -> Look:
    """One pass for the places of a unit, from the tokens that stand before it in the order."""
    job, cond, weight = state.job, state.cond, state.job.weight(unit)
    if weight == 1 and not job.always_null:
        cond = cond.take(slice(0, job.batch))
    known_Bn = state.places(slice(0, unit.made.start))
    place_Bm = state.places(slice(unit.made.start, unit.made.stop))
    z_RmD = network(cond.spread(state.tokens_BLC), cond.spread(known_Bn), cond, cond.spread(place_Bm))
    if job.trace is not None:
        job.trace("weight", torch.tensor(weight))
    return Look(z_RmD, place_Bm, weight)


def made(network: Masked, state: MaskedState, seen: Look, shared: Sequence[int] | None = None) -> Solved:
    """Tokens [B m, C] of what was looked at, picture by picture, by the chain of the state's unit; its steps
    have the noise of the steps `shared` of another chain, where there is one."""
    job, at = state.job, places(seen.place_Bm, state.job)
    chain = chain_for(state.unit, len(state.units), job)
    solved = denoise(network.head, seen.z_RmD, network.channels, chain, seen.weight, at, job, shared)
    if job.trace is not None:
        job.trace("made", solved.x)
    return solved


def keep(state: MaskedState, place_Bm: Tensor, tokens_NC: Tensor) -> None:
    """Note tokens at their places."""
    tokens_BmC = rearrange(tokens_NC, "(B m) C -> B m C", m=place_Bm.shape[1])
    at_BmC = place_Bm[..., None].expand_as(tokens_BmC)
    state.tokens_BLC = state.tokens_BLC.scatter(1, at_BmC, tokens_BmC.to(state.tokens_BLC.dtype))


def places(place_Bm: Tensor, job: Job) -> At:
    """Addresses of tokens, picture by picture: N = B m rows."""
    return At(job.seed_B.repeat_interleave(place_Bm.shape[1]), place_Bm.flatten()[:, None])


def _given_tokens(network: Masked, prefix: Codes) -> tuple[Tensor, Tensor]:
    """Tokens [B,L,C] that are known before, 0 elsewhere, and which they are [B,L]: those all of whose cells
    are known. Raises ValueError where pictures know different numbers of tokens."""
    tokens_BLC = network.tokens(prefix.data[0])
    known_BL = torch.ones(tokens_BLC.shape[:2], dtype=torch.bool, device=tokens_BLC.device)
    if prefix.known_BL is not None:
        cells_BChw = prefix.known_BL.view(len(known_BL), 1, *prefix.data[0].shape[2:]).expand_as(
            prefix.data[0]
        )
        known_BL = network.tokens(cells_BChw).all(dim=-1)
    if bool((known_BL.sum(1) != known_BL[0].sum()).any()):
        raise ValueError("All pictures of a batch must know the same number of tokens.")
    return tokens_BLC.float() * known_BL[..., None], known_BL
