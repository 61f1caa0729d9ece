"""Training a next-scale generator: cross-entropy of every code of every scale (VAR, arXiv 2404.02905).

Codes are encoded once (`training/codes.py`); what the transformer reads is made from them per batch, since it
is wider than they are. Labels are dropped here, by keyed draws, and never inside of the network.
Shapes: B pictures, L codes of a picture, V codes, K scales.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genstudio.cache.full import FullCache
from genstudio.generators.var import VAR, teacher_forced
from genstudio.samplers.draws import KeyedDraws, Use
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.scale import ScaleWalk
from genstudio.samplers.values import Codes, Given
from genstudio.samplers.walk import Done, Job, run
from genstudio.tokenizers.multiscale_vq import MultiScaleVQ
from genstudio.training.codes import CodeBook
from genstudio.training.objectives.base import Batch, Losses, Objective

EVALUATED = 128
SHOWN = 16


class NextScaleObjective(Objective):
    """Cross-entropy over all positions with equal weight; label_drop of the labels become the null label."""

    undecayed = ("slot_pos", "start_pos", "level_embed", "log_scale", "offset")

    def __init__(
        self,
        network: VAR,
        tokenizer: MultiScaleVQ,
        label_drop: float,
        train: CodeBook,
        test: CodeBook,
        device: torch.device,
        sampling: Recipe,
    ) -> None:
        self.network, self.tokenizer, self.label_drop, self.device = network, tokenizer, label_drop, device
        self.sampling = sampling
        self.train, self.test = train.to(device), test.to(device)
        self.helpers: dict[str, nn.Module] = {}
        self.examples = len(train)
        self.reads = train.reads

    def losses(self, batch: Batch) -> Losses:
        index_B = batch.index_B.to(self.device)
        flip_B = batch.coin(Use.FLIP, 0.5) if self.train.flipped_NL is not None else None
        ids_BL, label_B = self.train.take(index_B, flip_B)
        label_B = label_B.masked_fill(batch.coin(Use.DROP, self.label_drop), self.network.config.classes)
        logits_BLV = teacher_forced(self.network, self._feeds(ids_BL), Given(label_B))
        nll_BL = cross_entropy(logits_BLV, ids_BL)
        total = nll_BL.mean()
        accuracy = (logits_BLV.detach().argmax(-1) == ids_BL).float().mean()
        return Losses(total, {"loss": total, "accuracy": accuracy, "scales": self._per_scale(nll_BL)}, {})

    @torch.no_grad()
    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Mean cross-entropy of the test pictures' codes under their labels."""
        assert isinstance(network, VAR)
        losses = []
        for index_B in torch.split(torch.arange(len(self.test), device=self.device), EVALUATED):
            ids_BL, label_B = self.test.take(index_B, None)
            logits_BLV = teacher_forced(network, self._feeds(ids_BL), Given(label_B))
            losses.append(cross_entropy(logits_BLV, ids_BL))
        return {"test_loss": torch.cat(losses).mean().item()}

    @torch.no_grad()
    def picture(self, network: nn.Module) -> Tensor:
        """Sampled pictures, spread over the classes, the same seeds every time."""
        assert isinstance(network, VAR)
        seed_B = torch.arange(SHOWN, device=self.device)
        config = network.config

        def cache(rows: int, capacity: int, look: int) -> FullCache:
            return FullCache(config.cache_spec(rows, capacity, "float32", look), self.device)

        given = Given(seed_B * config.classes // SHOWN)
        *_, done = run(
            ScaleWalk(network, self.tokenizer.pyramid),
            Job(given, seed_B, self.sampling, KeyedDraws(), cache),
        )
        assert isinstance(done, Done)
        return self.tokenizer.decode(self.tokenizer.latents(done.codes))

    @torch.no_grad()
    def _feeds(self, ids_BL: Tensor) -> Tensor:
        """Input of the scales after the first, in float32: it is what sampling will feed."""
        sizes = [end - start for start, end in self.network.config.bounds]
        with torch.autocast(self.device.type, enabled=False):
            return self.tokenizer.pyramid.teacher(Codes("scales", torch.split(ids_BL, sizes, dim=1)))

    def _per_scale(self, nll_BL: Tensor) -> Tensor:
        nll_L = nll_BL.detach().mean(dim=0)
        return torch.stack([nll_L[start:end].mean() for start, end in self.network.config.bounds])


def cross_entropy(logits_BLV: Tensor, ids_BL: Tensor) -> Tensor:
    """Negative log-likelihood [B,L] in nats of every code."""
    return F.cross_entropy(logits_BLV.flatten(0, 1), ids_BL.flatten(), reduction="none").view_as(ids_BL)
