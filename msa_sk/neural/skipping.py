"""Training examples that cannot be learnt from: left out if asked for, counted, never many."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.data import Dataset

from msa_sk.exceptions import AudioError, TrainingError
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


class Batch(NamedTuple):
    """What is left of a batch, if anything is, and why each other example was left out."""

    examples: tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]] | None
    reasons: list[str]

    @classmethod
    def of(cls, examples: Sequence[Any]) -> "Batch":
        """Collate what could be read."""
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
