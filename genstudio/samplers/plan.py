"""How a request is sampled, as a value: accelerators replace parts of it, one after the other.

The sites that they act at (`samplers.accelerators.SITES`) are its fields: the release's networks, the recipe,
the cache, the walk. Whatever a release says elsewhere stays as it is.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from genstudio.samplers.recipe import Recipe
from genstudio.samplers.walk import CacheMaker, Walk

if TYPE_CHECKING:
    from genstudio.generators.base import Generator
    from genstudio.samplers.accelerators import Accelerator
    from genstudio.tokenizers.base import ConvTokenizer


class Plan(NamedTuple):
    """`companion` gives the network of a further release by its name, ready to run beside the generator."""

    generator: "Generator"
    tokenizer: "ConvTokenizer"
    recipe: Recipe
    cache: CacheMaker
    walk: Walk[Any]
    companion: Callable[[str], nn.Module]

    def accelerated(self, accelerators: "Sequence[Accelerator]") -> "Plan":
        """With all of these applied, in their order."""
        plan = self
        for one in accelerators:
            plan = one.apply(plan)
        return plan
