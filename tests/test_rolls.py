"""Notes to piano rolls and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msa_sk import Notes
from msa_sk.exceptions import NotesWarning
from msa_sk.rolls import N_PITCHES, notes_to_roll, roll_to_notes

FRAME_RATE = 62.5


def lit(roll, pitch):
    return np.flatnonzero(roll[pitch - 21]).tolist()


def roll_of(pitch, frames, n_frames=100):
    roll = np.zeros((N_PITCHES, n_frames), np.float32)
    roll[pitch - 21, frames] = 1
    return roll


def as_frames(notes, frame_rate=FRAME_RATE):
    return [
        (round(onset * frame_rate), round(offset * frame_rate), pitch)
        for onset, offset, pitch in zip(
            notes.onset.tolist(), notes.offset.tolist(), notes.pitch.tolist(), strict=True
        )
    ]


@pytest.mark.parametrize(
    ("onset", "offset", "frames"),
    [
        (0.0, 1.0, [*range(10)]),
        (0.1, 0.3, [1, 2]),
        (0.14, 0.36, [1, 2, 3]),  # frames 1.4 to 3.6
        (0.16, 0.34, [2]),  # frames 1.6 to 3.4
        (0.21, 0.22, [2]),  # never less than one frame
        (0.5, 9.0, [5, 6, 7, 8, 9]),
        (0.96, 9.0, []),  # begins at frame 10, which is not there
        (7.0, 9.0, []),
    ],
)
def test_a_note_lights_its_frames(onset, offset, frames):
    roll = notes_to_roll(Notes([onset], [offset], [60]), n_frames=10, frame_rate=10.0)
    assert roll.shape == (88, 10)
    assert roll.dtype == np.float32
    assert lit(roll, 60) == frames
    assert roll.sum() == len(frames)


@given(st.integers(-20, 120), st.integers(1, 40))
def test_a_roll_can_begin_anywhere(start, n_frames):
    """It is that piece of the whole, with silence around."""
    notes = Notes([0.1, 3.0, 3.1, 8.0], [2.0, 3.01, 7.0, 9.0], [60, 61, 60, 72])
    around = np.pad(notes_to_roll(notes, 100, 10.0), [(0, 0), (20, 60)])
    piece = notes_to_roll(notes, n_frames, 10.0, start)
    np.testing.assert_array_equal(piece, around[:, 20 + start : 20 + start + n_frames])


def test_the_keys_of_a_piano_fill_the_roll():
    notes = Notes(np.zeros(88), np.ones(88), np.arange(21, 109))
    assert notes_to_roll(notes, 1, 10.0).tolist() == [[1.0]] * 88
    assert not notes_to_roll(Notes(), 5, 10.0).any()


def test_other_pitches_leave_the_roll_with_one_warning():
    notes = Notes(np.zeros(4), np.ones(4), [20, 21, 108, 109])
    with pytest.warns(NotesWarning, match="2 notes outside MIDI pitches 21 to 108") as caught:
        roll = notes_to_roll(notes, 3, 10.0)
    assert len(caught) == 1
    assert roll.sum() == 6
    assert len(notes) == 4


spans = st.lists(
    st.tuples(st.integers(0, 87), st.integers(0, 60), st.integers(1, 20)), max_size=12
)


@given(spans, st.sampled_from([62.5, 100.0, 31.25, 43.06640625]))
def test_notes_on_the_grid_come_back(spans, frame_rate):
    taken = np.zeros((88, 100), bool)
    rows = []
    for key, first, length in spans:
        around = slice(max(0, first - 1), first + length + 1)
        if not taken[key, around].any():  # notes that touch would become one
            taken[key, first : first + length] = True
            rows.append((first, first + length, key + 21))
    first, last, pitch = np.array(rows, int).reshape(-1, 3).T
    notes = Notes(first / frame_rate, last / frame_rate, pitch)
    roll = notes_to_roll(notes, 100, frame_rate)
    np.testing.assert_array_equal(roll.astype(bool), taken)
    back = roll_to_notes(roll, frame_rate, min_duration=0.0, max_gap=0.0)
    assert as_frames(back, frame_rate) == sorted(rows, key=lambda row: (row[0], row[2]))
    assert (back.velocity == 64).all()


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95))
def test_every_roll_comes_back_as_what_was_on(seed, threshold):
    roll = np.random.default_rng(seed).uniform(0, 1, (88, 40)).astype(np.float32)
    notes = roll_to_notes(roll, FRAME_RATE, threshold, min_duration=0.0, max_gap=0.0)
    np.testing.assert_array_equal(
        notes_to_roll(notes, 40, FRAME_RATE).astype(bool), roll >= threshold
    )


def test_the_threshold_itself_is_on():
    roll = np.zeros((88, 3))
    roll[39, 1] = 0.5
    assert len(roll_to_notes(roll, FRAME_RATE, 0.5, min_duration=0)) == 1
    assert len(roll_to_notes(roll, FRAME_RATE, 0.51, min_duration=0)) == 0


def test_no_frames_and_no_notes():
    assert len(roll_to_notes(np.zeros((88, 50)), FRAME_RATE)) == 0
    assert len(roll_to_notes(np.zeros((88, 0)), FRAME_RATE)) == 0


@pytest.mark.parametrize("gap", [1, 2, 3, 4])
def test_short_gaps_are_closed(gap):
    frames = [*range(10, 20), *range(20 + gap, 30 + gap)]
    notes = roll_to_notes(roll_of(60, frames), 100.0, max_gap=0.02)
    whole = [(10, 30 + gap, 60)]
    parts = [(10, 20, 60), (20 + gap, 30 + gap, 60)]
    assert as_frames(notes, 100.0) == (whole if gap <= 2 else parts)


def test_gaps_of_other_pitches_stay():
    roll = roll_of(60, range(10, 20)) + roll_of(61, range(21, 31))
    assert as_frames(roll_to_notes(roll, 100.0, max_gap=0.05), 100.0) == [
        (10, 20, 60),
        (21, 31, 61),
    ]


def test_gaps_are_closed_before_short_notes_are_dropped():
    frames = [10, 12, 14, 16, 18]  # each is too short alone
    notes = roll_to_notes(roll_of(60, frames), 100.0, min_duration=0.05, max_gap=0.01)
    assert as_frames(notes, 100.0) == [(10, 19, 60)]


@pytest.mark.parametrize("length", [1, 4, 5, 6])
def test_short_notes_are_dropped(length):
    roll = roll_of(60, range(10, 10 + length))
    notes = roll_to_notes(roll, 100.0, min_duration=0.05)
    assert as_frames(notes, 100.0) == ([(10, 10 + length, 60)] if length >= 5 else [])


def test_what_is_just_as_long_is_not_shorter():
    """At 100 frames per second, whose times in seconds are no round binary numbers."""
    wrong = {}
    for n_frames in range(1, 60):
        limit = n_frames / 100
        note = roll_of(60, range(n_frames))
        parted = roll_of(60, [*range(9), *range(9 + n_frames, 100)])
        counts = (
            len(roll_to_notes(note, 100.0, min_duration=limit)),
            len(roll_to_notes(note, 100.0, min_duration=limit + 0.001)),
            len(roll_to_notes(parted, 100.0, max_gap=limit)),
            len(roll_to_notes(parted, 100.0, max_gap=limit - 0.001)),
        )
        if counts != (1, 0, 1, 2):
            wrong[limit] = counts
    assert wrong == {}


def test_the_roll_stays_as_it_is():
    roll = roll_of(60, range(5))
    roll.flags.writeable = False
    before = roll.copy()
    roll_to_notes(roll, FRAME_RATE)
    np.testing.assert_array_equal(roll, before)
