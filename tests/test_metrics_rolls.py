"""Frame scores and Hamming distance of piano rolls."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import precision_recall_fscore_support

from msa_sk import Notes, Scene
from msa_sk.exceptions import InputError, NotesWarning
from msa_sk.metrics import Scores, frame_scores, roll_distance
from msa_sk.rolls import notes_to_roll

rolls = hnp.arrays(bool, (2, 88, 5), elements=st.booleans())


@settings(max_examples=60, deadline=None)
@given(rolls, rolls)
def test_equals_scikit_learn_on_flat_rolls(reference, estimate):
    expected = precision_recall_fscore_support(
        reference.ravel(), estimate.ravel(), average="binary", zero_division=0
    )[:3]
    if not reference.any() and not estimate.any():
        expected = (1, 1, 1)
    assert frame_scores(reference, estimate) == pytest.approx(expected)
    as_floats = frame_scores(reference.astype(np.float32), estimate.astype(int))
    assert as_floats == frame_scores(reference, estimate)


@settings(max_examples=60, deadline=None)
@given(rolls, rolls)
def test_normalised_hamming_is_one_minus_recall(reference, estimate):
    distance = roll_distance(reference, estimate)
    on = reference.sum()
    expected = 1 - frame_scores(reference, estimate).recall if on else 0
    assert distance.normalised == pytest.approx(expected)
    assert distance.hamming == np.sum(np.abs(reference[reference] * 1 - estimate[reference] * 1))
    both = np.sum(reference != estimate)  # eq. 4.2 over all bins
    assert distance.hamming + distance.false_positives == both


def test_counted_by_hand():
    reference = [[1, 1, 1, 0], [0, 0, 0, 1]]
    estimate = [[1, 1, 0, 0], [1, 0, 0, 1]]
    assert frame_scores(reference, estimate) == Scores(3 / 4, 3 / 4, 3 / 4)
    assert roll_distance(reference, estimate) == (1, 1 / 4, 1)
    assert roll_distance(reference, reference) == (0, 0, 0)
    assert roll_distance(reference, np.zeros((2, 4))) == (4, 1, 0)


def test_empty_sides():
    silence, played = np.zeros((88, 4)), np.eye(88, 4)
    assert frame_scores(silence, silence) == Scores(1, 1, 1)
    assert frame_scores(silence, played) == frame_scores(played, silence) == Scores(0, 0, 0)
    assert roll_distance(silence, played) == (0, 0, 4)
    assert roll_distance(Notes(), Notes()) == (0, 0, 0)


class TestNotes:
    truth = Notes([0.0, 1.0], [1.0, 2.0], [60, 64])
    found = Notes([0.0, 1.0], [0.5, 3.0], [60, 64])

    def test_frames_of_notes(self):
        assert frame_scores(self.truth, self.found, frame_rate=10) == pytest.approx(
            (15 / 25, 15 / 20, 30 / 45)
        )
        assert roll_distance(self.truth, self.found, frame_rate=10) == (5, 0.25, 10)
        rolls = [notes_to_roll(one, 200, 62.5) for one in (self.truth, self.found)]
        assert frame_scores(self.truth, self.found) == frame_scores(*rolls)

    def test_the_estimates_frame_rate_is_the_default(self):
        truth = Scene(
            ("piano",), 16000, notes=(self.truth,), rolls=np.zeros((1, 88, 3)), frame_rate=7
        )
        found = Scene(
            ("piano",), 16000, notes=(self.found,), rolls=np.zeros((1, 88, 3)), frame_rate=2
        )
        expected = frame_scores(self.truth, self.found, frame_rate=2)
        assert frame_scores(truth, found) == expected == pytest.approx((3 / 5, 3 / 4, 6 / 9))

    def test_instruments(self):
        truth = {"piano": self.truth, "bass": self.truth}
        found = {"piano": self.found, "organ": self.found}
        scores = frame_scores(truth, found, by_instrument=True, frame_rate=10)
        assert [scores[name].f1 for name in ("bass", "organ")] == [0, 0]
        assert scores["piano"] == frame_scores(self.truth, self.found, frame_rate=10)
        together = frame_scores(truth, found, frame_rate=10)
        assert together == pytest.approx((15 / 50, 15 / 40, 30 / 90))
        assert roll_distance(truth, found, frame_rate=10) == (25, 25 / 40, 35)

    def test_off_the_keyboard(self):
        with pytest.warns(NotesWarning, match="outside MIDI pitches"):
            scores = frame_scores(Notes([0, 0], [1, 1], [10, 60]), Notes([0], [1], [60]))
        assert scores.f1 == 1


def test_bad_input():
    with pytest.raises(InputError, match="estimate: expected a roll of 0 and 1.*threshold first"):
        frame_scores(np.ones((88, 3)), np.full((88, 3), 0.7))
    with pytest.raises(InputError, match=r"shape \(88, 3\), as the reference has"):
        frame_scores(np.ones((88, 3)), np.ones((88, 4)))
    with pytest.raises(InputError, match="both of one instrument"):
        roll_distance({"piano": Notes()}, Notes())
    with pytest.raises(
        InputError, match=r"reference: expected a roll .* got float64 of shape \(3,\)"
    ):
        roll_distance(np.ones(3), np.ones(3))
