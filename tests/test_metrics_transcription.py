"""Note scores: cases a person can count, mir_eval's references, and sizes that break others."""

import json
import os
import time
import tracemalloc
from pathlib import Path

import mir_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msa_sk import Notes, Scene
from msa_sk.exceptions import InputError, InstrumentError, NotesError
from msa_sk.metrics import Scores, match_notes, note_onset_offset_scores, note_onset_scores


def notes(*rows):
    """Notes from rows of onset, offset, pitch."""
    return Notes(*np.reshape(rows, (-1, 3)).T)


#: Five true notes and six found ones.
TRUTH = notes((0, 1, 60), (1, 2, 62), (2, 3, 64), (3, 4, 65), (3, 4, 69))
FOUND = notes(
    (0.04, 1.0, 60),  # right
    (1.0, 2.3, 62),  # ends 0.3 s late: more than a fifth of a second
    (2.06, 3.0, 64),  # starts 60 ms late
    (3.0, 4.15, 65),  # right: its end is within a fifth of its length
    (3.0, 4.0, 70),  # wrong pitch
    (3.02, 3.9, 65),  # right too, but its true note is taken
)


def test_counted_by_hand():
    assert note_onset_scores(TRUTH, FOUND) == pytest.approx((3 / 6, 3 / 5, 6 / 11))
    assert note_onset_offset_scores(TRUTH, FOUND) == pytest.approx((2 / 6, 2 / 5, 4 / 11))
    swapped = note_onset_scores(FOUND, TRUTH)
    assert (swapped.precision, swapped.recall) == pytest.approx((3 / 5, 3 / 6))


def test_tolerances():
    assert note_onset_scores(TRUTH, FOUND, onset_tolerance=0.06).recall == 4 / 5
    assert note_onset_scores(TRUTH, FOUND, onset_tolerance=0.01).recall == 2 / 5
    assert note_onset_offset_scores(TRUTH, FOUND, offset_ratio=0.3).recall == 3 / 5
    strict = note_onset_offset_scores(TRUTH, FOUND, offset_ratio=0.0)
    assert strict.recall == 1 / 5
    assert note_onset_offset_scores(TRUTH, FOUND, offset_min_tolerance=0.3).recall == 3 / 5


def test_a_difference_of_just_the_tolerance_is_right():
    for onset in (0.1, 0.7, 1.1, 123.4):  # float noise on either side
        late = notes((onset + 0.05, onset + 1, 60))
        assert note_onset_scores(notes((onset, onset + 1, 60)), late).f1 == 1
        too_late = notes((onset + 0.0502, onset + 1, 60))
        assert note_onset_scores(notes((onset, onset + 1, 60)), too_late).f1 == 0


def test_empty_sides():
    for scores in (note_onset_scores, note_onset_offset_scores):
        assert scores(Notes(), Notes()) == Scores(1, 1, 1)
        assert scores(TRUTH, Notes()) == Scores(0, 0, 0)
        assert scores(Notes(), TRUTH) == Scores(0, 0, 0)
        assert scores({}, {}) == Scores(1, 1, 1)
        assert scores({}, {}, by_instrument=True) == {}
    assert match_notes(Notes(), TRUTH).shape == (0, 2)


def test_matches_are_the_pairs():
    np.testing.assert_array_equal(
        match_notes(TRUTH, FOUND, offset_ratio=None)[:2], [[0, 0], [1, 1]]
    )
    matches = match_notes(TRUTH, FOUND)
    np.testing.assert_array_equal(matches[:, 0], [0, 3])
    assert (TRUTH.pitch[matches[:, 0]] == FOUND.pitch[matches[:, 1]]).all()


class TestInstruments:
    truth = Scene(
        ("piano", "drums"), 16000, notes=(TRUTH, notes((0, 0.1, 36), (1, 1.1, 36), (1, 1.1, 38)))
    )
    found = Scene(
        ("drums", "piano"), 16000, notes=(notes((0, 0.9, 36), (1, 1.9, 36), (2, 2.1, 38)), FOUND)
    )

    def test_drums_by_onset_only(self):
        scores = note_onset_offset_scores(self.truth, self.found, by_instrument=True)
        assert list(scores) == ["piano", "drums"]
        assert scores["drums"] == pytest.approx((2 / 3, 2 / 3, 2 / 3))
        assert scores["piano"] == note_onset_offset_scores(TRUTH, FOUND)
        strict = note_onset_offset_scores(
            self.truth, self.found, onset_only=(), by_instrument=True
        )
        assert strict["drums"].f1 == 0
        onsets = note_onset_scores(self.truth, self.found, by_instrument=True)
        assert onsets["drums"] == scores["drums"]

    def test_together_the_instrument_is_part_of_the_match(self):
        together = note_onset_offset_scores(self.truth, self.found)
        assert together == pytest.approx((4 / 9, 4 / 8, 8 / 17))
        swapped = Scene(("piano", "drums"), 16000, notes=self.found.notes)
        assert note_onset_scores(self.truth, swapped) == Scores(0, 0, 0)

    def test_not_listed_has_no_notes(self):
        scores = note_onset_scores(
            {"piano": TRUTH, "bass": Notes()}, {"organ": FOUND}, by_instrument=True
        )
        assert {name: one.f1 for name, one in scores.items()} == {
            "piano": 0,
            "bass": 1,
            "organ": 0,
        }
        assert note_onset_scores({"piano": TRUTH}, {"piano": FOUND}) == note_onset_scores(
            TRUTH, FOUND
        )

    def test_bad_input(self):
        with pytest.raises(InputError, match="both of one instrument, or both of named ones"):
            note_onset_scores(self.truth, FOUND)
        with pytest.raises(InputError, match="Notes, a Scene or a dict of Notes, got list"):
            note_onset_scores([TRUTH], [FOUND])
        with pytest.raises(NotesError, match=r"estimate\['piano'\]: expected Notes, got int"):
            note_onset_scores({"piano": TRUTH}, {"piano": 3})
        with pytest.raises(InputError, match="Use an estimator that transcribes"):
            note_onset_scores(self.truth, Scene(("piano",), 16000))
        with pytest.raises(InputError, match="onset_tolerance: expected a float in the range"):
            note_onset_scores(TRUTH, FOUND, onset_tolerance=-1)
        with pytest.raises(InstrumentError, match=r"onset_only: .* got 'drums'. Pass \['drums'\]"):
            note_onset_offset_scores(self.truth, self.found, onset_only="drums")


def as_mir_eval(one):
    return np.stack([one.onset, one.offset], axis=1), mir_eval.util.midi_to_hz(one.pitch)


def mir_eval_scores(reference, estimate, offset_ratio):
    return mir_eval.transcription.precision_recall_f1_overlap(
        *as_mir_eval(reference), *as_mir_eval(estimate), offset_ratio=offset_ratio
    )[:3]


@pytest.mark.parametrize("case", ["00", "01", "02", "03", "04"])
def test_equals_mir_eval_on_its_own_references(case):
    if "MSA_SK_DATA" not in os.environ:
        pytest.skip("MSA_SK_DATA is not set")
    folder = Path(os.environ["MSA_SK_DATA"], "known_scores/mir_eval/transcription")
    known = json.loads((folder / f"output{case}.json").read_text())
    reference, estimate = (
        Notes(onset, offset, np.round(mir_eval.util.hz_to_midi(hz)))
        for onset, offset, hz in (
            np.loadtxt(folder / f"{side}{case}.txt").T for side in ("ref", "est")
        )
    )
    names = ("Precision", "Recall", "F-measure")
    expected = [known[f"{name}_no_offset"] for name in names]
    assert note_onset_scores(reference, estimate) == pytest.approx(expected)
    expected = [known[name] for name in names]
    assert note_onset_offset_scores(reference, estimate) == pytest.approx(expected)


# A hundredth of a second as grid makes ties, chains, and differences of just the tolerance.
rows = st.tuples(st.integers(0, 40), st.integers(1, 60), st.integers(60, 62)).map(
    lambda row: (row[0] / 100, (row[0] + row[1]) / 100, row[2])
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(rows, min_size=1, max_size=15), st.lists(rows, min_size=1, max_size=15), st.randoms()
)
def test_equals_mir_eval_on_anything(truth, found, random):
    reference, estimate = notes(*truth), notes(*found)
    random.shuffle(truth)
    random.shuffle(found)
    shuffled = notes(*truth), notes(*found)
    for scores, offset_ratio in ((note_onset_scores, None), (note_onset_offset_scores, 0.2)):
        values = scores(reference, estimate)
        assert values == pytest.approx(mir_eval_scores(reference, estimate, offset_ratio))
        assert scores(*shuffled) == values
        matches = match_notes(reference, estimate, offset_ratio=offset_ratio)
        assert len(matches) == round(values.recall * len(reference))
        assert all(len(set(column)) == len(column) for column in matches.T.tolist())
        for i, j in matches:
            pair = reference.select([i]), estimate.select([j])
            assert scores(*pair).f1 == 1


def test_ten_thousand_notes_in_little_time_and_memory():
    rng = np.random.default_rng(0)
    onset = rng.uniform(0, 600, 10_000)
    truth = Notes(onset, onset + rng.uniform(0.1, 2, 10_000), rng.integers(30, 90, 10_000))
    late = truth.onset + rng.uniform(0, 0.08, 10_000)
    found = Notes(late, late + 1, truth.pitch)
    tracemalloc.start()
    start = time.process_time()
    scores = note_onset_offset_scores(truth, found)
    seconds = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 2
    assert peak < 300e6
    part = slice(0, 400)
    expected = mir_eval_scores(truth.select(part), found.select(part), 0.2)
    assert note_onset_offset_scores(truth.select(part), found.select(part)) == pytest.approx(
        expected
    )
    assert 0.1 < scores.f1 < 0.9


def test_a_chain_of_matches_needs_no_recursion():
    """Every found note fits two true ones, so that one choice moves all the others."""
    onset = np.arange(5000) * 0.08
    truth = Notes(onset, onset + 0.05, np.full(5000, 60))
    found = Notes(onset[1:] - 0.04, onset[1:] + 0.01, np.full(4999, 60))
    assert note_onset_scores(truth, found) == pytest.approx((1, 4999 / 5000, 9998 / 9999))
    matches = match_notes(truth, found, offset_ratio=None)
    assert (np.abs(truth.onset[matches[:, 0]] - found.onset[matches[:, 1]]) < 0.0401).all()
