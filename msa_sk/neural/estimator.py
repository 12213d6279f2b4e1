"""The estimator that has a network: five hooks, and everything around them."""

import copy
import os
import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback

from msa_sk._sklearn import (
    CallbackSupportMixin,
    HasMethods,
    ListOf,
    StrOptions,
    real,
    whole,
    with_callbacks,
)
from msa_sk._validation import check_parameters, check_random, check_truth, names_in
from msa_sk.base import has_rest
from msa_sk.exceptions import InputError, InstrumentError, ParameterError, SkippedWarning
from msa_sk.neural.callbacks import KeepBest, Progress, check_callbacks, tell_sklearn
from msa_sk.neural.checkpoint import Checkpoint
from msa_sk.neural.data import (
    Example,
    LevelledSTFT,
    Redraw,
    SampledDataset,
    SceneDataset,
    collate,
    split_by_group,
    warn_of_no_validation,
    warn_of_unheard,
    window_norm,
)
from msa_sk.neural.devices import resolve_device, resolve_precision
from msa_sk.neural.fingerprint import fingerprint_of
from msa_sk.neural.net import SceneNet
from msa_sk.neural.parallel import as_first, check_alike, joined, n_processes
from msa_sk.neural.randomness import isolated_seed
from msa_sk.neural.schedule import SCHEDULES, Schedule
from msa_sk.neural.sizes import check_sizes
from msa_sk.neural.surroundings import usual_torch
from msa_sk.records import Mixture, Scene, stack_sources
from msa_sk.spectral import STFT, Spectrogram
from msa_sk.windowed import WindowedEstimator
from msa_sk.windows import Heads

_CALLBACKS = "instances of skorch.callbacks.Callback (scikit-learn's are given by set_callbacks)"
_METHODS_OF_CALLBACKS = [name for name in dir(Callback) if not name.startswith("_")]


class NeuralEstimator(CallbackSupportMixin, WindowedEstimator):
    """Base class of systems that learn by gradient.

    A subclass has five hooks:

    - ``_make_module(n_bins, n_sources)`` gives the network, a torch module that takes
      ``magnitude`` (n_batch, n_bins, n_frames), ``lengths`` (n_batch,) and the names of heads
      that are ``wanted``, and returns a dict of raw heads; it also takes what ``_make_inputs``
      tells in training, and ``_told`` or ``_look_at`` in predict;
    - ``_make_loss()`` gives ``(terms, loss)``: the names of the loss terms and a callable
      ``loss(heads, target) -> dict of Tensor``;
    - ``_make_target(spectrogram, levelled, scene)`` gives the arrays that the loss reads;
    - ``_wanted()`` names the heads that predict needs;
    - ``_read(heads, magnitude, survey)`` makes masks and posteriors of them, for one mixture or
      window; see `WindowedEstimator`.

    The number of sources that the network knows is that of `instruments_`, and one more for
    the rest where the training mixtures hold more than the wanted instruments. What depends on
    them, and is made anew for others, the network keeps under the name ``heads``.

    Under ``torchrun`` each process calls `fit` with the same parameters and all of the data, which
    is checked, computes its share of each batch, and ends with the same weights: those of one
    process to rounding, where all examples know what the loss asks for. The first one writes the
    checkpoint.

    `callbacks` are skorch's, but for EpochScoring and BatchScoring, or anything with their
    methods; they are told of the net. One that sets ``net.stopped_`` ends training after the
    epoch, and a checkpoint then holds the result; one that raises KeyboardInterrupt, as skorch's
    EarlyStopping does, ends this `fit` alone, and the next one goes on from the checkpoint, where
    it begins anew. What others remember is in the checkpoint: what they have learnt, in
    attributes that end with an underscore, or what they say, as a
    `msa_sk.neural.checkpoint.Resumable` does; see `msa_sk.neural.remembering`.
    scikit-learn's, from its version 1.9 on, are given by `set_callbacks`; their tasks are the
    epochs of `fit`, with the weights as they are then, and `fit` itself, with those that it
    keeps; each `partial_fit` is a fit of one epoch. They are told of what training learns from,
    without what is held out, and with a sampler of what it has drawn for the epoch: by that a
    ScoringMonitor scores.

    A `sampler` has ``prepare(X, y, seed)`` and ``instruments_of(y)``, as
    `msa_sk.datasets.SceneSampler` does.
    """

    _parameter_constraints = {
        "sampler": [None, HasMethods(["prepare", "instruments_of"])],
        "sequence_length": [whole(1)],
        "window_seconds": [None, real(1)],
        "max_epochs": [whole(1)],
        "batch_size": [whole(1)],
        "lr": [real(0, closed="neither")],
        "lr_schedule": [StrOptions({"constant", *SCHEDULES})],
        "max_grad_norm": [None, StrOptions({"autoclip"}), real(0, closed="neither")],
        "validation_fraction": [real(0, 1, closed="left")],
        "patience": [None, whole(1)],
        "instruments": [None, list, tuple],
        "transformer": [None, STFT],
        "warm_start": ["boolean"],
        "callbacks": [None, ListOf(_CALLBACKS, _METHODS_OF_CALLBACKS)],
        "checkpoint": [None, str, os.PathLike],
        "checkpoint_minutes": [real(0)],
        "num_workers": [whole(0)],
        "on_error": [StrOptions({"raise", "skip"})],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    device: str
    net_: SceneNet

    _computes_with: tuple[str, ...] = ("torch",)
    # Of this machine and this run, and not of the model.
    _not_saved: tuple[str, ...] = ("callbacks", "checkpoint")
    # What makes no difference to how training goes on; a subclass adds what `predict` reads.
    _not_trained_by: tuple[str, ...] = (
        *("callbacks", "checkpoint", "checkpoint_minutes", "num_workers", "on_error"),
        *("window_seconds", "device", "random_state", "verbose"),
    )

    # What a warm start may change of the parameters that a fit settles.
    _open_to_warm_start: tuple[str, ...] = ("instruments",)

    @abstractmethod
    def _make_module(self, n_bins: int, n_sources: int) -> torch.nn.Module: ...

    @abstractmethod
    def _make_loss(self) -> tuple[Sequence[str], Callable]: ...

    @abstractmethod
    def _wanted(self) -> Sequence[str]: ...

    @abstractmethod
    def _read(self, heads: Heads, magnitude: np.ndarray, survey: Any) -> Heads: ...

    @abstractmethod
    def _make_target(
        self, spectrogram: Spectrogram, levelled: LevelledSTFT, scene: Scene
    ) -> Example: ...

    @with_callbacks
    def fit(
        self, X: Any, y: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> "NeuralEstimator":
        """Learn from mixtures and what is in them.

        Parameters
        ----------
        X : list or ndarray of length n_mixes
            Mixtures, Spectrograms, arrays, paths or Clips; or an array of shape
            (n_mixes, n_samples) or (n_mixes, n_channels, n_samples).
        y : list or ndarray of length n_mixes
            The true Scenes; or arrays of shape (n_sources, n_samples), whose instruments are then
            ``source_0``, ``source_1``, ...; or dicts of instrument to audio.
        X_val, y_val : list or ndarray, default=None
            Others of their kind, to choose the best epoch's weights by (the names are those
            of scikit-learn's gradient boosting); without them songs of `X` are held out.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            If a parameter is out of range, or a callback cannot begin, watches what no epoch will
            record, or sets the learning rate beside `lr_schedule`.
        InputError
            If X and y do not fit together; no scene to train on has the truth that a head learns
            from (some of them are enough, and none where a warm start keeps a head that has
            learnt before); `y_val` has none of the instruments; or a checkpoint is of another
            training.
        NotesError
            If all notes of an instrument begin after their mixture has ended.
        AudioError
            If a file cannot be read.
        TrainingError
            If a loss or a gradient is not finite, a checkpoint cannot be written, or a process
            that prepares examples dies or fails in a way of its own. With ``on_error="skip"``, if
            more than 5 % of an epoch's examples were left out.

        Warns
        -----
        SilenceWarning
            If an instrument sounds, or plays a note, in no scene that is trained on: it is
            learnt to be silent.
        ValidationWarning
            If `validation_fraction` can hold nothing out, as of one song, or nothing is held out
            and `patience` would look at it.
        NotesWarning
            If some notes begin after their mixture has ended, or have pitches that rolls do not.
        SkippedWarning
            If examples were left out.
        """
        start = self._weights() if self.warm_start and self.__sklearn_is_fitted__() else None
        with self._refitting():
            items, scenes = self._begin(X, y)
            with joined(resolve_device(self.device)):
                self._fit(items, scenes, self._check_validation(X_val, y_val), start)
        return self

    @with_callbacks
    def partial_fit(self, X: Any, y: Any = None) -> "NeuralEstimator":
        """Learn from some mixtures in one pass over them.

        The first call settles the instruments, and on which scale inputs are seen, and has to
        know of some scenes all that is learnt; later ones go on from there, or from `fit`.
        Between passes `set_params` may change all that does not settle the network. Every pass
        has the learning rate `lr`, whatever `lr_schedule` says; nothing is held out, and nothing
        is written to `checkpoint`. With a `sampler`, a pass is over what that draws for one
        epoch from these mixtures alone.

        Parameters
        ----------
        X, y : list or ndarray of length n_mixes
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            If a parameter is out of range, another network would be needed, or a callback sets
            the learning rate or the weights to begin from.
        InputError
            If X and y do not fit together, or y has instruments that the network does not know.
        TrainingError
            If a loss or a gradient is not finite; the weights are then those before this pass.
        """
        before = self.net_ if self.__sklearn_is_fitted__() else None
        if before is not None:
            check_parameters(self)
            self._check_fitted()
            items, scenes = self._check_more(X, y, "X", "y")
            self._check_new(scenes)
            seed = before.seed
        else:
            items, scenes = self._begin(X, y)
            self._check_learnt(scenes)
            seed = int(check_random(self.random_state).randint(2**31 - 1))
        dataset = self._training_set(*self._select(items, scenes), seed)
        with isolated_seed(seed):
            net = self._make_net(seed).initialize()
            if before is not None:
                net.go_on_from(before)
            else:
                self._before_training(net.module_, net.readable(dataset))
        tell_sklearn(self, net, 1)
        with isolated_seed(seed + len(net.history)):
            self.net_ = net.one_pass(dataset, self.lr)
            self._after_training(net.readable(dataset))
        self._note_training()
        self._is_fitted = True
        return self

    def _fit(
        self,
        items: list[Spectrogram],
        scenes: list[Scene],
        validation: tuple[list[Spectrogram], list[Scene]] | None = None,
        start: dict[str, Any] | None = None,
    ) -> None:
        items, scenes = self._select(items, scenes)
        random = check_random(self.random_state)
        checkpoint = None
        if self.checkpoint is not None:
            fingerprint = fingerprint_of(self, items, scenes, validation, start)
            checkpoint = Checkpoint(self.checkpoint, self.checkpoint_minutes, fingerprint, random)
        if n_processes() > 1:
            check_alike(fingerprint_of(self, items, scenes, validation, None)["same"])
        random.set_state(as_first(random.get_state(legacy=False)))
        seed = int(random.randint(2**31 - 1))
        if validation is None:
            kept, held_out = split_by_group(items, self.validation_fraction, random)
            validation = [items[i] for i in held_out], [scenes[i] for i in held_out]
            items, scenes = [items[i] for i in kept], [scenes[i] for i in kept]
            if held_out and not set(self.instruments_) & set(names_in(scenes)):
                made = "" if self.sampler is None else ", made by sampler.apply"
                raise ParameterError(
                    f"{type(self).__name__}(validation_fraction=)",
                    f"0, as none of the rest has {', '.join(self.instruments_)}",
                    repr(self.validation_fraction),
                    f"Give fit X_val and y_val instead{made}.",
                )
        if not validation[0]:
            warn_of_no_validation(self.validation_fraction, self.patience)
        train = self._training_set(items, scenes, seed)
        self._check_learnt(scenes, start)
        self._warn_of_unheard(train.scenes)
        valid = self._dataset(*validation)
        with isolated_seed(seed):
            n_batches = -(-len(train) // self.batch_size)
            self.net_ = self._make_net(seed, n_batches, held_out=len(valid) > 0).initialize()
            if start is not None:
                self._start_from(start)
            elif checkpoint is None or checkpoint.state is None:
                self._before_training(self.net_.module_, self.net_.readable(train))
            tell_sklearn(self, self.net_, self.max_epochs)
            self.net_.train(train, valid, self.max_epochs, checkpoint)
            self._after_training(self.net_.readable(train))
        self._note_training()

    def _warn_of_unheard(self, scenes: Sequence[Scene]) -> None:
        tags = self._scene_tags()
        for part in ["sources"] * tags["separates"] + ["notes"] * tags["transcribes"]:
            warn_of_unheard(scenes, self.instruments_, part)

    def _instruments_in(self, scenes: list[Scene]) -> tuple[str, ...]:
        if self.sampler is None:
            return super()._instruments_in(scenes)
        return self.sampler.instruments_of(scenes)

    def _so_far(self, net: SceneNet) -> dict[str, Any]:
        """Return the attributes of one that is fitted as far as the training of a net has come."""
        now = copy.copy(self)
        now.net_ = net
        now._note_history()
        now._after_training(net.readable(net.batches.dataset))
        return {**vars(now), "_is_fitted": True}

    def _note_history(self) -> None:
        self.history_ = self.net_.epochs()
        self.n_iter_ = len(self.history_)

    def _note_training(self) -> None:
        self._note_history()
        if self.n_skipped_:
            warnings.warn(
                f"{self.n_skipped_} training examples were left out, as on_error='skip' asks for; "
                f"the last one because of this: {self.net_.last_skipped_}",
                SkippedWarning,
                stacklevel=3,
            )

    @property
    def n_skipped_(self) -> int:
        """How many training examples ``on_error="skip"`` has left out, over all epochs."""
        return int(sum(row.get("n_skipped", 0) for row in self.history_))

    def _select(
        self, items: list[Spectrogram], scenes: list[Scene], name: str = "y"
    ) -> tuple[list[Spectrogram], list[Scene]]:
        """Return what can be learnt from; a subclass may refuse, or leave out, the rest."""
        return items, scenes

    def _check_learnt(self, scenes: Sequence[Scene], start: dict[str, Any] | None = None) -> None:
        """Refuse scenes to train on by which a part of the network learns nothing.

        What begins from the weights of `start` may have learnt it before.
        """

    def _check_validation(self, X: Any, y: Any) -> tuple[list[Spectrogram], list[Scene]] | None:
        if X is None and y is None:
            return None
        if X is None or y is None:
            raise InputError("X_val, y_val", "both or none", "one of them", "Pass the other.")
        items, scenes = self._check_more(X, y, "X_val", "y_val")
        found = names_in(scenes)
        if not set(found).intersection(self.instruments_):
            raise InstrumentError(
                "y_val",
                f"scenes with any of {', '.join(self.instruments_)}",
                ", ".join(found) or "none",
                "Name the instruments as those that are learnt.",
            )
        return self._select(items, scenes, "y_val")

    def _check_more(
        self, X: Any, y: Any, X_name: str, y_name: str
    ) -> tuple[list[Spectrogram], list[Scene]]:
        """Return mixtures and truths that come after those which settled the instruments."""
        try:
            items = self._accept_training(X)
        except InputError as error:
            raise error.renamed("X", X_name) from error
        if not items:
            raise InputError(X_name, "at least one mixture", "none", "Pass some.")
        return items, check_truth(y, [item.mixture for item in items], y_name)

    def _check_new(self, scenes: list[Scene]) -> None:
        """Refuse instruments that the network cannot tell from those it knows."""
        new = set(self._instruments_in(scenes)).difference(self.instruments_)
        if new and not self.has_rest_:
            raise InstrumentError(
                "y",
                f"only {', '.join(self.instruments_)}",
                ", ".join(sorted(new)),
                "Show mixtures with all instruments to the first call.",
            )

    # From weights that are there

    def _weights(self) -> dict[str, Any]:
        """Return from what a warm start begins."""
        self._check_settled(but=self._open_to_warm_start)
        return {
            "settled": self._settled,
            "instruments": list(self.instruments_),
            "has_rest": self.has_rest_,
            "transformer": self.transformer_.get_params(),
            "module": {k: v.clone() for k, v in self.net_.module_.state_dict().items()},
        }

    def _keeps_heads(self, start: dict[str, Any]) -> bool:
        """Tell whether sources are those that the weights of a warm start tell apart."""
        return self.has_rest_ == start["has_rest"] and [*self.instruments_] == start["instruments"]

    def _start_from(self, start: dict[str, Any]) -> None:
        """Take weights over: all of them, or for other instruments all but the heads."""
        module, same_sources = self.net_.module_, self._keeps_heads(start)
        ours = module.state_dict()
        fits = start["transformer"] == self.transformer_.get_params()
        for name, theirs in start["module"].items():
            is_head = name.startswith("heads.")
            if name in ours and (same_sources or not is_head):
                fits = fits and ours[name].shape == theirs.shape
                ours[name] = theirs
            else:
                fits = fits and is_head
        if not fits:
            before = start["settled"]
            changes = [
                f"{name}={value} instead of {before[name]}"
                for name, value in self._settled.items()
                if value != before[name]
            ]
            raise ParameterError(
                f"{type(self).__name__}(warm_start=)",
                "the network that was fitted before, or a larger one",
                ", ".join(changes) or f"spectrograms of {self.transformer_}",
                "Set it back, or fit a clone.",
            )
        module.load_state_dict(ours)

    def _training_set(
        self, items: list[Spectrogram], scenes: list[Scene], seed: int
    ) -> SceneDataset:
        """Return what training learns from, and note whether there is a rest in it."""
        if self.sampler is None:
            self._note_rest(items, scenes)
            return self._dataset(items, scenes)
        mixtures = [item.mixture for item in items]
        draw = Redraw(self._draws(mixtures, scenes, seed), items[0])
        self._note_rest(*draw(0))
        return SampledDataset(draw, *self._makers())

    def _draws(self, mixtures: list[Mixture], scenes: list[Scene], seed: int) -> Any:
        """Return what training mixtures are drawn from in each epoch."""
        return self.sampler.prepare(mixtures, scenes, seed)

    def _note_rest(self, items: list[Spectrogram], scenes: list[Scene]) -> None:
        if not self.__sklearn_is_fitted__():
            self.has_rest_ = has_rest(items, scenes, self.instruments_)

    def _dataset(self, items: list[Spectrogram], scenes: list[Scene]) -> SceneDataset:
        return SceneDataset(items, scenes, *self._makers())

    def _makers(self) -> tuple[Callable, int, Callable]:
        """Return what datasets make examples with."""
        maker = copy.copy(self)  # for other processes, which have no use for the network
        maker.__dict__.pop("net_", None)
        maker.callbacks = None
        return maker._make_target, self.sequence_length, maker._make_inputs

    def _make_net(self, seed: int, n_batches: int = 0, held_out: bool = False) -> SceneNet:
        """Return a new net; an epoch of its training has so many batches, and may be validated.

        With 0 batches it is to predict, or to be trained in passes at one rate.
        """
        terms, loss = self._make_loss()
        callbacks: list[Any] = [("keep_best", KeepBest(self.patience))]
        lr_schedule = self.lr_schedule if n_batches else None
        if lr_schedule not in (None, "constant"):
            schedule = Schedule(self.lr_schedule, self.max_epochs * n_batches)
            callbacks.append(("schedule", schedule))
        given = self.callbacks or ()
        item = f"{type(self).__name__}(callbacks=)"
        check_callbacks(given, item, terms, held_out, lr_schedule)
        callbacks += given
        if self.verbose:
            callbacks.append(("progress", Progress(self.max_epochs, n_batches)))
        n_sources = len(self.instruments_) + self.has_rest_
        device = resolve_device(self.device)
        return SceneNet(
            self._make_module(self.transformer_.n_bins, n_sources),
            loss,
            terms=terms,
            seed=seed,
            optimizer=torch.optim.Adam,
            optimizer__fused=True,  # several times as fast as the default on a CPU
            lr=self.lr,
            max_grad_norm=self.max_grad_norm,
            batch_size=self.batch_size,
            train_split=None,
            callbacks=callbacks,
            num_workers=self.num_workers,
            on_error=self.on_error,
            precision=resolve_precision(self.precision, device),
            device=device,
            verbose=0,
        )

    def _make_inputs(
        self, spectrogram: Spectrogram, levelled: LevelledSTFT, scene: Scene
    ) -> Example:
        """Return what the network is told in training besides magnitudes; nothing, as a rule.

        What `predict` tells it, ``_told`` returns.
        """
        return {}

    def _before_training(self, module: Any, dataset: SceneDataset) -> None:
        """Prepare a new network for its data; a subclass may want to."""

    def _after_training(self, dataset: SceneDataset) -> None:
        """Learn what is not learnt by gradient; a subclass may need to."""

    def _true_parts(self, audio: np.ndarray, scene: Scene) -> np.ndarray:
        """Return (n_sources, ...) samples of what the network tells apart, the rest included.

        Of a scene with unknown sources they are silent.
        """
        if scene.sources is None:
            return np.zeros((len(self.instruments_) + self.has_rest_, *audio.shape), np.float32)
        sources = stack_sources(scene, self.instruments_, audio)
        if self.has_rest_:
            sources = np.concatenate([sources, [audio - sources.sum(axis=0)]])
        return sources

    def _whole_magnitude(self, item: Spectrogram) -> np.ndarray:
        return LevelledSTFT.of(item).magnitude

    def _magnitude(self, spectrum: np.ndarray, level: float) -> np.ndarray:
        return super()._magnitude(spectrum, level * window_norm(self.transformer_))

    def _look(self, magnitude: np.ndarray, survey: Any = None, told: Any = None) -> Heads:
        return self._look_at([magnitude], survey, [told])[0]

    def _n_together(self) -> int:
        # A processor is no faster with several, and needs memory for all.
        return 1 if resolve_device(self.device) == "cpu" else 4

    def _look_at(self, magnitudes: Sequence[np.ndarray], survey: Any, told: Any) -> list[Heads]:
        heard = [
            {"magnitude": magnitude, **(of_it or {})}
            for magnitude, of_it in zip(magnitudes, told, strict=True)
        ]
        return [
            self._read(heads, magnitude, survey)
            for heads, magnitude in zip(
                self._heads(heard, self._wanted()), magnitudes, strict=True
            )
        ]

    def _heads(
        self, heard: Sequence[Example], wanted: Sequence[str], **told: np.ndarray
    ) -> list[Heads]:
        """Return what the network gives for examples of one length, told the same of all."""
        batch, _ = collate([(one, {}) for one in heard])
        for name, array in told.items():
            batch[name] = torch.from_numpy(np.stack([array] * len(heard)))
        heads = self._infer(batch, wanted)
        return [{name: head[i] for name, head in heads.items()} for i in range(len(heard))]

    def _infer(self, batch: dict[str, torch.Tensor], wanted: Sequence[str]) -> Heads:
        """Return heads of a batch, computed where and as the parameters say by now."""
        with usual_torch():
            device = resolve_device(self.device)
            self.net_.compute_by(device, resolve_precision(self.precision, device))
            return self.net_.heads(batch, wanted=wanted)

    def _get_state(self) -> tuple[dict, dict[str, np.ndarray]]:
        values, arrays = super()._get_state()
        weights = self.net_.module_.state_dict()
        arrays.update({f"module.{k}": v.cpu().numpy() for k, v in weights.items()})
        values.update(has_rest_=self.has_rest_, history_=self.history_, n_iter_=self.n_iter_)
        return values, arrays

    def _set_state(self, values: dict, arrays: dict[str, np.ndarray]) -> None:
        super()._set_state(values, arrays)
        self.has_rest_ = values["has_rest_"]
        self.history_, self.n_iter_ = values["history_"], values["n_iter_"]
        try:
            resolve_device(self.device)
        except ParameterError:  # it was another machine's
            self.device = "auto"
        weights = {
            k.removeprefix("module."): torch.from_numpy(v.copy())
            for k, v in arrays.items()
            if k.startswith("module.")
        }
        check_sizes(self, weights)
        with isolated_seed(0):
            self.net_ = self._make_net(0).initialize().recall(self.history_)
            self.net_.module_.load_state_dict(weights)
