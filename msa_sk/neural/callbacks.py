"""What happens between epochs: the best weights are kept, and progress is shown."""

import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from skorch.callbacks import BatchScoring, Callback, EpochScoring
from tqdm import tqdm

from msa_sk._progress import GONE, on_terminal
from msa_sk._sklearn import ScoringMonitor
from msa_sk.exceptions import ParameterError
from msa_sk.metrics import SceneScorer
from msa_sk.neural.checkpoint import Resumable
from msa_sk.neural.parallel import added_up


def check_callbacks(callbacks: Iterable[Any], item: str) -> None:
    """Refuse skorch's callbacks that score: they know no scenes.

    Raises
    ------
    ParameterError
    """
    for one in callbacks:
        if isinstance(one, EpochScoring | BatchScoring):
            raise ParameterError(
                item,
                "callbacks that do not score arrays",
                type(one).__name__,
                "Score scenes in a callback of your own, by msa_sk.metrics; losses are in "
                "net.history.",
            )


def check_monitors(callbacks: Iterable[Any]) -> None:
    """Refuse scikit-learn's monitors that cannot score scenes, or keep what they scored.

    They look up names among scikit-learn's own scorers, which know arrays alone, and ask of all
    others that they return a dict.

    Raises
    ------
    ParameterError
    """
    for one in callbacks:
        if not isinstance(one, ScoringMonitor):
            continue
        scoring = getattr(one, "_scoring", {})  # where a later version keeps it elsewhere: trust
        scorers = scoring.values() if isinstance(scoring, dict) else [scoring]
        gives_float = isinstance(scoring, SceneScorer) and isinstance(scoring.metrics, str)
        if gives_float or not all(map(callable, scorers)):
            raise ParameterError(
                "ScoringMonitor(scoring=)",
                "a dict of scorers of scenes, or one that returns a dict",
                repr(scoring)[:80],
                "Pass SceneScorer(['si_sdri']), of msa_sk.metrics.",
            )


class EpochMeans(Callback):
    """Record each loss's mean over the batches that have it, weighted by their sizes.

    A batch that was skipped has the loss NaN.
    """

    def on_epoch_end(self, net, **kwargs):
        batches = net.history[-1]["batches"]
        names = [f"{side}_{term}" for side in ("train", "valid") for term in ("loss", *net.terms)]
        sums = np.zeros((len(names), 2))
        for total, name in zip(sums, names, strict=True):
            known = [batch for batch in batches if np.isfinite(batch.get(name, np.nan))]
            sizes = np.array([batch[f"{name[:5]}_batch_size"] for batch in known])
            total[:] = np.sum([batch[name] for batch in known] * sizes), np.sum(sizes)
        for name, (total, size) in zip(names, added_up(sums), strict=True):
            if size:
                before = [row[name] for row in net.history[:-1] if name in row]
                net.history.record(name, float(total / size))
                if name.endswith("_loss"):  # what skorch's Checkpoint looks for
                    net.history.record(f"{name}_best", total / size < min(before, default=np.inf))


class KeepBest(Callback, Resumable):
    """Keep the weights of the epoch with the lowest validation loss.

    Parameters
    ----------
    patience : int or None
        End training after so many epochs without a new best; None never does.
    """

    def __init__(self, patience: int | None):
        self.patience = patience

    def on_train_begin(self, net, **kwargs):
        self.best_, self.epochs_since_, self.weights_ = float("inf"), 0, None

    def on_epoch_end(self, net, **kwargs):
        loss = net.history[-1].get("valid_loss")
        if loss is None:
            return
        self.epochs_since_ += 1
        if loss < self.best_:
            self.best_, self.epochs_since_ = loss, 0
            self.weights_ = {k: v.detach().clone() for k, v in net.module_.state_dict().items()}
        if self.patience is not None and self.epochs_since_ >= self.patience:
            net.stopped_ = True

    def on_train_end(self, net, **kwargs):
        if self.weights_ is not None:
            with torch.no_grad():
                net.module_.load_state_dict(self.weights_)
        self.weights_ = None

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best_, "epochs_since": self.epochs_since_, "weights": self.weights_}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best_, self.epochs_since_ = state["best"], state["epochs_since"]
        self.weights_ = state["weights"]


class TellSklearn(Callback):
    """Tell scikit-learn's callbacks of each epoch and what it learnt from; they may stop training.

    Parameters
    ----------
    estimator : NeuralEstimator
        Which they were given to by `set_callbacks`, or came to from a search around it.
    """

    def __init__(self, estimator: Any):
        self.estimator = estimator

    def on_train_begin(self, net, **kwargs):
        self.common_ = {
            "estimator": self.estimator,
            "X": lambda: [one.mixture for one in net.batches.dataset.spectrograms],
            "y": lambda: list(net.batches.dataset.scenes),
            "reconstruction_attributes": self.estimator._so_far,
        }
        self.fit_ = self.estimator._init_callback_context(max_subtasks=self.estimator.max_epochs)
        self.fit_.call_on_fit_task_begin(**self.common_)
        self.epoch_: Any = None

    def on_epoch_begin(self, net, **kwargs):
        self.epoch_ = self.fit_.subcontext(task_name="epoch")
        self.epoch_.call_on_fit_task_begin(**self.common_)

    def on_epoch_end(self, net, **kwargs):
        if self.epoch_.call_on_fit_task_end(**self.common_):
            net.stopped_ = True

    def on_train_end(self, net, **kwargs):
        self.fit_.call_on_fit_task_end(**self.common_)
        del self.fit_, self.epoch_, self.common_, self.estimator


class Progress(Callback):
    """A bar over all batches and a row per epoch, on a terminal; elsewhere nothing.

    A terminal that goes away takes the bar with it, and not the training.
    """

    def __init__(self, max_epochs: int, batches_per_epoch: int):
        self.max_epochs = max_epochs
        self.batches_per_epoch = batches_per_epoch
        self._bar: tqdm | None = None

    def on_train_begin(self, net, **kwargs):
        if on_terminal() and multiprocessing.parent_process() is None:
            total = self.max_epochs * self.batches_per_epoch
            with self._optional():
                self._bar = tqdm(total=total, unit="batch", desc="training", leave=False)

    def on_batch_end(self, net, training=False, **kwargs):
        if self._bar is not None and training:
            with self._optional():
                self._bar.update()

    def on_epoch_end(self, net, **kwargs):
        if self._bar is None:
            return
        row = net.history[-1]
        names = [
            n for n in row if n.startswith(("train_", "valid_")) and isinstance(row[n], float)
        ]
        losses = "  ".join(f"{name} {row[name]:.4f}" for name in names)
        with self._optional():
            self._bar.write(f"epoch {row['epoch']:3d}  {losses}", file=sys.stderr)

    def on_train_end(self, net, **kwargs):
        if self._bar is not None:
            with self._optional():
                self._bar.close()
            self._bar = None

    @contextmanager
    def _optional(self) -> Iterator[None]:
        try:
            yield
        except GONE:
            self._bar = None
