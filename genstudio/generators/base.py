"""What every generator offers beside its own protocol: its order, and which parts can be compiled.

A generator is a pure map from fed slots to features (`samplers.scale.Trunk` and its relatives say which).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn

from genstudio.samplers.values import Order

if TYPE_CHECKING:
    from genstudio.releases.release import GeneratorConfig


class Generator(nn.Module, ABC):
    """A network that makes codes, unit by unit of its `order`."""

    config: "GeneratorConfig"
    blocks: nn.ModuleList

    @property
    @abstractmethod
    def order(self) -> Order:
        """In which units the codes of a picture come to be."""

    def lengthless(self) -> Iterable[nn.Module]:
        """Parts that see nothing of the cache, whose length would make a program per step."""
        return (block.get_submodule("mlp") for block in self.blocks)
