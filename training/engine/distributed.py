"""Several processes that train one network: ``torchrun --nproc-per-node N -m training train RECIPE``."""

from __future__ import annotations

import os
import time
import weakref
from dataclasses import dataclass

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Processes:
    """One process among those of a training.

    Attributes:
        count: of all.
        rank: of this one; the first validates and writes.
        device: ``cpu`` or ``cuda``.

    """

    count: int
    rank: int
    device: str

    @classmethod
    def join(cls, device: str) -> Processes:
        """Join those that ``torchrun`` started; alone without it."""
        count, rank = int(os.environ.get('WORLD_SIZE', 1)), int(os.environ.get('RANK', 0))
        if count > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group('nccl' if device == 'cuda' else 'gloo')
            if device == 'cuda':
                torch.cuda.set_device(int(os.environ['LOCAL_RANK']))
        return cls(count, rank, device)

    @property
    def first(self) -> bool:
        """Whether this is the one that validates and writes."""
        return self.rank == 0

    def share(self, module: nn.Module) -> nn.Module:
        """Let the gradients of a module's weights be the mean over all processes."""
        if self.count == 1:
            return module
        # Heads that a loss leaves out get no gradient; each process keeps its own normalizations' statistics.
        return DistributedDataParallel(module, find_unused_parameters=True, forward_sync_buffers=False)

    def any(self, value: bool) -> bool:
        """Whether it is so in any of the processes."""
        if self.count == 1:
            return value
        flag = torch.tensor(float(value), device=self.device)
        torch.distributed.all_reduce(flag)
        result = bool(flag > 0)
        if self.device == 'cpu':
            # A thread of Gloo lets go of the flag a moment later, by way of the interpreter. If that ended
            # first, the process would be aborted.
            alive = weakref.ref(flag)
            del flag
            while alive() is not None:
                time.sleep(0.0002)
        return result

    def leave(self) -> None:
        """End the connection to the others."""
        if self.count > 1:
            torch.distributed.destroy_process_group()
