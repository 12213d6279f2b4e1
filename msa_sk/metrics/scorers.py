"""Scorers: what model selection calls to judge a system by its predicted scenes.

A scene's value is the mean of its instruments' values, and a score is the mean of the scenes'
values, weighted where weights are given. What has no value (see `msa_sk.metrics.separation`) is
left out of both, and counted.
"""

import difflib
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from msa_sk._arguments import check_names, check_value
from msa_sk._sklearn import get_tags, real
from msa_sk._validation import check_mixtures, check_truth, check_weights
from msa_sk.exceptions import InputError, MsaWarning, SilenceWarning
from msa_sk.metrics.scenes import (
    IMPROVEMENTS,
    METRICS,
    NoteOptions,
    SceneScores,
    is_in_db,
    pair_scenes,
    score_scene,
)
from msa_sk.metrics.statistics import known_mean
from msa_sk.records import Mixture, Scene, unknown_name

_ALLOWED: dict[str, list] = {
    "slice_seconds": [real(0, np.inf, closed="right")],
    "onset_tolerance": [real(0)],
    "offset_ratio": [real(0)],
    "offset_min_tolerance": [real(0)],
    "frame_rate": [real(0, closed="neither"), None],
}


def get_scorer(metric: str) -> "SceneScorer":
    """Return the scorer of one metric, for ``scoring=``; it returns a float, higher is better.

    Parameters
    ----------
    metric : str
        - ``"sdr"``, ``"si_sdr"`` in dB, and their improvements over the mixture, ``"sdri"`` and
          ``"si_sdri"``;
        - ``"bss_sdr"``, ``"bss_sir"``, ``"bss_sar"`` and ``"nsdr"`` in dB, by BSS Eval;
        - ``"frame_"``, ``"note_onset_"`` or ``"note_onset_offset_"`` and then ``"precision"``,
          ``"recall"`` or ``"f1"``, from 0 to 1, for each instrument;
        - ``"multi_note_onset_f1"`` and so on: the notes of all instruments at once, the
          instrument being part of the match.

    Raises
    ------
    InputError
        If there is no such metric, with the closest one that there is.

    Examples
    --------
    >>> from msa_sk.metrics import get_scorer
    >>> get_scorer("si_sdri")
    SceneScorer('si_sdri')
    """
    return SceneScorer(metric)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a system scored on every scene.

    Parameters
    ----------
    scores : tuple of dict
        One for each scene: ``scores[i]["si_sdri"]["piano"]``; NaN is left out of means.
    n_solos : int, default=0
        Of how many scenes the mixture is its only source that sounds, where improvements over the
        mixture are measured: no estimate is better (see `si_sdr_improvement`).
    """

    scores: tuple[SceneScores, ...]
    n_solos: int = 0

    def values(self, metric: str, instrument: str | None = None) -> np.ndarray:
        """Return one value per scene: of an instrument, or the mean of its instruments."""
        scenes = [scene.get(metric, {}) for scene in self.scores]
        names = dict.fromkeys(name for scene in scenes for name in scene)
        chosen = list(names) if instrument is None else [instrument]
        table = [[np.nan, *(scene.get(name, np.nan) for name in chosen)] for scene in scenes]
        return known_mean(np.reshape(table, (len(scenes), 1 + len(chosen))))

    def mean(self, metric: str, instrument: str | None = None, sample_weight: Any = None) -> float:
        """Return the mean over scenes; NaN, with an MsaWarning, where all are left out."""
        weights = check_weights(sample_weight, len(self.scores))
        mean = float(known_mean(self.values(metric, instrument), weights))
        if np.isnan(mean):
            warnings.warn(
                f"No scene has a value of {metric}"
                + (f" for {instrument!r}" if instrument else "")
                + ": the truth is silent or unknown there, has other names than the estimate, "
                "or weighs nothing. The mean is NaN.",
                MsaWarning,
                stacklevel=3,
            )
        return mean

    @property
    def n_left_out(self) -> dict[str, int]:
        """How many values of each metric, one per scene and instrument, means leave out."""
        counts: dict[str, int] = {}
        for scene in self.scores:
            for metric, values in scene.items():
                n_missing = sum(np.isnan(value) for value in values.values())
                counts[metric] = counts.get(metric, 0) + int(n_missing)
        return counts


@dataclass(frozen=True, eq=False, repr=False)
class SceneScorer:
    """A scorer of several metrics that predicts each item once.

    Call it as ``scorer(estimator, X, y)`` or pass it as ``scoring=`` to anything in scikit-learn
    that selects models; with several metrics, pass ``refit=`` the one that decides.

    Parameters
    ----------
    metrics : str or sequence of str, default="si_sdri"
        Names that `get_scorer` takes. One name makes the score a float; a sequence makes it a
        dict, ``{"si_sdri": 9.8, ...}``.
    instruments : sequence of str, default=None
        Score these only, and add each one's mean to the dict, as ``"si_sdri_piano"``. None
        scores all, and gives no means of single instruments.
    slice_seconds : float, default=600.0
        How many seconds of audio are predicted, and held, at a time.
    onset_tolerance, offset_ratio, offset_min_tolerance : float, default=0.05, 0.2, 0.05
        As in `note_onset_offset_scores`.
    onset_only : sequence of str, default=("drums",)
        Instruments whose note offsets are not looked at.
    frame_rate : float, default=None
        Of frame scores, in Hz; None takes that of the estimate's rolls, else 62.5.

    Notes
    -----
    Instruments are matched by name. Those that the estimator was not asked for (that are not in
    its ``instruments_``) stay in the mixture and are not scored; of those it was asked for, none
    may be missing in what it predicts. Estimators with the tag ``blind`` are scored by the
    permutation with the best SI-SDR. The estimator is found inside Pipelines and searches.

    Examples
    --------
    >>> from msa_sk.metrics import SceneScorer
    >>> SceneScorer(["si_sdri", "note_onset_f1"], instruments=("piano", "guitar"))
    SceneScorer(['si_sdri', 'note_onset_f1'], instruments=('piano', 'guitar'))
    """

    metrics: str | Sequence[str] = "si_sdri"
    instruments: Sequence[str] | None = None
    slice_seconds: float = 600.0
    onset_tolerance: float = 0.05
    offset_ratio: float = 0.2
    offset_min_tolerance: float = 0.05
    onset_only: Sequence[str] = ("drums",)
    frame_rate: float | None = None

    def __post_init__(self):
        check_value(self.metrics, "SceneScorer(metrics=)", str, "array-like")
        if not len(self._names):
            raise InputError("metrics", "at least one name", "none", "Name a metric.")
        for name in self._names:
            if name not in METRICS:
                close = difflib.get_close_matches(str(name), METRICS, n=1)
                raise InputError(
                    "metrics",
                    f"names from {list(METRICS)}",
                    repr(name),
                    f"Did you mean {close[0]!r}?" if close else "Check the spelling.",
                )
        if self.instruments is not None:
            check_names(self.instruments, "instruments")
        check_names(self.onset_only, "onset_only", at_least=0)
        for name, allowed in _ALLOWED.items():
            check_value(getattr(self, name), f"SceneScorer({name}=)", *allowed)

    def __repr__(self) -> str:
        changed = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)[1:]
            if getattr(self, field.name) != field.default
        ]
        return f"SceneScorer({', '.join([repr(self.metrics), *changed])})"

    @property
    def _names(self) -> Sequence[str]:
        return (self.metrics,) if isinstance(self.metrics, str) else self.metrics

    @property
    def _improvements(self) -> list[str]:
        return [name for name in self._names if name in IMPROVEMENTS]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, so that scikit-learn can clone the scorer."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Predict X and return the mean scores; NaN, with an MsaWarning, where all is left out.

        Of several metrics, those of what the estimator does not find (notes, or sources) are NaN
        too, with an MsaWarning: a search over weights that switch heads off keeps the others. One
        metric alone is refused there.

        Parameters
        ----------
        estimator : estimator
            Fitted; its ``predict`` returns a list of Scenes.
        X, y : list or ndarray of length n_mixes
            Mixtures and true scenes, in any form that estimators take.
        sample_weight : array-like of shape (n_mixes,), default=None

        Returns
        -------
        score : float, or dict of str to float
            As `metrics` is a name or a sequence of them.

        Warns
        -----
        SilenceWarning
            If improvements over the mixture are asked for of mixtures that are solos.
        """
        several = not isinstance(self.metrics, str)
        evaluation = self.evaluate(estimator, X, y, skip_unknown=several)
        if evaluation.n_solos:
            _warn_of_solos(evaluation, self._improvements)
        if isinstance(self.metrics, str):
            return evaluation.mean(self.metrics, sample_weight=sample_weight)
        means = {}
        for metric in self.metrics:
            alone = () if metric.startswith("multi_") else self.instruments or ()
            names = {metric: None, **{f"{metric}_{name}": name for name in alone}}
            if not all(metric in scene for scene in evaluation.scores):
                _warn_of_unknown(metric, type(final_estimator(estimator)).__name__)
                means.update(dict.fromkeys(names, np.nan))
                continue
            for key, name in names.items():
                means[key] = evaluation.mean(metric, name, sample_weight)
        return means

    def evaluate(
        self, estimator: Any, X: Any, y: Any, *, skip_unknown: bool = False
    ) -> Evaluation:
        """Predict X and return the scores of every scene, with how many values are missing.

        Parameters
        ----------
        estimator, X, y
            As in a call.
        skip_unknown : bool, default=False
            Leave out metrics of what the estimator does not find (the notes, or the sources),
            instead of raising.

        Returns
        -------
        evaluation : Evaluation

        Raises
        ------
        InputError
            If a prediction cannot be scored; the message begins with the item, ``X[3]``.
        InstrumentError
            If nobody knows one of `instruments`: neither the truth nor the estimator.
        """
        check_system(estimator, "estimator")
        system = final_estimator(estimator)
        mixtures = check_mixtures(X, getattr(system, "sample_rate_", None))
        truths = check_truth(y, mixtures)
        blind = _is_blind(system)
        asked = None if blind else getattr(system, "instruments_", None)
        options = NoteOptions(*(getattr(self, name) for name in NoteOptions._fields))
        known = {name for truth in truths for name in truth.instruments}.union(asked or ())
        if blind or asked is not None:  # else only predictions can tell
            self._check_known(known)
        n_solos = 0
        scores: list[SceneScores] = []
        for i, scene in enumerate(_predict(estimator, X, mixtures, self.slice_seconds)):
            try:
                pair = pair_scenes(
                    truths[i],
                    scene,
                    mixtures[i],
                    options,
                    instruments=self.instruments,
                    asked=asked,
                    blind=blind,
                )
                scores.append(score_scene(pair, self._names, skip_unknown))
                n_solos += bool(self._improvements) and pair.is_solo()
            except InputError as error:
                raise error.within(f"X[{i}]") from error
            known.update(scene.instruments)
        self._check_known(known)
        return Evaluation(tuple(scores), n_solos)

    def _check_known(self, known: Collection[str]) -> None:
        for name in self.instruments or ():
            if name not in known:
                raise unknown_name("instruments", name, sorted(known))


def _warn_of_solos(evaluation: Evaluation, metrics: Sequence[str]) -> None:
    n_solos, n_scenes = evaluation.n_solos, len(evaluation.scores)
    are = "is a solo" if n_solos == 1 else "are solos"
    warnings.warn(
        f"{n_solos} of {n_scenes} mixtures {are}, as all other sources are silent there: no "
        f"estimate is better than such a mixture, and {', '.join(metrics)} of down to -100 dB "
        "decide the mean. Leave solos out (Excerpts with min_instruments=2), or score by si_sdr.",
        SilenceWarning,
        stacklevel=3,
    )


def _warn_of_unknown(metric: str, system: str) -> None:
    """Warn of a metric of what a system does not find."""
    part, does = ("sources", "separates") if is_in_db(metric) else ("notes", "transcribes")
    warnings.warn(
        f"{metric} is NaN: this {system} predicts no {part}. Leave the metric out, or use an "
        f"estimator that {does}: give the head that does a weight above 0.",
        MsaWarning,
        stacklevel=3,
    )


def check_system(estimator: Any, item: str) -> None:
    """Refuse what cannot predict."""
    if isinstance(estimator, type) or not hasattr(estimator, "predict"):
        got, remedy = repr(estimator)[:80], "Pass what fit returns."
        raise InputError(item, "a fitted estimator", got, remedy)


def final_estimator(estimator: Any) -> Any:
    """Return the system inside Pipelines and fitted searches."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif getattr(estimator, "steps", None):
            estimator = estimator.steps[-1][1]
        else:
            return estimator


def _is_blind(estimator: Any) -> bool:
    has_tags = hasattr(estimator, "__sklearn_tags__")
    return has_tags and getattr(get_tags(estimator), "blind", False)


def _predict(
    estimator: Any, X: Any, mixtures: Sequence[Mixture], seconds: float
) -> Iterator[Scene]:
    """Predict slice by slice, so that no more than one is held at a time."""
    for start, stop in _slices(mixtures, seconds):
        yield from _predict_slice(estimator, X[start:stop], stop - start)


def _predict_slice(estimator: Any, X: Any, n_scenes: int) -> list[Scene]:
    scenes = list(estimator.predict(X))
    if len(scenes) != n_scenes or not all(isinstance(scene, Scene) for scene in scenes):
        kinds = sorted({type(scene).__name__ for scene in scenes})
        raise InputError(
            f"{type(estimator).__name__}.predict",
            f"{n_scenes} Scenes, one for each mixture",
            f"{len(scenes)} of {', '.join(kinds) or 'nothing'}",
            "Score estimators that return a list of Scenes.",
        )
    return scenes


def _slices(mixtures: Sequence[Mixture], seconds: float) -> Iterator[tuple[int, int]]:
    """Cut a collection so that each part lasts so many seconds at most, or is one mixture."""
    start, total = 0, 0.0
    for i, mixture in enumerate(mixtures):
        duration = mixture.duration
        if i > start and total + duration > seconds:
            yield start, i
            start, total = i, 0.0
        total += duration
    if mixtures:
        yield start, len(mixtures)
