"""What objectives on the codes of a tokenizer share: cross-entropy under labels, evaluation, a look.

A kind adds the logits of one teacher-forced pass. Every code counts alike, as officially (VAR, LlamaGen).
Labels are dropped here, by keyed draws, and never inside of the network.
Shapes: B pictures, L codes of a picture, V codes.
"""

from abc import abstractmethod
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genstudio.cache.full import FullCache
from genstudio.generators.base import Generator
from genstudio.generators.methods import walk_of
from genstudio.samplers.draws import KeyedDraws, Use
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.values import Given
from genstudio.samplers.walk import Done, Job, run
from genstudio.tokenizers.base import ConvTokenizer
from genstudio.training.codes import CodeBook
from genstudio.training.objectives.base import Batch, Losses, Objective

EVALUATED = 128
SHOWN = 16


class CodesObjective(Objective):
    """Mean negative log-likelihood of all codes; `label_drop` of the labels become the null label."""

    def __init__(
        self,
        network: Generator,
        tokenizer: ConvTokenizer,
        label_drop: float,
        train: CodeBook,
        test: CodeBook,
        device: torch.device,
        sampling: Recipe,
    ) -> None:
        self.network, self.tokenizer, self.label_drop, self.device = network, tokenizer, label_drop, device
        self.classes, self.sampling = network.config.classes, sampling
        self.train, self.test = train.to(device), test.to(device)
        self.helpers: dict[str, nn.Module] = {}
        self.examples = len(train)
        self.reads = train.reads

    @abstractmethod
    def logits(self, network: nn.Module, ids_BL: Tensor, given: Given) -> Tensor:
        """Logits [B,L,V] of known codes in one pass of the network that is trained, or of its average."""

    def parts(self, nll_BL: Tensor) -> dict[str, Tensor]:
        """What else the metrics say of the likelihoods."""
        del nll_BL
        return {}

    def losses(self, batch: Batch) -> Losses:
        index_B = batch.index_B.to(self.device)
        flip_B = batch.coin(Use.FLIP, 0.5) if self.train.flipped_NL is not None else None
        ids_BL, label_B = self.train.take(index_B, flip_B)
        label_B = label_B.masked_fill(batch.coin(Use.DROP, self.label_drop), self.classes)
        logits_BLV = self.logits(self.network, ids_BL, Given(label_B))
        nll_BL = cross_entropy(logits_BLV, ids_BL)
        total = nll_BL.mean()
        accuracy = (logits_BLV.detach().argmax(-1) == ids_BL).float().mean()
        return Losses(total, {"loss": total, "accuracy": accuracy, **self.parts(nll_BL.detach())}, {})

    @torch.no_grad()
    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Mean cross-entropy of the test pictures' codes under their labels."""
        losses = []
        for index_B in torch.split(torch.arange(len(self.test), device=self.device), EVALUATED):
            ids_BL, label_B = self.test.take(index_B, None)
            losses.append(cross_entropy(self.logits(network, ids_BL, Given(label_B)), ids_BL))
        return {"test_loss": torch.cat(losses).mean().item()}

    @torch.no_grad()
    def picture(self, network: nn.Module) -> Tensor:
        return sampled(cast(Generator, network), self.tokenizer, self.sampling, self.device)


@torch.no_grad()
def sampled(generator: Generator, tokenizer: ConvTokenizer, recipe: Recipe, device: torch.device) -> Tensor:
    """Pictures [n,C,H,W], spread over the classes, the same seeds every time."""
    seed_B = torch.arange(SHOWN, device=device)

    def cache(rows: int, capacity: int, look: int) -> FullCache:
        return FullCache(generator.config.cache_spec(rows, capacity, "float32", look), device)

    given = Given(seed_B * generator.config.classes // SHOWN)
    walk = walk_of(generator, tokenizer)
    *_, done = run(walk, Job(given, seed_B, recipe, KeyedDraws(), cache))
    assert isinstance(done, Done)
    return tokenizer.decode(tokenizer.latents(done.codes))


def cross_entropy(logits_BLV: Tensor, ids_BL: Tensor) -> Tensor:
    """Negative log-likelihood [B,L] in nats of every code."""
    return F.cross_entropy(logits_BLV.flatten(0, 1), ids_BL.flatten(), reduction="none").view_as(ids_BL)
