"""Means, intervals and tests of scores, in which the song is what is drawn.

Excerpts of one song are alike: to treat them as independent makes intervals too narrow and
p-values too small. So resampling draws songs with all of their excerpts, and tests compare songs'
means.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_BATCH = 1000  # resamples in memory at a time


def known_mean(values: Any, weights: Any = 1.0) -> Any:
    """Return the weighted mean over the last axis of what is not NaN, NaN where nothing is."""
    known = ~np.isnan(values)
    weights = np.where(known, weights, 0.0)
    with np.errstate(invalid="ignore"):
        return np.sum(weights * np.where(known, values, 0.0), axis=-1) / weights.sum(axis=-1)


def song_means(values: np.ndarray, songs: np.ndarray) -> np.ndarray:
    """Return each song's mean.

    Parameters
    ----------
    values : ndarray of shape (n_scenes,)
        NaN is left out.
    songs : ndarray of int, shape (n_scenes,)
        The number of each scene's song, from 0.

    Returns
    -------
    means : ndarray of shape (n_songs,)
        NaN for songs without a value.
    """
    totals, counts = _totals(values[:, None], songs)
    with np.errstate(invalid="ignore"):
        return (totals / counts)[:, 0]


def bootstrap_interval(
    values: np.ndarray, songs: np.ndarray, confidence: float, n_resamples: int, seed: int | None
) -> np.ndarray:
    """Return percentile bootstrap intervals of means over scenes, drawing songs.

    Parameters
    ----------
    values : ndarray of shape (n_scenes, n_columns)
        NaN is left out. The same songs are drawn for all columns.
    songs : ndarray of int, shape (n_scenes,) or (n_scenes, n_kinds)
        As in `draw_songs`.
    confidence : float
        The interval's probability, from 0 to 1.
    n_resamples, seed
        As in `draw_songs`.

    Returns
    -------
    interval : ndarray of shape (2, n_columns)
        Low and high; NaN for columns with values from fewer than two songs of any kind.
    """
    songs = np.reshape(songs, (len(values), -1))
    if songs.shape[1] == 1:  # what a song's scenes add up to is all that counts
        totals, counts = _totals(values, songs[:, 0])
        songs = np.arange(len(totals))[:, None]
    else:
        totals, counts = np.nan_to_num(values), (~np.isnan(values)).astype(float)
    means = []
    for times_drawn in draw_songs(songs, n_resamples, seed):
        with np.errstate(invalid="ignore"):  # a draw may hold no song with a value
            means.append((times_drawn @ totals) / (times_drawn @ counts))
    tails = (1 - confidence) / 2, (1 + confidence) / 2
    enough = np.all(
        [(_totals(counts, of_kind)[0] > 0).sum(axis=0) >= 2 for of_kind in songs.T], axis=0
    )
    interval = np.full((2, values.shape[1]), np.nan)
    interval[:, enough] = np.nanquantile(np.concatenate(means)[:, enough], tails, axis=0)
    return interval


def draw_songs(songs: np.ndarray, n_resamples: int, seed: int | None) -> Iterator[np.ndarray]:
    """Draw songs with replacement, and say how often each scene has been drawn.

    Parameters
    ----------
    songs : ndarray of int, shape (n_scenes,) or (n_scenes, n_kinds)
        The number of each scene's song, from 0. Scenes that mix songs have one of each kind, as
        of the piano and of the guitar: songs of each kind are drawn by themselves, and a scene
        counts as often as all of its songs together (the pigeonhole bootstrap: Owen, "The
        pigeonhole bootstrap", Annals of Applied Statistics, 2007).
    n_resamples : int
    seed : int or None
        None draws anew.

    Yields
    ------
    times_drawn : ndarray of shape (n_resamples in this batch, n_scenes)
        Whole numbers, as floats; with several kinds all may be 0.
    """
    rng = np.random.default_rng(seed)
    kinds = np.reshape(songs, (len(songs), -1)).T
    for start in range(0, n_resamples, _BATCH):
        size = min(_BATCH, n_resamples - start)
        times_drawn = np.ones((size, len(songs)))
        for of_kind in kinds:
            n_songs = int(of_kind.max(initial=-1)) + 1
            drawn = rng.multinomial(n_songs, np.full(n_songs, 1 / n_songs), size)
            times_drawn *= drawn[:, of_kind]
        yield times_drawn


def _totals(values: np.ndarray, songs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum and the number of known values: (n_songs, n_columns)."""
    n_songs = int(songs.max(initial=-1)) + 1
    totals, counts = np.zeros((2, n_songs, values.shape[1]))
    np.add.at(totals, songs, np.nan_to_num(values))
    np.add.at(counts, songs, ~np.isnan(values))
    return totals, counts


def wilcoxon(a: np.ndarray, b: np.ndarray) -> float:
    """Return the p-value of the paired signed-rank test over the songs that both have.

    1 where no song differs; NaN where there is none.
    """
    from scipy import stats

    both = ~(np.isnan(a) | np.isnan(b))
    difference = a[both] - b[both]
    if not len(difference):
        return np.nan
    return float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0


def mann_whitney(a: np.ndarray, b: np.ndarray) -> float:
    """Return the p-value of the unpaired rank test over songs; NaN where one side has none."""
    from scipy import stats

    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    return float(stats.mannwhitneyu(a, b).pvalue) if len(a) and len(b) else np.nan


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return p-values corrected for their number by Holm's step-down method.

    NaN is no test: it stays, and is not counted.
    """
    p = np.asarray(p_values, dtype=float)
    corrected = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN sorts last
    steps = p[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected
