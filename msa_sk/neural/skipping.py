"""Training examples that cannot be learnt from: told or, if asked for, left out and counted."""

import traceback
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.data import Dataset

from msa_sk.exceptions import AudioError, MsaError, TrainingError
from msa_sk.neural.data import Example, SceneDataset, Unreadable, collate

#: The share of an epoch's examples that may be left out.
MAX_SHARE = 0.05


class Tolerant(Dataset):
    """A dataset that gives `Unreadable` where another one fails to read a file."""

    def __init__(self, dataset: SceneDataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Example, Example] | Unreadable:
        try:
            return self.dataset[index]
        except AudioError as error:
            return Unreadable(error)

    def name_of(self, index: int) -> str:
        """Return what a message calls an example."""
        return self.dataset.name_of(index)


class Failure(NamedTuple):
    """What stands for an example that another process failed to prepare, and its traceback."""

    error: MsaError
    origin: str


class Reporting(Dataset):
    """A dataset that gives a `Failure` where another one raises, be it of this package or not.

    What is raised in another process, torch hands over as text, with the traceback within.
    """

    def __init__(self, dataset: SceneDataset | Tolerant):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Example, Example] | Unreadable | Failure:
        try:
            return self.dataset[index]
        except Exception as error:
            origin = traceback.format_exc()
            if isinstance(error, MsaError):
                return Failure(error, origin)
            what = f"{self.dataset.name_of(index)} cannot be prepared"
            return Failure(TrainingError(f"{what}: {type(error).__name__}: {error}"), origin)


class Batch(NamedTuple):
    """What is left of a batch, if anything is, and why each other example was left out."""

    examples: tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]] | None
    reasons: list[str]

    @classmethod
    def of(cls, examples: Sequence[Any]) -> "Batch | Failure":
        """Collate what could be read; where something failed, that is all."""
        for one in examples:
            if isinstance(one, Failure):
                return one
        known = [one for one in examples if not isinstance(one, Unreadable)]
        reasons = [str(one.error) for one in examples if isinstance(one, Unreadable)]
        return cls(collate(known) if known else None, reasons)


def check_share(n_skipped: int, n_examples: int, reason: str) -> None:
    """Refuse to leave out more of an epoch than may be.

    Raises
    ------
    TrainingError
        With the reason of the last one.
    """
    if n_skipped > MAX_SHARE * n_examples:
        raise TrainingError(
            f"on_error='skip' has left out {n_skipped} of the {n_examples} examples of an epoch, "
            f"more than {MAX_SHARE:.0%}; the last one because of this: {reason}"
        )
