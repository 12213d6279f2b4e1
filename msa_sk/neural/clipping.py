"""How long a gradient may be."""

import bisect
from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grad_norm_

from msa_sk.neural.checkpoint import Resumable

_AUTOCLIP_PERCENTILE = 10.0


class GradientClipping(Resumable):
    """Scale gradients down to a norm.

    Parameters
    ----------
    limit : float, "autoclip" or None
        The longest norm; "autoclip" takes the 10th percentile of all norms so far, this one
        included and none of them clipped (dissertation, section 2.4.2; Seetharaman et al.,
        "AutoClip", MLSP 2020); None leaves gradients as they are.
    """

    def __init__(self, limit: float | str | None):
        self.limit = limit
        self.norms: list[float] = []  # sorted

    def __call__(self, parameters: Iterable[Parameter]) -> Tensor:
        """Scale the gradients of these down, and return the norm that they had."""
        if not isinstance(self.limit, str):
            return clip_grad_norm_(parameters, self.limit or float("inf"))
        parameters = list(parameters)
        norm = clip_grad_norm_(parameters, float("inf"))
        if norm.isfinite():
            bisect.insort(self.norms, norm.item())
            clip_grad_norm_(parameters, percentile(self.norms, _AUTOCLIP_PERCENTILE))
        return norm

    def state_dict(self) -> dict[str, Any]:
        return {"norms": np.array(self.norms)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.norms = state["norms"].tolist()


def percentile(ordered: list[float], q: float) -> float:
    """Return what `numpy.percentile` does, of numbers that are sorted already."""
    place = (len(ordered) - 1) * q / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
