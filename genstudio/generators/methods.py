"""How each kind of generator is walked, and what it says of codes that are there already.

The one table that knows which walk belongs to which network and tokenizer; everything that samples goes
through it, whatever the method.
Shapes: B pictures, L codes of a picture, V vocabulary.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from torch import Tensor

from genstudio.errors import Exit, GenstudioError
from genstudio.generators import llamagen, nar, var
from genstudio.generators.base import Generator
from genstudio.samplers.neighbour import NeighbourWalk
from genstudio.samplers.scale import ScaleWalk
from genstudio.samplers.sequence import SequenceWalk
from genstudio.samplers.values import Codes, Given
from genstudio.samplers.walk import Walk
from genstudio.tokenizers.base import ConvTokenizer
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ


class Method(NamedTuple):
    """`walk` drives a generator with its tokenizer; `logits` [B,L,V] are those of one teacher-forced pass
    over known codes, in their order."""

    walk: Callable[[Any, Any], Walk[Any]]
    logits: Callable[[Any, Any, Codes, Given], Tensor]


def walk_of(generator: Generator, tokenizer: ConvTokenizer) -> Walk[Any]:
    """The plain walk of a generator."""
    return method_of(generator).walk(generator, tokenizer)


def method_of(generator: Generator) -> Method:
    """The entry of a generator's kind."""
    return METHODS[generator.config.kind]


def _scale_walk(network: var.VAR, tokenizer: ConvTokenizer) -> ScaleWalk:
    return ScaleWalk(network, _multi_scale(tokenizer).pyramid)


def _scale_logits(network: var.VAR, tokenizer: ConvTokenizer, codes: Codes, given: Given) -> Tensor:
    return var.teacher_forced(network, _multi_scale(tokenizer).pyramid.teacher(codes), given)


def _sequence_walk(network: llamagen.LlamaGen, tokenizer: ConvTokenizer) -> SequenceWalk:
    del tokenizer
    return SequenceWalk(network)


def _sequence_logits(
    network: llamagen.LlamaGen, tokenizer: ConvTokenizer, codes: Codes, given: Given
) -> Tensor:
    del tokenizer
    return llamagen.teacher_forced(network, codes.data[0], given)


def _neighbour_walk(network: nar.NAR, tokenizer: ConvTokenizer) -> NeighbourWalk:
    del tokenizer
    return NeighbourWalk(network)


def _neighbour_logits(network: nar.NAR, tokenizer: ConvTokenizer, codes: Codes, given: Given) -> Tensor:
    del tokenizer
    return nar.teacher_forced(network, codes.data[0], given)


def _multi_scale(tokenizer: ConvTokenizer) -> MultiScaleVQ:
    if not isinstance(tokenizer, MultiScaleVQ):
        message = "A next-scale model needs a multi-scale tokenizer."
        raise GenstudioError(message, "Correct `tokenizer` in its release.json.", Exit.WEIGHTS)
    return tokenizer


METHODS: Final[Mapping[str, Method]] = {
    "var": Method(_scale_walk, _scale_logits),
    "llamagen": Method(_sequence_walk, _sequence_logits),
    "nar": Method(_neighbour_walk, _neighbour_logits),
}
