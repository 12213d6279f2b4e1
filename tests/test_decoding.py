"""Posteriors to notes: by the written rules, whatever comes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msa_sk import STFT, Notes
from msa_sk.decoding import NoteDecoder, decode_notes, pitch_weights
from msa_sk.exceptions import NotesError
from msa_sk.midi import read_midi, read_parts, write_midi
from msa_sk.rolls import N_PITCHES
from msa_sk.spectral import stft

RATE = 16000
SEEN = STFT()
FRAMES = SEEN.frame_rate  # 62.5 a second
PITCH = 69


def roll_of(posteriors, pitch=PITCH):
    roll = np.zeros((N_PITCHES, len(posteriors)), np.float32)
    roll[pitch - 21] = posteriors
    return roll


def held(*spans, n_frames=100, posterior=0.9):
    """Return a roll in which a pitch is held from one frame up to another."""
    posteriors = np.zeros(n_frames)
    for first, last in spans:
        posteriors[first:last] = posterior
    return roll_of(posteriors)


def tones(*strikes, n_frames=100, pitch=PITCH):
    """Return the magnitude of tones that are struck: (seconds, amplitude), one after the other."""
    time = np.arange(n_frames * SEEN.hop_length - 1) / RATE
    audio = np.zeros(len(time))
    ends = [start for start, _ in strikes[1:]] + [np.inf]
    for (start, amplitude), end in zip(strikes, ends, strict=True):
        age = time - start
        cycles = 440 * 2 ** ((pitch - 69) / 12) * age
        wave = sum(np.sin(2 * np.pi * h * cycles) / h for h in (1, 2, 3))
        audio += amplitude * wave * np.exp(-4 * np.abs(age)) * ((age >= 0) & (time < end))
    return np.abs(stft(audio.astype(np.float32), SEEN.n_fft, SEEN.hop_length))


def frames_of(notes):
    return [
        (round(onset * FRAMES, 3), round(offset * FRAMES, 3))
        for onset, offset in zip(notes.onset, notes.offset, strict=True)
    ]


# ------------------------------------------------------------------------- posteriors alone


@pytest.mark.parametrize("percussive", [False, True])
def test_no_note_outlasts_the_recording(percussive):
    roll = held((10, 20), (90, 100)) + roll_of(np.eye(100)[-1], PITCH + 1)
    settings = {"percussive": percussive, "min_note": 0.016}
    found = decode_notes(roll, SEEN, **settings)
    assert frames_of(found)[1:] == [(90, 100), (99, 100)]
    clipped = decode_notes(roll, SEEN, duration=99.5 / FRAMES, **settings)
    assert frames_of(clipped) == [frames_of(found)[0], (90, 99.5), (99, 99.5)]
    assert frames_of(decode_notes(roll, SEEN, duration=99 / FRAMES, **settings))[1:] == [(90, 99)]


@pytest.mark.parametrize(
    ("posteriors", "expected"),
    [
        ([0, 0.3, 0.3, 0.3, 0.3, 0.3, 0], []),  # the threshold is not reached
        ([0, 0.4, 0.4, 0.4, 0.4, 0], [(1, 5)]),
        ([0, 0.2, 0.3, 0.4, 0.3, 0.2, 0.1], [(1, 6)]),  # from half of it to half of it
        ([0.1, 0.5, 0.5, 0.3, 0.5, 0.5, 0.1], [(1, 6)]),  # it need not be reached throughout
        ([0, 0.9, 0.9, 0, 0.9, 0.9, 0], [(1, 6)]),  # a gap of one frame
        ([0] + [0.9] * 4 + [0, 0] + [0.9] * 4 + [0], [(1, 5), (7, 11)]),  # and of two
        ([0, 0.9, 0.9, 0.9, 0], []),  # 48 ms are hair-thin
        ([0.9] * 5, [(0, 5)]),
        ([], []),
    ],
)
def test_posteriors_that_nobody_hears(posteriors, expected):
    notes = decode_notes(roll_of(posteriors), SEEN, threshold=0.4)
    assert frames_of(notes) == expected
    assert (notes.pitch == PITCH).all()
    assert (notes.velocity == 64).all()


@pytest.mark.parametrize(
    ("posteriors", "expected"),
    [
        ([0, 0.3, 0.4, 0.3, 0, 0], [(2, 5.125)]),  # a stroke lasts 50 ms at least
        ([0, 0.3, 0.9, 0.9, 0.9, 0.9, 0.9, 0.3], [(2, 7)]),
        ([0, 0.9, 0, 0, 0, 0.9, 0, 0, 0], [(1, 4.125), (5, 8.125)]),
        ([0, 0.9, 0, 0, 0.9, 0], [(1, 5)]),  # 48 ms apart: one
        ([0, 0, 0, 0, 0, 0.9, 0], []),  # the end cuts it short
    ],
)
def test_drums_are_struck_not_held(posteriors, expected):
    notes = decode_notes(roll_of(posteriors, 38), SEEN, threshold=0.4, percussive=True)
    assert frames_of(notes) == expected


# ----------------------------------------------------------------- what the sound has to say


@pytest.mark.parametrize("late", [-1, 0, 1, 2, 3])
@pytest.mark.parametrize("onset", [0.5, 0.503, 0.509])
def test_onsets_are_where_one_hears_them(late, onset):
    first = round(onset * FRAMES) + late
    notes = decode_notes(held((first, 80)), SEEN, tones((onset, 1.0)))
    assert notes.onset.tolist() == pytest.approx([onset], abs=0.005)
    assert notes.offset.tolist() == pytest.approx([80 / FRAMES])


def test_nothing_is_heard_before_the_beginning():
    notes = decode_notes(held((0, 50)), SEEN, tones((0.0, 1.0)))
    assert notes.onset.tolist() == pytest.approx([0], abs=0.01)
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("dip", "strikes", "settings", "expected"),
    [
        (0.7, [(0.16, 1.0), (0.8, 1.0)], {}, [0.16, 0.8]),  # struck again, and posteriors dip
        (0.85, [(0.16, 1.0), (0.8, 1.0)], {}, [0.16]),  # they hardly dip
        (0.7, [(0.16, 1.0)], {}, [0.16]),  # one hears nothing
        (0.7, [(0.16, 1.0), (0.8, 1.0)], {"min_rise": None}, [0.16]),
        (0.7, [(0.16, 1.0), (0.8, 0.2)], {"min_rise": 12.0}, [0.16]),  # not that loud
        (0.7, [(0.16, 1.0), (0.8, 1.0)], {"min_note": 0.7}, [0.16]),  # too soon
    ],
)
def test_notes_are_told_apart_where_they_are_struck_again(dip, strikes, settings, expected):
    roll = held((10, 90))
    roll[PITCH - 21, 49:51] = dip
    notes = decode_notes(roll, SEEN, tones(*strikes), **settings)
    assert notes.onset.tolist() == pytest.approx(expected, abs=0.005)
    ends = [*expected[1:], 90 / FRAMES]
    assert notes.offset.tolist() == pytest.approx(ends, abs=0.016)


def test_drums_need_not_dip():
    roll = np.roll(held((10, 90)), 60 - PITCH, axis=0)
    noisy = np.repeat(tones((0.16, 1.0), (0.8, 1.0)).sum(axis=0)[None], 513, axis=0)
    onsets = [decode_notes(roll, SEEN, noisy, percussive=x).onset.tolist() for x in (True, False)]
    assert onsets == [pytest.approx([0.16, 0.8], abs=0.01), pytest.approx([0.16], abs=0.02)]


@pytest.mark.parametrize(("posterior", "n_notes"), [(0.6, 0), (0.74, 0), (0.76, 1)])
def test_what_one_does_not_hear_begin_is_no_note_unless_it_is_sure(posterior, n_notes):
    steady = np.repeat(tones((0.0, 1.0))[:, 50:51], 100, axis=1)
    notes = decode_notes(held((30, 60), posterior=posterior), SEEN, steady, threshold=0.5)
    assert frames_of(notes) == [(30, 60)] * n_notes


def test_one_hears_the_source_where_there_is_a_mask():
    """A tone of that pitch begins earlier in another instrument."""
    own, other = tones((0.532, 0.5)), tones((0.5, 1.0))
    mask = own / (own + other + 1e-9)
    onsets = [
        decode_notes(held((33, 80)), SEEN, own + other, one).onset.tolist() for one in (mask, None)
    ]
    assert onsets == [pytest.approx([0.532], abs=0.01), pytest.approx([0.5], abs=0.005)]


# -------------------------------------------------------------------------------- velocities


def test_velocities_are_loudness_as_general_midi_has_it():
    amplitudes = [0.01, 0.1, 0.05, 1.0, 10.0]
    strikes = [(0.3 + 0.3 * i, amplitude) for i, amplitude in enumerate(amplitudes)]
    spans = [(round(start * FRAMES), round(start * FRAMES) + 12) for start, _ in strikes]
    alone = [tones(strike, n_frames=140) for strike in strikes]
    notes = decode_notes(held(*spans, n_frames=140), SEEN, np.max(alone, axis=0), threshold=0.3)
    assert len(notes) == 5
    # The median, 0.1, has 80; 40 dB are a factor of 10, and 127 is the end.
    expected = np.clip(80 * (np.array(amplitudes) / 0.1) ** 0.5, 1, 127)
    np.testing.assert_allclose(notes.velocity, expected, atol=1)


@pytest.mark.parametrize("gain", [1e-6, 1e5])
def test_level_makes_no_difference(gain):
    magnitude = tones((0.3, 1.0), (0.9, 0.3))
    roll = held((19, 50), (57, 90))
    expected, notes = (decode_notes(roll, SEEN, g * magnitude) for g in (1.0, gain))
    assert len(notes) == 2
    for field, values in vars(expected).items():
        np.testing.assert_allclose(getattr(notes, field), values, atol=1e-6)


@pytest.mark.parametrize("percussive", [False, True])
def test_silence_around_makes_no_difference(percussive):
    magnitude = tones((0.3, 1.0), (0.9, 0.3))
    roll = held((19, 50), (57, 90))
    expected = decode_notes(roll, SEEN, magnitude, percussive=percussive)
    around = [(0, 0), (25, 40)]
    notes = decode_notes(
        np.pad(roll, around), SEEN, np.pad(magnitude, around), percussive=percussive
    )
    np.testing.assert_allclose(notes.onset, expected.onset + 25 / FRAMES)
    np.testing.assert_allclose(notes.offset, expected.offset + 25 / FRAMES)
    np.testing.assert_array_equal(notes.velocity, expected.velocity)


def test_weights_are_those_of_harmonics():
    weights = pitch_weights(RATE, 1024).toarray()
    assert weights.shape == (88, 269)  # up to 4.2 kHz
    harmonics = 440 / RATE * 1024 * np.arange(1, 9)  # in bins; the first is 28.16
    expected = np.stack([np.floor(harmonics), np.ceil(harmonics)], axis=1).ravel()
    np.testing.assert_array_equal(np.flatnonzero(weights[PITCH - 21]), expected)
    np.testing.assert_allclose(weights[PITCH - 21, [28, 29]], [0.84, 0.16], atol=1e-6)


@pytest.mark.parametrize("settings", [(8000, 256), (8000, 128), (44100, 4096)])
@pytest.mark.parametrize("percussive", [False, True])
def test_every_pitch_is_heard_somewhere(settings, percussive):
    assert (pitch_weights(*settings, percussive).sum(axis=1) > 0).all()


# ------------------------------------------------------------------------------ whatever comes


@st.composite
def scenes(draw):
    """Return a roll that goes up and down, and magnitudes that do, with settings."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_frames = draw(st.integers(0, 120))
    smooth = draw(st.integers(1, 6))
    rows = random.random((N_PITCHES, n_frames + smooth))
    roll = np.stack([rows[:, i : i + n_frames] for i in range(smooth)]).mean(axis=0)
    magnitude = random.random((65, n_frames)) ** draw(st.sampled_from([1, 8, 40]))
    settings = {
        "threshold": draw(st.sampled_from([0.0, 0.3, 0.5, 0.7])),
        "min_note": draw(st.sampled_from([0.0, 0.05, 0.11])),
        "max_gap": draw(st.sampled_from([0.0, 0.03])),
        "min_rise": draw(st.sampled_from([None, 0.0, 4.0])),
        "percussive": draw(st.booleans()),
    }
    return roll.astype(np.float32), magnitude.astype(np.float32), settings


TINY = STFT(8000, 128, 128 // 2)


@settings(deadline=None, max_examples=25)
@given(scenes())
def test_no_note_is_doubled_or_hair_thin(scene):
    roll, magnitude, rules = scene
    notes = decode_notes(roll, TINY, magnitude, **rules)
    shortest = rules["min_note"] - 1e-6
    assert (notes.offset - notes.onset >= shortest).all()
    assert notes.offset.max(initial=0) <= roll.shape[1] / TINY.frame_rate
    for pitch in np.unique(notes.pitch):
        onset, offset = (values[notes.pitch == pitch] for values in (notes.onset, notes.offset))
        assert (np.diff(onset) >= shortest).all()
        assert (onset[1:] >= offset[:-1]).all()
        assert roll[pitch - 21].max() >= rules["threshold"]


@settings(deadline=None, max_examples=25)
@given(scenes(), st.lists(st.integers(0, 120), max_size=4))
def test_notes_are_the_same_wherever_the_whole_is_cut(scene, cuts):
    roll, magnitude, rules = scene
    expected = decode_notes(roll, TINY, magnitude, **rules)
    decoder = NoteDecoder(TINY, **rules)
    cuts = sorted(min(cut, roll.shape[1]) for cut in cuts)
    for piece, heard in zip(
        np.split(roll, cuts, axis=1), np.split(magnitude, cuts, axis=1), strict=True
    ):
        decoder.push(piece, heard)
    notes = decoder.notes()
    for field, values in vars(expected).items():
        np.testing.assert_allclose(getattr(notes, field), values, atol=1e-9)


def test_only_what_still_sounds_is_held():
    decoder = NoteDecoder(SEEN)
    for _ in range(20):
        decoder.push(held((10, 40), n_frames=1000), tones((0.16, 1.0), n_frames=1000))
        assert decoder._roll.shape[1] < 30
    decoder.push(held((990, 1000), n_frames=1000))
    assert 10 < decoder._roll.shape[1] < 50
    assert len(decoder.notes()) == 21


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((np.zeros((87, 4)),), r"roll: expected finite posteriors of shape \(88, n_frames\)"),
        ((np.full((88, 4), np.nan),), r"roll: expected finite .*, got shape .* with NaN"),
        ((np.zeros((88, 4)), np.ones((513, 5))), r"magnitude: expected shape \(513, 4\)"),
        ((np.zeros((88, 4)), np.ones((513, 4)), np.ones((512, 4))), "mask: expected shape"),
    ],
)
def test_what_does_not_fit_is_refused(parts, message):
    with pytest.raises(NotesError, match=message):
        decode_notes(parts[0], SEEN, *parts[1:])


def test_the_benchmark_counts_what_it_says():
    measure = pytest.importorskip("benchmarks.decoding").measure  # not installed with the package
    truth = Notes([0.0, 0.5, 1.0, 2.0, 3.0], [0.45, 0.92, 1.5, 2.5, 4.0], [60] * 5, range(60, 65))
    found = Notes(
        [0.01, 1.0, 2.02, 2.05, 3.0], [0.9, 1.5, 2.04, 2.5, 4.0], [60] * 5, [70, 60, 80, 90, 99]
    )
    measured = measure(truth, found)
    assert measured["n_doubled"] == measured["n_thin"] == 1
    assert measured["onset_error_ms"] == pytest.approx((10 + 0 + 20 + 0) / 4)
    assert measured["repeated_recall"] == 0.5  # of those at 0.5 and 1.0
    assert measured["note_onset_f1"] == pytest.approx(0.8)
    assert np.isnan(measured["velocity_rank"])  # of four notes
    assert measure(truth, truth)["velocity_rank"] == pytest.approx(1)


# --------------------------------------------------------------------------------------- MIDI


def test_decoded_notes_open_in_a_sequencer(tmp_path):
    """One track for each instrument, times to half a millisecond, drums on channel 10."""
    magnitude = tones((0.3, 1.0), (0.9, 0.3))
    roll = held((19, 50), (57, 90))
    drums = np.roll(roll, 38 - PITCH, axis=0)
    scene = {
        "bass": decode_notes(roll, SEEN, magnitude),
        "drums": decode_notes(drums, SEEN, magnitude, percussive=True),
        "piano": Notes(),
    }
    path = write_midi(tmp_path / "scene.mid", scene)
    back = read_midi(path)
    assert list(back) == list(scene)
    for name, notes in scene.items():
        for field, places in (("onset", 0.00026), ("offset", 0.00026), ("velocity", 0)):
            found, expected = (getattr(one, field) for one in (back[name], notes))
            np.testing.assert_allclose(found, expected, atol=places)
    bass, kit = read_parts(path)
    assert (bass.name, bass.program, kit.name, kit.channel) == ("bass", 33, "drums", 9)
    assert len(set(back["bass"].velocity)) == 2
