"""Seeds that stay inside."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from msa_sk.neural.surroundings import usual_torch

_one_at_a_time = threading.RLock()  # torch's generators are those of all threads


@contextmanager
def isolated_seed(seed: int) -> Iterator[None]:
    """Seed torch, set as usual, within the block; afterwards its generators are as they were.

    Threads wait for each other, so that what one draws is none of the others' business.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with usual_torch(), _one_at_a_time, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
