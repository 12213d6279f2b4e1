"""Trainings that are kept, and go on where they were stopped; their scores by song."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone

import msa_sk
from benchmarks._report import RESULTS
from msa_sk._files import atomic_path
from msa_sk.base import SceneEstimator
from msa_sk.metrics import Comparison, Evaluation
from msa_sk.metrics.statistics import draw_songs, song_means
from msa_sk.neural.allocator import keep_large_buffers
from msa_sk.records import Mixture, Scene

# The variable names another folder, as on a disk with more room.
RUNS = Path(os.environ.get("MSA_SK_RUNS", Path(__file__).parent / "runs"))
SCORES = RESULTS / "scores"


class Training(NamedTuple):
    """A system and what it learns from; fitted once, and then found fitted."""

    name: str  # of all that makes the data what they are
    system: SceneEstimator  # with its parameters; it is not changed
    data: Callable[[], tuple[list, list]]  # gives X and y; called if there is something to learn
    n_last: int = 0  # of the data, that are heard in a second training, which goes on
    last: Mapping[str, Any] = MappingProxyType({})  # parameters that this one has instead

    @property
    def title(self) -> str:
        """What its files are called."""
        what = f"{self.name} {self.system!r}"
        if self.n_last:
            what += f" {self.n_last} {sorted(self.last.items())}"
        return f"{self.name}-{hashlib.sha256(what.encode()).hexdigest()[:12]}"

    def fit(self, folder: Path = RUNS) -> SceneEstimator:
        """Return the system fitted, now or by a run before.

        Where data are heard several times, it is asserted that the loss has fallen.

        Parameters
        ----------
        folder : Path
            Where fitted systems are kept, and checkpoints of what is being fitted.
        """
        keep_large_buffers()
        path = folder / f"{self.title}.msa"
        return msa_sk.load(path) if path.exists() else self._learn(path)

    def _learn(self, path: Path) -> SceneEstimator:
        path.parent.mkdir(parents=True, exist_ok=True)
        system = clone(self.system)
        X, y = self.data()
        first = len(X) - self.n_last
        parts = [(X[:first], y[:first], {})]
        if self.n_last:
            parts.append((X[first:], y[first:], {"warm_start": True, **self.last}))
        checkpoints = [path.with_suffix(f".{i}.checkpoint") for i in range(len(parts))]
        for (X, y, changes), checkpoint in zip(parts, checkpoints, strict=True):
            if "checkpoint" in system.get_params():
                changes |= {"checkpoint": checkpoint}
            system.set_params(**changes).fit(X, y)
            losses = [epoch["train_loss"] for epoch in getattr(system, "history_", ())]
            falls = len(losses) < 2 or losses[-1] < losses[0]
            assert falls, f"{self.name} learns nothing: {losses}"
        system.save(path)
        for checkpoint in checkpoints:
            checkpoint.unlink(missing_ok=True)
        return system


def score_once(
    title: str,
    test: tuple[list, list],
    metrics: Sequence[str],
    score: Callable[[], Sequence[dict]],
) -> tuple[dict, ...]:
    """Return scores of scenes, found now or by a run before, on this machine or on another.

    Those of a run are kept in ``scores`` beside its fitted systems. What is copied from there to
    ``results/scores`` comes along with the code, so that a table that takes long can be made in
    parts, on machines that do not have each other's networks.

    Parameters
    ----------
    title : str
        Of what is scored, as of a `Training`.
    test : tuple of (list, list)
        Mixtures and scenes.
    metrics : sequence of str
    score : callable
        Gives the scores, metric by metric; called if none are kept of these metrics and test.
    """
    name = f"{title}-on-{_digest_of(*test, metrics)}.json"
    kept = [path for path in (RUNS / "scores" / name, SCORES / name) if path.exists()]
    if not kept:
        kept = [RUNS / "scores" / name]
        kept[0].parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(kept[0]) as temporary:
            temporary.write_text(json.dumps([_rounded(scene) for scene in score()]) + "\n")
    return tuple(json.loads(kept[0].read_text()))


def _digest_of(X: Sequence[Mixture], y: Sequence[Scene], metrics: Sequence[str]) -> str:
    """Return a digest of metrics and mixtures: songs, lengths, notes, what is asked with."""
    digest = hashlib.sha256(" ".join(metrics).encode())
    for mixture, scene in zip(X, y, strict=True):
        digest.update(f"{mixture.group} {mixture.n_samples} {scene.instruments}".encode())
        if mixture.query is not None:
            digest.update(repr(mixture.query).encode())
        for notes in scene.notes or ():
            digest.update(notes.onset.tobytes() + notes.pitch.tobytes())
    return digest.hexdigest()[:12]


def _rounded(scores: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {
        metric: {name: round(value, 5) for name, value in values.items()}
        for metric, values in scores.items()
    }


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


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    songs: Sequence[str],
    mixed_with: Sequence[str] = (),
    n_resamples: int = 1000,
) -> tuple[float, float]:
    """Return the interval of 95 % of a statistic of any kind, drawing songs.

    Parameters
    ----------
    statistic : callable
        Of the numbers of excerpts, of which some may come more than once.
    songs, mixed_with : sequence of str
        Of all excerpts, as in `Comparison`.
    n_resamples : int, default=1000
    """
    kinds = [np.unique(kind, return_inverse=True)[1] for kind in (songs, mixed_with) if len(kind)]
    values = [
        statistic(np.repeat(np.arange(len(songs)), times.astype(int)))
        for batch in draw_songs(np.stack(kinds, axis=1), n_resamples, seed=0)
        for times in batch
        if times.any()
    ]
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


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
