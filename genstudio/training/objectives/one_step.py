"""The objective of a one-step student (Distilled Decoding, arXiv 2412.17153): from noise to codes.

Of every pair the codes before a timestep are shown and noise stands behind, as in sampling; what follows the
timestep is learned. The paper says that students learn both the code and its embedding, and does not give the
code for it. Read into it here: cross-entropy on one head and mean squared error of code vectors on the other,
one of the chosen timesteps per example with equal chances, and all positions of an example alike.
Shapes: B pairs, L codes of a picture, d code width, V codes, n pictures.
"""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from genstudio.cache.makers import full_caches
from genstudio.distillation.pairs import Pairs
from genstudio.generators.base import Generator
from genstudio.generators.methods import walk_of
from genstudio.generators.students import LlamaGenStudent, VARStudent
from genstudio.samplers.draws import KeyedDraws, Use
from genstudio.samplers.recipe import Recipe
from genstudio.samplers.values import Given
from genstudio.samplers.walk import Done, Job, run
from genstudio.tokenizers.base import QuantisingTokenizer
from genstudio.training.objectives.base import Batch, Losses, Objective
from genstudio.training.objectives.codes import cross_entropy
from genstudio.training.objectives.settings import OneStep

EVALUATED = 128
SHOWN = 8  # pictures of the teacher, and under them those of the student from the same noise
TIMESTEP = 0  # the place of the draw that chooses an example's timestep

Student = VARStudent | LlamaGenStudent


class OneStepObjective(Objective):
    undecayed = ("slot_pos", "start_pos", "level_embed", "mark_embed", "log_scale", "offset", "shift_scale")

    def __init__(
        self,
        network: Student,
        tokenizer: QuantisingTokenizer,
        settings: OneStep,
        train: Pairs,
        test: Pairs,
        device: torch.device,
        sampling: Recipe,
    ) -> None:
        self.network, self.tokenizer, self.settings, self.device = network, tokenizer, settings, device
        self.train, self.test, self.sampling = train.to(device), test.to(device), sampling
        self.helpers: dict[str, nn.Module] = {}
        self.examples = len(train)
        self.reads: Mapping[str, str] = train.reads
        self.timestep_T = torch.tensor(settings.timesteps, device=device)
        counts = [len(unit.made) for unit in network.order.units()]
        self.unit_L = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).to(device)

    def losses(self, batch: Batch) -> Losses:
        t_B = self.timestep_T[batch.below(Use.TIME, TIMESTEP, len(self.timestep_T))]
        parts = self._compare(self.network, self.train, batch.index_B.to(self.device), t_B)
        means = {name: value_B.mean() for name, value_B in parts.items()}
        total = means["cross_entropy"] + self.settings.distance * means["distance"]
        return Losses(total, {"loss": total, **means}, {})

    @torch.no_grad()
    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """On held-out pairs, for every timestep: both losses, and how often the likeliest code is the right
        one."""
        assert isinstance(network, Student)
        found: dict[str, float] = {}
        for t in self.timestep_T.tolist():
            sums: dict[str, float] = {}
            for index_B in torch.arange(len(self.test), device=self.device).split(EVALUATED):
                t_B = torch.full_like(index_B, t)
                for name, value_B in self._compare(network, self.test, index_B, t_B).items():
                    sums[name] = sums.get(name, 0.0) + value_B.sum().item()
            found |= {f"test_{name}_from_{t}": total / len(self.test) for name, total in sums.items()}
        return found

    @torch.no_grad()
    def picture(self, network: nn.Module) -> Tensor:
        """Held-out pictures of the teacher; below the student's from the same noise, in one step and two."""
        index_n = torch.arange(min(SHOWN, len(self.test)), device=self.device)
        ids_nL = self.test.ids_NL[index_n].long()
        rows = [self.tokenizer.latents(self.tokenizer.codes_of(ids_nL))]
        rows += [self._sampled(network, index_n, steps) for steps in (1, 2)]
        return self.tokenizer.decode(torch.cat(rows))

    def _compare(self, network: Student, pairs: Pairs, index_B: Tensor, t_B: Tensor) -> dict[str, Tensor]:
        """Means [B] over the positions that are learned."""
        quantize, ids_BL = self.tokenizer.quantize, pairs.ids_NL[index_B].long()
        code_BLd = quantize.lookup(ids_BL)
        asked_BL = self.unit_L >= t_B[:, None]
        noise_BLd = pairs.noise(index_B, code_BLd.shape[-1])
        x_BLd = torch.where(asked_BL[..., None], noise_BLd, code_BLd)
        cond = network.condition(Given(pairs.label_N[index_B]), null=False)
        h_BLC = network(x_BLd, t_B, cond)
        logits_BLV, vector_BLd = network.logits(h_BLC, cond), network.vectors(h_BLC, cond)
        every = {
            "cross_entropy": cross_entropy(logits_BLV, ids_BL),
            "distance": (vector_BLd - code_BLd).square().mean(-1) / self._spread(),
            "accuracy": (logits_BLV.detach().argmax(-1) == ids_BL).float(),
        }
        share_BL = asked_BL / asked_BL.sum(1, keepdim=True)
        return {name: (value_BL * share_BL).sum(1) for name, value_BL in every.items()}

    def _spread(self) -> Tensor:
        """The variance of a code vector's numbers over the codebook: the distance of knowing nothing is 1."""
        table_VC = self.tokenizer.quantize.scaled(self.tokenizer.quantize.table_VC)
        return table_VC.var(0, correction=0).mean()

    def _sampled(self, network: nn.Module, index_n: Tensor, steps: int) -> Tensor:
        generator, recipe = cast(Generator, network), self.sampling.override(steps=steps)
        given = Given(self.test.label_N[index_n])
        job = Job(given, self.test.seed_N[index_n], recipe, KeyedDraws(), full_caches(generator))
        *_, done = run(walk_of(generator, self.tokenizer), job)
        assert isinstance(done, Done)
        return done.codes.data[0]
