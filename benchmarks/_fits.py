"""Trainings that are kept, and go on where they were stopped; their scores by song."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

import msa_sk
from msa_sk.base import SceneEstimator
from msa_sk.metrics import Comparison, Evaluation
from msa_sk.metrics.statistics import song_means

# The variable names another folder, as on a disk with more room.
RUNS = Path(os.environ.get("MSA_SK_RUNS", Path(__file__).parent / "runs"))


def fit_once(
    system: SceneEstimator, name: str, data: Callable[[], tuple[list, list]], folder: Path = RUNS
) -> SceneEstimator:
    """Return a system fitted, now or by a run before.

    Parameters
    ----------
    system : estimator
        With its parameters; it is not changed.
    name : str
        Of all that makes its data what they are.
    data : callable
        Gives X and y; called only if there is something to learn.
    folder : Path
        Where fitted systems are kept, and checkpoints of what is being fitted.
    """
    digest = hashlib.sha256(f"{name} {system!r}".encode()).hexdigest()[:12]
    path = folder / f"{name}-{digest}.msa"
    if path.exists():
        return msa_sk.load(path)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = path.with_suffix(".checkpoint")
    system = clone(system)
    if "checkpoint" in system.get_params():
        system.set_params(checkpoint=checkpoint)
    system.fit(*data())
    system.save(path)
    checkpoint.unlink(missing_ok=True)
    return system


def compare_scores(
    scores: Mapping[str, Sequence[tuple]], songs: Sequence[Any], mixed_with: Sequence[Any] = ()
) -> Comparison:
    """Return the comparison of systems by their scenes' scores, of one training or of several.

    Parameters
    ----------
    scores : dict of str to sequence of tuple
        For each system, each seed's scores of all scenes; a scene's value is their mean.
    songs, mixed_with : sequence of length n_scenes
        What is resampled, as in `Comparison`.
    """
    return Comparison(
        {name: Evaluation(tuple(map(_mean_of, zip(*seeds, strict=True))))
         for name, seeds in scores.items()},
        tuple(songs),
        mixed_with=tuple(mixed_with),
    )  # fmt: skip


def _mean_of(seeds: Sequence[dict]) -> dict:
    return {
        metric: {name: float(np.mean([one[metric][name] for one in seeds])) for name in values}
        for metric, values in seeds[0].items()
    }


def overall(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the rows of the summary that are about all instruments at once, or the only one."""
    return [
        row
        for row in comparison.summary()
        if row["instrument"] == comparison.instruments(row["metric"])[-1]
    ]


class Direction(NamedTuple):
    """What a paper found: one system above another, or as good."""

    system: str
    other: str
    metric: str
    difference: float  # the paper's; infinite where it is not from a paper
    instrument: str = ""  # all at once, or the only one


def verdicts(comparison: Comparison, directions: Iterable[Direction]) -> list[dict[str, Any]]:
    """Say of each direction whether it is found again, by the interval of the difference.

    The interval is a bootstrap over songs, paired: "reproduced" if all of it is on the paper's
    side of zero, "reversed" if all of it is on the other, else "open"; see `verdict`. A claim of
    our own, whose difference is infinite, is "confirmed" or "refuted".
    """
    numbers = {song: i for i, song in enumerate(dict.fromkeys(comparison.songs))}
    songs = np.array([numbers[song] for song in comparison.songs])
    tests = {
        (row["metric"], row["instrument"], row["system"], row["other"]): row["p_holm"]
        for row in comparison.tests()
    }
    rows = []
    for system, other, metric, difference, instrument in directions:
        name = instrument or comparison.instruments(metric)[-1]
        ours, others = (comparison.values(one, metric, name) for one in (system, other))
        low, high = comparison.interval((ours - others)[:, None])[:, 0]
        pairs = (system, other), (other, system)
        found = (tests.get((metric, name, *pair)) for pair in pairs)
        rows.append(
            {
                "claim": f"{system} {'above' if difference > 0 else 'below'} {other}",
                **({"instrument": instrument} if instrument else {}),
                "metric": metric,
                "paper": round(difference, 2) if np.isfinite(difference) else None,
                "ours": float(np.nanmean(ours - others)),
                "low": float(low),
                "high": float(high),
                "p_holm": next(p for p in found if p is not None),
                "n_songs": int(np.isfinite(song_means(ours - others, songs)).sum()),
                "verdict": verdict(low, high, difference),
            }
        )
    return rows


def verdict(low: float, high: float, paper: float) -> str:
    """Say on which side of zero an interval lies: the paper's, the other, or both."""
    same_side, other_side = (low, -high) if paper > 0 else (-high, low)
    found, lost = ("reproduced", "reversed") if np.isfinite(paper) else ("confirmed", "refuted")
    return found if same_side > 0 else lost if other_side > 0 else "open"
