"""Systems side by side on the same scenes, as a table that a paper could print."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from msa_sk._arguments import check_song, check_value
from msa_sk._files import atomic_path
from msa_sk._sklearn import real, whole
from msa_sk._validation import check_mixtures
from msa_sk.exceptions import InputError
from msa_sk.metrics.scenes import ALL, is_in_db
from msa_sk.metrics.scorers import Evaluation, SceneScorer, check_system
from msa_sk.metrics.statistics import (
    bootstrap_interval,
    holm,
    known_mean,
    mann_whitney,
    song_means,
    wilcoxon,
)
from msa_sk.metrics.tables import csv_table, latex_table, latex_text, markdown_table
from msa_sk.records import Mixture


def compare(
    estimators: Mapping[str, Any],
    X: Any,
    y: Any,
    *,
    metrics: str | Sequence[str] | SceneScorer = "si_sdri",
    instruments: Sequence[str] | None = None,
    groups: Sequence | None = None,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    random_state: int | None = 0,
) -> "Comparison":
    """Score fitted systems on the same scenes.

    Parameters
    ----------
    estimators : dict of str to estimator
        Fitted systems by their names in the table.
    X, y : list or ndarray of length n_mixes
        Mixtures and true scenes, in any form that estimators take.
    metrics : str, sequence of str, or SceneScorer, default="si_sdri"
        Names that `get_scorer` takes, or a scorer with tolerances of your own. Those of what a
        system does not find (notes, or sources) have no value for it.
    instruments : sequence of str, default=None
        Score these only.
    groups : sequence of length n_mixes, default=None
        The song of each mixture; None takes their ``group``, and a mixture without one is a
        song of its own. Intervals and tests are about songs, never about excerpts.
    confidence : float, default=0.95
        Probability of the intervals; what is left of 1 is the level of significance.
    n_resamples : int, default=10000
        Of the bootstrap.
    random_state : int or None, default=0
        Of the bootstrap; None draws anew each time.

    Returns
    -------
    comparison : Comparison

    Examples
    --------
    >>> from msa_sk import IdealMaskSeparator, MixtureBaseline, attach_truth
    >>> from msa_sk.datasets import make_scenes
    >>> from msa_sk.metrics import compare
    >>> mixes, scenes = make_scenes(2, random_state=0)
    >>> mixes = attach_truth(mixes, scenes)
    >>> floor, ceiling = MixtureBaseline(), IdealMaskSeparator()
    >>> fitted = {"mixture": floor.fit(mixes, scenes), "masks": ceiling.fit(mixes, scenes)}
    >>> compare(fitted, mixes, scenes, metrics=["si_sdri", "sdr"])
    Comparison(mixture, masks; si_sdri, sdr; 2 scenes of 2 songs)
    """
    if not isinstance(estimators, Mapping) or not estimators:
        raise InputError(
            "estimators",
            "a dict of names to fitted estimators",
            repr(estimators)[:80],
            "Pass {'NMF': nmf, ...}.",
        )
    for name, estimator in estimators.items():
        check_system(estimator, f"estimators[{name!r}]")
    check_value(confidence, "confidence", real(0, 1, closed="neither"), remedy="0.95 is usual.")
    check_value(n_resamples, "n_resamples", whole(1), remedy="10000 are usual.")
    check_value(random_state, "random_state", whole(0), None)
    if not isinstance(metrics, SceneScorer):
        names = [metrics] if isinstance(metrics, str) else metrics
        scorer = SceneScorer(names, instruments=instruments)
    elif instruments is None:
        scorer = metrics
    else:
        raise InputError(
            "instruments",
            "None beside a SceneScorer",
            repr(instruments),
            "Pass SceneScorer(metrics, instruments=...).",
        )
    songs = _songs(check_mixtures(X, at_least=1), groups)
    evaluations = {
        name: scorer.evaluate(estimator, X, y, skip_unknown=True)
        for name, estimator in estimators.items()
    }
    comparison = Comparison(evaluations, songs, confidence, n_resamples, random_state)
    if not comparison.metrics:
        raise InputError(
            "metrics",
            "what some system finds",
            f"{scorer!r} for {', '.join(estimators)}",
            "Pass metrics of sources to separators, of notes to transcribers.",
        )
    return comparison


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` found: the values of every scene, a summary, tests, and tables to print.

    Parameters
    ----------
    evaluations : dict of str to Evaluation
        By system.
    songs : tuple
        The song of each scene.
    mixed_with : tuple, default=()
        Where scenes are mixed of two songs each, the other one. Intervals then draw both; tests
        are about the first, as if the others were given.
    confidence, n_resamples, random_state
        As in `compare`.
    """

    evaluations: Mapping[str, Evaluation]
    songs: tuple
    confidence: float = 0.95
    n_resamples: int = 10_000
    random_state: int | None = 0
    mixed_with: tuple = ()

    def __repr__(self) -> str:
        what = f"{', '.join(self.evaluations)}; {', '.join(self.metrics)}"
        return f"Comparison({what}; {len(self.songs)} scenes of {len(set(self.songs))} songs)"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that some system has values of."""
        scenes = (scene for each in self.evaluations.values() for scene in each.scores)
        return tuple(dict.fromkeys(metric for scene in scenes for metric in scene))

    def instruments(self, metric: str) -> tuple[str, ...]:
        """Return a metric's instruments, and then ``"all"``, their mean, unless there is one."""
        scenes = (scene for each in self.evaluations.values() for scene in each.scores)
        names = dict.fromkeys(name for scene in scenes for name in scene.get(metric, ()))
        names.pop(ALL, None)
        return tuple(names) if len(names) == 1 else (*names, ALL)

    def values(self, system: str, metric: str, instrument: str = ALL) -> np.ndarray:
        """Return a system's value for each scene, NaN where it has none."""
        evaluation = self.evaluations[system]
        return evaluation.values(metric, None if instrument == ALL else instrument)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each value: system, scene, song, instrument, metric, value.

        A value that is left out is NaN.
        """
        return [
            {
                "system": system,
                "scene": i,
                "song": self.songs[i],
                "instrument": instrument,
                "metric": metric,
                "value": value,
            }
            for system, evaluation in self.evaluations.items()
            for i, scene in enumerate(evaluation.scores)
            for metric, values in scene.items()
            for instrument, value in values.items()
        ]

    def table(self) -> Any:
        """Return `rows` as a pandas DataFrame, or as they are where pandas is not installed."""
        try:
            import pandas
        except ImportError:
            return self.rows()
        return pandas.DataFrame(self.rows())

    def summary(self) -> list[dict[str, Any]]:
        """Return one row for each system, instrument and metric.

        Returns
        -------
        rows : list of dict
            ``system, instrument, metric``; ``mean`` and ``median`` over scenes; ``low`` and
            ``high``, the bootstrap interval of the mean, NaN with fewer than two songs;
            ``n_songs`` and ``n_excerpts`` that have a value; ``n_left_out``, the values without
            one. Systems have no row for what they do not find.
        """
        cells = [
            (system, instrument, metric)
            for metric in self.metrics
            for instrument in self.instruments(metric)
            for system in self.evaluations
            if self._scored(system, instrument, metric)
        ]
        songs = _numbers(self.songs)
        values = np.stack([self.values(s, metric, name) for s, name, metric in cells], axis=1)
        interval = self.interval(values)
        rows = []
        for cell, column, low, high in zip(cells, values.T, *interval, strict=True):
            known = ~np.isnan(column)
            rows.append(
                {
                    **dict(zip(("system", "instrument", "metric"), cell, strict=True)),
                    "mean": float(known_mean(column)),
                    "median": float(np.median(column[known])) if known.any() else np.nan,
                    "low": float(low),
                    "high": float(high),
                    "n_songs": len(np.unique(songs[known])),
                    "n_excerpts": int(known.sum()),
                    "n_left_out": int(np.isnan(self._scored(*cell)).sum()),
                }
            )
        return rows

    def interval(self, values: np.ndarray) -> np.ndarray:
        """Return bootstrap intervals of means over the scenes, of whatever was made of values.

        Parameters
        ----------
        values : ndarray of shape (n_scenes, n_columns)
            NaN is left out.

        Returns
        -------
        interval : ndarray of shape (2, n_columns)
        """
        kinds = [_numbers(songs) for songs in (self.songs, self.mixed_with) if songs]
        drawn = np.stack(kinds, axis=1) if kinds else np.zeros(len(values), int)
        return bootstrap_interval(
            values, drawn, self.confidence, self.n_resamples, self.random_state
        )

    def tests(self, paired: bool = True) -> list[dict[str, Any]]:
        """Test every two systems against each other, on the means of songs.

        Parameters
        ----------
        paired : bool, default=True
            Wilcoxon's signed-rank test over the songs that both have. False is the unpaired
            Mann-Whitney U test, which the dissertation on musical scene analysis prints; it is
            blind to the difficulty that both systems share, and so finds less.

        Returns
        -------
        rows : list of dict
            ``metric, instrument, system, other, difference`` (of the means over songs),
            ``n_songs`` that both have, ``p`` and ``p_holm``, corrected for all tests of the
            metric. NaN where songs are lacking.
        """
        test = wilcoxon if paired else mann_whitney
        songs = _numbers(self.songs)
        rows: list[dict[str, Any]] = []
        for metric in self.metrics:
            of_metric: list[dict[str, Any]] = []
            for instrument in self.instruments(metric):
                means = {
                    system: song_means(self.values(system, metric, instrument), songs)
                    for system in self.evaluations
                }
                for system, other in combinations(means, 2):
                    difference = means[system] - means[other]
                    of_metric.append(
                        {
                            "metric": metric,
                            "instrument": instrument,
                            "system": system,
                            "other": other,
                            "difference": float(known_mean(difference)),
                            "n_songs": int((~np.isnan(difference)).sum()),
                            "p": test(means[system], means[other]),
                        }
                    )
            corrected = holm([row["p"] for row in of_metric])
            rows += [
                {**row, "p_holm": float(p)} for row, p in zip(of_metric, corrected, strict=True)
            ]
        return rows

    def to_markdown(self, path: str | os.PathLike | None = None) -> str:
        """Return one Markdown table per metric, systems down and instruments across.

        A cell is the mean and its interval. The highest mean of a column is bold, where means
        differ; a dagger marks those that differ from it by a paired test. With a path, the text
        is written there too; the folder must be there.
        """
        style = _Style(str, "**{}**", "{}", "†")
        tables = self._tables(style)
        parts = [f"{caption}\n\n{markdown_table(names, rows)}" for caption, names, rows in tables]
        return _write("\n".join(parts), path)

    def to_latex(self, path: str | os.PathLike | None = None) -> str:
        """Return one LaTeX tabular per metric, as `to_markdown`; needs the package booktabs."""
        style = _Style(latex_text, r"\textbf{{{}}}", r"{{\small {}}}", r"$^\dagger$")
        tables = self._tables(style)
        parts = [f"% {caption}\n{latex_table(names, rows)}" for caption, names, rows in tables]
        return _write("\n".join(parts), path)

    def to_csv(self, path: str | os.PathLike | None = None, table: str = "summary") -> str:
        """Return ``"summary"``, ``"rows"`` or ``"tests"`` as CSV, and write it to a path."""
        if table not in ("summary", "rows", "tests"):
            raise InputError("table", "'summary', 'rows' or 'tests'", repr(table))
        return _write(csv_table(getattr(self, table)()), path)

    def _tables(self, style: "_Style") -> Iterator[tuple[str, list[str], list[list[str]]]]:
        """Yield each metric's caption, header and rows."""
        level = 1 - self.confidence
        summary = {
            (row["metric"], row["instrument"], row["system"]): row for row in self.summary()
        }
        differ = {
            (row["metric"], row["instrument"], frozenset((row["system"], row["other"])))
            for row in self.tests()
            if row["p_holm"] < level
        }
        for metric in self.metrics:
            names = self.instruments(metric)
            lines = {system: [style.text(system)] for system in self.evaluations}
            for name in names:
                column = {system: summary.get((metric, name, system)) for system in lines}
                means = {s: row["mean"] for s, row in column.items() if row and row["n_songs"]}
                best = max(means, key=means.__getitem__, default=None)
                known = [row for row in column.values() if row and row["n_songs"]]
                shown = {style.number(row, "mean") for row in known}
                if len(known) > 1 and len(shown) == 1:
                    best = None  # of what is alike to the last digit that is printed
                for system, row in column.items():
                    is_other = (metric, name, frozenset((system, best))) in differ
                    lines[system].append(style.cell(row, system == best, is_other))
            caption = (
                f"{metric}{' (dB)' if is_in_db(metric) else ''}: mean over {len(self.songs)} "
                f"excerpts of {len(set(self.songs))} songs, {self.confidence:.0%} bootstrap "
                f"interval by song; best in bold; † differs from it (Wilcoxon signed-rank test "
                f"of songs, Holm, p < {level:.2g})"
            )
            yield caption, ["system", *map(style.text, names)], list(lines.values())

    def _scored(self, system: str, instrument: str, metric: str) -> list[float]:
        """Return the values behind a cell, those left out as NaN."""
        scenes = (scene.get(metric, {}) for scene in self.evaluations[system].scores)
        return [v for scene in scenes for name, v in scene.items() if instrument in (ALL, name)]


def _numbers(songs: tuple) -> np.ndarray:
    numbers = {song: i for i, song in enumerate(dict.fromkeys(songs))}
    return np.array([numbers[song] for song in songs], dtype=int)


class _Style(NamedTuple):
    """How a cell is written: the text of names, and formats of the best mean and the interval."""

    text: Callable[[str], str]
    best: str
    interval: str
    dagger: str

    @staticmethod
    def number(row: dict[str, Any], key: str) -> str:
        """Return a number of a summary's row as text."""
        digits = 2 if is_in_db(row["metric"]) else 3
        return f"{round(row[key], digits) + 0.0:.{digits}f}"

    def cell(self, row: dict[str, Any] | None, is_best: bool, differs: bool) -> str:
        """Return a summary's row as text, a dash where there is no value."""
        if row is None or not row["n_songs"]:
            return "–"
        mean, low, high = (self.number(row, key) for key in ("mean", "low", "high"))
        text = (self.best.format(mean) if is_best else mean) + (self.dagger if differs else "")
        if np.isnan(row["low"]):
            return text
        return f"{text} {self.interval.format(f'[{low}, {high}]')}"


def _songs(mixtures: Sequence[Mixture], groups: Sequence | None) -> tuple:
    """Return the song of each scene: a scene without a group is its own."""
    if groups is None:
        groups = [mixture.group for mixture in mixtures]
    check_value(groups, "groups", "array-like", None)
    if len(groups) != len(mixtures):
        raise InputError(
            "groups", f"{len(mixtures)} of them", str(len(groups)), "Pass one for each mixture."
        )
    for i, group in enumerate(groups):
        check_song(group, f"groups[{i}]")
    return tuple(f"scene {i}" if group is None else group for i, group in enumerate(groups))


def _write(text: str, path: str | os.PathLike | None) -> str:
    if path is not None:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return text
