"""Scores of one scene: every metric by its name, one value per instrument.

An instrument that the estimate lists and the truth does not is silence in the truth; one that
the system was not asked for stays in the mixture and is not scored.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from msa_sk.exceptions import AudioError, InputError, InstrumentError
from msa_sk.metrics._counts import Scores, scores_from_counts
from msa_sk.metrics._signals import assign
from msa_sk.metrics.bss import bss_eval, nsdr
from msa_sk.metrics.rolls import frame_scores
from msa_sk.metrics.separation import (
    best_permutation,
    sdr,
    sdr_improvement,
    si_sdr,
    si_sdr_improvement,
)
from msa_sk.metrics.transcription import (
    match_notes,
    note_onset_offset_scores,
    note_onset_scores,
)
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene, stack_sources

# In dB: a mixture that is a source but for so little is a solo.
_SOLO_DB = 60.0

#: Stands for all instruments together.
ALL = "all"

#: The values of one scene: ``scores["si_sdri"]["piano"]``.
SceneScores = dict[str, dict[str, float]]

#: Of each instrument, one value for each of the metrics that are computed together.
Values = Mapping[str, Sequence[float] | np.ndarray]


class NoteOptions(NamedTuple):
    """When notes are the same, and how fast frames follow; see `msa_sk.metrics.transcription`."""

    onset_tolerance: float = 0.05
    offset_ratio: float = 0.2
    offset_min_tolerance: float = 0.05
    onset_only: Sequence[str] = ("drums",)
    frame_rate: float | None = None


@dataclass(frozen=True)
class ScenePair:
    """A true scene, its estimate, and whom to score."""

    reference: Scene
    estimate: Scene
    mixture: Mixture
    instruments: tuple[str, ...]
    options: NoteOptions

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All that either side lists, scored or not: interference comes from them all."""
        return tuple(dict.fromkeys([*self.reference.instruments, *self.estimate.instruments]))

    @cached_property
    def sources(self) -> tuple[np.ndarray, np.ndarray]:
        """True and estimated samples of `names`: (n_sources, n_samples) or with channels."""
        return _stack_both(self.reference, self.estimate, self.names, self.names)

    def is_solo(self) -> bool:
        """Tell whether the mixture is one of `instruments`, and all others are silent.

        No estimate can be better than such a mixture.
        """
        if self.reference.sources is None or self.estimate.sources is None:
            return False
        true = self.sources[0]
        energies = np.array([np.sum(np.square(one, dtype=float)) for one in true])
        if not energies.any():
            return False
        loudest = int(energies.argmax())
        others = energies.sum() - energies[loudest]
        if self.names[loudest] not in self.instruments:
            return False
        if others > 10 ** (-_SOLO_DB / 10) * energies[loudest]:
            return False
        mixture = self.mixture.read(self.reference.sample_rate)
        return bool(si_sdr(true[loudest].ravel(), mixture.ravel()) > _SOLO_DB)

    @cached_property
    def notes(self) -> tuple[dict, dict]:
        """True and estimated notes of `instruments`."""
        reference, estimate = (
            {name: scene.notes_of(name) for name in self.instruments if name in scene.instruments}
            for scene in (self.reference, self.estimate)
        )
        return reference, estimate


class _Metrics(NamedTuple):
    """Metrics that are computed together.

    ``part`` of a Scene is what they are about. ``measure`` takes a ScenePair and returns, for
    each instrument, one value per name; `together`, for all instruments at once.
    """

    names: tuple[str, ...]
    part: str
    measure: Callable[[ScenePair], Values]
    together: bool = False


def _of_sources(*names: str, function: Callable, takes_mixture: bool = False) -> _Metrics:
    def measure(pair: ScenePair) -> Values:
        signals = list(pair.sources)
        if takes_mixture:
            signals.append(pair.mixture.read(pair.reference.sample_rate))
        values = np.atleast_2d(function(*signals, multichannel=signals[0].ndim == 3))
        return {name: values[:, pair.names.index(name)] for name in pair.instruments}

    return _Metrics(names, "sources", measure)


def _of_notes(prefix: str, *options: str, function: Callable, together: bool = False) -> _Metrics:
    def measure(pair: ScenePair) -> Values:
        chosen = {name: getattr(pair.options, name) for name in options}
        if "frame_rate" in chosen:  # dicts of notes do not know their scene's
            chosen["frame_rate"] = chosen["frame_rate"] or pair.estimate.frame_rate
        scores = function(*pair.notes, by_instrument=not together, **chosen)
        return {ALL: scores} if together else scores

    names = tuple(f"{prefix}_{score}" for score in Scores._fields)
    return _Metrics(names, "notes", measure, together)


_ONSET = ("onset_tolerance",)
_OFFSET = ("onset_tolerance", "offset_ratio", "offset_min_tolerance", "onset_only")
_TABLE = (
    _of_sources("sdr", function=sdr),
    _of_sources("si_sdr", function=si_sdr),
    _of_sources("sdri", function=sdr_improvement, takes_mixture=True),
    _of_sources("si_sdri", function=si_sdr_improvement, takes_mixture=True),
    _of_sources("nsdr", function=nsdr, takes_mixture=True),
    _of_sources("bss_sdr", "bss_sir", "bss_sar", function=bss_eval),
    _of_notes("frame", "frame_rate", function=frame_scores),
    _of_notes("note_onset", *_ONSET, function=note_onset_scores),
    _of_notes("note_onset_offset", *_OFFSET, function=note_onset_offset_scores),
    _of_notes("multi_note_onset", *_ONSET, function=note_onset_scores, together=True),
    _of_notes(
        "multi_note_onset_offset", *_OFFSET, function=note_onset_offset_scores, together=True
    ),
)

#: Every metric's name. ``multi_`` matches the notes of all instruments at once, the instrument
#: being part of the match; all others are measured for each instrument.
METRICS = tuple(name for metrics in _TABLE for name in metrics.names)


#: Those that say by how much an estimate is better than the mixture.
IMPROVEMENTS = ("sdri", "si_sdri", "nsdr")


def is_in_db(metric: str) -> bool:
    """Tell whether a metric's values are in dB; all others are from 0 to 1."""
    return any(metric in metrics.names for metrics in _TABLE if metrics.part == "sources")


def split_name(name: str) -> tuple[str, str]:
    """Return the metric and the instrument of a mean's name; both empty if it is not ours.

    ``"si_sdri_piano"`` is the ``"si_sdri"`` of the ``"piano"``; without an instrument it is all's.
    """
    fitting = [metric for metric in METRICS if f"{name}_".startswith(f"{metric}_")]
    metric = max(fitting, key=len, default="")
    return metric, name[len(metric) + 1 :] if metric else ""


def metric_label(name: str) -> str:
    """Return the name of a mean as people write it; one that is not ours as it is.

    Examples
    --------
    >>> [metric_label(name) for name in ("si_sdri", "note_onset_f1_piano", "accuracy")]
    ['SI-SDRi (dB)', 'note-onset F1, piano', 'accuracy']
    """
    metric, instrument = split_name(name)
    if not metric:
        return name
    if is_in_db(metric):
        label = metric.upper().replace("SDRI", "SDRi").replace("SI_", "SI-").replace("_", " ")
        label += " (dB)"
    else:
        notes, _, score = metric.rpartition("_")
        label = f"{notes.replace('_', '-')} {score.replace('f1', 'F1')}"
    return f"{label}, {instrument}" if instrument else label


def score_scene(
    pair: ScenePair, metrics: Collection[str], skip_unknown: bool = False
) -> SceneScores:
    """Score one scene.

    Parameters
    ----------
    pair : ScenePair
    metrics : collection of str
        From `METRICS`.
    skip_unknown : bool, default=False
        Leave a metric out, instead of raising, if the estimate lacks what it is about.

    Returns
    -------
    scores : dict of str to dict of str to float
        By metric, then by instrument. NaN where the truth is silent or unknown.
    """
    scores: SceneScores = {}
    for table in _TABLE:
        wanted = [name for name in table.names if name in metrics]
        if not wanted or (skip_unknown and getattr(pair.estimate, table.part) is None):
            continue
        values: Values = {}
        if getattr(pair.reference, table.part) is None:
            unknown = (ALL,) if table.together else pair.instruments
            values = {name: [np.nan] * len(table.names) for name in unknown}
        elif pair.instruments:
            values = table.measure(pair)
        for name in wanted:
            i = table.names.index(name)
            scores[name] = {instrument: float(value[i]) for instrument, value in values.items()}
    return {name: scores[name] for name in metrics if name in scores}


def pair_scenes(
    reference: Scene,
    estimate: Scene,
    mixture: Mixture,
    options: NoteOptions,
    *,
    instruments: Collection[str] | None = None,
    asked: Collection[str] | None = None,
    blind: bool = False,
) -> ScenePair:
    """Decide who is scored against whom.

    Parameters
    ----------
    reference, estimate : Scene
    mixture : Mixture
    options : NoteOptions
    instruments : collection of str, default=None
        Score these only.
    asked : collection of str, default=None
        What the system was asked for; None means everything.
    blind : bool, default=False
        The estimate's names mean nothing: its sources are given the names of the references
        that they fit best, by SI-SDR or, where sources are unknown, by onset F1. Sources
        beyond the references are not scored.

    Raises
    ------
    InstrumentError
        If the estimate lacks an instrument that the system was asked for.
    AudioError
        If the two have different sampling rates or lengths.
    """
    if reference.sample_rate != estimate.sample_rate:
        raise AudioError(
            repr(estimate),
            f"{reference.sample_rate} Hz, the truth's rate",
            f"{estimate.sample_rate} Hz",
            "Resample one of them.",
        )
    if blind:
        estimate = name_sources(reference, estimate)
        asked = estimate.instruments
    listed = dict.fromkeys([*reference.instruments, *estimate.instruments])
    scored = tuple(
        name
        for name in listed
        if (instruments is None or name in instruments)
        and (asked is None or name in asked or name in estimate.instruments)
    )
    for name in scored:
        if name not in estimate.instruments:
            raise InstrumentError(
                repr(estimate),
                f"an estimate of {name!r}, which the truth lists",
                f"{list(estimate.instruments)}",
                "Estimate it, as silence if need be, or leave it out of the instruments to score.",
            )
    return ScenePair(reference, estimate, mixture, scored, options)


def name_sources(reference: Scene, estimate: Scene) -> Scene:
    """Return a blind estimate under the names of the references that its sources fit best."""
    names = reference.instruments
    if reference.sources is not None and estimate.sources is not None:
        sources = _stack_both(reference, estimate, names, estimate.instruments)
        permutation = best_permutation(*sources, multichannel=sources[0].ndim == 3)
    elif reference.notes is not None and estimate.notes is not None:
        f1 = [[_onset_f1(true, found) for found in estimate.notes] for true in reference.notes]
        permutation = assign(np.reshape(f1, (len(names), len(estimate.instruments))))
    else:
        raise InputError(
            repr(estimate),
            "sources or notes that the truth has too",
            f"{reference!r} as truth",
            "Score a system by what it finds.",
        )
    found = [(name, int(j)) for name, j in zip(names, permutation, strict=True) if j >= 0]
    parts: dict[str, Any] = {}
    for part in ("sources", "notes", "rolls"):
        if getattr(estimate, part) is not None:
            parts[part] = tuple(getattr(estimate, part)[j] for _, j in found)
    return replace(estimate, instruments=tuple(name for name, _ in found), **parts)


def _onset_f1(reference: Notes, estimate: Notes) -> float:
    n_hits = len(match_notes(reference, estimate, offset_ratio=None))
    return scores_from_counts(n_hits, len(reference), len(estimate)).f1


def _stack_both(
    reference: Scene, estimate: Scene, names: Sequence[str], estimated: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return both scenes' sources in the shape of the estimate's; see `stack_sources`."""
    like = estimate.source(estimate.instruments[0])
    true = stack_sources(reference, names, like, "the estimate")
    return true, stack_sources(estimate, estimated, like, "the estimate")
