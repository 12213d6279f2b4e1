"""An estimated scene beside the truth, as data: which instruments and notes belong together."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from msa_sk.exceptions import InputError
from msa_sk.metrics.scenes import name_sources
from msa_sk.metrics.transcription import match_notes
from msa_sk.notes import Notes
from msa_sk.records import Scene


def compare_notes(truth: Notes | None, estimate: Notes | None) -> dict[str, Notes]:
    """Sort notes into groups by what became of them.

    A true and an estimated note match where their pitch is the same and their onsets are at
    most 50 ms apart; each takes part in one match, and there are as many matches as possible.

    Parameters
    ----------
    truth, estimate : Notes or None
        None means unknown.

    Returns
    -------
    groups : dict of str to Notes
        ``correct`` and ``extra`` (estimated notes), ``true`` and ``missed`` (true notes that
        were found and not found); only ``true`` or ``estimated`` where the other is unknown.
    """
    if truth is None or estimate is None:
        known = {"true": truth, "estimated": estimate}
        return {name: notes for name, notes in known.items() if notes is not None}
    matches = match_notes(truth, estimate, offset_ratio=None)
    found = np.isin(np.arange(len(truth)), matches[:, 0])
    right = np.isin(np.arange(len(estimate)), matches[:, 1])
    return {
        "correct": estimate.select(right),
        "extra": estimate.select(~right),
        "true": truth.select(found),
        "missed": truth.select(~found),
    }


def check_scenes(truth: Any, estimate: Any) -> dict[str, Scene]:
    """Return the scenes by column; a blind estimate gets the names that fit best."""
    scenes = {"true": truth, "estimated": estimate}
    if truth is None:
        del scenes["true"]
    for name, scene in scenes.items():
        if not isinstance(scene, Scene):
            raise InputError(
                "truth" if name == "true" else "estimate",
                "a Scene",
                type(scene).__name__,
                "Pass one element of y, and one of what predict returned.",
            )
    if truth is not None and not set(truth.instruments) & set(estimate.instruments):
        parts = [(scene.sources is not None, scene.notes is not None) for scene in scenes.values()]
        if estimate.instruments and any(map(all, zip(*parts, strict=True))):
            scenes["estimated"] = name_sources(truth, estimate)
    return scenes


def union(names: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return each name once: the estimate's last, unless the truth has them."""
    return tuple(dict.fromkeys(name for some in names for name in some))


def compare_scenes(
    scenes: dict[str, Scene], instruments: Sequence[str]
) -> dict[str, dict[str, Notes]]:
    """Compare the notes of each instrument; empty where no scene knows notes."""
    known = {
        column: dict(zip(scene.instruments, scene.notes, strict=True))
        for column, scene in scenes.items()
        if scene.notes is not None
    }
    if not known:
        return {}

    def notes_of(column: str, name: str) -> Notes | None:
        return known[column].get(name, Notes()) if column in known else None

    return {
        name: compare_notes(notes_of("true", name), notes_of("estimated", name))
        for name in instruments
    }


def last_offset(scenes: Iterable[Scene]) -> float:
    """Return when the last note of all ends, in seconds; 0 where there is none."""
    notes = [one for scene in scenes for one in scene.notes or ()]
    return float(max((one.offset.max() for one in notes if len(one)), default=0.0))
