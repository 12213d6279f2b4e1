"""Figure 4.5: how separation follows its score, from no notes or a transcriber's to the true ones.

The residual variant of table 4.1 separates the excerpts of one song with four instruments by
scores on the way to the truth: 10 steps, each of which adds a random tenth of the notes that are
missing, of all instruments together, and where a transcriber (table 6.1) began takes out a tenth
of those that are too many; the paper has 5 steps. Networks and songs are those of the two tables,
cross-validated. Of each instrument that plays, at each step: the normalised Hamming distance of
its roll (eq. 4.3), and the SI-SDR that the estimate has gained since the first step (eq. 4.4). An
estimate that is silent at the first step has no such gain: it is left out and counted. Intervals
are over songs.

The bar, asserted for the size small and above: over the steps, in the mean over songs, the gain
rises as the distance falls; Spearman's correlation is at most -0.8, from both beginnings.

``python -m benchmarks.figure_4_5 --size tiny|small|paper [--seed 0]``; what the tables have
trained is not trained again.
"""

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
from scipy.stats import spearmanr

from benchmarks._chapter3 import Fold, Size, plan
from benchmarks._chapter4 import BAND, NETWORKS, SIZES, TRANSCRIBERS, folds_of, mixtures_of
from benchmarks._report import finish, parse_arguments, rows_table
from msa_sk.base import SceneEstimator
from msa_sk.exceptions import ScoreWarning
from msa_sk.metrics import interpolate_notes, roll_distance, si_sdr
from msa_sk.metrics.statistics import bootstrap_interval, song_means

N_STEPS = 10
BEGINNINGS = {"empty": "from no notes", "transcriber": "from a transcriber's notes"}
EVERY = "all"
BAR = -0.8


class Gain(NamedTuple):
    """What one instrument of one excerpt gains along the way."""

    beginning: str
    instrument: str
    song: str
    distances: tuple[float, ...]  # normalised, at each step
    gains: tuple[float, ...]  # in dB; NaN where the first estimate is silent


def main(argv: Sequence[str] | None = None) -> None:
    make_figure("figure_4_5", "residual", __doc__, argv, BAR)


def make_figure(
    name: str, variant: str, doc: str, argv: Sequence[str] | None, bar: float | None = None
) -> None:
    """Follow a variant along the way, write the report and the picture, and print it.

    Parameters
    ----------
    name : str
        The benchmark's.
    variant : str
        Of `ScoreInformedSeparator`.
    doc : str
        Its second paragraph is the report's note.
    argv : sequence of str or None
        Arguments.
    bar : float, default=None
        The correlation is asserted to be no more.
    """
    arguments = parse_arguments(doc, argv)
    size, start = SIZES[arguments.size], time.monotonic()
    folds = folds_of("four instruments", size)
    parts = Parallel(n_jobs=2)(
        delayed(follow)(variant, fold, size, arguments.seed) for fold in folds
    )
    found = [gain for part in parts for gain in part]
    curves = [
        row
        for beginning in BEGINNINGS
        for instrument in (*BAND, EVERY)
        for row in curve(found, beginning, instrument)
    ]
    fits = [
        correlation(curves, beginning, name) for beginning in BEGINNINGS for name in (*BAND, EVERY)
    ]
    path = finish(
        name,
        doc,
        arguments,
        [*curves, *fits],
        start,
        [
            f"{variant}, {len({gain.song for gain in found})} songs. Spearman's correlation "
            "of distance and gain over steps:\n",
            rows_table(fits),
            "All instruments, step by step:\n",
            rows_table([row for row in curves if row["instrument"] == EVERY]),
        ],
    )
    draw(curves, path.with_suffix(".png"))
    if bar is not None and arguments.size != "tiny":
        missed = [fit for fit in fits if fit["instrument"] == EVERY and not fit["spearman"] <= bar]
        assert not missed, f"correlations above {bar}: {missed}"


def follow(variant: str, fold: Fold, size: Size, seed: int) -> list[Gain]:
    """Separate a fold's excerpts by scores on the way to the truth."""
    plan_one = partial(plan, fold=fold, size=size, seed=seed, instruments=BAND)
    separator = plan_one(variant, networks=NETWORKS).fit()
    transcriber = plan_one("Transcription", networks=TRANSCRIBERS).fit()
    X, y = mixtures_of("four instruments", fold, size)
    found = []
    for i, (mixture, scene, guess) in enumerate(zip(X, y, transcriber.predict(X), strict=True)):
        for beginning, estimate in zip(BEGINNINGS, (None, guess), strict=True):
            steps = interpolate_notes(scene, estimate, N_STEPS, random_state=i)
            outputs = separate(separator, mixture, steps)
            for name in scene.instruments:
                if not len(scene.notes_of(name)):
                    continue
                truth, source = {name: scene.notes_of(name)}, scene.source(name)
                distances = (roll_distance(truth, {name: step[name]}) for step in steps)
                levels = np.array([si_sdr(source, output.source(name)) for output in outputs])
                levels[0] = levels[0] if outputs[0].source(name).any() else np.nan
                found.append(
                    Gain(
                        *(beginning, name, str(mixture.group)),
                        tuple(distance.normalised for distance in distances),
                        tuple(levels - levels[0]),
                    )
                )
    print(f"fold {fold.number}: {len(X)} excerpts", flush=True)
    return found


def separate(
    separator: SceneEstimator, mixture: Any, steps: Sequence[Mapping[str, Any]]
) -> list[Any]:
    """Return what a separator makes of a mixture by several scores."""
    with warnings.catch_warnings():
        # Of a few notes one cannot tell whether they are where they should be.
        warnings.simplefilter("ignore", ScoreWarning)
        return separator.predict([replace(mixture, notes=dict(step)) for step in steps])


def curve(found: Sequence[Gain], beginning: str, instrument: str) -> list[dict[str, Any]]:
    """Return the means of distance and gain at each step.

    Mean, interval and standard deviation of the gain are over excerpts, as elsewhere; what ends
    in ``of_songs`` is the mean of songs' means.
    """
    own = [
        gain
        for gain in found
        if gain.beginning == beginning and instrument in (gain.instrument, EVERY)
    ]
    numbers = {song: i for i, song in enumerate(dict.fromkeys(gain.song for gain in own))}
    songs = np.array([numbers[gain.song] for gain in own], int)
    distances, gains = (np.array(values) for values in zip(*(one[3:] for one in own), strict=True))
    silent = np.isnan(gains[:, 0])
    distances, gains, songs = distances[~silent], gains[~silent], songs[~silent]
    low, high = bootstrap_interval(gains, songs, 0.95, 10_000, 0)
    return [
        {
            "beginning": beginning,
            "instrument": instrument,
            "step": step,
            "distance": float(distances[:, step].mean()),
            "mean": float(gains[:, step].mean()),
            "low": float(low[step]),
            "high": float(high[step]),
            "distance_of_songs": float(np.nanmean(song_means(distances[:, step], songs))),
            "gain_of_songs": float(np.nanmean(song_means(gains[:, step], songs))),
            "deviation": float(gains[:, step].std()),
            "n_songs": len(set(songs)),
            "n_excerpts": len(gains),
            "n_silent": int(silent.sum()),
        }
        for step in range(N_STEPS + 1)
    ]


def correlation(
    curves: Sequence[Mapping[str, Any]], beginning: str, instrument: str
) -> dict[str, Any]:
    """Return Spearman's correlation of distance and gain over the steps of a curve."""
    own = [
        row for row in curves if (row["beginning"], row["instrument"]) == (beginning, instrument)
    ]
    distance, gain = ([row[f"{what}_of_songs"] for row in own] for what in ("distance", "gain"))
    return {
        "beginning": beginning,
        "instrument": instrument,
        "spearman": float(spearmanr(distance, gain).statistic),
        "gained": own[-1]["mean"],
        "n_silent": own[0]["n_silent"],
    }


def draw(curves: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw gain over distance, one panel for each instrument and beginning."""
    figure, axes = plt.subplots(
        2, len(BAND), figsize=(12, 5.5), sharex=True, sharey="row", layout="constrained"
    )
    for row, (beginning, title) in zip(axes, BEGINNINGS.items(), strict=True):
        row[0].set_ylabel(f"{title}\n$\\Delta$ SI-SDRi (dB)")
        for axis, name in zip(row, BAND, strict=True):
            own = [
                row for row in curves if (row["beginning"], row["instrument"]) == (beginning, name)
            ]
            x, mean, low, high, deviation = (
                np.array([row[key] for row in own])
                for key in ("distance", "mean", "low", "high", "deviation")
            )
            for (below, above), alpha, label in (
                ((mean - deviation, mean + deviation), 0.15, "standard deviation"),
                ((low, high), 0.35, "95 % interval of the mean"),
            ):
                axis.fill_between(x, below, above, color="C0", alpha=alpha, lw=0, label=label)
            axis.plot(x, mean, ".-", color="C0", label="mean")
            axis.axhline(0, color="gray", lw=0.6)
    for axis, name in zip(axes[0], BAND, strict=True):
        axis.set_title(name)
    axes[0, -1].legend(loc="upper left", fontsize="small")
    for axis in axes[1]:
        axis.set(xlabel="normalised Hamming distance", xlim=(1.02, -0.02))
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
