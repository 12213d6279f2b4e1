"""The way from estimated notes to the true ones: what a separation is scored along."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from msa_sk._arguments import check_value
from msa_sk._sklearn import whole
from msa_sk._validation import check_random
from msa_sk.metrics._counts import pair_instruments
from msa_sk.metrics.transcription import match_notes
from msa_sk.notes import Notes
from msa_sk.records import Scene


def interpolate_notes(
    truth: Scene | Mapping[str, Notes],
    estimate: Scene | Mapping[str, Notes] | None = None,
    n_steps: int = 5,
    *,
    onset_tolerance: float = 0.05,
    random_state: Any = None,
) -> list[dict[str, Notes]]:
    """Return the notes on the way from an estimate to the truth, as someone would mend them.

    The notes that are missing, of all instruments together, are put in random order and divided
    into `n_steps` equal parts, of which each step adds one (section 4.3.3.1). From an estimate,
    on which the paper is silent, each step also takes out an equal share of the notes that are
    too many, and puts the true notes in the place of an equal share of those that were found: the
    last step is the truth.

    Parameters
    ----------
    truth : Scene or dict of str to Notes
    estimate : Scene or dict of str to Notes, default=None
        None is no notes at all.
    n_steps : int, default=5
    onset_tolerance : float, default=0.05
        In seconds: an estimated note with the pitch of a true one whose onset is that near is
        found, as in `note_onset_scores`.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    steps : list of dict of str to Notes, of length n_steps + 1
        Each may be a `Mixture.notes`. The first is the estimate, the last the truth.

    Raises
    ------
    InputError
        If something has no notes.
    ParameterError
        If there is no step.

    Examples
    --------
    >>> from msa_sk import Notes
    >>> from msa_sk.metrics import interpolate_notes
    >>> truth = {"piano": Notes([0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0], [60, 62, 64, 65])}
    >>> [len(step["piano"]) for step in interpolate_notes(truth, n_steps=2, random_state=0)]
    [0, 2, 4]
    """
    check_value(n_steps, "n_steps", whole(1))
    random = check_random(random_state)
    pairs = pair_instruments(truth, {} if estimate is None else estimate)
    # All instruments' notes in one line, true and estimated; where those of each begin.
    sizes = [(len(true), len(guessed)) for true, guessed in pairs.values()]
    begins = np.cumsum([(0, 0), *sizes], axis=0)
    found = [np.zeros((0, 2), int)]
    for begin, pair in zip(begins, pairs.values(), strict=False):
        matches = match_notes(*pair, onset_tolerance=onset_tolerance, offset_ratio=None)
        found.append(begin + matches)
    i, j = np.concatenate(found).T
    # The step at which each comes in, or goes out; one that was found comes as its estimate goes.
    comes, goes = (np.zeros(n_notes, int) for n_notes in begins[-1])
    comes[i] = goes[j] = _deal(len(i), n_steps, random)
    for of_others in (comes, goes):
        is_other = of_others == 0
        of_others[is_other] = _deal(is_other.sum(), n_steps, random)
    when = [(comes[first:], goes[other:]) for first, other in begins[:-1]]
    return [
        {
            name: guessed.select(go[: len(guessed)] > step).joined(
                true.select(come[: len(true)] <= step)
            )
            for (name, (true, guessed)), (come, go) in zip(pairs.items(), when, strict=True)
        }
        for step in range(n_steps + 1)
    ]


def _deal(n_notes: int, n_steps: int, random: np.random.RandomState) -> np.ndarray:
    """Return a step from 1 for each of some notes, at random, as many at one as at another."""
    return 1 + random.permutation(np.arange(n_notes) * n_steps // max(n_notes, 1))
