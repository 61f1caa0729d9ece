"""How each kind of generator is walked, and what it says of codes that are there already.

The one table that knows which walk belongs to which network and tokenizer; everything that samples goes
through it, whatever the method.
Shapes: B pictures, L codes of a picture, V vocabulary, C channels of a token.
"""

from collections.abc import Callable, Mapping
from math import log
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from genstudio.cache.makers import full_caches
from genstudio.errors import Exit, GenstudioError
from genstudio.generators import llamagen, mar, nar, var
from genstudio.generators.base import Generator
from genstudio.samplers.diffusion import Diffusion, cosine_abar
from genstudio.samplers.diffusion_loss import DiffusionLoss
from genstudio.samplers.draws import At, KeyedDraws, Use
from genstudio.samplers.masked import MaskedWalk
from genstudio.samplers.neighbour import NeighbourWalk
from genstudio.samplers.oneshot import OneShotWalk, Student, Teacher
from genstudio.samplers.scale import ScaleWalk
from genstudio.samplers.sequence import SequenceWalk
from genstudio.samplers.steps import TIMESTEPS
from genstudio.samplers.values import Codes, Given
from genstudio.samplers.walk import Walk
from genstudio.tokenizers.base import ConvTokenizer, QuantisingTokenizer
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ


class Surprise(NamedTuple):
    """The loss of one teacher-forced pass over known codes, that of knowing nothing, and what both count."""

    loss: float
    ignorant: float
    unit: str


AnySurprise = Callable[[Any, Any, Codes, Given], Surprise]


class Method(NamedTuple):
    """`walk` drives a generator with its tokenizer; `surprise` says how well it knows codes that it is told
    (None: a student knows noise alone); `taught` walks together with the teacher that a student has."""

    walk: Callable[[Any, Any], Walk[Any]]
    surprise: AnySurprise | None
    taught: Callable[[Any, Any, Any], Walk[Any]] | None = None


def walk_of(generator: Generator, tokenizer: ConvTokenizer, teacher: Generator | None = None) -> Walk[Any]:
    """The plain walk of a generator; a student's `teacher` is there for steps that it takes part in. Raises
    GenstudioError for a teacher of what is no student."""
    method = method_of(generator)
    if teacher is None:
        return method.walk(generator, tokenizer)
    if method.taught is None:
        raise GenstudioError(f"A {generator.config.kind} has no teacher.", "Name none.", Exit.WEIGHTS)
    return method.taught(generator, tokenizer, teacher)


def method_of(generator: Generator) -> Method:
    """The entry of a generator's kind."""
    return METHODS[generator.config.kind]


def _scale_walk(network: var.VAR, tokenizer: ConvTokenizer) -> ScaleWalk:
    return ScaleWalk(network, _multi_scale(tokenizer).pyramid)


def _scale_surprise(network: var.VAR, tokenizer: ConvTokenizer, codes: Codes, given: Given) -> Surprise:
    teacher_BnC = _multi_scale(tokenizer).pyramid.teacher(codes)
    return _in_nats(var.teacher_forced(network, teacher_BnC, given), codes)


def _sequence_walk(network: llamagen.LlamaGen, tokenizer: ConvTokenizer) -> SequenceWalk:
    del tokenizer
    return SequenceWalk(network)


def _sequence_surprise(
    network: llamagen.LlamaGen, tokenizer: ConvTokenizer, codes: Codes, given: Given
) -> Surprise:
    del tokenizer
    return _in_nats(llamagen.teacher_forced(network, codes.data[0], given), codes)


def _neighbour_walk(network: nar.NAR, tokenizer: ConvTokenizer) -> NeighbourWalk:
    del tokenizer
    return NeighbourWalk(network)


def _neighbour_surprise(network: nar.NAR, tokenizer: ConvTokenizer, codes: Codes, given: Given) -> Surprise:
    del tokenizer
    return _in_nats(nar.teacher_forced(network, codes.data[0], given), codes)


def _masked_walk(network: mar.MAR, tokenizer: ConvTokenizer) -> MaskedWalk:
    if tokenizer.config.kind != "kl":
        message = "A model of continuous tokens needs a KL tokenizer."
        raise GenstudioError(message, "Correct `tokenizer` in its release.json.", Exit.WEIGHTS)
    return MaskedWalk(network)


def _masked_surprise(network: mar.MAR, tokenizer: ConvTokenizer, codes: Codes, given: Given) -> Surprise:
    """Half of the tokens under noise of all levels; a head that knows nothing says that there is none."""
    del tokenizer
    tokens_BLC = network.tokens(codes.data[0])
    places_B1 = torch.arange(len(tokens_BLC), device=tokens_BLC.device)
    order_BL = KeyedDraws().order(Use.ORDER, places_B1, network.config.codes)
    masked = network.config.codes // 2
    loss = DiffusionLoss(Diffusion.retain(cosine_abar(), range(TIMESTEPS)), tokens_BLC.device)
    at = At(places_B1, places_B1[:, None])
    t_1Bm = KeyedDraws().uniform(Use.TIME, at, (masked,)).mul(TIMESTEPS).long()[None]
    noise_1BmC = KeyedDraws().normal(Use.NOISE, at, (masked, network.config.token_width))[None]
    parts = mar.token_losses(network, loss, tokens_BLC, given, order_BL, t_1Bm, noise_1BmC)
    return Surprise(float(parts.mse_N.mean()), 1.0, "of the variance of noise")


def _student_walk(network: Student, tokenizer: ConvTokenizer) -> OneShotWalk:
    return OneShotWalk(network, _quantising(tokenizer))


def _taught_by_scales(network: Student, tokenizer: ConvTokenizer, teacher: var.VAR) -> OneShotWalk:
    pyramid = _multi_scale(tokenizer).pyramid
    lessons = Teacher(lambda cached: ScaleWalk(teacher, pyramid, unmasked=not cached), full_caches(teacher))
    return OneShotWalk(network, _quantising(tokenizer), lessons)


def _taught_in_sequence(
    network: Student, tokenizer: ConvTokenizer, teacher: llamagen.LlamaGen
) -> OneShotWalk:
    lessons = Teacher(lambda _: SequenceWalk(teacher), full_caches(teacher))
    return OneShotWalk(network, _quantising(tokenizer), lessons)


def _in_nats(logits_BLV: Tensor, codes: Codes) -> Surprise:
    """Cross-entropy of ids in the order in which they are predicted."""
    loss = F.cross_entropy(logits_BLV.flatten(0, 1), torch.cat(codes.data, dim=1).flatten())
    return Surprise(float(loss), log(logits_BLV.shape[-1]), "nats per code")


def _multi_scale(tokenizer: ConvTokenizer) -> MultiScaleVQ:
    if not isinstance(tokenizer, MultiScaleVQ):
        message = "A next-scale model needs a multi-scale tokenizer."
        raise GenstudioError(message, "Correct `tokenizer` in its release.json.", Exit.WEIGHTS)
    return tokenizer


def _quantising(tokenizer: ConvTokenizer) -> QuantisingTokenizer:
    if not isinstance(tokenizer, QuantisingTokenizer):
        message = "A distilled student needs a tokenizer with a codebook."
        raise GenstudioError(message, "Correct `tokenizer` in its release.json.", Exit.WEIGHTS)
    return tokenizer


METHODS: Final[Mapping[str, Method]] = {
    "var": Method(_scale_walk, _scale_surprise),
    "llamagen": Method(_sequence_walk, _sequence_surprise),
    "nar": Method(_neighbour_walk, _neighbour_surprise),
    "mar": Method(_masked_walk, _masked_surprise),
    "var_student": Method(_student_walk, None, _taught_by_scales),
    "llamagen_student": Method(_student_walk, None, _taught_in_sequence),
}
