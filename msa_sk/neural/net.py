"""The skorch net: one training step with named loss terms, and training that fails loudly."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.history import History
from skorch.utils import to_tensor
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from msa_sk.exceptions import MsaError, ParameterError, TrainingError
from msa_sk.neural.batches import ShuffledBatches
from msa_sk.neural.callbacks import EpochMeans, losses_of
from msa_sk.neural.checkpoint import Checkpoint
from msa_sk.neural.clipping import GradientClipping
from msa_sk.neural.data import SceneDataset
from msa_sk.neural.interrupts import deferred_interrupt
from msa_sk.neural.parallel import n_processes, share_of
from msa_sk.neural.skipping import Batch, Failure, Reporting, Tolerant, check_share

_MOVING = threading.Lock()  # several threads may predict with one net

if hasattr(os, "register_at_fork"):  # OpenMP would wait for threads that were not forked along
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class SceneNet(NeuralNet):
    """A NeuralNet whose criterion returns a dict of weighted terms; their sum is the loss.

    Parameters
    ----------
    terms : sequence of str, default=()
        The criterion's keys: each is recorded for training and validation.
    max_grad_norm : float, "autoclip" or None, default=None
        As in `GradientClipping`.
    seed : int, default=0
        What shuffles the examples.
    num_workers : int, default=0
        Processes that prepare examples.
    on_error : {"raise", "skip"}, default="raise"
        "skip" leaves out examples whose files cannot be read, and batches whose loss or gradient
        is not finite, of training; see `msa_sk.neural.skipping`.
    precision : {"float32", "bfloat16"}, default="float32"
        Of the module in training; weights, losses and what `heads` returns are float32.

    Other parameters are skorch's; `module` is an instance, and `criterion` a plain callable
    ``criterion(heads, target) -> dict of Tensor``. A callback ends training after the epoch by
    setting ``stopped_``, or by raising KeyboardInterrupt, of which a checkpoint knows nothing.
    """

    device: str

    def __init__(
        self,
        *args: Any,
        terms: Any = (),
        max_grad_norm: float | str | None = None,
        seed: int = 0,
        num_workers: int = 0,
        on_error: str = "raise",
        precision: str = "float32",
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self.terms = terms
        self.max_grad_norm = max_grad_norm
        self.seed = seed
        self.num_workers = num_workers
        self.on_error = on_error
        self.precision = precision

    @property
    def _default_callbacks(self):
        return [("means", EpochMeans())]

    def initialize(self) -> "SceneNet":
        """Make all parts; what callbacks refuse is a ParameterError."""
        super().initialize()
        self.clipping_ = GradientClipping(self.max_grad_norm)
        self.generator_ = torch.Generator().manual_seed(self.seed)
        self.stopped_ = False
        self.paused_by_: set[str] = set()  # callbacks, which then begin anew
        self.last_skipped_ = "of a run before"
        self.parallel: Callable | None = None
        return self

    def initialize_criterion(self) -> "SceneNet":
        # skorch would call what is no nn.Module in order to make it.
        self.criterion_ = self.criterion
        return self

    def initialize_callbacks(self) -> "SceneNet":
        with _refusing_callbacks():
            return super().initialize_callbacks()

    def _get_module(self, name: str, msg: str) -> Any:
        # skorch's checkpoints save and load a criterion; a plain callable has nothing to keep.
        return torch.nn.Module() if name == "criterion_" else super()._get_module(name, msg)

    # One step

    def infer(self, x: Any, **options: Any) -> dict[str, Tensor]:
        network = self.parallel if self.parallel and self.module_.training else self.module_
        inputs = to_tensor(x, device=self.device)
        if self.precision == "float32":
            return network(**inputs, **options)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16):
            heads = network(**inputs, **options)
        return {name: head.float() for name, head in heads.items()}

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> Tensor:
        terms = self.criterion_(y_pred, y_true)
        loss = sum(terms.values())
        if not torch.isfinite(loss):
            values = {name: float(term.detach()) for name, term in terms.items()}
            raise self._failure("The loss", f"{values}. Nothing of this step was kept", training)
        if training and not loss.requires_grad:
            raise ParameterError(
                "callbacks",
                f"something left to learn in epoch {len(self.history)}",
                "a loss that depends on no weight that is not frozen",
                "Freeze fewer weights.",
            )
        if training and self.parallel:
            loss = self._weighted(loss, y_pred)
        side = "train" if training else "valid"
        for name, term in terms.items():
            self.history.record_batch(f"{side}_{name}", float(term.detach()))
        return loss

    def _weighted(self, loss: Tensor, heads: dict[str, Tensor]) -> Tensor:
        """Let a loss weigh, in the mean over processes, as much as its share of the batch."""
        batch = self.batches.plan[self.batches.n_done]
        weight = n_processes() * len(share_of(batch)) / len(batch)
        # Every weight gets a gradient, were it 0: the other processes wait for it.
        loss = loss + 0 * sum(head.sum() for head in heads.values())
        loss.register_hook(lambda gradient: gradient * weight)
        return loss

    def train_step_single(self, batch, **fit_params):
        try:
            step = super().train_step_single(batch, **fit_params)
            norm = self.clipping_(self.module_.parameters())
            if not torch.isfinite(norm):
                raise self._failure("A gradient", "the weights are those before this step", True)
        except TrainingError as error:
            if self.on_error == "raise":
                raise
            self._skip(len(self.batches.plan[self.batches.n_done]), str(error))
            self.optimizer_.zero_grad(set_to_none=True)  # with no gradient, no step is made
            return {"loss": torch.tensor(float("nan")), "y_pred": {}}
        return step

    def _skip(self, n_examples: int, reason: str) -> None:
        self.batches.n_skipped += n_examples
        self.last_skipped_ = reason
        check_share(self.batches.n_skipped, len(self.batches.dataset), reason)

    def _failure(self, what: str, state: str, training: bool) -> TrainingError:
        where = f"epoch {len(self.history)}"
        cause = "look for extreme samples in the validation data"
        if training:
            examples = self.batches.plan[self.batches.n_done]
            where += f", batch {self.batches.n_done + 1}"
            names = ", ".join(map(self.batches.dataset.name_of, examples))
            cause = f"look for extreme samples in examples {examples} (seed {self.seed}): {names}"
        return TrainingError(
            f"{what} is not finite in {where}: {state}; lower lr, or {cause}.{self._kept()}"
        )

    def check_weights(self) -> None:
        """Raise a TrainingError where a weight is not finite: no loss tells of the last step."""
        if not all(torch.isfinite(one).all() for one in self.module_.state_dict().values()):
            raise TrainingError(
                f"A weight is not finite in epoch {len(self.history)}; lower lr.{self._kept()}"
            )

    def _kept(self) -> str:
        if self.checkpoint and self.checkpoint.path.exists():
            return f" {self.checkpoint.path} holds the last state that was good."
        return ""

    # The whole training

    def train(
        self,
        dataset: SceneDataset,
        valid: SceneDataset | None = None,
        max_epochs: int = 1,
        checkpoint: Checkpoint | None = None,
    ) -> "SceneNet":
        """Train; interruptions and failures are raised, not swallowed.

        Parameters
        ----------
        dataset : SceneDataset
        valid : SceneDataset, default=None
            What tells the best epoch.
        max_epochs : int, default=1
            Of the history as a whole.
        checkpoint : Checkpoint, default=None
            Where training goes on from, if it holds something, and where its state is kept.
        """
        self.batches = ShuffledBatches(dataset, self.batch_size, self.generator_)
        self.checkpoint = checkpoint
        loader = self._loader(dataset, batch_sampler=self.batches)
        valid_loader = self._loader(valid, batch_size=self.batch_size) if valid else None
        try:
            with deferred_interrupt() as self.interrupt:
                with _refusing_callbacks():
                    self.notify("on_train_begin", X=dataset, y=None)
                if checkpoint:
                    checkpoint.restore(self)
                    if self.batches.n_done:  # what callbacks make ready for an epoch, they need
                        self.batches.dataset.begin_epoch(len(self.history) - 1)
                        self._tell("on_epoch_begin", dataset_train=dataset, dataset_valid=valid)
                        checkpoint.restore(self)
                if n_processes() > 1:
                    # The call alone: skorch takes no second module.
                    self.parallel = DistributedDataParallel(self.module_).__call__
                while not (self.stopped_ or self.paused_by_) and (
                    self.batches.n_done or len(self.history) < max_epochs
                ):
                    self._run_epoch(loader, valid_loader)
                self.notify("on_train_end", X=dataset, y=None)
                self.check_weights()
        finally:  # what holds the data, and what no pickle may
            self.parallel = None
            del self.batches, self.interrupt, self.checkpoint
        return self

    def one_pass(self, dataset: SceneDataset, lr: float) -> "SceneNet":
        """Go over the examples once more, at one learning rate."""
        for group in self.optimizer_.param_groups:
            group["lr"] = lr
        return self.train(dataset, max_epochs=len(self.history) + 1)

    def go_on_from(self, other: "SceneNet") -> "SceneNet":
        """Take over what another net has learnt, whose module is of the same kind and size."""
        for name in ("module_", "optimizer_", "clipping_"):
            getattr(self, name).load_state_dict(getattr(other, name).state_dict())
        self.generator_.set_state(other.generator_.get_state())
        self.history: History = History(other.history.to_list())
        return self

    def readable(self, dataset: SceneDataset) -> Any:
        """Return a dataset as training reads it: one that fails, or one that goes on."""
        if self.on_error == "raise":
            return dataset
        if n_processes() > 1:
            raise ParameterError(
                "on_error",
                "'raise', as several processes train together",
                repr(self.on_error),
                "They wait for each other's share of each batch.",
            )
        return Tolerant(dataset)

    def _loader(self, dataset: SceneDataset, **batching: Any) -> DataLoader:
        readable = self.readable(dataset)
        return DataLoader(
            Reporting(readable) if self.num_workers else readable,
            collate_fn=Batch.of,
            generator=self.generator_,
            num_workers=self.num_workers,
            **batching,
        )

    def _load(self, loader: DataLoader) -> Iterator[Batch]:
        """Give a loader's batches; what its processes meet is raised here."""
        try:
            for batch in loader:
                if isinstance(batch, Failure):
                    raise batch.error from RuntimeError(f"In another process:\n{batch.origin}")
                yield batch
        except RuntimeError as error:
            if self.num_workers == 0:
                raise
            raise TrainingError(
                f"A process that prepares examples failed in epoch {len(self.history)}: {error}"
            ) from error

    def _run_epoch(self, loader: DataLoader, valid_loader: DataLoader | None) -> None:
        """Run an epoch, or what is left of it."""
        datasets = {
            "dataset_train": self.batches.dataset,
            "dataset_valid": valid_loader and valid_loader.dataset,
        }
        if not self.batches.n_done:
            self.batches.dataset.begin_epoch(len(self.history))
            self.notify("on_epoch_begin", **datasets)
        self.batches.begin()
        steps = self._steps(loader)
        self.run_single_epoch(steps, training=True, prefix="train", step_fn=self.train_step)
        self.history.record("train_batch_count", self.batches.n_done)
        self.history.record("n_skipped", self.batches.n_skipped)
        if valid_loader:
            batches = (batch.examples for batch in self._load(valid_loader) if batch.examples)
            self.run_single_epoch(
                batches, training=False, prefix="valid", step_fn=self.validation_step
            )
        self.batches.n_done = self.batches.n_skipped = 0
        self.notify("on_epoch_end", **datasets)
        self._save(due=True)

    def _steps(self, loader: DataLoader) -> Iterator[Any]:
        """Give batches; after each, when all callbacks are through with it, save what is due."""
        for examples, reasons in self._load(loader):
            if reasons:
                self._skip(len(reasons), reasons[-1])
            if examples:
                yield examples
            self.batches.n_done += 1
            self._save(due=False)

    def _save(self, due: bool) -> None:
        if self.checkpoint and (due or self.checkpoint.due or self.interrupt.asked):
            self.checkpoint.write(self)
        if self.interrupt.asked:
            raise KeyboardInterrupt

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        getattr(self, method_name)(self, **cb_kwargs)
        self._tell(method_name, **cb_kwargs)

    def _tell(self, method_name: str, **cb_kwargs: Any) -> None:
        for name, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except KeyboardInterrupt:
                if self.interrupt.asked:
                    raise
                self.paused_by_.add(name)

    # What is made of it

    def compute_by(self, device: str, precision: str) -> None:
        """Go over to another device or precision, if these are others."""
        with _MOVING:
            if (device, precision) != (self.device, self.precision):
                self.module_.to(device)
                self.device, self.precision = device, precision

    def heads(self, batch: dict[str, Tensor], **options: Any) -> dict[str, np.ndarray]:
        """Return what the module gives for a batch, in evaluation mode, as arrays.

        Options go to its ``forward``.
        """
        self._set_training(False)
        with torch.no_grad():
            output = self.infer(batch, **options)
        return {name: value.cpu().numpy() for name, value in output.items()}

    def recall(self, epochs: list[dict[str, float]]) -> "SceneNet":
        """Take over a history as `epochs` returned it."""
        self.history = History({**row, "batches": []} for row in epochs)
        return self

    def epochs(self) -> list[dict[str, float]]:
        """Return the history as one flat dict per epoch: its number, losses and their terms."""
        names = [name for side in ("train", "valid") for name in losses_of(side, self.terms)]
        names += ["n_skipped"] if self.on_error == "skip" else []
        return [
            {"epoch": row["epoch"], **{name: float(row[name]) for name in names if name in row}}
            for row in self.history.to_list()
        ]


@contextmanager
def _refusing_callbacks() -> Iterator[None]:
    """Say of what callbacks raise before the first step that they are to be mended."""
    try:
        yield
    except MsaError:
        raise
    except Exception as error:
        raise ParameterError(
            "callbacks",
            "some that training can begin with",
            f"{type(error).__name__}: {error}",
            "Mend that callback, or leave it out.",
        ) from error
