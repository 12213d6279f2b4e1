"""Systems whose sources are the levels of a hierarchy's path, each of them part of the next."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from msa_sk._sklearn import StrOptions, real, whole
from msa_sk._validation import from_preset
from msa_sk.base import only
from msa_sk.exceptions import InputError, InstrumentError
from msa_sk.masking import phase_sensitive_target
from msa_sk.neural.data import (
    Example,
    LevelledSTFT,
    SceneDataset,
    some_examples,
    warn_of_unheard,
)
from msa_sk.neural.estimator import NeuralEstimator
from msa_sk.neural.parameters import CHAPTER_2
from msa_sk.nn.levels import LevelLoss
from msa_sk.records import Mixture, Scene, are_levels, level_of
from msa_sk.spectral import STFT, Spectrogram
from msa_sk.windows import Heads

_LEAF = "level_1"


class LevelEstimator(NeuralEstimator):
    """Base class of systems that find one mask for each level.

    Their truth has the instruments ``level_1`` (the leaf), ``level_2``, ..., as
    `msa_sk.datasets.scenes_along` makes it. A level that a scene does not list is unknown there,
    not silent: the loss leaves it out. Of the hooks of a `NeuralEstimator`, ``_make_module`` is
    left to a subclass; that may have the parameter ``leaf_dropout``.

    Parameters
    ----------
    hidden_size, n_layers : int, default=128, 2
        Units per direction and layers of the recurrent body; the paper has 600 and 4.
    dropout : float, default=0.0
        Between layers; the paper has 0.3.
    input_scale : {"log", "magnitude"}, default="log"
        What the network sees.
    sampler : SceneSampler, default=None
        Draws new mixtures in each epoch from scenes of leaves, as
        `msa_sk.datasets.QueryMixing` does; None takes X and y as they are. Scenes that are held
        out are not mixed anew: give `fit` mixtures as `X_val` and `y_val`, made by
        ``sampler.apply``, or set `validation_fraction` to 0.
    sequence_length : int, default=16
        In frames: longer training scenes are cut into sequences of that length; the paper has
        10 s, 626 frames.
    window_seconds : float, default=30.0
        As in `Cerberus`, and so are all that follow.
    max_epochs, batch_size : int, default=30, 16
        The paper has 100 and 25.
    lr : float, default=0.002
        Of Adam; the paper has 1e-4.
    lr_schedule : {"constant", "cosine", "halve", "decay"}, default="cosine"
        The paper has "halve".
    max_grad_norm : float, "autoclip" or None, default=1.0
        The paper has "autoclip".
    validation_fraction : float, default=0.1
        The share of songs that is held out to choose the best epoch's weights.
    patience : int or None, default=None
        End training after so many epochs without a better validation loss.
    transformer : STFT, default=None
        None is ``STFT()``: 16 kHz, 1024-point windows, hop 256; behind an STFT in a Pipeline, it
        is that one.
    warm_start : bool, default=False
        Begin from the weights of the fit before.
    callbacks : list of skorch.callbacks.Callback, default=None
        Called in training; they are not saved with the model.
    checkpoint : path-like, default=None
        A file from which a training that was killed goes on.
    checkpoint_minutes : float, default=5.0
        How often it is written within an epoch.
    num_workers : int, default=0
        Processes that prepare training examples beside this one.
    on_error : {"raise", "skip"}, default="raise"
        "skip" leaves out training examples whose files cannot be read or whose loss is not
        finite, up to 5 % of an epoch's, and counts them in ``n_skipped_``.
    precision : {"auto", "float32", "bfloat16"}, default="float32"
        Of the network's products.
    device : str, default="auto"
        "cpu", "cuda", ...; "auto" takes the fastest that is there.
    random_state : int, RandomState instance or None, default=None
    verbose : int, default=1
        0 is silent; progress is only ever shown on a terminal.
    """

    _own: dict[str, Any] = {}  # a subclass's parameters with their defaults, for `extending`
    _presets: dict[str, dict[str, Any]] = {"chapter2": CHAPTER_2}
    _parameter_constraints = {
        **{k: v for k, v in NeuralEstimator._parameter_constraints.items() if k != "instruments"},
        "hidden_size": [whole(1)],
        "n_layers": [whole(1)],
        "dropout": [real(0, 1)],
        "input_scale": [StrOptions({"log", "magnitude"})],
    }
    _settled_by_fit: tuple[str, ...] = (
        *NeuralEstimator._settled_by_fit,
        *("hidden_size", "n_layers", "input_scale"),
    )
    _open_to_warm_start = (*NeuralEstimator._open_to_warm_start, "n_layers")

    _takes_levels = True

    #: The share of scenes of which training does not know the leaf.
    leaf_dropout = 0.0

    def __init__(
        self,
        *,
        hidden_size: int = 128,
        n_layers: int = 2,
        dropout: float = 0.0,
        input_scale: str = "log",
        sampler: Any = None,
        sequence_length: int = 16,
        window_seconds: float | None = 30.0,
        max_epochs: int = 30,
        batch_size: int = 16,
        lr: float = 2e-3,
        lr_schedule: str = "cosine",
        max_grad_norm: float | str | None = 1.0,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        transformer: STFT | None = None,
        warm_start: bool = False,
        callbacks: Sequence[Any] | None = None,
        checkpoint: str | os.PathLike | None = None,
        checkpoint_minutes: float = 5.0,
        num_workers: int = 0,
        on_error: str = "raise",
        precision: str = "float32",
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 1,
    ):
        self.hidden_size = hidden_size
        self.n_layers = n_layers
        self.dropout = dropout
        self.input_scale = input_scale
        self.sampler = sampler
        self.sequence_length = sequence_length
        self.window_seconds = window_seconds
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.max_grad_norm = max_grad_norm
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.transformer = transformer
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.checkpoint_minutes = checkpoint_minutes
        self.num_workers = num_workers
        self.on_error = on_error
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> "LevelEstimator":
        """Return a network of the dissertation's size that is trained as there, with changes.

        Parameters
        ----------
        name : {"chapter2"}
            Section 2.4.2: 4 layers of 600 units for masks, 2 for queries, 20 dimensions of
            embeddings, 100 epochs of batches of 25 sequences of 10 s, the learning rate halved,
            gradients clipped by their history. The data are
            ``Excerpts.from_preset("chapter2")``.
        **changes
            Parameters that shall differ.

        Raises
        ------
        ParameterError
            If there is no such preset or parameter.
        """
        return from_preset(cls, cls._presets, name, changes)

    def _instruments_in(self, scenes: list[Scene]) -> tuple[str, ...]:
        names = super()._instruments_in(scenes)
        if not are_levels(names):
            raise InstrumentError(
                "y",
                "levels of a hierarchy: level_1 (the leaf), level_2, ...",
                ", ".join(name for name in names if not level_of(name)) or "none",
                "Make them with msa_sk.datasets.scenes_along, or set sampler=QueryMixing(...).",
            )
        return tuple(sorted(names, key=level_of))

    def _select(
        self, items: list[Spectrogram], scenes: list[Scene], name: str = "y"
    ) -> tuple[list[Spectrogram], list[Scene]]:
        if self.sampler is not None and name == "y":  # it makes levels of them
            return items, scenes
        known = [
            i
            for i, scene in enumerate(scenes)
            if scene.sources is not None and set(scene.instruments) & set(self.instruments_)
        ]
        if not known:
            raise InputError(
                name,
                f"a scene with the sound of {' or '.join(self.instruments_)}",
                f"none among {len(scenes)}",
                "Give the truth that is to be learnt.",
            )
        return [items[i] for i in known], [scenes[i] for i in known]

    def _check_learnt(self, scenes: Sequence[Scene], start: dict[str, Any] | None = None) -> None:
        if self.sampler is not None or (start is not None and self._keeps_heads(start)):
            return
        for name in self.instruments_:
            if not any(one.sources is not None and name in one.instruments for one in scenes):
                raise InputError(
                    "y",
                    f"a scene to train on with the sound of {name}",
                    "none",
                    f"Give it, or leave {name} out of all scenes.",
                )

    def _warn_of_unheard(self, scenes: Sequence[Scene]) -> None:
        for name in self.instruments_:
            warn_of_unheard([one for one in scenes if name in one.instruments], [name], "sources")

    def _note_rest(self, items: list[Spectrogram], scenes: list[Scene]) -> None:
        self.has_rest_ = False  # levels do not add up to anything

    def _training_set(
        self, items: list[Spectrogram], scenes: list[Scene], seed: int
    ) -> SceneDataset:
        if self.leaf_dropout > 0 and self.sampler is None:
            knows = [i for i, scene in enumerate(scenes) if _LEAF in scene.instruments]
            scenes = list(scenes)
            for i in _some(knows, self.leaf_dropout, seed):
                scenes[i] = _without_leaf(scenes[i])
        return super()._training_set(items, scenes, seed)

    def _draws(self, mixtures: list[Mixture], scenes: list[Scene], seed: int) -> Any:
        draws = super()._draws(mixtures, scenes, seed)
        return LeafDropout(draws, self.leaf_dropout, seed) if self.leaf_dropout > 0 else draws

    def _make_loss(self) -> tuple[Sequence[str], Callable]:
        return self.instruments_, LevelLoss(self.instruments_)

    def _make_target(
        self, spectrogram: Spectrogram, levelled: LevelledSTFT, scene: Scene
    ) -> Example:
        sources = self._true_parts(levelled.audio, scene)
        spectra = spectrogram.analyse(sources) * np.float32(levelled.scale)
        known = {name: name in scene.instruments for name in self.instruments_}
        return {
            "mask_target": phase_sensitive_target(levelled.spectrum, spectra),
            **{f"has_{name}": np.array(has, np.float32) for name, has in known.items()},
        }

    def _before_training(self, module: Any, dataset: SceneDataset) -> None:
        module.standardise([torch.from_numpy(x["magnitude"]) for x, _ in some_examples(dataset)])

    def _wanted(self) -> Sequence[str]:
        return ["mask"]

    def _read(self, heads: Heads, magnitude: np.ndarray, survey: Any) -> Heads:
        return {"mask": heads["mask"]}


class LeafDropout:
    """What a sampler draws, where the leaves of some scenes are not known.

    Parameters
    ----------
    draws : Draws
        Whose first pick says which leaf of which scene is asked for.
    share : float
        Of the scenes that hold a leaf; always the same ones.
    seed : int
    """

    def __init__(self, draws: Any, share: float, seed: int):
        self.draws, self.share, self.seed = draws, share, seed
        self._unknown: dict[str, set[int]] = {}

    def epoch(self, epoch: int) -> tuple[list[Mixture], list[Scene]]:
        """Return all mixtures of an epoch, and their scenes."""
        mixtures, scenes = self.draws.epoch(epoch)
        for index, scene in enumerate(scenes):
            i, leaf = self.draws.picks(epoch, index)[0]
            if i in self._unknown_of(leaf):
                scenes[index] = _without_leaf(scene)
        return mixtures, scenes

    def _unknown_of(self, leaf: str) -> set[int]:
        if leaf not in self._unknown:
            holds = [i for i, one in enumerate(self.draws.scenes) if leaf in one.instruments]
            self._unknown[leaf] = _some(holds, self.share, self.seed)
        return self._unknown[leaf]


def _some(items: Sequence[int], share: float, seed: int) -> set[int]:
    """Return a share of some numbers, drawn at random, but not all of them."""
    n_some = min(round(share * len(items)), len(items) - 1)
    return set(np.random.default_rng(seed).permutation(items)[: max(n_some, 0)].tolist())


def _without_leaf(scene: Scene) -> Scene:
    return only(scene, tuple(name for name in scene.instruments if name != _LEAF))
