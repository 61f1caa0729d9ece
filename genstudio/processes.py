"""The processes of one run: `torchrun -m genstudio ...` starts several, everything else starts one.

What a picture is depends on its seed alone, and what a step of training is on the examples of all processes
together: so processes share out indices, and meet in means and files. Every method is also right alone, where
it costs nothing: callers do not ask how many there are.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.distributed.device_mesh import DeviceMesh

T = TypeVar("T")
PATIENCE = timedelta(days=7)  # a process may have that much more work left than its neighbours
BUCKET = 1 << 24  # elements that travel together: few messages, little memory


@dataclass(frozen=True, slots=True)
class Processes:
    """This process's number among all, as torchrun tells it.

    Methods that meet the others have to be called by all of them in the same order.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def of_this_run(cls) -> "Processes":
        """From the environment that torchrun sets."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))

    @property
    def first(self) -> bool:
        """Whether this process speaks for all."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Every count-th item, from the rank's own on."""
        return items[self.rank :: self.count]

    def wait(self) -> None:
        """Until every process has come to this point."""
        self.any(False)

    @contextmanager
    def first_ahead(self) -> Iterator[None]:
        """The first process goes through the block alone; the others follow, and find the files it made."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def any(self, flag: bool) -> bool:
        """Whether any process says so."""
        if self.count == 1:
            return flag
        import torch

        said = torch.tensor([int(flag)])
        self._join()
        torch.distributed.all_reduce(said, torch.distributed.ReduceOp.MAX)
        return bool(said)

    def mean_(self, tensors: "Sequence[Tensor]") -> None:
        """Replace tensors by their means over all processes, which are the same bits everywhere."""
        for bucket, flat in self._summed(tensors):
            _spread(flat.div_(self.count), bucket)

    def sum_(self, tensors: "Sequence[Tensor]") -> None:
        """Replace tensors by their sums over all processes."""
        for bucket, flat in self._summed(tensors):
            _spread(flat, bucket)

    def joined(self, part_NX: "Tensor") -> "Tensor":
        """The rows of all processes, in the order of their ranks; every process has as many."""
        if self.count == 1:
            return part_NX
        import torch

        self._join()
        parts = [torch.empty_like(part_NX, memory_format=torch.contiguous_format) for _ in range(self.count)]
        torch.distributed.all_gather(parts, part_NX.contiguous())
        return torch.cat(parts)

    def collect(self, items: list[T]) -> list[T]:
        """The items of all processes, in the first one; nothing in the others."""
        if self.count == 1:
            return items
        from torch import distributed

        self._join()
        lists: list[list[T]] | None = [[]] * self.count if self.first else None
        distributed.gather_object(items, lists)
        return [item for one in lists or [] for item in one]

    def mesh(self, device: "torch.device") -> "DeviceMesh":
        """All processes in a row, as FSDP2 wants them; `device` is where this one's tensors live."""
        import torch
        from torch.distributed.device_mesh import init_device_mesh

        self._join()
        if device.type == "cuda":
            torch.cuda.set_device(device)
        return init_device_mesh(device.type, (self.count,))

    def leave(self) -> None:
        """Say goodbye to the others."""
        if self.count == 1:
            return
        from torch import distributed

        if distributed.is_initialized():
            distributed.destroy_process_group()

    def _summed(self, tensors: "Sequence[Tensor]") -> "Iterator[tuple[list[Tensor], Tensor]]":
        """Buckets of tensors, each with the sum over all processes of its elements in a row."""
        if self.count == 1:
            return
        import torch

        self._join()
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.detach().flatten() for tensor in bucket])
            torch.distributed.all_reduce(flat)
            yield bucket, flat

    def _join(self) -> None:
        """Meet the others for the first time: tensors travel from where they are, by NCCL between GPUs."""
        import torch

        if not torch.distributed.is_initialized():
            kinds = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            torch.distributed.init_process_group(kinds, timeout=PATIENCE)


def _buckets(tensors: "Sequence[Tensor]") -> "Iterator[list[Tensor]]":
    bucket: list[Tensor] = []
    size = 0
    for tensor in tensors:
        bucket.append(tensor)
        size += tensor.numel()
        if size >= BUCKET:
            yield bucket
            bucket, size = [], 0
    if bucket:
        yield bucket


def _spread(flat: "Tensor", bucket: "list[Tensor]") -> None:
    pieces = flat.split([tensor.numel() for tensor in bucket])
    for tensor, piece in zip(bucket, pieces, strict=True):
        tensor.detach().copy_(piece.view_as(tensor))
