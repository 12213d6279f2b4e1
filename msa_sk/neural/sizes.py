"""Sizes of a network that a file gives, held against its weights before one is made of them."""

from collections.abc import Mapping
from typing import Any

import torch

from msa_sk.exceptions import InputError

# What is not used has no weights, as the size of embeddings where there are none.
_HARMLESS, _FEW = 1000, 10


def check_sizes(estimator: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Refuse sizes that no tensor has, and more layers than there are tensors.

    Raises
    ------
    InputError
    """
    longest = max((n for one in weights.values() for n in one.shape), default=0)
    sizes = {"the number of bins": estimator.transformer_.n_bins}
    sizes |= {name: getattr(estimator, name, 0) for name in estimator._settled_by_fit}
    for name, size in sizes.items():
        most = max(len(weights), _FEW) if name.endswith("layers") else max(longest, _HARMLESS)
        if isinstance(size, int) and size > most:
            raise InputError(name, f"at most {most}, by its weights", str(size), "Save it again.")
