"""The drafter's objective: the teacher's next feature from its last one and a code (EAGLE; LANTERN, arXiv
2410.03355, section 6 of its code).

A drafter reads at every slot the teacher's feature there and the code that it made, and says the feature of
the slot that follows. All slots are read in one pass, as drafting reads what is known; loss is asked only
where a feature makes a code. Official code keeps features on disk and clips single numbers of gradients; here
the teacher runs beside, and gradients are clipped by their norm.
Shapes: B pictures, T condition slots, L codes of a picture, S = T + L - 1 slots, n = L - 1 features to say,
C width, V codes.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genstudio.generators.drafter import Drafter
from genstudio.samplers.draws import Use
from genstudio.samplers.speculate.eagle import Target, target_features
from genstudio.samplers.values import Causal, Feed, Given
from genstudio.training.codes import CodeBook
from genstudio.training.objectives.base import Batch, Losses, Objective
from genstudio.training.objectives.settings import NextFeature

EVALUATED = 128


class NextFeatureObjective(Objective):
    """`teacher` is frozen; `given` makes its conditions of the lessons' labels."""

    undecayed = ()

    def __init__(
        self,
        network: Drafter,
        teacher: Target,
        settings: NextFeature,
        train: CodeBook,
        test: CodeBook,
        given: Callable[[Tensor], Given],
        device: torch.device,
        reads: Mapping[str, str],
    ) -> None:
        self.network, self.teacher, self.settings, self.given = network, teacher, settings, given
        self.train, self.test, self.device = train.to(device), test.to(device), device
        self.helpers: dict[str, nn.Module] = {}
        self.examples = len(train)
        self.reads = {**train.reads, **reads}

    def losses(self, batch: Batch) -> Losses:
        flip_B = batch.coin(Use.FLIP, 0.5) if self.train.flipped_NL is not None else None
        ids_BL, label_B = self.train.take(batch.index_B.to(self.device), flip_B)
        drop_B = batch.coin(Use.DROP, self.settings.label_drop)
        features_BSC = self._features(ids_BL, label_B, drop_B)
        shape = tuple(features_BSC.shape[1:])
        side = self.settings.noise * 3**0.5 * 2  # of a uniform law with that standard deviation
        noise_BSC = side * (batch.draws.uniform(Use.NOISE, batch.at, shape) - 0.5)
        parts = self._compare(self.network, ids_BL, features_BSC, features_BSC + noise_BSC)
        total = parts["feature"] + self.settings.cross_entropy * parts["cross_entropy"]
        return Losses(total, {"loss": total, **parts}, {})

    @torch.no_grad()
    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """On the test pictures under their labels, without noise: both losses; how often drafter and teacher
        have the same likeliest code; and their overlap, the sum of min(p, q), by which speculative sampling
        accepts."""
        assert isinstance(network, Drafter)
        sums: dict[str, float] = {}
        for index_B in torch.arange(len(self.test), device=self.device).split(EVALUATED):
            ids_BL, label_B = self.test.take(index_B, None)
            features_BSC = self._features(ids_BL, label_B, torch.zeros_like(label_B, dtype=torch.bool))
            for name, value in self._compare(network, ids_BL, features_BSC, features_BSC).items():
                sums[name] = sums.get(name, 0.0) + value.item() * len(index_B) / len(self.test)
        return {f"test_{name}": value for name, value in sums.items()}

    @torch.no_grad()
    def _features(self, ids_BL: Tensor, label_B: Tensor, drop_B: Tensor) -> Tensor:
        """The teacher's features [B,S,C] under these conditions, or their null rows where dropped."""
        row_B = torch.arange(len(ids_BL), device=self.device)
        both = self.teacher.condition(self.given(label_B), null=True)
        cond = both.take(torch.where(drop_B, row_B + len(row_B), row_B))
        return target_features(self.teacher, ids_BL[:, :-1], cond).float()

    def _compare(
        self, network: Drafter, ids_BL: Tensor, true_BSC: Tensor, read_BSC: Tensor
    ) -> dict[str, Tensor]:
        text = network.config.condition_slots - 1
        wanted_BnC = true_BSC[:, text + 1 :]
        said_BnC = drafted(network, ids_BL, read_BSC)[:, text:].float()
        log_q_BnV = self.teacher.head(said_BnC).float().log_softmax(-1)
        p_BnV = self.teacher.head(wanted_BnC).float().softmax(-1)
        q_BnV = log_q_BnV.detach().exp()
        return {
            "feature": F.smooth_l1_loss(said_BnC, wanted_BnC),
            "cross_entropy": -(p_BnV * log_q_BnV).sum(-1).mean(),
            "agreement": (p_BnV.argmax(-1) == q_BnV.argmax(-1)).float().mean(),
            "overlap": torch.minimum(p_BnV, q_BnV).sum(-1).mean(),
        }


def drafted(network: Drafter, ids_BL: Tensor, features_BSC: Tensor) -> Tensor:
    """What a drafter says [B,S-1,C] of the slots behind the first: each reads the feature and the code that
    the slot before it has; slots of the condition have code 0."""
    text = network.config.condition_slots - 1
    ids_Bm = F.pad(ids_BL[:, :-1], (text, 0))
    at_1m = torch.arange(ids_Bm.shape[1], device=ids_BL.device)[None]
    said_BmC: Tensor = network(ids_Bm, features_BSC[:, :-1], Feed(at_1m, Causal()))
    return said_BmC
