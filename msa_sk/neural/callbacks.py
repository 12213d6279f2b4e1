"""What happens between epochs: the best weights are kept, and progress is shown."""

import multiprocessing
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EpochScoring,
    LoadInitState,
    LRScheduler,
    PassthroughScoring,
    TrainEndCheckpoint,
)
from tqdm import tqdm

from msa_sk._progress import GONE, on_terminal
from msa_sk._sklearn import ScoringMonitor
from msa_sk.exceptions import ParameterError
from msa_sk.metrics import SceneScorer
from msa_sk.neural.checkpoint import Resumable
from msa_sk.neural.parallel import added_up
from msa_sk.records import unknown_name


def check_callbacks(
    callbacks: Iterable[Any],
    item: str,
    terms: Sequence[str],
    held_out: bool,
    lr_schedule: str | None,
) -> None:
    """Refuse skorch's callbacks that cannot do here what they say.

    They score arrays and know no scenes, watch what is not there, set what is set already, or
    pickle what no pickle can hold.

    Parameters
    ----------
    callbacks : iterable of callback, or of pairs of a name and one
    item : str
        What messages call them.
    terms : sequence of str
        Of the loss.
    held_out : bool
        Whether epochs are validated.
    lr_schedule : str or None
        As in `Schedule`, or "constant"; None for a pass of ``partial_fit``.

    Raises
    ------
    ParameterError
    """
    instances = [one[1] if isinstance(one, tuple) else one for one in callbacks]
    has_own = any(not type(one).__module__.startswith("skorch.") for one in instances)
    for one in instances:
        _check_watched(one, item, terms, held_out, has_own)
        _check_setting(one, item, lr_schedule)
        if isinstance(one, Checkpoint | TrainEndCheckpoint) and one.f_pickle is not None:
            raise ParameterError(
                f"{item}, {type(one).__name__}(f_pickle=)",
                "None, as training holds what no pickle can",
                repr(one.f_pickle),
                "Pass checkpoint= to the estimator to go on later; save it once it is fitted.",
            )
        if isinstance(one, EpochScoring | BatchScoring):
            raise ParameterError(
                item,
                "callbacks that do not score arrays",
                type(one).__name__,
                "Score scenes in a callback of your own, by msa_sk.metrics; losses are in "
                "net.history.",
            )


def _check_setting(callback: Any, item: str, lr_schedule: str | None) -> None:
    """Refuse a callback that sets a rate, or weights to begin from, that are set already."""
    kind = type(callback).__name__
    if lr_schedule is None and isinstance(callback, LRScheduler | LoadInitState):
        raise ParameterError(
            item,
            "callbacks that leave the learning rate and the first weights to partial_fit",
            kind,
            "Leave it out; set_params(lr=...) between passes changes the rate.",
        )
    if lr_schedule not in (None, "constant") and isinstance(callback, LRScheduler):
        raise ParameterError(
            item,
            f"no callback that sets the learning rate, as lr_schedule={lr_schedule!r} does",
            kind,
            "Pass lr_schedule='constant', or leave the callback out.",
        )


def _check_watched(
    callback: Any, item: str, terms: Sequence[str], held_out: bool, has_own: bool
) -> None:
    """Refuse a callback that watches what no epoch records, unless one's own ones may."""
    on_batches = isinstance(callback, PassthroughScoring)
    parameter = "name" if on_batches else "monitor"
    watched = getattr(callback, parameter, None)
    if not isinstance(watched, str):
        return
    item = f"{item}, {type(callback).__name__}({parameter}=)"
    loss = watched if on_batches else watched.removesuffix("_best")
    train, valid = losses_of("train", terms), losses_of("valid", terms)
    if loss in valid and not held_out:
        raise ParameterError(
            item,
            "a loss in training, as nothing is held out",
            repr(watched),
            "Give fit X_val and y_val, or hold songs out by validation_fraction; or pass "
            f"{parameter}={watched.replace('valid', 'train')!r}.",
        )
    if on_batches and loss in (valid if callback.on_train else train):
        remedy = f"Pass on_train={not callback.on_train}."
        raise ParameterError(item, f"a loss where on_train={callback.on_train}", loss, remedy)
    if loss not in train + valid and not has_own:
        raise unknown_name(item, watched, train + valid if held_out else train, ParameterError)


def losses_of(side: str, terms: Sequence[str]) -> list[str]:
    """Return the names of the loss and its terms in the history, of "train" or "valid"."""
    return [f"{side}_{term}" for term in ("loss", *terms)]


def _check_monitors(callbacks: Iterable[Any]) -> None:
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

    Under its name and ``_best`` is whether none was lower before: skorch's callbacks ask for that.
    A batch that was skipped has the loss NaN.
    """

    def on_epoch_end(self, net, **kwargs):
        batches = net.history[-1]["batches"]
        names = [name for side in ("train", "valid") for name in losses_of(side, net.terms)]
        sums = np.zeros((len(names), 2))
        for total, name in zip(sums, names, strict=True):
            known = [batch for batch in batches if np.isfinite(batch.get(name, np.nan))]
            sizes = np.array([batch[f"{name[:5]}_batch_size"] for batch in known])
            total[:] = np.sum([batch[name] for batch in known] * sizes), np.sum(sizes)
        for name, (total, size) in zip(names, added_up(sums), strict=True):
            if size:
                before = [row[name] for row in net.history[:-1] if name in row]
                net.history.record(name, float(total / size))
                is_best = bool(total / size < min(before, default=np.inf))  # JSON knows no numpy
                net.history.record(f"{name}_best", is_best)


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


def tell_sklearn(estimator: Any, net: Any, n_epochs: int) -> None:
    """Let an estimator's callbacks of scikit-learn, if it has some, be told of a training to come.

    Raises
    ------
    ParameterError
        If a monitor cannot score scenes, or keep what it scored.
    """
    callbacks = getattr(estimator, "_skl_callbacks", ())
    _check_monitors(callbacks)
    if callbacks:
        net.callbacks_.append(("sklearn", TellSklearn(estimator, n_epochs)))


class TellSklearn(Callback):
    """Tell scikit-learn's callbacks of each epoch and what it learnt from; they may stop training.

    Parameters
    ----------
    estimator : NeuralEstimator
        Which they were given to by `set_callbacks`, or came to from a search around it.
    n_epochs : int
        Of this training, at most.
    """

    def __init__(self, estimator: Any, n_epochs: int):
        self.estimator, self.n_epochs = estimator, n_epochs

    def on_train_begin(self, net, **kwargs):
        self.common_ = {
            "estimator": self.estimator,
            "X": lambda: [one.mixture for one in net.batches.dataset.spectrograms],
            "y": lambda: list(net.batches.dataset.scenes),
            "reconstruction_attributes": lambda: self.estimator._so_far(net),
        }
        self.fit_ = self.estimator._init_callback_context(max_subtasks=self.n_epochs)
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
