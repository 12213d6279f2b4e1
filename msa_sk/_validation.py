"""The door: whatever a user passes becomes records here, once, or is refused.

Every message says the item, what was expected, what came, and the remedy.
"""

import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from msa_sk._arguments import check_names, check_value
from msa_sk.audio import as_audio
from msa_sk.clips import Clip, clips_of
from msa_sk.exceptions import (
    AudioError,
    InputError,
    InstrumentError,
    NotesError,
    NotesWarning,
    ParameterError,
)
from msa_sk.records import Mixture, Scene, unknown_name


def check_mixtures(
    X: Any, sample_rate: int | None = None, name: str = "X", at_least: int = 0
) -> list[Mixture]:
    """Return a collection of anything that is a mixture as a list of Mixtures.

    Parameters
    ----------
    X : list or ndarray
        Mixtures (or what holds one as ``.mixture``), arrays, paths or Clips; an array of shape
        (n_mixes, n_samples) or (n_mixes, n_channels, n_samples); an object array of these.
    sample_rate : int, default=None
        In Hz, for arrays that come without one.
    name : str, default="X"
        The collection's name in messages.
    at_least : int, default=0
        1 refuses a collection of nothing.

    Raises
    ------
    InputError
        If X is one mixture instead of a collection, or holds something else, or too little.
    AudioError
        If samples are not finite, there are none, or a file is missing.
    """
    items = as_list(X, name)
    if len(items) < at_least:
        raise InputError(name, "at least one mixture", "none", "Pass some.")
    found: set[str] = set()
    return [_as_mixture(item, f"{name}[{i}]", sample_rate, found) for i, item in enumerate(items)]


def check_scenes(y: Any, mixtures: Sequence[Mixture], name: str = "y") -> list[Scene]:
    """Return a collection of truths as a list of Scenes that fit their mixtures.

    Parameters
    ----------
    y : list or ndarray
        Scenes; arrays of shape (n_sources, n_samples) or (n_sources, n_channels, n_samples),
        whose instruments become ``source_0``, ...; or dicts of instrument to audio.
    mixtures : sequence of Mixture
        What `check_mixtures` returned.
    name : str, default="y"
        The collection's name in messages.

    Raises
    ------
    InputError
        If there are more or fewer than mixtures, or something is no truth.
    AudioError
        If a source's rate or length is not its mixture's, or its file is missing.
    """
    if y is None:
        raise InputError(
            name,
            "the true scenes, one for each mixture",
            "None",
            "Pass y: a list of Scenes, arrays or dicts.",
        )
    items = as_list(y, name)
    if len(items) != len(mixtures):
        raise InputError(
            name,
            f"{len(mixtures)} scenes, one for each mixture",
            str(len(items)),
            "X and y must have the same length and order.",
        )
    found: set[str] = set()
    return [
        _as_scene(item, mixture, f"{name}[{i}]", found)
        for i, (item, mixture) in enumerate(zip(items, mixtures, strict=True))
    ]


def check_truth(y: Any, mixtures: Sequence[Mixture], name: str = "y") -> list[Scene]:
    """Return what `check_scenes` returns, for whoever learns from it or scores by it.

    Raises
    ------
    InputError
        As `check_scenes`.
    NotesError
        If all notes of an instrument begin after their mixture has ended.

    Warns
    -----
    NotesWarning
        If some notes do.
    """
    scenes = check_scenes(y, mixtures, name)
    _check_notes_within(scenes, mixtures, name)
    return scenes


def _check_notes_within(scenes: Sequence[Scene], mixtures: Sequence[Mixture], name: str) -> None:
    """Refuse notes of an instrument that all begin after their mixture has ended.

    Of some that do there is one NotesWarning. A mixture whose file cannot be read is left to
    whoever reads it.
    """
    late: list[str] = []
    n_late = 0
    for i, (scene, mixture) in enumerate(zip(scenes, mixtures, strict=True)):
        if scene.notes is None:
            continue
        try:
            seconds = mixture.duration
        except AudioError:
            continue
        for instrument, notes in zip(scene.instruments, scene.notes, strict=True):
            n_after = notes.n_after(seconds)
            place = f"{name}[{i}], notes of {instrument!r}"
            if n_after and n_after == len(notes):
                raise NotesError(
                    place,
                    f"some that begin before the mixture ends, at {seconds:.2f} s",
                    f"{n_after} that begin later",
                    "Check that they are of this recording, and in seconds.",
                )
            if n_after:
                n_late += n_after
                late.append(f"{place}: {n_after} of {len(notes)} (it lasts {seconds:.2f} s)")
    if late:
        more = f" (and {len(late) - 1} more like it)" if len(late) > 1 else ""
        warnings.warn(
            f"{n_late} notes begin after their mixture has ended: nothing is learnt from them, "
            f"and scores count them as missed. {late[0]}{more}.",
            NotesWarning,
            stacklevel=3,
        )


def names_in(scenes: Iterable[Scene]) -> tuple[str, ...]:
    """Return the sorted union of the scenes' instruments."""
    return tuple(sorted({name for scene in scenes for name in scene.instruments}))


def check_instruments(
    instruments: Sequence[str] | None, known: Sequence[str], item: str = "instruments"
) -> tuple[str, ...]:
    """Return the instruments to look for: those asked for, or all that are known.

    Raises
    ------
    InstrumentError
        If a name that was asked for is not known, doubled, or there is none at all.
    """
    if not known:
        remedy = "Name the sources of each mixture, as in {'piano': audio}."
        raise InstrumentError("y", "scenes with instruments", "none in any of them", remedy)
    if instruments is None:
        instruments = known
    names = check_names(instruments, item)
    for name in names:
        if name not in known and all(re.fullmatch(r"source_\d+", one) for one in known):
            remedy = "Arrays have no names, so that theirs are numbers: pass dicts or Scenes."
            raise InstrumentError(item, f"one of {list(known)}", repr(name), remedy)
        if name not in known:
            raise unknown_name(item, name, known)
    return names


def check_random(random_state: Any) -> np.random.RandomState:
    """Return a generator; for None a fresh one, so that numpy's global one is left alone."""
    if random_state is None:
        return np.random.RandomState(np.random.MT19937(np.random.SeedSequence()))
    return check_random_state(random_state)


def check_weights(sample_weight: Any, n_items: int) -> np.ndarray:
    """Return `sample_weight` as a float array of length `n_items`; ones where it is None."""
    if sample_weight is None:
        return np.ones(n_items)
    weights = np.asarray(sample_weight, dtype=float)
    if weights.shape != (n_items,) or not np.isfinite(weights).all() or (weights < 0).any():
        raise InputError(
            "sample_weight",
            f"{n_items} finite weights from 0",
            repr(weights)[:80],
            "Pass one weight for each mixture.",
        )
    return weights


def check_parameters(estimator: Any) -> None:
    """Hold an estimator's parameters against its declared ``_parameter_constraints``.

    It may declare ``_remedies`` for some of them, which a message ends with.

    Raises
    ------
    ParameterError
        Naming the parameter, what it may be, and what it is.
    """
    parameters = estimator.get_params(deep=False)
    caller, remedies = type(estimator).__name__, getattr(estimator, "_remedies", {})
    for name, constraints in estimator._parameter_constraints.items():
        value = parameters[name]
        if isinstance(value, type) and str not in constraints:
            raise ParameterError(
                f"{caller}({name}=)",
                "an instance",
                f"the class {value.__name__}",
                f"Make one: {value.__name__}(...).",
            )
        item, remedy = f"{caller}({name}=)", remedies.get(name, "Change it with set_params.")
        if name == "instruments" and isinstance(value, str):
            remedy = f"Pass [{value!r}]."
        check_value(value, item, *constraints, remedy=remedy)


def from_preset(
    cls: Callable[..., Any], presets: Mapping[str, dict[str, Any]], name: Any, changes: dict
) -> Any:
    """Return what a class makes of a preset's parameters, with changes.

    Raises
    ------
    ParameterError
        If there is no such preset, or no such parameter; names the closest one.
    """
    item = f"{cls.__name__}.from_preset"
    if not isinstance(name, str) or name not in presets:
        raise unknown_name(f"{item}(name)", name, list(presets), ParameterError)
    parameters = list(signature(cls).parameters)
    for change in changes:
        if change not in parameters:
            raise unknown_name(f"{item}(**changes)", change, parameters, ParameterError)
    return cls(**(presets[name] | changes))


def as_list(collection: Any, name: str) -> list:
    """Return a list or an array of things as a list; refuse one thing.

    Raises
    ------
    InputError
    """
    one = f"one {type(collection).__name__}"
    if isinstance(collection, str | os.PathLike | Clip | Mixture | Scene | Mapping) or hasattr(
        collection, "mixture"
    ):
        raise InputError(name, "a collection", one, f"To pass a single one: [{name.lower()}].")
    if hasattr(collection, "detach"):
        collection = collection.detach().cpu().numpy()
    if isinstance(collection, np.ndarray):
        if collection.ndim == 0 or (collection.ndim == 1 and collection.dtype != object):
            raise InputError(
                name,
                "a collection: an array with one mixture per row",
                f"shape {collection.shape}",
                f"To pass a single one: [{name.lower()}].",
            )
        return list(collection)
    if not isinstance(collection, list | tuple):
        raise InputError(name, "a list or an array", one, "Make it a list.")
    if collection and all(isinstance(item, int | float) for item in collection):
        raise InputError(
            name,
            "a collection of mixtures",
            "a list of numbers",
            f"To pass a single one: [numpy.asarray({name.lower()})].",
        )
    return list(collection)


def _as_mixture(item: Any, name: str, sample_rate: int | None, found: set[str]) -> Mixture:
    mixture = getattr(item, "mixture", item)
    if not isinstance(mixture, Mixture):
        is_samples = not isinstance(item, str | os.PathLike | Clip | tuple)
        if is_samples and not hasattr(item, "__array__") and not isinstance(item, list):
            raise InputError(
                name,
                "a Mixture, an array, a path or a Clip",
                type(item).__name__,
                "Wrap it: Mixture(audio, sample_rate).",
            )
        mixture = Mixture(as_audio(item, name) if is_samples else item)
    clips = clips_of(mixture.audio)
    if clips is None:
        as_audio(mixture.audio, name)
        if mixture.sample_rate is None and sample_rate is not None:
            return replace(mixture, sample_rate=sample_rate)
    _check_files(clips, name, found)
    return mixture


def _check_files(clips: Sequence[Clip] | None, name: str, found: set[str]) -> None:
    """Refuse clips of files that are not there; those that were found are remembered."""
    for clip in clips or ():
        path = os.fspath(clip.path)
        if path not in found and not Path(path).is_file():
            raise AudioError(
                f"{name} ({path})",
                "an audio file",
                "a directory" if Path(path).is_dir() else "nothing there",
                "Check the path.",
            )
        found.add(path)


def _as_scene(item: Any, mixture: Mixture, name: str, found: set[str]) -> Scene:
    if isinstance(item, Mapping):
        try:
            item = Scene(tuple(item), mixture.rate, tuple(item.values()))
        except InputError as error:
            raise error.within(name) from error
    elif not isinstance(item, Scene):
        sources = np.asarray(item.detach().cpu() if hasattr(item, "detach") else item)
        if sources.dtype.kind not in "fiu" or sources.ndim not in (2, 3):
            raise InputError(
                name,
                "a Scene, a dict of audio, or an array of shape (n_sources, n_samples)",
                "None" if item is None else f"{type(item).__name__} of shape {sources.shape}",
                "Wrap it: Scene(instruments, sample_rate, sources).",
            )
        names = tuple(f"source_{i}" for i in range(len(sources)))
        item = Scene(names, mixture.rate, sources)
    _check_fit(item, mixture, name, found)
    return item


def _check_fit(scene: Scene, mixture: Mixture, name: str, found: set[str]) -> None:
    """Refuse sources in memory that cannot be of this mixture, and files that are not there."""
    if scene.sources is None:
        return
    if scene.sample_rate != mixture.rate:
        raise AudioError(
            name,
            f"{mixture.rate} Hz, the rate of its mixture",
            f"{scene.sample_rate} Hz",
            "Resample one of them, or say which rate samples have: "
            f"Mixture(audio, {scene.sample_rate}).",
        )
    for instrument, source in zip(scene.instruments, scene.sources, strict=True):
        source_name = f"{name}, source {instrument!r}"
        clips = clips_of(source)
        if clips is not None:
            _check_files(clips, source_name, found)
            continue
        samples = as_audio(source, source_name)
        if clips_of(mixture.audio) is None and samples.shape[-1] != mixture.n_samples:
            raise AudioError(
                source_name,
                f"{mixture.n_samples} samples, as its mixture has",
                str(samples.shape[-1]),
                "Cut or pad it.",
            )
        fits_any = samples.ndim == 1 or clips_of(mixture.audio) is not None
        if not fits_any and samples.shape != np.shape(mixture.audio):
            raise AudioError(
                source_name,
                f"samples of shape {np.shape(mixture.audio)}, as its mixture has, or mono",
                f"shape {samples.shape}",
                "Downmix it, or mix anew.",
            )
