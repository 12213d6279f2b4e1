"""The skorch net: one training step with named loss terms, and training that fails loudly."""

import contextlib
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor

from msa_sk.exceptions import TrainingError
from msa_sk.neural.callbacks import EpochMeans, StopTraining


class SceneNet(NeuralNet):
    """A NeuralNet whose criterion returns a dict of weighted terms; their sum is the loss.

    Parameters
    ----------
    terms : sequence of str, default=()
        The criterion's keys: each is recorded for training and validation.
    max_grad_norm : float or None, default=None
        Gradients are scaled down to this norm.

    Other parameters are skorch's; `module` is an instance, and `criterion` a plain callable
    ``criterion(heads, target) -> dict of Tensor``.
    """

    def __init__(
        self, *args: Any, terms: Any = (), max_grad_norm: float | None = None, **kwargs: Any
    ):
        super().__init__(*args, **kwargs)
        self.terms = terms
        self.max_grad_norm = max_grad_norm

    @property
    def _default_callbacks(self):
        return [("means", EpochMeans())]

    def initialize_criterion(self) -> "SceneNet":
        # skorch would call what is no nn.Module in order to make it.
        self.criterion_ = self.criterion
        return self

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        terms = self.criterion_(y_pred, y_true)
        loss = sum(terms.values())
        if not torch.isfinite(loss):
            values = {name: float(term.detach()) for name, term in terms.items()}
            raise TrainingError(
                f"The loss is not finite in epoch {len(self.history)}: {values}. Nothing of this "
                "step was kept; lower lr, or look for extreme samples in the training data."
            )
        side = "train" if training else "valid"
        for name, term in terms.items():
            self.history.record_batch(f"{side}_{name}", float(term.detach()))
        return loss

    def train_step_single(self, batch, **fit_params):
        step = super().train_step_single(batch, **fit_params)
        norm = torch.nn.utils.clip_grad_norm_(
            self.module_.parameters(), self.max_grad_norm or float("inf")
        )
        if not torch.isfinite(norm):
            raise TrainingError(
                f"A gradient is not finite in epoch {len(self.history)}. The weights are those "
                "before this step; lower lr, or look for extreme samples in the training data."
            )
        return step

    def train(self, dataset: Any, max_epochs: int) -> "SceneNet":
        """Train from scratch; interruptions and failures are raised, not swallowed."""
        self.initialize()
        self.notify("on_train_begin", X=dataset, y=None)
        with contextlib.suppress(StopTraining):
            self.fit_loop(dataset, epochs=max_epochs)
        self.notify("on_train_end", X=dataset, y=None)
        return self

    def heads(self, batch: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Return what the module gives for a batch, in evaluation mode, as arrays."""
        output = self.evaluation_step((batch, None))
        return {name: value.float().cpu().numpy() for name, value in output.items()}

    def epochs(self) -> list[dict[str, float]]:
        """Return the history as one flat dict per epoch: its number, losses and their terms."""
        names = [f"{side}_{term}" for side in ("train", "valid") for term in ("loss", *self.terms)]
        return [
            {"epoch": row["epoch"], **{name: float(row[name]) for name in names if name in row}}
            for row in self.history.to_list()
        ]
