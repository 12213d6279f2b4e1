"""What scores of notes and of frames share: whose notes they compare, and P, R and F1."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from msa_sk.exceptions import InputError, NotesError
from msa_sk.notes import Notes
from msa_sk.records import Scene

#: The notes of each instrument, true and estimated.
Pairs = Mapping[str, tuple[Notes, Notes]]

_NO_NOTES = Notes()


class Scores(NamedTuple):
    """Precision, recall and their harmonic mean, from 0 to 1."""

    precision: float
    recall: float
    f1: float


def scores_from_counts(n_hits: int, n_reference: int, n_estimate: int) -> Scores:
    """Return the scores of so many hits; all 1 where both sides are empty, 0 where one is."""
    if n_reference == 0 and n_estimate == 0:
        return Scores(1.0, 1.0, 1.0)
    if n_hits == 0:
        return Scores(0.0, 0.0, 0.0)
    f1 = 2 * n_hits / (n_reference + n_estimate)
    return Scores(n_hits / n_estimate, n_hits / n_reference, f1)


def pair_instruments(reference: Any, estimate: Any) -> Pairs:
    """Return each instrument's true and estimated notes; one that is not listed has none.

    Parameters
    ----------
    reference, estimate : Notes, Scene or dict of str to Notes
    """
    references = _by_instrument(reference, "reference")
    estimates = _by_instrument(estimate, "estimate")
    if isinstance(reference, Notes) != isinstance(estimate, Notes):
        raise InputError(
            "reference and estimate",
            "both of one instrument, or both of named ones",
            f"{type(reference).__name__} and {type(estimate).__name__}",
            "Pass scene.notes_of(instrument) for Notes.",
        )
    return {
        name: (references.get(name, _NO_NOTES), estimates.get(name, _NO_NOTES))
        for name in dict.fromkeys([*references, *estimates])
    }


def score_pairs(
    count: Callable[[Pairs], tuple[int, int, int]], pairs: Pairs, by_instrument: bool
) -> Scores | dict[str, Scores]:
    """Score what `count` counts: hits, true and estimated things, of all pairs or of each."""
    if by_instrument:
        return {name: scores_from_counts(*count({name: pair})) for name, pair in pairs.items()}
    return scores_from_counts(*count(pairs))


def _by_instrument(notes: Any, side: str) -> Mapping[str, Notes]:
    """Return anything that holds notes as a dict; lone Notes belong to an instrument ''."""
    if isinstance(notes, Notes):
        return {"": notes}
    if isinstance(notes, Scene):
        return {name: notes.notes_of(name) for name in notes.instruments}
    remedy = "Build Notes(onset, offset, pitch)."
    if not isinstance(notes, Mapping):
        expected = "Notes, a Scene or a dict of Notes"
        raise InputError(side, expected, type(notes).__name__, remedy)
    for name, one in notes.items():
        if not isinstance(one, Notes):
            raise NotesError(f"{side}[{name!r}]", "Notes", type(one).__name__, remedy)
    return notes
