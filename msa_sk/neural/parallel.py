"""One training over several processes, which torchrun has started.

Each process computes its share of every batch, and torch's DistributedDataParallel adds the
gradients up: the weights are the same in all of them, and those of one process but for rounding.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import distributed

from msa_sk.exceptions import InputError


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Let the processes of torchrun work together within the block; else do nothing."""
    alone = not distributed.is_available() or not distributed.is_torchelastic_launched()
    if alone or distributed.is_initialized() or int(os.environ["WORLD_SIZE"]) == 1:
        yield
        return
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def n_processes() -> int:
    """Return how many processes train together."""
    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def rank() -> int:
    """Return which of them this is; 0 is the one that writes files."""
    return distributed.get_rank() if n_processes() > 1 else 0


def share_of(batch: Sequence[int]) -> list[int]:
    """Return which examples of a batch are this process's."""
    return list(batch[rank() :: n_processes()])


def as_first(value: Any) -> Any:
    """Return what the first process has here."""
    if n_processes() == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def check_alike(given: dict[str, Any]) -> None:
    """Refuse what processes that train together were not all given alike.

    Parameters
    ----------
    given : dict of str to object
        By the names that messages call it.

    Raises
    ------
    InputError
        In all of the processes.
    """
    found = gathered(given)
    for item, value in found[0].items():
        differs = [other.get(item) != value for other in found]
        if any(differs):
            raise InputError(
                item,
                "the same in all processes that train together",
                f"something else in process {differs.index(True)}",
                "Pass the same parameters and all of the data in each: they share batches out.",
            )


def gathered(value: Any) -> list[Any]:
    """Return what each process has here, in their order."""
    values = [value]
    if n_processes() > 1:
        values *= n_processes()
        distributed.all_gather_object(values, value)
    return values


def added_up(values: np.ndarray) -> np.ndarray:
    """Return the sum over processes of small arrays."""
    if n_processes() == 1:
        return values
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    total = torch.from_numpy(values).to(device)
    distributed.all_reduce(total)
    return total.cpu().numpy()
