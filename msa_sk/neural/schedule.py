"""How the learning rate falls."""

import math
from collections.abc import Callable
from typing import Any

from skorch.callbacks import Callback
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau, StepLR

from msa_sk.neural.checkpoint import Resumable

_PATIENCE = 5  # epochs (dissertation, section 2.4.2)
_DECAY, _DECAY_STEPS = 0.98, 10_000  # section 4.3.5


def _cosine(optimizer: Optimizer, n_batches: int) -> LRScheduler:
    return LambdaLR(optimizer, lambda k: 0.5 * (1 + math.cos(math.pi * k / n_batches)))


def _halve(optimizer: Optimizer, n_batches: int) -> LRScheduler:
    # What torch calls patience is the number of bad epochs that it forgives.
    return ReduceLROnPlateau(optimizer, factor=0.5, patience=_PATIENCE - 1, threshold=0)


def _decay(optimizer: Optimizer, n_batches: int) -> LRScheduler:
    return StepLR(optimizer, _DECAY_STEPS, _DECAY)


#: By name, what makes a scheduler for an optimizer and so many batches.
SCHEDULES: dict[str, Callable[[Optimizer, int], LRScheduler]] = {
    "cosine": _cosine,
    "halve": _halve,
    "decay": _decay,
}


class Schedule(Callback, Resumable):
    """Change the learning rate by one of `SCHEDULES`.

    Parameters
    ----------
    name : str
    n_batches : int
        Of the whole training.
    """

    def __init__(self, name: str, n_batches: int):
        self.name, self.n_batches = name, n_batches

    def on_train_begin(self, net, **kwargs):
        self.scheduler_ = SCHEDULES[self.name](net.optimizer_, self.n_batches)

    def on_batch_end(self, net, training=False, **kwargs):
        if training and self.name != "halve":
            self.scheduler_.step()

    def on_epoch_end(self, net, **kwargs):
        row = net.history[-1]
        if self.name == "halve":
            self.scheduler_.step(row.get("valid_loss", row["train_loss"]))

    def on_train_end(self, net, **kwargs):
        del self.scheduler_  # it cannot be pickled

    def state_dict(self) -> dict[str, Any]:
        return self.scheduler_.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler_.load_state_dict(state)
