"""What a step changes and a checkpoint holds: networks, their optimizer, and the average that is released.

The same for one process and for many: the gradients of the parts that processes compute are averaged, and
every process makes the same step (or, where weights are sharded, its rows of it). bf16 is autocast around
`objective.losses`; weights and optimizer stay float32.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from genstudio import registry
from genstudio.errors import is_out_of_memory
from genstudio.processes import Processes
from genstudio.releases import weights
from genstudio.runtime import let_go
from genstudio.training.metrics import Window
from genstudio.training.objectives.base import Batch, Objective, Rewrite
from genstudio.training.optimizer import averaged, build_optimizer, rewrite
from genstudio.training.recipe import TrainingRecipe
from genstudio.training.shard import Root, is_rows, optimizer_rows, shard, whole


class Learner:
    """The networks of an objective on their way through a run. All processes do the same, in step."""

    def __init__(
        self,
        recipe: TrainingRecipe,
        objective: Objective,
        device: torch.device,
        processes: Processes,
        saved: Mapping[str, Any] | None,
    ) -> None:
        """At their initial values, or where `saved` left them, by whatever number of processes."""
        self.recipe, self.objective, self.device, self.processes = recipe, objective, device, processes
        self.modules: dict[str, nn.Module] = {"network": objective.network, **objective.helpers}
        self.average = averaged(objective.network, recipe.run.ema) if recipe.run.ema else None
        self.root = Root(self.modules)
        if saved is not None:
            self._fill(saved)
        if recipe.run.shard and processes.count > 1:
            mean = None if self.average is None else self.average.module
            shard(self.root, mean, processes.mesh(device))
        self.optimizer = build_optimizer(self.modules.values(), recipe.optimizer, objective.undecayed)
        if saved is not None:
            self.optimizer.load_state_dict(optimizer_rows(saved["optimizer"], self.optimizer))

    def gradients(self, passes: Sequence[Batch]) -> Window | None:
        """Clipped gradients of the mean over the passes of all processes; returns what the passes said, or
        None where memory was not enough for them in any process."""
        said = self._backward(passes)
        if self.processes.any(said is None) or said is None:
            return None
        self.processes.mean_([value for value in self._gradients() if not is_rows(value)])
        said.meet(self.processes)
        said.add({"grad_norm": self._clip()}, {}, 1.0)
        return said

    def _backward(self, passes: Sequence[Batch]) -> Window | None:
        """The passes of this process. Processes that meet inside of them cannot be stopped one by one: there
        the error stands."""
        self.objective.network.train()
        self.optimizer.zero_grad()
        self.objective.begin_step()
        said = Window()
        try:
            for batch in passes:
                with lowered(self.device) if self.recipe.run.precision == "bf16" else nullcontext():
                    losses = self.root(partial(self.objective.losses, batch))
                torch.autograd.backward(losses.total / len(passes))
                said.add(losses.parts, losses.counts, 1 / len(passes))
            return said
        except (MemoryError, RuntimeError) as error:
            together = self.processes.count > 1 and (self.recipe.run.shard or self.objective.meets)
            if together or not is_out_of_memory(error):
                raise
        # Behind the handler, where the error no longer holds the tensors of its frames.
        self.optimizer.zero_grad()
        let_go()
        return None

    def update(self, rate: float) -> None:
        """One step of the optimizer, and the average's after it."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.objective.network)

    def rewrite(self, changes: Iterable[Rewrite]) -> None:
        """Replace weights by hand."""
        average = None if self.average is None else self.average.module
        for change in changes:
            rewrite(change, self.objective.network, average, self.optimizer)

    def released(self) -> nn.Module:
        """The network that the run is about, in eval mode: the average where one is kept.

        All processes have to ask; where weights are sharded only the first one gets them whole.
        """
        network = self.objective.network if self.average is None else self.average.module
        if is_rows(next(network.parameters())):
            tensors = whole(network.state_dict(), keep=self.processes.first)
            if self.processes.first:
                fresh = registry.build(self.recipe.network)
                network = weights.fill(fresh, tensors, self.recipe.run.name).to(self.device)
        return network.eval()

    def state(self) -> dict[str, Any]:
        """Everything, for a checkpoint: whole tensors in the first process, whatever in the others."""
        state = {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        found: dict[str, Any] = whole(state, keep=self.processes.first)
        return found

    def _fill(self, saved: Mapping[str, Any]) -> None:
        for name, module in self.modules.items():
            module.load_state_dict(saved["modules"][name])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])

    def _gradients(self) -> Iterator[Tensor]:
        parameters = (value for module in self.modules.values() for value in module.parameters())
        return (value.grad for value in parameters if value.grad is not None)

    def _clip(self) -> Tensor:
        """Clip the gradients of each network by itself; returns the main network's norm."""
        limit = self.recipe.optimizer.clip or float("inf")
        norms = [nn.utils.clip_grad_norm_(module.parameters(), limit) for module in self.modules.values()]
        return norms[0].full_tensor() if is_rows(norms[0]) else norms[0]


@contextmanager
def lowered(device: torch.device) -> Iterator[None]:
    """bf16 autocast. On a CPU attention takes its plain form: the fused bf16 backward is twice as slow."""
    plain = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, torch.bfloat16), plain:
        yield
