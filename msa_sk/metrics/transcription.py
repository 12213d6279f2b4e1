"""How many notes were found: precision, recall and F1 of note onsets, and of onsets and offsets.

An estimated note is right if it has the pitch of a true note and its onset is within 50 ms of
that note's; for onset and offset scores, its offset must besides be within 50 ms or a fifth of
the true note's length, whichever is more. Every note is matched once at most, and as many are
matched as can be (bipartite matching). So it is in section 1.3.2 of the dissertation this package
follows, and in mir_eval.transcription, whose results these equal: times that differ are rounded
to 0.1 ms and a difference that equals the tolerance is right. Pitches are MIDI numbers and must
be the same; mir_eval wants Hz and allows 50 cents, which is the same for tempered notes. MIREX
allows less and scores 1 to 2 % lower.

Every function takes (reference, estimate): Notes, or Scenes or dicts of instrument to Notes. For
those, the instrument is part of the match, as the pitch is, unless `by_instrument` asks for each
instrument's own scores; an instrument that one side does not list has no notes there. Drums are
scored by onset only (the dissertation's table 3.3): how long a stroke lasts is no fact.

Where both sides are empty all scores are 1; where one is, they are 0.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from msa_sk._arguments import check_names, check_value
from msa_sk._sklearn import real
from msa_sk.metrics._counts import Pairs, Scores, pair_instruments, score_pairs
from msa_sk.notes import Notes

_N_PITCHES = 128
_N_DECIMALS = 4  # of times, in s: float noise must not part two notes that are 50 ms apart


def note_onset_scores(
    reference: Any, estimate: Any, *, onset_tolerance: float = 0.05, by_instrument: bool = False
) -> Scores | dict[str, Scores]:
    """Score notes by pitch and onset.

    Parameters
    ----------
    reference, estimate : Notes, Scene or dict of str to Notes
    onset_tolerance : float, default=0.05
        In seconds.
    by_instrument : bool, default=False
        Whether to score each instrument on its own instead of all together.

    Returns
    -------
    scores : Scores, or dict of str to Scores
        ``precision``, ``recall`` and ``f1``.

    Examples
    --------
    >>> from msa_sk import Notes
    >>> from msa_sk.metrics import note_onset_scores
    >>> truth = Notes(onset=[0.0, 1.0, 2.0], offset=[0.5, 1.5, 2.5], pitch=[60, 62, 64])
    >>> found = Notes(onset=[0.02, 1.2], offset=[0.9, 1.5], pitch=[60, 62])
    >>> note_onset_scores(truth, found)  # the first of two is right
    Scores(precision=0.5, recall=0.3333333333333333, f1=0.4)
    """
    rule = _Rule(onset_tolerance)
    pairs = pair_instruments(reference, estimate)
    return score_pairs(partial(_count, rule), pairs, by_instrument)


def note_onset_offset_scores(
    reference: Any,
    estimate: Any,
    *,
    onset_tolerance: float = 0.05,
    offset_ratio: float = 0.2,
    offset_min_tolerance: float = 0.05,
    onset_only: Sequence[str] = ("drums",),
    by_instrument: bool = False,
) -> Scores | dict[str, Scores]:
    """Score notes by pitch, onset and offset.

    Parameters
    ----------
    reference, estimate : Notes, Scene or dict of str to Notes
    onset_tolerance : float, default=0.05
        In seconds.
    offset_ratio : float, default=0.2
        Tolerance of an offset, in lengths of the true note.
    offset_min_tolerance : float, default=0.05
        In seconds; the larger of the two tolerances holds.
    onset_only : sequence of str, default=("drums",)
        Instruments whose offsets are not looked at.
    by_instrument : bool, default=False
        Whether to score each instrument on its own instead of all together.

    Returns
    -------
    scores : Scores, or dict of str to Scores
    """
    rule = _Rule(onset_tolerance, offset_ratio, offset_min_tolerance, onset_only)
    pairs = pair_instruments(reference, estimate)
    return score_pairs(partial(_count, rule), pairs, by_instrument)


def match_notes(
    reference: Notes,
    estimate: Notes,
    *,
    onset_tolerance: float = 0.05,
    offset_ratio: float | None = 0.2,
    offset_min_tolerance: float = 0.05,
) -> np.ndarray:
    """Return which estimated note is which true note.

    Parameters
    ----------
    reference, estimate : Notes
    onset_tolerance, offset_ratio, offset_min_tolerance : float
        As in `note_onset_offset_scores`; ``offset_ratio=None`` looks at onsets only.

    Returns
    -------
    matches : ndarray of int, shape (n_matches, 2)
        Rows (i, j): ``estimate`` note j is ``reference`` note i. Both count in the order that
        Notes keep: by onset, then pitch.
    """
    rule = _Rule(onset_tolerance, offset_ratio, offset_min_tolerance)
    return _match(rule, {"": (reference, estimate)})


class _Rule(NamedTuple):
    """When two notes may be the same."""

    onset_tolerance: float
    offset_ratio: float | None = None
    offset_min_tolerance: float = 0.0
    onset_only: Sequence[str] = ()


class _Events(NamedTuple):
    """Notes of all instruments in one line; equal keys are equal pitches of one instrument."""

    onset: np.ndarray
    offset: np.ndarray
    key: np.ndarray


def _count(rule: _Rule, pairs: Pairs) -> tuple[int, int, int]:
    n_reference, n_estimate = (sum(len(pair[side]) for pair in pairs.values()) for side in (0, 1))
    return len(_match(rule, pairs)), n_reference, n_estimate


def _match(rule: _Rule, pairs: Pairs) -> np.ndarray:
    """Return the largest set of pairs of notes that are the same, as rows (i, j)."""
    _check_rule(rule)
    reference, estimate = (_join([pair[side] for pair in pairs.values()]) for side in (0, 1))
    i, j = _candidates(reference, estimate, rule.onset_tolerance)
    same = _apart(reference.onset[i], estimate.onset[j]) <= rule.onset_tolerance
    if rule.offset_ratio is not None:
        tolerance = np.concatenate([[], *(_offset_tolerance(rule, n, pairs[n][0]) for n in pairs)])
        same &= _apart(reference.offset[i], estimate.offset[j]) <= tolerance[i]
    i, j = i[same], j[same]
    if _is_unique(i) and _is_unique(j):  # nothing to choose from
        return np.stack([i, j], axis=1)
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    shape = len(reference.key), len(estimate.key)
    graph = csr_array((np.ones(len(i), bool), (i, j)), shape)
    partner = maximum_bipartite_matching(graph, perm_type="column")
    matched = np.flatnonzero(partner >= 0)
    return np.stack([matched, partner[matched]], axis=1)


def _join(notes: Sequence[Notes]) -> _Events:
    onsets, offsets = ([getattr(one, time) for one in notes] for time in ("onset", "offset"))
    keys = [one.pitch + i * _N_PITCHES for i, one in enumerate(notes)]
    return _Events(*(np.concatenate([[], *column]) for column in (onsets, offsets, keys)))


def _offset_tolerance(rule: _Rule, instrument: str, reference: Notes) -> np.ndarray:
    if instrument in rule.onset_only:
        return np.full(len(reference), np.inf)
    duration = reference.offset - reference.onset
    return np.maximum(rule.offset_ratio * duration, rule.offset_min_tolerance)


def _candidates(
    reference: _Events, estimate: _Events, onset_tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs (i, j) of equal keys whose onsets are near, without a matrix of all pairs.

    Complex numbers sort by real part, then by imaginary part: here by key, then by onset.
    """
    order = np.lexsort((estimate.onset, estimate.key))
    places = (estimate.key + 1j * estimate.onset)[order]
    near = onset_tolerance + 10.0**-_N_DECIMALS
    first = np.searchsorted(places, reference.key + 1j * (reference.onset - near), "left")
    last = np.searchsorted(places, reference.key + 1j * (reference.onset + near), "right")
    n_near = last - first
    i = np.repeat(np.arange(len(n_near)), n_near)
    nth = np.arange(len(i)) - np.repeat(np.cumsum(n_near) - n_near, n_near)
    return i, order[first[i] + nth]


def _apart(times: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.around(np.abs(times - others), _N_DECIMALS)


def _is_unique(indices: np.ndarray) -> bool:
    return len(indices) == 0 or np.bincount(indices).max() == 1


def _check_rule(rule: _Rule) -> None:
    check_value(rule.onset_tolerance, "onset_tolerance", real(0))
    check_value(rule.offset_ratio, "offset_ratio", real(0), None)
    check_value(rule.offset_min_tolerance, "offset_min_tolerance", real(0))
    check_names(rule.onset_only, "onset_only", at_least=0)
