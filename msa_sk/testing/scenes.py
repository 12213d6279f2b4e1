"""Scenes for the checks, made on the spot: two instruments of sines that play some notes."""

from typing import Any

import numpy as np

from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene

#: Who plays, in sorted order.
INSTRUMENTS = ("guitar", "piano")
#: The levels of a hierarchy that has the guitar at the bottom, and both above.
LEVELS = ("level_1", "level_2")
_PARTIALS = {"guitar": (1.0, 0.2, 0.6, 0.1, 0.3), "piano": (1.0, 0.5, 0.25)}
_LOWEST = {"guitar": 45, "piano": 64}
_NOTE_SECONDS = 0.25


def toy_sources(n_samples: int, rate: int, seed: int = 0) -> tuple[np.ndarray, tuple[Notes, ...]]:
    """Return what each of `INSTRUMENTS` plays: one decaying note after the other.

    Parameters
    ----------
    n_samples : int
    rate : int
        In Hz.
    seed : int, default=0

    Returns
    -------
    sources : ndarray of float32, shape (2, n_samples)
        Never silent, not even where there is but one sample.
    notes : tuple of Notes
    """
    random = np.random.default_rng(seed)
    time = np.arange(n_samples) / rate
    within = time % _NOTE_SECONDS
    n_notes = int(np.ceil(n_samples / rate / _NOTE_SECONDS))
    onset = np.arange(n_notes) * _NOTE_SECONDS
    sources, notes = [], []
    for name in INSTRUMENTS:
        pitch = _LOWEST[name] + random.integers(0, 12, n_notes)
        frequency = (440 * 2 ** ((pitch - 69) / 12))[(time // _NOTE_SECONDS).astype(int)]
        tone = sum(
            level * np.cos(2 * np.pi * k * frequency * within)
            for k, level in enumerate(_PARTIALS[name], start=1)
        )
        breath = 0.01 * random.standard_normal(n_samples)
        sources.append((0.1 * tone * np.exp(-4 * within) + breath).astype(np.float32))
        notes.append(Notes(onset, onset + _NOTE_SECONDS, pitch))
    return np.stack(sources), tuple(notes)


def as_mixture(
    sources: np.ndarray,
    rate: int,
    notes: tuple[Notes, ...] | None = None,
    needs: tuple[str, ...] = (),
    group: object = None,
) -> Mixture:
    """Return the sum of sources (2, ..., n_samples) as a Mixture that holds what is needed."""
    extras: dict[str, Any] = {}
    if "sources" in needs:
        extras["sources"] = dict(zip(INSTRUMENTS, sources, strict=True))
    if "notes" in needs:
        extras["notes"] = dict(zip(INSTRUMENTS, notes or (Notes(), Notes()), strict=True))
    if "query" in needs:
        extras["query"] = toy_sources(rate // 2, rate, seed=50)[0][0]  # another guitar
    return Mixture(sources.sum(axis=0), rate, group=group, **extras)


def toy_scenes(
    rate: int, needs: tuple[str, ...] = (), n_scenes: int = 4, seed: int = 0
) -> tuple[list[Mixture], list[Scene]]:
    """Return mixtures of different lengths around one second, of two songs, and their truth."""
    mixes, scenes = [], []
    for i in range(n_scenes):
        n_samples = round(rate * (1 + 0.1 * ((3 * i) % 4))) + i
        sources, notes = toy_sources(n_samples, rate, seed + i)
        mixes.append(as_mixture(sources, rate, notes, needs, group=f"song {i % 2}"))
        if "levels" in needs:
            scenes.append(Scene(LEVELS, rate, sources.cumsum(axis=0)))
        else:
            scenes.append(Scene(INSTRUMENTS, rate, sources, notes))
    return mixes, scenes
