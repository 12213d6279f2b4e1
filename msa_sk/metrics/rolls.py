"""Piano rolls compared bin by bin: frame precision, recall and F1, and Hamming distance.

A bin is one pitch in one frame. Frame scores flatten both rolls and count bins that are on in
both (section 1.3.2 of the dissertation this package follows); they forgive a note that breaks up
into ten, which the scores of `msa_sk.metrics.transcription` do not. Where both rolls are empty
all scores are 1; where one is, they are 0.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from msa_sk._arguments import check_value
from msa_sk._sklearn import real
from msa_sk.exceptions import InputError
from msa_sk.metrics._counts import Pairs, Scores, pair_instruments, score_pairs, scores_from_counts
from msa_sk.notes import Notes
from msa_sk.records import Scene
from msa_sk.rolls import notes_to_roll

#: Frames per second where an estimate does not say: 16 kHz with a hop of 256.
FRAME_RATE = 62.5


class RollDistance(NamedTuple):
    """What `roll_distance` measures.

    ``hamming`` bins that are on in the truth are off in the estimate; ``normalised`` is that
    number divided by the truth's; ``false_positives`` are on in the estimate alone.
    """

    hamming: int
    normalised: float
    false_positives: int


def frame_scores(
    reference: Any,
    estimate: Any,
    *,
    frame_rate: float | None = None,
    by_instrument: bool = False,
) -> Scores | dict[str, Scores]:
    """Score piano rolls bin by bin.

    Parameters
    ----------
    reference, estimate : array-like of shape (..., n_pitches, n_frames), Notes, Scene or dict
        Arrays are binary and are counted whole. Of Scenes, the notes are taken, as decoded, so
        that thresholds are part of the score; all instruments' bins are counted together.
    frame_rate : float, default=None
        In Hz, for notes; None takes that of the estimated Scene's rolls, else 62.5.
    by_instrument : bool, default=False
        Whether to score each instrument on its own; not for arrays.

    Returns
    -------
    scores : Scores, or dict of str to Scores
        ``precision``, ``recall`` and ``f1``.

    Examples
    --------
    >>> from msa_sk.metrics import frame_scores
    >>> frame_scores([[0, 1, 1, 1]], [[1, 1, 1, 0]])
    Scores(precision=0.6666666666666666, recall=0.6666666666666666, f1=0.6666666666666666)
    """
    if not _are_notes(estimate):
        return scores_from_counts(*_count_bins(reference, estimate))
    rate = _frame_rate(frame_rate, estimate)
    pairs = pair_instruments(reference, estimate)
    return score_pairs(partial(_count_frames, rate), pairs, by_instrument)


def roll_distance(
    reference: Any, estimate: Any, *, frame_rate: float | None = None
) -> RollDistance:
    """Hamming distance (eq. 4.2) and normalised Hamming distance (4.3) of two piano rolls.

    Only bins that are on in the truth are counted: then the normalised distance is from 0 to 1,
    and is 1 minus the frame recall. A truth without notes is at distance 0. What the estimate
    has too much does not count, and is reported beside it.

    Parameters
    ----------
    reference, estimate : array-like of shape (..., n_pitches, n_frames), Notes, Scene or dict
        As in `frame_scores`.
    frame_rate : float, default=None
        As in `frame_scores`.

    Returns
    -------
    distance : RollDistance
        ``hamming``, ``normalised`` and ``false_positives``.

    Examples
    --------
    >>> from msa_sk.metrics import roll_distance
    >>> roll_distance([[1, 1, 1, 1, 0]], [[1, 1, 1, 0, 1]])
    RollDistance(hamming=1, normalised=0.25, false_positives=1)
    """
    if _are_notes(estimate):
        rate = _frame_rate(frame_rate, estimate)
        counts = _count_frames(rate, pair_instruments(reference, estimate))
    else:
        counts = _count_bins(reference, estimate)
    n_hits, n_reference, n_estimate = counts
    missed = n_reference - n_hits
    return RollDistance(missed, missed / max(n_reference, 1), n_estimate - n_hits)


def _are_notes(values: Any) -> bool:
    return isinstance(values, Notes | Scene | Mapping)


def _frame_rate(asked: float | None, estimate: Any) -> float:
    check_value(asked, "frame_rate", real(0, closed="neither"), None, remedy="Pass Hz, or None.")
    return asked or getattr(estimate, "frame_rate", None) or FRAME_RATE


def _count_frames(frame_rate: float, pairs: Pairs) -> tuple[int, int, int]:
    """Count hits, true and estimated bins of notes, in as many frames as they need."""
    counts = np.zeros(3, int)
    for pair in pairs.values():
        n_frames = max(
            (round(t * frame_rate) + 1 for notes in pair for t in notes.offset), default=1
        )
        counts += _count_bins(*(notes_to_roll(notes, n_frames, frame_rate) for notes in pair))
    n_hits, n_reference, n_estimate = map(int, counts)
    return n_hits, n_reference, n_estimate


def _count_bins(reference: Any, estimate: Any) -> tuple[int, int, int]:
    """Count hits, true and estimated bins of binary arrays."""
    rolls = [np.asarray(roll) for roll in (reference, estimate)]
    for name, roll in zip(("reference", "estimate"), rolls, strict=True):
        if roll.dtype.kind not in "biuf" or roll.ndim < 2 or not np.isin(roll, (0, 1)).all():
            raise InputError(
                name,
                "a roll of 0 and 1, shape (..., n_pitches, n_frames)",
                f"{roll.dtype} of shape {roll.shape}",
                "Compare posteriors with a threshold first: roll >= 0.5.",
            )
    if rolls[0].shape != rolls[1].shape:
        raise InputError(
            "estimate",
            f"shape {rolls[0].shape}, as the reference has",
            f"shape {rolls[1].shape}",
            "Make both at one frame rate and length.",
        )
    reference, estimate = (roll.astype(bool) for roll in rolls)
    return int((reference & estimate).sum()), int(reference.sum()), int(estimate.sum())
