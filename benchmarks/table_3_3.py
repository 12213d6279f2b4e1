"""Table 3.3 and figure 3.3: Cerberus with three, four and five instruments.

Songs are rendered from the MIDI files and the SoundFont of the folder MSA_SK_DATA. Cerberus
learns from incoherent mixtures, each source from a song of its own, since few songs hold many
instruments; it is tested on coherent ones: excerpts of 5 s of songs that hold all wanted
instruments, in which each begins at least 3 notes, with nothing else in the mixture.
Cross-validated by song: every song is tested on once, by networks that have not heard it. Drums
are scored by the onsets of their notes alone. What one more source does is told by the excerpts in
which all five instruments play, of which some are left out. Intervals draw songs, not networks,
and are a little too narrow, as a bootstrap of few songs is; p_holm is of the signed-rank test over
songs, by Holm's correction for all that is asked. Verdicts go by the intervals.

Nothing is claimed but that all runs; the table says which of the paper's directions are found.

``python -m benchmarks.table_3_3 --size tiny|small|paper [--seed 0]``; a run that was stopped goes
on from the trainings, and their checkpoints, in ``benchmarks/runs``.
"""

import time
import warnings
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed

from benchmarks._chapter3 import (
    METRICS,
    PER_TEST_SONG,
    Fold,
    Size,
    description,
    evaluate,
    extent,
    make_folds,
    plan,
    system_table,
)
from benchmarks._chapter3 import SIZES as COMMON_SIZES
from benchmarks._fits import compare_scores, score_once, verdict
from benchmarks._report import finish, parse_arguments, rows_table
from benchmarks._songs import Songs
from msa_sk.datasets import Excerpts
from msa_sk.exceptions import MsaWarning
from msa_sk.metrics import Comparison, SceneScorer
from msa_sk.metrics.statistics import bootstrap_interval, holm, wilcoxon

INSTRUMENTS = ("piano", "guitar", "bass", "drums", "strings")
PITCHED = INSTRUMENTS[:3]  # those of figure 3.3
# Nine trainings of more instruments are what fits into 3 hours on 2 cores.
SIZES = COMMON_SIZES | {"small": COMMON_SIZES["small"]._replace(n_folds=3)}
PAPER = {  # SDR, and P, R, F1 of onsets and offsets, of drums those of onsets
    3: {
        "piano": (7.6, 0.44, 0.42, 0.42),
        "guitar": (6.9, 0.46, 0.35, 0.38),
        "bass": (10.1, 0.85, 0.80, 0.82),
    },
    4: {
        "piano": (6.1, 0.38, 0.36, 0.36),
        "guitar": (5.8, 0.42, 0.32, 0.34),
        "bass": (7.7, 0.82, 0.78, 0.79),
        "drums": (11.3, 0.61, 0.76, 0.63),
    },
    5: {
        "piano": (3.4, 0.31, 0.28, 0.28),
        "guitar": (3.1, 0.29, 0.20, 0.22),
        "bass": (6.4, 0.77, 0.72, 0.74),
        "drums": (10.6, 0.62, 0.75, 0.64),
        "strings": (4.1, 0.39, 0.35, 0.35),
    },
}


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(__doc__, argv)
    size, start = SIZES[arguments.size], time.monotonic()
    folds = list(make_folds(size, INSTRUMENTS, evenly=INSTRUMENTS))
    jobs = [(n_sources, fold) for n_sources in reversed(PAPER) for fold in folds]  # longest first
    found = Parallel(n_jobs=2)(delayed(run)(*job, size, arguments.seed) for job in jobs)
    comparisons, alike = (
        {
            n_sources: gather(
                [both[i] for job, both in zip(jobs, found, strict=True) if job[0] == n_sources]
            )
            for n_sources in PAPER
        }
        for i in range(2)
    )
    rows, tables = [], [description(size)]
    for n_sources, comparison in comparisons.items():
        of_table = [row for row in comparison.summary() if row["instrument"] != "all"]
        rows += [{"n_sources": n_sources} | row for row in comparison.summary()]
        tables += [
            f"## {n_sources} sources: {extent(comparison.songs)}\n",
            system_table(of_table, PAPER[n_sources], column="instrument"),
        ]
    falls = directions(alike)
    tables += [
        f"What the paper found: more sources, less of both. By {extent(alike[5].songs)}:\n",
        rows_table(falls),
    ]
    path = finish("table_3_3", __doc__, arguments, [*rows, *falls], start, tables)
    draw(comparisons, path.with_suffix(".png"))


Scored = tuple[tuple[dict, ...], list]  # scores of excerpts, and their songs


def run(n_sources: int, fold: Fold, size: Size, seed: int) -> tuple[Scored, Scored]:
    """Score a fold's excerpts with so many sources, and those in which all instruments play."""
    names = INSTRUMENTS[:n_sources]
    cerberus = plan("Cerberus", fold, size, seed, names)
    fitted = cache(cerberus.fit)  # not at all, where all scores are kept
    scorer = SceneScorer(tuple(METRICS))

    def score(X: list, y: list) -> Scored:
        found = partial(evaluate, scorer, fitted, X, y)
        scores = score_once(cerberus.title, (X, y), tuple(METRICS), found) if X else ()
        return scores, [mixture.group for mixture in X]

    own, alike = score(*coherent(fold.test, names)), score(*some_of_all(fold.test, names))
    print(f"fold {fold.number}: {n_sources} sources, {len(own[1])} excerpts", flush=True)
    return own, alike


def coherent(songs: Songs, names: Sequence[str]) -> Songs:
    """Return excerpts in which all of some instruments play, and nothing else is heard."""
    return _cut(songs, instruments=names, min_notes=3)


def some_of_all(songs: Songs, names: Sequence[str]) -> Songs:
    """Return excerpts in which all instruments play, and some of them are heard."""
    X, y = coherent(songs, INSTRUMENTS)
    return _cut((X, y), instruments=names, min_notes=0) if X else (X, y)


def _cut(songs: Songs, **changes: Any) -> Songs:
    rules = Excerpts.from_preset("chapter3", **changes, max_per_song=PER_TEST_SONG, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MsaWarning)  # a fold without such a stretch
        return rules.apply(*songs)


def gather(found: Sequence[Scored]) -> Comparison:
    """Return the scores of all folds."""
    scores, songs = (sum(parts, type(parts[0])()) for parts in zip(*found, strict=True))
    return compare_scores({"Cerberus": [scores]}, songs)


def directions(comparisons: dict[int, Comparison]) -> list[dict[str, Any]]:
    """Say of each pitched instrument, and of one more source, whether scores fall as in the paper.

    By the interval of the difference of the songs' means, which are of the same excerpts; p_holm
    is of the signed-rank test over songs, corrected for all rows.
    """
    rows, p_values = [], []
    for n_sources in (4, 5):
        for name in PITCHED:
            for column, metric in ((0, "sdr"), (3, "note_onset_offset_f1")):
                before, after = (
                    by_song(comparisons[n], metric, name) for n in (n_sources - 1, n_sources)
                )
                both = sorted(set(before) & set(after))
                old, new = (np.array([of[song] for song in both]) for of in (before, after))
                change = new - old
                low, high = bootstrap_interval(
                    change[:, None], np.arange(len(both)), 0.95, 10_000, 0
                )
                paper = PAPER[n_sources][name][column] - PAPER[n_sources - 1][name][column]
                p_values.append(wilcoxon(old, new))
                row = {
                    "claim": f"{name}: {n_sources} sources below {n_sources - 1}",
                    "metric": metric,
                    "paper": round(paper, 2),
                    "ours": float(change.mean()),
                    "low": float(low[0]),
                    "high": float(high[0]),
                    "n_songs": len(both),
                    "verdict": verdict(low[0], high[0], paper),
                }
                rows.append(row)
    return [{**row, "p_holm": float(p)} for row, p in zip(rows, holm(p_values), strict=True)]


def by_song(comparison: Comparison, metric: str, name: str) -> dict[str, float]:
    """Return the mean of each song that has a value."""
    values = comparison.values("Cerberus", metric, name)
    songs = np.array(comparison.songs)
    means = {song: values[songs == song] for song in dict.fromkeys(comparison.songs)}
    return {song: float(np.nanmean(own)) for song, own in means.items() if np.isfinite(own).any()}


def draw(comparisons: dict[int, Comparison], path: Path) -> None:
    """Draw figure 3.3: scores of three instruments over the number of sources."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.9), layout="constrained")
    panels = (("sdr", "SDR (dB)", 0), ("note_onset_offset_f1", "onset and offset F1", 3))
    for axis, (metric, label, column) in zip(axes, panels, strict=True):
        for i, name in enumerate(PITCHED):
            rows = [
                next(
                    row
                    for row in comparison.summary()
                    if (row["instrument"], row["metric"]) == (name, metric)
                )
                for comparison in comparisons.values()
            ]
            mean, low, high = (np.array([row[k] for row in rows]) for k in ("mean", "low", "high"))
            x = np.array(list(comparisons)) + 0.05 * (i - 1)  # so that intervals lie side by side
            axis.errorbar(x, mean, (mean - low, high - mean), capsize=3, color=f"C{i}", label=name)
            theirs = [PAPER[n][name][column] for n in comparisons]
            axis.plot(list(comparisons), theirs, ":", marker=".", color=f"C{i}")
        axis.set(xlabel="sources in the mixture", ylabel=label, xticks=list(comparisons))
    axes[0].plot([], [], ":.", color="gray", label="the paper, Slakh")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
