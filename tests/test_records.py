"""Notes, Clip, Mixture, Scene: what they hold, refuse, read and write."""

import json
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from msa_sk import Anchor, Clip, Mixture, Notes, Scene
from msa_sk.audio import read_audio, resample, write_audio
from msa_sk.exceptions import (
    AudioError,
    ClippingWarning,
    InputError,
    InstrumentError,
    NotesError,
    ParameterError,
)
from msa_sk.midi import read_midi
from msa_sk.records import examples_of, stack_sources, unknown_name

RATE = 16000


def noise(*shape, seed=0, peak=0.4):
    return np.random.default_rng(seed).uniform(-peak, peak, shape).astype(np.float32)


def as_rows(notes):
    return list(
        zip(
            *(getattr(notes, name).tolist() for name in ("onset", "offset", "pitch", "velocity")),
            strict=True,
        )
    )


@pytest.fixture
def files(tmp_path):
    """Two files of 2 s, in 32-bit floats, and their samples."""
    audio = {name: noise(2 * RATE, seed=i) for i, name in enumerate(("piano", "guitar"))}
    paths = {
        name: write_audio(tmp_path / f"{name}.wav", samples, RATE, "FLOAT")
        for name, samples in audio.items()
    }
    return paths, audio


# ---------------------------------------------------------------------------------- Notes


def test_notes_are_sorted_by_onset_then_pitch():
    notes = Notes([1.0, 0.0, 0.0], [2.0, 0.5, 0.4], [50, 64, 60], [10, 20, 30])
    assert as_rows(notes) == [(0.0, 0.4, 60, 30), (0.0, 0.5, 64, 20), (1.0, 2.0, 50, 10)]
    assert len(notes) == 3
    assert (notes.onset.dtype, notes.pitch.dtype) == (np.float64, np.int64)


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 20), st.integers(0, 127), st.integers(1, 127))
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_notes_does_not_matter(rows, random):
    def build(rows):
        onset, length, pitch, velocity = np.array(rows, int).reshape(-1, 4).T
        return Notes(onset / 10, (onset + length) / 10, pitch, velocity)

    shuffled = random.sample(rows, len(rows))
    one, other = as_rows(build(rows)), as_rows(build(shuffled))
    assert [row[:3] for row in one] == [row[:3] for row in other]
    assert sorted(one) == sorted(other)


def test_unknown_velocities_are_64():
    assert Notes([0], [1], [60]).velocity.tolist() == [64]


def test_no_notes():
    for notes in (Notes(), Notes([], [], [])):
        assert len(notes) == 0
        assert repr(notes) == "Notes(none)"
        assert notes.pitch.dtype == np.int64


@pytest.mark.parametrize(
    ("change", "expected", "got"),
    [
        ({"onset": -0.1}, "an onset at 0 s or later", "onset -0.1 s, offset 2 s"),
        ({"offset": 1.0}, "an offset after its onset", "onset 1 s, offset 1 s"),
        ({"offset": 0.5}, "an offset after its onset", "onset 1 s, offset 0.5 s"),
        ({"pitch": 128}, "a whole pitch from 0 to 127", "pitch 128"),
        ({"pitch": -1}, "a whole pitch from 0 to 127", "pitch -1"),
        ({"pitch": 60.4}, "a whole pitch from 0 to 127", "pitch 60.4"),
        ({"velocity": 0}, "a whole velocity from 1 to 127", "velocity 0"),
        ({"velocity": 200}, "a whole velocity from 1 to 127", "velocity 200"),
        ({"velocity": 64.5}, "a whole velocity from 1 to 127", "velocity 64.5"),
        ({"onset": np.nan}, "finite times, pitches and velocities", "onset nan s"),
        ({"offset": np.inf}, "finite times, pitches and velocities", "offset inf s"),
        ({"pitch": np.nan}, "finite times, pitches and velocities", "pitch nan"),
        ({"velocity": np.nan}, "finite times, pitches and velocities", "velocity nan"),
    ],
)
def test_a_note_that_nobody_can_play_is_named(change, expected, got):
    columns = {"onset": [3.0, 1.0], "offset": [4.0, 2.0], "pitch": [60, 60], "velocity": [9, 9]}
    for name, value in change.items():
        columns[name] = [columns[name][0], value]
    with pytest.raises(NotesError) as caught:
        Notes(**columns)
    error = caught.value
    assert error.item == "note 1"  # as it was passed, though it would be sorted to the front
    assert error.expected == expected
    assert got in error.got
    assert error.remedy


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(NotesError, match="columns of one length, got .*'onset': 2.*'pitch': 1"):
        Notes([0, 1], [1, 2], [60])


def test_notes_that_are_no_numbers_are_refused():
    with pytest.raises(NotesError, match="expected"):
        Notes(["C4"], [1.0], [60])
    with pytest.raises(NotesError, match="an offset within 1e[+]09 s"):
        Notes([0.0], [1e18], [60])
    with pytest.raises(NotesError, match="expected numbers"):
        Notes([10**400], [10**400 + 1], [60])


def test_select_takes_masks_and_indices():
    notes = Notes([0, 1, 2], [1, 2, 3], [60, 61, 62], [1, 2, 3])
    assert as_rows(notes.select(notes.pitch > 60)) == [(1, 2, 61, 2), (2, 3, 62, 3)]
    assert as_rows(notes.select(np.array([2, 0]))) == [(0, 1, 60, 1), (2, 3, 62, 3)]


@pytest.mark.parametrize("keep", ["a", None, 0, 0.5, [0.5], [9], [True], [[0, 1]]])
def test_what_picks_no_notes_is_refused(keep):
    with pytest.raises(NotesError, match=r"select\(keep\): expected a boolean mask of 2 notes"):
        Notes([0, 1], [1, 2], [60, 61]).select(keep)


@pytest.mark.parametrize(
    ("times", "pitches", "expected"),
    [
        (None, None, [True, True, True]),
        ((0.5, 2), None, [False, True, False]),  # the end is not part of it
        ([0, None], (61, 62), [False, True, True]),
        ((None, 1.5), (None, 60), [True, False, False]),
        (None, 62, [False, False, True]),
        ((5, 6), None, [False, False, False]),
    ],
)
def test_notes_are_found_by_time_and_pitch(times, pitches, expected):
    notes = Notes([0, 1, 2], [1, 2, 3], [60, 61, 62])
    assert notes.find(times, pitches).tolist() == expected
    assert notes.find(times, pitches, indices=[1]).tolist() == [False, expected[1], False]


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"times": (2, 1)}, r"find\(times\): expected two numbers, the lower one first"),
        ({"times": 2.0}, r"find\(times\): expected two numbers"),
        ({"times": (0, "b")}, r"find\(times\): expected None or a float"),
        ({"times": (0, np.nan)}, r"find\(times\): expected None or a float"),
        ({"times": (0, np.inf)}, r"find\(times\): expected None or a float"),
        ({"pitches": (60, 61, 62)}, r"find\(pitches\): expected two numbers"),
        ({"pitches": 128}, r"find\(pitches\): expected None or an int in the range \[0, 127\]"),
        ({"pitches": True}, r"find\(pitches\): expected None or an int"),
    ],
)
def test_ranges_that_are_none_are_refused(ranges, message):
    with pytest.raises(ParameterError, match=message):
        Notes([0], [1], [60]).find(**ranges)


def test_indices_that_find_no_notes_are_refused():
    with pytest.raises(NotesError, match=r"find\(indices\): expected a boolean mask of 1 notes"):
        Notes([0], [1], [60]).find(indices=[1])


@pytest.mark.parametrize("cut", [False, True])
def test_changed_notes_are_new_notes(cut):
    whole = Notes([0, 1], [1, 3], [60, 61], [1, 2])
    notes = whole.excerpt(0, 4) if cut else whole
    assert as_rows(notes.shifted(0.5)) == [(0.5, 1.5, 60, 1), (1.5, 3.5, 61, 2)]
    assert as_rows(notes.transposed(-3)) == [(0, 1, 57, 1), (1, 3, 58, 2)]
    assert as_rows(notes.stretched(0.5)) == [(0, 0.5, 60, 1), (0.5, 1.5, 61, 2)]
    assert as_rows(notes.select([1]).stretched(2, start=0.5)) == [(1.5, 5.5, 61, 2)]
    assert as_rows(notes.without([0])) == [(1, 3, 61, 2)]
    assert as_rows(notes.without(notes.pitch > 0)) == []
    assert as_rows(notes.without([0]).joined(Notes([0], [9], [5], [3]))) == [
        (0, 9, 5, 3),
        (1, 3, 61, 2),
    ]
    assert as_rows(notes) == [(0, 1, 60, 1), (1, 3, 61, 2)]
    assert len(Notes().stretched(2).shifted(-1).transposed(3)) == 0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda notes: notes.shifted(-0.6),
            NotesError,
            "an onset at 0 s or later, got onset -0.1",
        ),
        (lambda notes: notes.stretched(2, 2), NotesError, "an onset at 0 s or later"),
        (lambda notes: notes.transposed(70), NotesError, "a whole pitch from 0 to 127"),
        (
            lambda notes: notes.transposed(0.5),
            ParameterError,
            r"transposed\(semitones\): .*an int",
        ),
        (
            lambda notes: notes.stretched(0),
            ParameterError,
            r"stretched\(factor\): expected a float",
        ),
        (
            lambda notes: notes.shifted("1"),
            ParameterError,
            r"shifted\(seconds\): expected a float",
        ),
        (
            lambda notes: notes.shifted(10**400),
            ParameterError,
            r"shifted\(seconds\): expected a float",
        ),
        (lambda notes: notes.without([3]), NotesError, r"without\(drop\): .*mask of 1 notes"),
    ],
)
def test_changes_that_cannot_be_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        change(Notes([0.5], [1], [60]))


def test_an_excerpt_cuts_what_is_held_over_its_edges():
    notes = Notes([0.0, 1.0, 1.5, 2.5, 3.0], [1.0, 1.75, 5.0, 2.75, 4.0], [60, 61, 62, 63, 64])
    inside = notes.excerpt(1.25, 1.75)
    assert as_rows(inside) == [(0.0, 0.5, 61, 64), (0.25, 1.75, 62, 64), (1.25, 1.5, 63, 64)]
    assert len(notes.excerpt(10, 5)) == 0


def test_stored_columns_cannot_be_changed():
    given_onset = np.array([0.0, 1.0])
    notes = Notes(given_onset, [1, 2], [60, 61])
    given_onset[0] = 0.5
    assert notes.onset[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        notes.onset[0] = 1


# ----------------------------------------------------------------------------------- Clip


def test_a_clip_reads_its_stretch(files):
    paths, audio = files
    clip = Clip(paths["piano"], start=0.5, duration=1.0, gain=2.0)
    assert clip.sample_rate == RATE
    np.testing.assert_array_equal(clip.read(), 2 * audio["piano"][8000:24000])
    np.testing.assert_array_equal(Clip(paths["piano"]).read(), audio["piano"])
    np.testing.assert_array_equal(
        clip.read(8000), 2 * resample(audio["piano"][8000:24000], RATE, 8000)
    )


@pytest.fixture(scope="module")
def file_of_two_seconds(tmp_path_factory):
    return write_audio(tmp_path_factory.mktemp("audio") / "x.wav", noise(2 * RATE), RATE)


@given(
    start=st.floats(0, 1.9),
    duration=st.one_of(st.none(), st.floats(0.001, 0.1)),
    rate=st.sampled_from([None, 8000, 16000, 44100]),
)
def test_a_clip_knows_its_length_from_the_header(file_of_two_seconds, start, duration, rate):
    clip = Clip(file_of_two_seconds, start, duration)
    assert clip.n_samples(rate) == clip.read(rate).shape[-1]


def test_an_excerpt_of_a_clip_is_a_clip(files):
    paths, audio = files
    clip = Clip(paths["piano"], start=0.5, duration=1.0, gain=0.5).excerpt(0.25, 0.5)
    assert (clip.start, clip.duration, clip.gain) == (0.75, 0.5, 0.5)
    np.testing.assert_array_equal(clip.read(), 0.5 * audio["piano"][12000:20000])


def test_a_clip_may_be_one_channel(tmp_path):
    stereo = noise(2, RATE)
    path = write_audio(tmp_path / "stereo.wav", stereo, RATE, "FLOAT")
    left, right = Clip(path, channel=0), Clip(path, 0.25, 0.5, gain=2.0, channel=1)
    np.testing.assert_array_equal(left.read(), stereo[0])
    np.testing.assert_array_equal(right.read(), 2 * stereo[1, 4000:12000])
    np.testing.assert_array_equal(right.excerpt(0.1, 0.2).read(), right.read()[1600:4800])
    np.testing.assert_array_equal(left.read(8000), resample(stereo[0], RATE, 8000))
    assert repr(right) == "Clip(stereo.wav; 0.2-0.8 s; channel 1)"
    mono = write_audio(tmp_path / "mono.wav", stereo[0], RATE, "FLOAT")
    np.testing.assert_array_equal(Clip(mono, channel=0).read(), stereo[0])
    with pytest.raises(AudioError, match="expected a channel below 2, as the file has"):
        Clip(path, channel=2).read()


@pytest.mark.parametrize(
    ("arguments", "item", "expected"),
    [
        ({"path": 5}, "Clip(path=)", "a path"),
        ({"path": "x.wav", "start": -1.0}, "Clip(start=)", "seconds from 0"),
        ({"path": "x.wav", "start": np.nan}, "Clip(start=)", "seconds from 0"),
        ({"path": "x.wav", "duration": 0.0}, "Clip(duration=)", "seconds above 0, or None"),
        ({"path": "x.wav", "duration": np.inf}, "Clip(duration=)", "seconds above 0, or None"),
        ({"path": "x.wav", "gain": np.nan}, "Clip(gain=)", "a finite factor"),
        ({"path": "x.wav", "channel": -1}, "Clip(channel=)", "a channel counted from 0, or None"),
    ],
)
def test_a_clip_of_nothing_is_refused(arguments, item, expected):
    with pytest.raises(AudioError) as caught:
        Clip(**arguments)
    assert (caught.value.item, caught.value.expected) == (item, expected)


def test_a_clip_past_the_end_is_refused_when_it_is_read(files):
    clip = Clip(files[0]["piano"], start=1.5, duration=1.0)
    with pytest.raises(AudioError, match=r"expected a stretch within its 2\.000 s, got 1\.5 s to"):
        clip.read()


def test_a_hundred_thousand_clips_cost_nothing():
    # Nothing is opened: the files do not exist.
    clips = [Clip("none.wav", start=float(i)) for i in range(100_000)]
    assert len(pickle.dumps(clips[:1000])) < 100_000


# -------------------------------------------------------------------------------- Mixture


def test_a_mixture_of_samples():
    audio = noise(2, 8000)
    mixture = Mixture(audio, RATE, group="song 1")
    assert (mixture.rate, mixture.n_samples, mixture.duration) == (RATE, 8000, 0.5)
    np.testing.assert_array_equal(mixture.read(), audio)
    np.testing.assert_array_equal(mixture.read(8000), resample(audio, RATE, 8000))
    integers = (audio * 2**15).astype(np.int16)
    np.testing.assert_array_equal(Mixture(integers, RATE).read(), integers / 2**15)


@pytest.mark.parametrize("kind", ["str", "path", "clip", "tuple"])
def test_a_mixture_in_a_file(files, kind):
    paths, audio = files
    path = paths["piano"]
    of = {"str": str(path), "path": path, "clip": Clip(path), "tuple": (Clip(path),)}[kind]
    mixture = Mixture(of)
    assert (mixture.rate, mixture.n_samples, mixture.duration) == (RATE, 2 * RATE, 2.0)
    np.testing.assert_array_equal(mixture.read(), audio["piano"])
    at_8k = Mixture(of, 8000)
    assert (at_8k.rate, at_8k.n_samples) == (8000, RATE)
    np.testing.assert_array_equal(at_8k.read(), resample(audio["piano"], RATE, 8000))


def test_a_tuple_of_clips_is_their_sum(files):
    paths, audio = files
    mixture = Mixture(
        (Clip(paths["piano"], 0.0, 1.0, gain=0.5), Clip(paths["guitar"], 0.25, 1.5, gain=-2.0))
    )
    expected = -2 * audio["guitar"][4000:28000]
    expected[:RATE] += 0.5 * audio["piano"][:RATE]
    assert mixture.n_samples == 24000
    np.testing.assert_allclose(mixture.read(), expected, atol=1e-7)


def test_clips_of_different_rates_are_summed_at_the_first_ones(tmp_path):
    low, high = noise(8000), noise(44100, seed=1)
    one = Clip(write_audio(tmp_path / "low.wav", low, 8000, "FLOAT"))
    other = Clip(write_audio(tmp_path / "high.wav", high, 44100, "FLOAT"))
    mixture = Mixture((one, other))
    assert mixture.rate == 8000
    np.testing.assert_allclose(mixture.read(), low + resample(high, 44100, 8000), atol=1e-7)
    assert Mixture((other, one)).rate == 44100


@pytest.mark.parametrize("in_files", [False, True])
def test_an_excerpt_is_the_same_in_memory_and_in_files(files, in_files):
    paths, audio = files
    notes = Notes([0.0, 0.75], [0.6, 1.9], [60, 62])
    parts = {name: Clip(path) for name, path in paths.items()} if in_files else dict(audio.items())
    whole = Mixture(
        tuple(parts.values()) if in_files else sum(audio.values()),
        RATE,
        notes={"piano": notes},
        sources=parts,
        group=7,
    )
    part = whole.excerpt(0.5, 1.0)
    assert part.duration == 1.0
    assert part.group == 7
    stretch = slice(8000, 24000)
    np.testing.assert_allclose(part.read(), sum(audio.values())[stretch], atol=1e-7)
    for name, samples in audio.items():
        np.testing.assert_array_equal(part.read_source(name), samples[stretch])
    assert as_rows(part.notes["piano"]) == [(0.0, pytest.approx(0.1), 60, 64), (0.25, 1.0, 62, 64)]
    again = part.excerpt(0.25, 0.5)
    np.testing.assert_allclose(again.read(), sum(audio.values())[12000:20000], atol=1e-7)


def test_an_excerpt_where_one_clip_of_a_sum_has_ended(files):
    paths, audio = files
    mixture = Mixture((Clip(paths["piano"], 0.0, 1.0), Clip(paths["guitar"])))
    expected = audio["guitar"][24000:32000]  # the piano's clip ended after 1 s
    np.testing.assert_array_equal(mixture.excerpt(1.5, 0.5).read(), expected)


def test_an_excerpt_stays_within_its_clip(files):
    """Samples behind a clip's end are no part of it, as samples behind an array's end are not."""
    paths, audio = files
    inside = Mixture(audio["piano"][:RATE], RATE).excerpt(0.75, 1.0)
    clipped = Mixture(Clip(paths["piano"], 0.0, 1.0)).excerpt(0.75, 1.0)
    np.testing.assert_array_equal(clipped.read(), inside.read())


def test_an_excerpt_of_samples_without_a_rate_is_refused():
    with pytest.raises(AudioError, match="a mixture with a sample_rate, got none"):
        Mixture(noise(100)).excerpt(0, 1)


def test_samples_without_a_rate_have_no_duration():
    mixture = Mixture(noise(100))
    assert mixture.n_samples == 100
    with pytest.raises(AudioError, match=r"expected a sampling rate, got None.*sample_rate="):
        mixture.duration


def test_sources_are_read_by_name(files):
    paths, audio = files
    mixture = Mixture(sum(audio.values()), RATE, sources={"piano": paths["piano"]})
    np.testing.assert_array_equal(mixture.read_source("piano"), audio["piano"])
    with pytest.raises(InstrumentError, match="Did you mean 'piano'"):
        mixture.read_source("pianp")


@pytest.mark.parametrize(
    ("arguments", "error", "item", "expected"),
    [
        ({"audio": [0.0, 1.0]}, AudioError, "Mixture(audio=)", "an array, a path, a Clip or"),
        ({"audio": None}, AudioError, "Mixture(audio=)", "an array, a path, a Clip or"),
        ({"audio": ()}, AudioError, "Mixture(audio=)", "a tuple of Clips"),
        ({"audio": ("a.wav", "b.wav")}, AudioError, "Mixture(audio=)", "a tuple of Clips"),
        ({"sample_rate": 7999.9}, AudioError, "Mixture(sample_rate=)", "a sampling rate in whole"),
        ({"group": [1]}, InputError, "Mixture(group=)", "a hashable name of the song"),
        ({"query": 5}, AudioError, "Mixture(query=)", "an array, a path, a Clip or"),
        ({"query": []}, AudioError, "Mixture(query=)", "an example"),
        ({"query": [0.1, 0.2]}, AudioError, "Mixture(query=)", "an array, a path, a Clip or"),
        ({"notes": Notes()}, InputError, "Mixture(notes=)", "a dict keyed by instrument"),
        ({"notes": {"piano": 5}}, NotesError, "Mixture(notes=)['piano']", "Notes"),
        ({"sources": ["a.wav"]}, InputError, "Mixture(sources=)", "a dict keyed by instrument"),
        ({"sources": {"piano": 5}}, AudioError, "Mixture(sources=)['piano']", "an array, a path"),
    ],
)
def test_what_is_no_mixture_is_refused(arguments, error, item, expected):
    with pytest.raises(error) as caught:
        Mixture(**{"audio": np.zeros(5), **arguments})
    assert caught.value.item == item
    assert caught.value.expected.startswith(expected)
    assert caught.value.remedy


def test_a_query_holds_sounds_and_anchors(files):
    paths, audio = files
    song = Mixture(paths["piano"]).excerpt(0.5, 1.0)
    anchor = Anchor([1, 2, 3])
    query = [audio["guitar"], paths["guitar"], song, anchor]
    mixture = Mixture(audio["piano"], RATE, query=query)
    assert repr(mixture) == "Mixture(2.0 s at 16 kHz; query)"
    of_samples, of_file, of_song, same = examples_of(query, 8000, "query")
    assert (of_samples.rate, of_file.rate, of_song.duration) == (8000, RATE, 1.0)
    assert same is anchor
    assert mixture.excerpt(0.0, 0.5).query is query


@pytest.mark.parametrize("values", [1.0, [[1.0]], ["a"], [np.nan], [True], None])
def test_what_is_no_anchor_is_refused(values):
    with pytest.raises(InputError, match=r"Anchor\(values\): expected finite numbers of shape"):
        Anchor(values)
    assert repr(Anchor([1, 2])) == "Anchor(2 dimensions)"


@pytest.mark.parametrize("rate", [-1, 0, "a", True, np.nan])
def test_no_mixture_is_read_at_such_a_rate(files, rate):
    paths, audio = files
    hints = {"piano": audio["piano"]}
    for mixture in (Mixture(audio["piano"], RATE, sources=hints), Mixture(paths["piano"])):
        with pytest.raises(AudioError, match="expected a sampling rate in whole Hz"):
            mixture.read(rate)
    with pytest.raises(AudioError, match="expected a sampling rate in whole Hz"):
        Mixture(audio["piano"], RATE, sources=hints).read_source("piano", rate or -1)


# ---------------------------------------------------------------------------------- Scene


def scene_of_two(n_samples=RATE, channels=()):
    sources = noise(2, *channels, n_samples)
    notes = [Notes([0.0], [0.5], [60]), Notes([0.25, 0.5], [0.5, 1.0], [40, 45])]
    return Scene(["piano", "guitar"], RATE, sources, notes)


def test_parts_of_a_scene_are_found_by_name(files):
    scene = scene_of_two()
    assert scene.instruments == ("piano", "guitar")
    np.testing.assert_array_equal(scene.source("guitar"), scene.sources[1])
    assert scene.notes_of("guitar").pitch.tolist() == [40, 45]
    paths, audio = files
    in_files = Scene(paths, RATE, [*paths.values()])
    np.testing.assert_array_equal(in_files.source("guitar"), audio["guitar"])
    np.testing.assert_array_equal(
        replace(in_files, sample_rate=8000).source("piano"), resample(audio["piano"], RATE, 8000)
    )


def test_unknown_names_suggest_the_closest():
    for find in (scene_of_two().source, scene_of_two().notes_of):
        with pytest.raises(InstrumentError) as caught:
            find("gitar")
        assert caught.value.expected == "one of ['piano', 'guitar']"
        assert caught.value.got == "'gitar'"
        assert caught.value.remedy == "Did you mean 'guitar'?"
    assert unknown_name("x", "drums", ["piano"]).remedy == "Check the spelling."


def test_what_is_unknown_is_not_silence():
    scene = Scene(["piano"], RATE)
    with pytest.raises(InputError, match="expected sources, got None: they are unknown"):
        scene.source("piano")
    with pytest.raises(InputError, match="expected notes, got None: they are unknown"):
        scene.notes_of("piano")


@pytest.mark.parametrize("channels", [(), (2,)])
def test_the_residual_is_what_the_sources_leave(channels):
    scene = scene_of_two(channels=channels)
    rest = noise(*channels, RATE, seed=5)
    mixture = Mixture(scene.sources.sum(axis=0) + rest, RATE)
    np.testing.assert_allclose(scene.residual(mixture), rest, atol=1e-6)
    nothing = Scene([], RATE, np.zeros((0, *channels, RATE)))
    np.testing.assert_array_equal(nothing.residual(mixture), mixture.read())


def test_a_source_of_another_shape_is_named_by_its_file(tmp_path):
    write_audio(tmp_path / "piano.wav", np.zeros((2, 10)), RATE)
    scene = Scene(("piano",), RATE, (tmp_path / "piano.wav",))
    message = r"source 'piano' of .*piano.wav: expected shape .10,., .* got shape .2, 10.\."
    with pytest.raises(AudioError, match=message):
        stack_sources(scene, ["piano"], np.zeros(10))
    with pytest.raises(AudioError, match=r"^source 'piano' of Scene.piano; 0.0 s at"):
        stack_sources(Scene(("piano",), RATE, np.zeros((1, 2, 10))), ["piano"], np.zeros(10))


def test_the_residual_of_another_mixture_is_refused():
    with pytest.raises(AudioError, match=r"shape \(16000,\), as source .* shape \(99,\)"):
        scene_of_two().residual(Mixture(np.zeros(99), RATE))
    for other in ("x", None, np.zeros(99)):
        with pytest.raises(InputError, match="mixture: expected a Mixture, got"):
            scene_of_two().residual(other)


@pytest.mark.parametrize("in_files", [False, True])
def test_an_excerpt_of_a_scene(files, in_files):
    paths, audio = files
    notes = [Notes([0.5], [1.5], [60]), Notes()]
    sources = [*paths.values()] if in_files else np.stack([*audio.values()])
    rolls = np.zeros((2, 88, 10))
    scene = Scene(paths, RATE, sources, notes, rolls, 62.5).excerpt(0.75, 0.5)
    for name, samples in audio.items():
        np.testing.assert_array_equal(scene.source(name), samples[12000:20000])
    assert as_rows(scene.notes_of("piano")) == [(0.0, 0.5, 60, 64)]
    assert scene.rolls is None
    assert isinstance(scene.sources, tuple if in_files else np.ndarray)


@pytest.mark.parametrize(
    ("arguments", "error", "item", "expected"),
    [
        ({"instruments": "piano"}, InstrumentError, "Scene(instruments=)", "a sequence of names"),
        ({"instruments": [1, 2]}, InstrumentError, "Scene(instruments=)", "a sequence of names"),
        ({"instruments": ["a", "a"]}, InstrumentError, "Scene(instruments=)", "each name once"),
        ({"sample_rate": 0}, AudioError, "Scene(sample_rate=)", "a sampling rate in whole Hz"),
        ({"sources": np.zeros((3, 9))}, InstrumentError, "Scene(sources=)", "2 of them, one for"),
        ({"sources": np.zeros(9)}, AudioError, "Scene(sources=)", "shape (n_sources, n_samples)"),
        ({"sources": [np.zeros(9)]}, InstrumentError, "Scene(sources=)", "2 of them, one for"),
        ({"sources": [5, 6]}, AudioError, "Scene(sources=)['a']", "an array, a path, a Clip"),
        ({"notes": [Notes()]}, InstrumentError, "Scene(notes=)", "2 of them, one for each of"),
        ({"notes": [Notes(), 5]}, NotesError, "Scene(notes=)['b']", "Notes"),
        ({"rolls": np.zeros((2, 88, 9))}, InputError, "Scene(rolls=)", "shape (n_sources, n_pit"),
        (
            {"rolls": np.zeros((3, 88, 9)), "frame_rate": 9.0},
            InstrumentError,
            "Scene(rolls=)",
            "2",
        ),
    ],
)
def test_what_is_no_scene_is_refused(arguments, error, item, expected):
    with pytest.raises(error) as caught:
        Scene(**{"instruments": ["a", "b"], "sample_rate": RATE, **arguments})
    assert caught.value.item == item
    assert caught.value.expected.startswith(expected)


# ------------------------------------------------------------------------------- on disk


def test_a_written_scene_is_read_back(tmp_path):
    scene = scene_of_two(channels=(2,))
    paths = scene.write(tmp_path / "out")
    names = ["piano.wav", "guitar.wav", "scene.mid", "scene.json"]
    assert paths == [tmp_path / "out" / name for name in names]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)
    for name in scene.instruments:
        back, rate = read_audio(tmp_path / "out" / f"{name}.wav")
        assert rate == RATE
        np.testing.assert_allclose(back, scene.source(name), atol=2.0**-23)
        assert soundfile.info(tmp_path / "out" / f"{name}.wav").subtype == "PCM_24"
    notes = read_midi(tmp_path / "out" / "scene.mid")
    assert [*notes] == ["piano", "guitar"]
    for name, read in notes.items():
        written = scene.notes_of(name)
        assert read.pitch.tolist() == written.pitch.tolist()
        np.testing.assert_allclose(read.onset, written.onset, atol=2.5e-4)
        np.testing.assert_allclose(read.offset, written.offset, atol=2.5e-4)
    assert json.loads(paths[-1].read_text()) == {
        "instruments": ["piano", "guitar"],
        "sample_rate": RATE,
        "gain": 1.0,
        "files": names[:3],
    }


def test_written_stems_add_up_to_the_mixture(tmp_path):
    scene = scene_of_two()
    mixture = write_audio(tmp_path / "mixture.wav", scene.sources.sum(axis=0), RATE)
    scene.write(tmp_path)
    stems = [read_audio(tmp_path / f"{name}.wav")[0].astype(float) for name in scene.instruments]
    # Each of the three files is rounded to a step of 2**-23.
    assert np.abs(sum(stems) - read_audio(mixture)[0]).max() <= 1.5 * 2.0**-23


def test_what_would_clip_is_scaled_by_one_gain(tmp_path):
    scene = scene_of_two()
    loud = replace(scene, sources=scene.sources * np.array([[5], [1]], np.float32))
    with pytest.warns(ClippingWarning, match=r"would clip: all sources were scaled by 0\.\d{4}"):
        loud.write(tmp_path)
    gain = json.loads((tmp_path / "scene.json").read_text())["gain"]
    assert gain == pytest.approx(0.999 / np.abs(loud.sources).max())
    for name in loud.instruments:
        back, _ = read_audio(tmp_path / f"{name}.wav")
        np.testing.assert_allclose(back, gain * loud.source(name), atol=2.0**-22)
        assert np.abs(back).max() < 1


def test_float_files_need_no_gain(tmp_path):
    scene = replace(scene_of_two(), sources=9 * scene_of_two().sources)
    scene.write(tmp_path, subtype="FLOAT")
    assert json.loads((tmp_path / "scene.json").read_text())["gain"] == 1
    np.testing.assert_array_equal(read_audio(tmp_path / "piano.wav")[0], scene.source("piano"))


@pytest.mark.parametrize(
    ("lacks", "names"),
    [
        ("sources", ["scene.json", "scene.mid"]),
        ("notes", ["guitar.wav", "piano.wav", "scene.json"]),
    ],
)
def test_what_is_unknown_is_not_written(tmp_path, lacks, names):
    replace(scene_of_two(), **{lacks: None}).write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_no_stem_of_an_earlier_scene_stays_beside_new_ones(tmp_path):
    earlier = scene_of_two()
    earlier.write(tmp_path)
    (tmp_path / "mixture.wav").write_text("mine")
    replace(scene_of_two(), instruments=("piano", "bass"), notes=None).write(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["bass.wav", "mixture.wav", "piano.wav", "scene.json"]
    assert (tmp_path / "mixture.wav").read_text() == "mine"


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        "[]",
        '{"files": 3}',
        '{"files": [null]}',
        '{"files": ["../mine.txt", "folder"]}',
    ],
)
def test_a_list_of_files_that_is_not_ours_removes_nothing(tmp_path, text):
    (tmp_path / "mine.txt").write_text("mine")
    out = tmp_path / "out"
    (out / "folder").mkdir(parents=True)
    (out / "scene.json").write_text(text)
    scene_of_two().write(out)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert (out / "folder").is_dir()
    assert json.loads((out / "scene.json").read_text())["gain"] == 1


@pytest.mark.parametrize("name", ["../piano", "a/b", "..", "."])
def test_a_name_cannot_lead_out_of_the_folder(tmp_path, name):
    scene = Scene([name], RATE, noise(1, 100))
    with pytest.raises(InstrumentError, match="names that can name a file"):
        scene.write(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_write_that_fails_leaves_the_old_files(tmp_path, monkeypatch):
    scene = scene_of_two()
    scene.write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        replace(scene, sources=-scene.sources).write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# ----------------------------------------------------------------------------------- all


def test_every_record_says_what_it_is_in_one_line(files):
    paths, _ = files
    notes = Notes([0.0, 0.5], [0.4, 1.0], [60, 64])
    scene = scene_of_two()
    expected = {
        notes: "Notes(2 notes; pitch 60 to 64; 0.00 to 1.00 s)",
        Notes([0.0], [0.4], [60]): "Notes(1 note; pitch 60 to 60; 0.00 to 0.40 s)",
        Clip("songs/a.wav", 1.0, 2.5): "Clip(a.wav; 1.0-3.5 s)",
        Clip("songs/a.wav"): "Clip(a.wav; 0.0- s)",
        Mixture(np.zeros(8000), RATE): "Mixture(0.5 s at 16 kHz)",
        Mixture(np.zeros((2, 44100)), 44100, group="s1"): (
            "Mixture(1.0 s at 44.1 kHz; 2 channels; group 's1')"
        ),
        Mixture(np.zeros(99)): "Mixture(99 samples)",
        Mixture("a.wav", notes={}, sources={}): "Mixture(Clip(a.wav; 0.0- s); notes; sources)",
        Mixture((Clip("a.wav", 0.0, 1.0), Clip("b.wav", 2.0, 1.0)), 8000): (
            "Mixture(Clip(a.wav; 0.0-1.0 s) + Clip(b.wav; 2.0-3.0 s) at 8 kHz)"
        ),
        scene: "Scene(piano, guitar; 1.0 s at 16 kHz; 3 notes)",
        Scene(["piano"], RATE): "Scene(piano; no sources)",
        Scene([], RATE, notes=[]): "Scene(nothing; no sources; 0 notes)",
        Scene(paths, RATE, [*paths.values()]): "Scene(piano, guitar; sources in files at 16 kHz)",
    }
    for record, text in expected.items():
        assert repr(record) == text


def test_a_scene_of_separate_arrays_is_in_no_files():
    scene = Scene(["a", "b"], RATE, [np.zeros(RATE), np.zeros(RATE)])
    assert repr(scene) == "Scene(a, b; 1.0 s at 16 kHz)"


@pytest.mark.parametrize(
    "record",
    [Notes(), Clip("a.wav"), Mixture(np.zeros(5), RATE), Scene(["piano"], RATE)],
    ids=lambda record: type(record).__name__,
)
def test_records_are_frozen_and_travel(record):
    name = next(iter(vars(record)))
    with pytest.raises(FrozenInstanceError):
        setattr(record, name, None)
    assert repr(pickle.loads(pickle.dumps(record))) == repr(record)
    assert record == record  # by identity: arrays are never compared
    assert record != replace(record)
    assert hash(record) != hash(replace(record))


@pytest.mark.parametrize("record", [Mixture(np.zeros(5), RATE), Scene(["piano"], RATE)])
@pytest.mark.parametrize("method", ["__len__", "__getitem__", "__iter__", "__array__"])
def test_mixtures_and_scenes_are_no_sequences(record, method):
    assert not hasattr(record, method)


def test_a_list_of_records_is_a_plain_object_array():
    mixtures = [Mixture(np.zeros(n), RATE) for n in (5, 5, 6)]
    array = np.asarray(mixtures, dtype=object)
    assert array.shape == (3,)
    assert array[1] is mixtures[1]


def test_nothing_that_is_passed_in_is_changed():
    audio = noise(2, 500)
    frozen = audio.copy()
    frozen.flags.writeable = False
    scene = Scene(["a", "b"], RATE, frozen, [Notes([0.0], [0.01], [60]), Notes()])
    mixture = Mixture(frozen[0], RATE, sources={"a": frozen[1]})
    mixture.read()
    mixture.read(8000)
    mixture.read_source("a")
    mixture.excerpt(0.0, 0.01).read()
    scene.excerpt(0.0, 0.01).source("a")
    scene.residual(mixture)
    np.testing.assert_array_equal(frozen, audio)
