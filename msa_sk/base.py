"""The estimator contract: fit, predict, score, transform on lists of mixtures."""

import os
import warnings
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone

from msa_sk import persistence
from msa_sk._arguments import check_absent, check_folder, check_names, check_value
from msa_sk._progress import say
from msa_sk._sklearn import Tags, real
from msa_sk._validation import (
    check_instruments,
    check_mixtures,
    check_parameters,
    check_truth,
    names_in,
)
from msa_sk.exceptions import (
    InputError,
    InstrumentError,
    NotFittedError,
    ParameterError,
    SilenceWarning,
)
from msa_sk.metrics import get_scorer
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene, are_levels, stack_sources, unknown_name
from msa_sk.score import score_of
from msa_sk.spectral import STFT, Spectrogram
from msa_sk.stems import check_kept, is_file_name, write_scenes
from msa_sk.windows import join_scenes

# Below this the mixture is said to be the sum of the wanted sources: quantised files differ so.
_REST_DB = -40.0


@dataclass
class SceneTags(Tags):
    """scikit-learn's tags, and what a system for scenes does.

    Parameters
    ----------
    separates, transcribes : bool, default=False
        Whether predicted scenes hold sources, and notes.
    blind : bool, default=False
        Sources come without names, as ``source_0``, ..., and are scored by the best
        permutation.
    additive : bool, default=False
        The sources add up to the mixture at the model's rate.
    score_informed : bool, default=False
        Mixtures bring their notes, which the predicted scenes then have.
    """

    separates: bool = False
    transcribes: bool = False
    blind: bool = False
    additive: bool = False
    score_informed: bool = False


class SceneEstimator(BaseEstimator):
    """Base class of all systems: a list of mixtures in, a list of scenes out.

    A subclass declares ``_parameter_constraints``, lists in ``_settled_by_fit`` the parameters
    with other values of which nothing fitted can be used, says in `_scene_tags` what it does,
    and has two hooks: ``_fit(items, scenes)`` and ``_predict_one(item)``.
    """

    _parameter_constraints: dict = {}

    _settled_by_fit: tuple[str, ...] = ("instruments", "sample_rate", "transformer")

    # Whether sources may be levels of a hierarchy, which are parts of each other.
    _takes_levels = False

    def fit(self, X: Any, y: Any = None) -> "SceneEstimator":
        """Learn from mixtures and what is in them.

        Parameters
        ----------
        X : list or ndarray of length n_mixes
            Mixtures, Spectrograms, arrays, paths or Clips; or an array of shape
            (n_mixes, n_samples) or (n_mixes, n_channels, n_samples).
        y : list or ndarray of length n_mixes
            The true Scenes; or arrays of shape (n_sources, n_samples), whose instruments are then
            ``source_0``, ``source_1``, ...; or dicts of instrument to audio. Blind systems need
            none.

        Returns
        -------
        self

        Raises
        ------
        ParameterError
            If a parameter is out of range.
        InputError
            If X and y do not fit together. What had been learnt before stays.
        NotesError
            If all notes of an instrument begin after their mixture has ended.

        Warns
        -----
        NotesWarning
            If some notes do.
        """
        with self._refitting():
            self._fit(*self._begin(X, y))
        return self

    @contextmanager
    def _refitting(self) -> Iterator[None]:
        """Be fitted after the block, or as before where something in it was refused.

        What fails in another way leaves the estimator not fitted: nothing scores that.
        """
        before = dict(self.__dict__)
        self._is_fitted = False
        try:
            yield
        except InputError:
            self.__dict__ = before
            raise
        self._is_fitted = True

    def _begin(self, X: Any, y: Any) -> tuple[list, list[Scene]]:
        """Return what `_fit` learns from; the parameters and instruments are settled then."""
        check_parameters(self)
        items = self._begin_fit(X)
        if not items:
            raise InputError(
                "X", "at least one mixture", "none", "Pass the mixtures to learn from."
            )
        scenes: list[Scene] = []
        if self._scene_tags()["blind"]:
            self.instruments_ = tuple(f"source_{i}" for i in range(self.n_sources))
        else:
            scenes = check_truth(y, [_mixture_of(item) for item in items])
            known = self._instruments_in(scenes)
            if are_levels(known) and not self._takes_levels:
                raise InstrumentError(
                    "y",
                    "sources of which none is part of another",
                    f"the levels {', '.join(known)}",
                    "Learn levels with SourceSpecificSeparator or HierarchicalQBE.",
                )
            self.instruments_ = check_instruments(getattr(self, "instruments", None), known)
        self._settled = self._settling()
        return items, scenes

    def _instruments_in(self, scenes: list[Scene]) -> tuple[str, ...]:
        """Return the names that can be learnt."""
        return names_in(scenes)

    def _settling(self) -> dict[str, str]:
        """Return the parameters that a fit settles, as they are shown."""
        parameters = self.get_params(deep=False)
        return {
            name: repr(parameters[name]) for name in self._settled_by_fit if name in parameters
        }

    def predict(self, X: Any) -> list[Scene]:
        """Return what is in each mixture.

        Parameters
        ----------
        X : list or ndarray of length n_mixes
            As in `fit`; any length, rate and number of channels. No mixtures give no scenes.

        Returns
        -------
        scenes : list of Scene
            Sources have their mixture's rate, length and channels. A silent mixture gives
            silent sources and no notes, with a SilenceWarning.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        ParameterError
            If a parameter that `fit` settles has changed since.
        """
        return list(self.iter_predict(X))

    def iter_predict(self, X: Any) -> Iterator[Scene]:
        """Predict one mixture after the other, holding one at a time; as `predict`.

        A scene's arrays are as long as its mixture; `stream` holds a stretch of it at a time.
        """
        self._check_fitted()
        return map(self._predict_item, self._accept(X))

    def stream(self, mixture: Any, instruments: Sequence[str] | None = None) -> Iterator[Scene]:
        """Predict one mixture stretch by stretch, holding one stretch at a time.

        Systems with a parameter `window_seconds` do; others give the whole at once, and so do
        these where the mixture is no longer than that.

        Parameters
        ----------
        mixture : Mixture, Spectrogram, array, path or Clip
        instruments : sequence of str, default=None
            Of `instruments_`, those that are wanted; None wants all.

        Returns
        -------
        scenes : iterator of Scene
            Sources and rolls, each put together along time, are those of `predict`; in one
            stretch they need not end at the same instant. Notes may last from one stretch to
            the next: the last scene has those of the whole mixture, in seconds from its start,
            and the others have None.

        Raises
        ------
        InputError
            If several mixtures are passed.
        InstrumentError
            If the system does not know an instrument.
        """
        self._check_fitted()
        if isinstance(mixture, list):
            raise InputError(
                "stream(mixture)",
                "one mixture",
                f"a list of {len(mixture)}",
                "Pass its element; iter_predict takes several.",
            )
        wanted = self._check_wanted(instruments)
        (item,) = self._accept([mixture])
        return self._stream(item, wanted)

    def predict_to_files(
        self,
        X: Any,
        directory: str | os.PathLike,
        overwrite: bool = False,
        instruments: Sequence[str] | None = None,
        max_memory_gb: float | None = None,
    ) -> list[Path]:
        """Predict and write each scene at once, holding one stretch at a time; see `stream`.

        A system whose `verbose` is above 0 says on a terminal about how much memory each
        mixture takes, and shows the time that is left.

        Parameters
        ----------
        X : list or ndarray of length n_mixes
            As in `fit`.
        directory : path-like
            Made if needed. Each scene gets a folder in it: the name of the mixture's file or,
            where it has none or another mixture has the same, its number, from ``"0000"`` on;
            see `Scene.write` for what it holds.
        overwrite : bool, default=False
            Whether folders that exist already may be written into. What an earlier scene left
            there goes; other files stay.
        instruments : sequence of str, default=None
            Of `instruments_`, those to write; None writes all.
        max_memory_gb : float, default=None
            A mixture that takes more than about so many GB, besides what this process has
            already, is refused, and no work begins. The estimate is right to a factor of two;
            of a body of your own it knows what that says (`msa_sk.register_body`).

        Returns
        -------
        directories : list of Path
            All files in them are complete. After an error those of earlier mixtures are, and
            the others are not there.

        Raises
        ------
        InputError
            If a folder exists already, or is a file, or its disk has no room, or a mixture
            takes too much memory, or is read from a file that would be overwritten.
        """
        self._check_fitted()
        check_parameters(self)
        check_value(max_memory_gb, "max_memory_gb", None, real(0, closed="neither"))
        check_value(overwrite, "overwrite", "boolean")
        wanted = self._check_wanted(instruments)
        root = check_folder(directory, "predict_to_files(directory)")
        items = self._accept(X)
        mixtures = [_mixture_of(item) for item in items]
        folders = [root / name for name in _folder_names(mixtures)]
        if not overwrite:
            for folder in folders:
                check_absent(folder)
        check_kept(mixtures, folders, wanted)
        gigabytes = [self._memory(item) / 1e9 for item in items]
        for item, needed in zip(items, gigabytes, strict=True):
            if max_memory_gb is not None and needed > max_memory_gb:
                raise InputError(
                    repr(_mixture_of(item)),
                    f"a mixture that takes at most {max_memory_gb:g} GB of memory",
                    f"one that takes about {needed:.2g} GB",
                    "Set window_seconds to less where there is one, or allow more.",
                )
        for item, folder, needed in zip(items, folders, gigabytes, strict=True):
            mixture = _mixture_of(item)
            say(
                f"{folder.name}: {mixture.duration / 60:.1f} min, about {needed:.2g} GB of memory",
                bool(getattr(self, "verbose", False)),
            )
            stretches = self._stream(item, wanted)
            write_scenes(folder, stretches, n_samples=mixture.n_samples, overwrite=overwrite)
        return folders

    def transform(self, X: Any) -> list[Mixture]:
        """Return the mixtures with their estimated `sources` and `notes` filled in.

        So systems chain in a Pipeline: separate, then transcribe, or the other way round.
        """
        self._check_fitted()
        filled = []
        for item, scene in zip(self._accept(X), self.iter_predict(X), strict=True):
            parts: dict[str, Any] = {}
            if scene.sources is not None:
                parts["sources"] = {name: scene.source(name) for name in scene.instruments}
            if scene.notes is not None:
                parts["notes"] = dict(zip(scene.instruments, scene.notes, strict=True))
            filled.append(replace(_mixture_of(item), **parts))
        return filled

    def fit_transform(self, X: Any, y: Any = None) -> list[Mixture]:
        """Fit, then transform the same mixtures."""
        return self.fit(X, y).transform(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the mean SI-SDR improvement in dB or, of a mere transcriber, onset F1.

        Where all but one of the true sources are silent, the mixture is that source, and no
        estimate is better: scores are far below 0 dB, and a few such solos decide the mean. A
        SilenceWarning counts them; leave them out, or score by ``get_scorer("si_sdr")``.

        Parameters
        ----------
        X, y : list or ndarray of length n_mixes
            As in `fit`.
        sample_weight : array-like of shape (n_mixes,), default=None

        Returns
        -------
        score : float
            Higher is better; see `msa_sk.metrics`.
        """
        metric = "si_sdri" if self._scene_tags()["separates"] else "note_onset_f1"
        return get_scorer(metric)(self, X, y, sample_weight=sample_weight)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the fitted estimator to one file; `msa_sk.load` reads it.

        A Pipeline is written by `msa_sk.save`.

        The file holds JSON and safetensors under a sha256: no code, and no byte of it can
        change unnoticed. The folder that it is to be in must be there.
        """
        self._check_fitted()
        return persistence.save(self, path)

    def __sklearn_is_fitted__(self) -> bool:
        return getattr(self, "_is_fitted", False)

    def __sklearn_tags__(self) -> SceneTags:
        general = super().__sklearn_tags__()
        general.input_tags.two_d_array = False
        values = {f.name: getattr(general, f.name) for f in fields(general)}
        tags = SceneTags(**values, **self._scene_tags())
        tags.target_tags.required = not tags.blind
        return tags

    def _scene_tags(self) -> dict[str, bool]:
        return {"separates": True, "transcribes": False, "blind": False, "additive": False}

    # What a kind of system sees: mixtures as they are, unless a subclass says otherwise.

    def _begin_fit(self, X: Any) -> list:
        self.sample_rate_ = self.sample_rate
        return self._accept_training(X)

    def _accept(self, X: Any) -> list:
        return check_mixtures(X, self.sample_rate_)

    def _accept_training(self, X: Any) -> list:
        """Return what is learnt from; where `predict` asks for more than `fit`, it differs."""
        return self._accept(X)

    @abstractmethod
    def _fit(self, items: list, scenes: list[Scene]) -> None: ...

    @abstractmethod
    def _predict_one(self, item: Any) -> Scene: ...

    def _predict_item(self, item: Any) -> Scene:
        scenes = self._stream(item, self.instruments_)
        return join_scenes(scenes, _mixture_of(item).n_samples)

    def _stream(self, item: Any, wanted: tuple[str, ...]) -> Iterator[Scene]:
        """Give the scene of a mixture, or stretches of it, with these instruments."""
        mixture = _mixture_of(item)
        audio = mixture.read()
        if self._is_silent(item, audio):
            warn_of_silence()
            yield only(self._silent_scene(mixture, audio), wanted)
        else:
            yield only(self._check_finite(self._predict_one(item), mixture), wanted)

    def _at_once(self, mixture: Mixture) -> tuple[float, int]:
        """Return how long a stretch is looked at, in seconds, and how many of them together."""
        return mixture.duration, 1

    def _memory(self, item: Any) -> float:
        """Return about how many bytes the arrays have by which an item is predicted."""
        mixture = _mixture_of(item)
        seconds, _ = self._at_once(mixture)
        return 4 * mixture.n_channels * mixture.rate * seconds * (1 + 2 * len(self.instruments_))

    def _check_finite(self, scene: Scene, mixture: Mixture) -> Scene:
        for name, part in (("sources", scene.sources), ("rolls", scene.rolls)):
            if part is not None and not np.isfinite(part).all():
                raise InputError(
                    repr(mixture),
                    f"finite {name} from {type(self).__name__}",
                    "NaN or infinity",
                    "Refit the model: its weights are unusable.",
                )
        return scene

    def _check_wanted(self, instruments: Sequence[str] | None) -> tuple[str, ...]:
        if instruments is None:
            return self.instruments_
        wanted = check_names(instruments, "instruments")
        for name in wanted:
            if name not in self.instruments_:
                raise unknown_name("instruments", name, list(self.instruments_))
        return wanted

    def _is_silent(self, item: Any, audio: np.ndarray) -> bool:
        return not np.any(audio)

    def _silent_scene(self, mixture: Mixture, audio: np.ndarray) -> Scene:
        tags = self._scene_tags()
        n_sources = len(self.instruments_)
        return Scene(
            self.instruments_,
            mixture.rate,
            np.zeros((n_sources, *audio.shape), np.float32) if tags["separates"] else None,
            (Notes(),) * n_sources if tags["transcribes"] else self._notes_given(mixture),
        )

    def _notes_given(self, mixture: Mixture) -> tuple[Notes, ...] | None:
        """Return each instrument's notes where the system is informed by them, else None."""
        if not self._scene_tags().get("score_informed"):
            return None
        return score_of(mixture, self.instruments_, others=getattr(self, "has_rest_", False))

    def _check_fitted(self) -> None:
        if not self.__sklearn_is_fitted__():
            name = type(self).__name__
            raise NotFittedError(f"This {name} is not fitted yet: call fit(X, y) first.")
        self._check_settled()

    def _check_settled(self, but: Collection[str] = ()) -> None:
        """Refuse parameters that the fit settled and that have changed since, but for some."""
        for name, value in self._settling().items():
            if name not in but and value != self._settled[name]:
                raise ParameterError(
                    f"{type(self).__name__}({name}=)",
                    f"{self._settled[name]}, as it was fitted with",
                    value,
                    "Set it back, or fit a clone.",
                )

    # What `save` keeps besides the parameters: values for JSON, and arrays.

    def _get_state(self) -> tuple[dict, dict[str, np.ndarray]]:
        self._check_fitted()
        return {"instruments_": list(self.instruments_), "sample_rate_": self.sample_rate_}, {}

    def _set_state(self, values: dict, arrays: dict[str, np.ndarray]) -> None:
        self.instruments_ = tuple(values["instruments_"])
        self.sample_rate_ = values["sample_rate_"]
        self._settled = self._settling()
        self._is_fitted = True


class SpectralEstimator(SceneEstimator):
    """Base class of systems that look at a mixture through an STFT.

    They take Mixtures, which their `transformer` turns into Spectrograms, or Spectrograms
    from an `STFT` that goes before them in a Pipeline.
    """

    def _is_silent(self, item: Spectrogram, audio: np.ndarray) -> bool:
        return not np.any(item.audio)  # what lies above the model's band is silence to it

    def _memory(self, item: Spectrogram) -> float:
        seconds, n_stretches = self._at_once(item.mixture)
        n_bins = item.n_bins * item.frame_rate * seconds * n_stretches
        return super()._memory(item) + 4 * n_bins * self._values_per_bin(item.mixture.n_channels)

    def _values_per_bin(self, n_channels: int) -> int:
        """Return how many numbers of 4 bytes are there at a time for each bin of a spectrum."""
        return 3 * n_channels + 4 * (len(self.instruments_) + getattr(self, "has_rest_", False))

    def _default_transformer(self) -> STFT:
        return STFT()

    def _begin_fit(self, X: Any) -> list[Spectrogram]:
        seen = [item for item in X if isinstance(item, Spectrogram)] if _is_iterable(X) else []
        transformer = getattr(self, "transformer", None)
        if seen:
            self.transformer_ = STFT(**seen[0].settings)
            if transformer and transformer.get_params() != seen[0].settings:
                raise ParameterError(
                    f"{type(self).__name__}(transformer=)",
                    f"None, or the STFT that made the Spectrograms, {self.transformer_}",
                    repr(transformer),
                    "Leave it out behind an STFT in a Pipeline, which takes its place.",
                )
        else:
            self.transformer_ = clone(transformer) if transformer else self._default_transformer()
        self.transformer_.fit()
        self.sample_rate_ = self.transformer_.sample_rate
        return self._accept_training(X)

    def _accept(self, X: Any) -> list[Spectrogram]:
        if not (_is_iterable(X) and any(isinstance(item, Spectrogram) for item in X)):
            return self.transformer_.transform(X)
        for i, item in enumerate(X):
            settings = getattr(item, "settings", None)
            if settings != self.transformer_.get_params():
                raise InputError(
                    f"X[{i}]",
                    f"a Spectrogram of {self.transformer_}",
                    repr(item),
                    "Use one STFT for all, in fit and in predict.",
                )
        check_mixtures([item.mixture for item in X])
        return list(X)

    def _get_state(self) -> tuple[dict, dict[str, np.ndarray]]:
        values, arrays = super()._get_state()
        return {**values, "transformer_": self.transformer_.get_params()}, arrays

    def _set_state(self, values: dict, arrays: dict[str, np.ndarray]) -> None:
        super()._set_state(values, arrays)
        self.transformer_ = STFT(**values["transformer_"])


def has_rest(items: Sequence, scenes: Sequence[Scene], instruments: Sequence[str]) -> bool:
    """Tell whether mixtures hold more than the wanted instruments.

    Looks at up to 16 scenes, evenly spaced, whose sources are known.
    """
    known = [i for i, scene in enumerate(scenes) if scene.sources is not None]
    for k in np.unique(np.linspace(0, len(known) - 1, min(16, len(known))).astype(int)):
        scene, mixture = scenes[known[k]], _mixture_of(items[known[k]])
        audio = mixture.read(scene.sample_rate)
        rest = audio - stack_sources(scene, instruments, audio).sum(axis=0)
        if np.sum(np.square(rest, dtype=float)) > 10 ** (_REST_DB / 10) * np.sum(
            np.square(audio, dtype=float)
        ):
            return True
    return False


def _mixture_of(item: Any) -> Mixture:
    return getattr(item, "mixture", item)


def _is_iterable(X: Any) -> bool:
    return isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.dtype == object)


def _folder_names(mixtures: Sequence[Mixture]) -> list[str]:
    """Return one folder name per mixture: its file's where no other has it, else a number."""
    stems = [
        Path(m.audio).stem if isinstance(m.audio, str | os.PathLike) else "" for m in mixtures
    ]
    times = Counter(stem.casefold() for stem in stems)  # some disks do not tell cases apart
    own = {stem for stem in stems if is_file_name(stem) and times[stem.casefold()] == 1}
    return [stem if stem in own else _number(i, own) for i, stem in enumerate(stems)]


def _number(i: int, taken: set[str]) -> str:
    """Return a number in four digits, or in more where it is a name already."""
    name = f"{i:04d}"
    while name in taken:
        name = f"0{name}"
    return name


def warn_of_silence() -> None:
    """Warn that a mixture is silent."""
    warnings.warn(
        "A mixture is silent: its sources are silence, and no notes are found in it.",
        SilenceWarning,
        stacklevel=3,
    )


def only(scene: Scene, wanted: tuple[str, ...]) -> Scene:
    """Return a scene with these of its instruments."""
    if wanted == scene.instruments:
        return scene
    rows = [scene.instruments.index(name) for name in wanted]
    sources, notes, rolls = scene.sources, scene.notes, scene.rolls
    if isinstance(sources, tuple):
        sources = tuple(sources[row] for row in rows)
    elif sources is not None:
        sources = sources[rows]
    return replace(
        scene,
        instruments=wanted,
        sources=sources,
        notes=None if notes is None else tuple(notes[row] for row in rows),
        rolls=None if rolls is None else rolls[rows],
    )
