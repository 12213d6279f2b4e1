"""make_scenes: the contract of the scenes, the composer's music, the synthesizer's sound."""

import numpy as np
import pytest

from msa_sk import datasets
from msa_sk.datasets import SYNTHETIC_INSTRUMENTS, _composer, make_scenes
from msa_sk.datasets._composer import compose
from msa_sk.datasets._synthesizer import synthesize
from msa_sk.exceptions import InputError, InstrumentError, ParameterError
from msa_sk.records import Notes

RATE = 16000
PITCHED = [name for name in SYNTHETIC_INSTRUMENTS if name != "drums"]


@pytest.fixture(scope="module")
def orchestra():
    return make_scenes(4, SYNTHETIC_INSTRUMENTS, random_state=0)


def play(instrument, pitch, *, velocity=80, duration=0.5, rate=RATE, seed=0, length=1.2):
    """One note that starts at 0.25 s."""
    notes = Notes([0.25], [0.25 + duration], [pitch], [velocity])
    rng = np.random.default_rng(seed)
    return synthesize(instrument, notes, 0.0, round(length * rate), rate, rng)


def power_spectrum(audio, rate=RATE):
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)))) ** 2
    return np.fft.rfftfreq(len(audio), 1 / rate), spectrum


def centroid(audio, rate=RATE):
    frequency, power = power_spectrum(audio, rate)
    return (frequency * power).sum() / power.sum()


def audio_bytes(scenes):
    return [scene.sources.tobytes() for scene in scenes]


# The scenes.


def test_a_mixture_is_the_sum_of_its_sources_to_the_bit(orchestra):
    for mix, scene in zip(*orchestra, strict=True):
        assert mix.audio.dtype == scene.sources.dtype == np.float32
        assert np.array_equal(mix.audio, scene.sources.sum(axis=0))
        assert not scene.residual(mix).any()
        assert np.abs(mix.audio).max() < 1
        assert np.abs(scene.sources).max() < 1


def test_scenes_have_the_documented_shapes_and_names(orchestra):
    mixes, scenes = orchestra
    assert [mix.group for mix in mixes] == ["song-000", "song-001", "song-002", "song-003"]
    for mix, scene in zip(mixes, scenes, strict=True):
        assert scene.instruments == SYNTHETIC_INSTRUMENTS
        assert scene.sources.shape == (len(SYNTHETIC_INSTRUMENTS), 5 * RATE)
        assert mix.sample_rate == scene.sample_rate == RATE
        for notes in scene.notes:
            assert notes.onset.min() >= 0
            assert notes.onset.max() < 5
            assert notes.offset.max() <= 5


def test_the_order_of_instruments_is_the_callers():
    _, (scene,) = make_scenes(1, ["drums", "bass"], random_state=1)
    assert scene.instruments == ("drums", "bass")
    assert scene.notes_of("drums").pitch.max() > scene.notes_of("bass").pitch.max()


def test_nearly_every_scene_has_notes_of_each_instrument():
    _, scenes = make_scenes(24, SYNTHETIC_INSTRUMENTS, sample_rate=8000, random_state=3)
    counts = np.array([[len(notes) for notes in scene.notes] for scene in scenes])
    assert (counts >= 3).mean() > 0.95
    assert (counts.mean(axis=0) >= 6).all()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = (
        make_scenes(2, duration=1.0, random_state=seed)[1] for seed in (7, 7, 8)
    )
    assert audio_bytes(first) == audio_bytes(again)
    assert not set(audio_bytes(first)) & set(audio_bytes(other))
    for one, two in zip(first, again, strict=True):
        for name in one.instruments:
            assert np.array_equal(one.notes_of(name).onset, two.notes_of(name).onset)


@pytest.mark.parametrize("scenes_per_song", [1, 3])
def test_fewer_scenes_are_the_first_of_more(scenes_per_song):
    few, more = (
        make_scenes(n, duration=1.0, scenes_per_song=scenes_per_song, random_state=0)[1]
        for n in (4, 8)
    )
    assert audio_bytes(few) == audio_bytes(more[:4])


def test_scenes_of_one_song_continue_each_other():
    (_, halves), (_, (whole,)) = (
        make_scenes(n, duration=duration, scenes_per_song=n, random_state=2)
        for n, duration in ((2, 3.0), (1, 6.0))
    )
    joined = np.concatenate([half.sources for half in halves], axis=1)
    assert np.array_equal(joined, whole.sources)
    for name in whole.instruments:
        onsets = np.concatenate(
            [half.notes_of(name).onset + 3 * i for i, half in enumerate(halves)]
        )
        assert np.isin(whole.notes_of(name).onset.round(9), onsets.round(9)).all()


def test_scenes_of_one_song_share_its_group():
    mixes, _ = make_scenes(5, duration=0.5, scenes_per_song=2, random_state=0)
    songs = ["song-000", "song-000", "song-001", "song-001", "song-002"]
    assert [mix.group for mix in mixes] == songs


def test_songs_differ():
    _, scenes = make_scenes(12, ("piano",), sample_rate=8000, random_state=0)
    heard = {tuple(scene.notes[0].pitch[:8]) for scene in scenes}
    assert len(heard) == 12
    brightness = [centroid(scene.sources[0], 8000) for scene in scenes]
    assert max(brightness) > 1.3 * min(brightness)


def test_notes_do_not_depend_on_the_sampling_rate():
    low, high = (make_scenes(1, sample_rate=rate, random_state=4)[1][0] for rate in (8000, 44100))
    for name in low.instruments:
        for field in ("onset", "offset", "pitch", "velocity"):
            assert np.array_equal(
                getattr(low.notes_of(name), field), getattr(high.notes_of(name), field)
            )


@pytest.mark.parametrize(("level_db", "n_songs"), [(0.0, 3), (6.0, 12)])
def test_levels_are_at_most_level_db_apart(level_db, n_songs):
    _, scenes = make_scenes(
        n_songs, sample_rate=8000, duration=2.0, level_db=level_db, random_state=0
    )
    rms = np.array([np.sqrt((scene.sources.astype(float) ** 2).mean(axis=1)) for scene in scenes])
    apart = np.abs(20 * np.log10(rms[:, 0] / rms[:, 1]))
    assert apart.max() <= level_db + 1e-4
    assert apart.max() >= level_db / 2  # and the range is used


def test_random_states():
    state = np.random.RandomState(5)
    first, second = (make_scenes(1, duration=0.5, random_state=state)[1] for _ in range(2))
    by_seed = make_scenes(1, duration=0.5, random_state=5)[1]
    assert audio_bytes(first) == audio_bytes(by_seed)  # a RandomState is drawn from, once
    assert audio_bytes(second) != audio_bytes(first)
    fresh = [make_scenes(1, duration=0.5)[1] for _ in range(2)]
    assert audio_bytes(fresh[0]) != audio_bytes(fresh[1])


@pytest.mark.parametrize("seed", [None, 0])
def test_the_global_generator_is_left_alone(seed):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    make_scenes(1, duration=0.5, random_state=seed)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_a_very_short_scene_is_finite():
    for mix, scene in zip(*make_scenes(8, duration=0.1, random_state=0), strict=True):
        assert np.isfinite(mix.audio).all()
        assert scene.sources.shape == (2, RATE // 10)


@pytest.mark.parametrize(
    ("parameters", "error", "item", "remedy"),
    [
        ({"instruments": ("paino",)}, InstrumentError, "instruments", "'piano'"),
        ({"instruments": "piano"}, InstrumentError, "instruments", "Pass ["),
        ({"instruments": ()}, InstrumentError, "instruments", "Name an instrument"),
        ({"instruments": ("bass", "bass")}, InstrumentError, "instruments", "doubles"),
        ({"n_scenes": 0}, ParameterError, "n_scenes", "Change it"),
        ({"n_scenes": 2.5}, ParameterError, "n_scenes", "Change it"),
        ({"n_scenes": True}, ParameterError, "n_scenes", "Change it"),
        ({"duration": 0.0}, ParameterError, "duration", "Change it"),
        ({"duration": np.nan}, ParameterError, "duration", "Change it"),
        ({"duration": np.inf}, ParameterError, "duration", "Change it"),
        ({"sample_rate": 4000}, ParameterError, "sample_rate", "Change it"),
        ({"sample_rate": 96000}, ParameterError, "sample_rate", "Change it"),
        ({"scenes_per_song": 0}, ParameterError, "scenes_per_song", "Change it"),
        ({"level_db": -1}, ParameterError, "level_db", "Change it"),
        ({"random_state": "seed"}, ParameterError, "random_state", "random_state=0"),
        ({"random_state": -1}, ParameterError, "random_state", "random_state=0"),
    ],
)
def test_wrong_parameters_are_named(parameters, error, item, remedy):
    with pytest.raises(error) as caught:
        make_scenes(**parameters)
    assert isinstance(caught.value, InputError)
    assert caught.value.item == f"make_scenes({item}=)"
    assert remedy in caught.value.remedy


def test_the_package_exports_lazily():
    assert datasets.make_scenes is make_scenes
    assert "render_scenes" in dir(datasets)
    with pytest.raises(AttributeError, match="no attribute 'make_scene'"):
        datasets.make_scene


# The music.


@pytest.fixture(scope="module", params=range(6))
def section(request):
    rng = np.random.default_rng(request.param)
    mode = ("major", "minor")[request.param % 2]
    meter = (4, 3)[request.param % 3 == 2]
    return _composer._write_section(meter, 0.5, 5, mode, rng)


def test_every_progression_is_spelled_in_known_chords():
    for progressions in _composer._PROGRESSIONS.values():
        for progression in progressions:
            assert set(progression.split()) <= set(_composer._NUMERALS)


def test_chords_fill_their_section(section):
    ends = [chord.end for chord in section.chords]
    assert [chord.beat for chord in section.chords] == [0, *ends[:-1]]
    assert ends[-1] == section.length == 4 * section.meter
    for chord in section.chords:
        assert set(chord.tones) <= set(chord.scale)


@pytest.mark.parametrize(
    ("numeral", "mode", "with_seventh", "tones", "scale"),
    [
        ("I", "major", False, (0, 4, 7), (0, 2, 4, 5, 7, 9, 11)),
        ("V", "major", True, (7, 11, 2, 5), (0, 2, 4, 5, 7, 9, 11)),
        ("V", "minor", False, (7, 11, 2), (0, 2, 3, 5, 7, 8, 11)),  # the leading note
        ("iv", "major", False, (5, 8, 0), (0, 2, 4, 5, 8, 11)),
    ],
)
def test_chords_bring_their_own_tones_into_the_scale(numeral, mode, with_seventh, tones, scale):
    assert _composer._spell(numeral, 0, mode, with_seventh) == (tones, scale)
    in_d = _composer._spell(numeral, 2, mode, with_seventh)
    assert in_d[0] == tuple((tone + 2) % 12 for tone in tones)
    assert set(in_d[1]) == {(tone + 2) % 12 for tone in scale}


def test_the_bass_plays_each_chords_root_first(section):
    for seed in range(4):
        events = _composer._bass_line(section, np.random.default_rng(seed))
        pitch_at = {event.beat: event.pitch for event in events}
        for chord in section.chords:
            # quarter notes walk past a chord that starts between them
            if chord.beat in pitch_at:
                assert pitch_at[chord.beat] % 12 == chord.tones[0]
        assert pitch_at[0.0] % 12 == section.chords[0].tones[0]


def test_melodies_sing_in_the_scale_one_note_at_a_time(section):
    events = _composer._melody(section, np.random.default_rng(0), 60, 84)
    for event, following in zip(events, [*events[1:], None], strict=True):
        assert event.pitch % 12 in section.chord_at(event.beat).scale
        assert 60 <= event.pitch <= 84
        if following:
            assert event.beat + event.length <= following.beat


def test_strums_run_over_the_strings():
    notes = {}
    section = _composer._write_section(4, 0.5, 0, "major", np.random.default_rng(0))
    for event in _composer._strum(section, np.random.default_rng(0)):
        notes.setdefault(np.floor(2 * event.beat) / 2, []).append(event)
    for beat, strings in notes.items():
        beats, pitches = np.array([(event.beat, event.pitch) for event in strings]).T
        delays = np.diff(beats) * section.pulse
        assert (delays > 0.005).all()
        assert (delays < 0.03).all()
        assert (np.sign(np.diff(pitches)) == (1 if beat % 1 == 0 else -1)).all()


def test_parts_stay_in_their_instruments_ranges():
    ranges = {
        "piano": (21, 108),
        "guitar": (40, 88),
        "bass": (23, 60),
        "drums": (35, 57),
        "strings": (36, 96),
        "organ": (36, 96),
        "flute": (60, 96),
        "brass": (40, 84),
    }
    drums = {36, 38, 41, 42, 43, 45, 46, 47, 48, 49, 50, 51}
    for seed in range(10):
        parts = compose(tuple(ranges), 20.0, np.random.default_rng(seed))
        for (name, (low, high)), notes in zip(ranges.items(), parts, strict=True):
            assert notes.pitch.min() >= low, name
            assert notes.pitch.max() <= high, name
            assert set(notes.pitch) <= drums or name != "drums"
            assert notes.onset.max() > 10  # the song reaches its end
            for pitch in set(notes.pitch):
                same = notes.select(notes.pitch == pitch)
                assert (same.onset[1:] > same.offset[:-1]).all(), name


def test_timing_and_velocity_are_uneven():
    for notes in compose(("piano", "drums"), 20.0, np.random.default_rng(0)):
        assert len(np.unique(notes.velocity)) > 10
        assert len(np.unique(np.diff(np.unique(notes.onset)).round(6))) > 20


# The sound.


@pytest.mark.parametrize("instrument", SYNTHETIC_INSTRUMENTS)
@pytest.mark.parametrize("rate", [8000, 44100])
def test_a_note_sounds_from_its_onset_to_soon_after_its_offset(instrument, rate):
    pitch = 38 if instrument == "drums" else 60
    audio = play(instrument, pitch, rate=rate)
    onset, offset = round(0.25 * rate), round(0.75 * rate)
    peak = np.abs(audio).max()
    assert not audio[:onset].any()
    assert np.abs(audio[onset : onset + round(0.002 * rate)]).max() > 0.005 * peak
    assert np.abs(audio[onset : onset + round(0.1 * rate)]).max() > 0.2 * peak
    assert not audio[offset + round(0.151 * rate) :].any()
    assert np.isfinite(audio).all()


def test_sources_rise_at_their_notes_onsets():
    _, scenes = make_scenes(4, ("piano", "guitar"), random_state=0)
    n_checked = 0
    for scene in scenes:
        for name in scene.instruments:
            notes, audio = scene.notes_of(name), scene.source(name)
            for onset in notes.onset[notes.onset > 0.15]:  # before it, earlier notes may ring
                sounding = (notes.onset < onset) & (notes.offset + 0.15 > onset)
                if sounding.any():
                    continue
                first = round(onset * RATE)
                assert not audio[first - 80 : first - 1].any()
                assert np.abs(audio[first : first + 32]).max() > 0.01 * np.abs(audio).max()
                n_checked += 1
    assert n_checked >= 5


def test_an_excerpt_is_a_stretch_of_the_whole():
    notes = Notes([0.1, 0.6], [0.9, 1.2], [48, 55])
    whole, part = (
        synthesize("guitar", notes, start, n_samples, RATE, np.random.default_rng(0))
        for start, n_samples in ((0.0, 2 * RATE), (0.5, RATE))
    )
    assert np.array_equal(part, whole[RATE // 2 : RATE // 2 + RATE])
    assert part[:1000].any()  # the note that began before rings on


@pytest.mark.parametrize("instrument", PITCHED)
def test_a_notes_energy_lies_at_its_pitch_and_its_harmonics(instrument):
    pitch = 36 if instrument == "bass" else 60
    audio = play(instrument, pitch, duration=1.5, length=2.0)[RATE // 2 : -RATE // 4]
    frequency, power = power_spectrum(audio)
    multiple = frequency / (440 * 2 ** ((pitch - 69) / 12))
    if instrument == "organ":
        multiple = 2 * multiple  # it has a drawbar an octave below
    near = np.abs(multiple - np.round(multiple)) < 0.15
    assert power[near].sum() > 0.9 * power.sum()


@pytest.mark.parametrize("instrument", PITCHED)
def test_high_notes_do_not_alias(instrument):
    """Folded partials would lie below the lowest true one."""
    audio = play(instrument, 91, rate=8000)[2400:6000]  # G6, past the attack's noise
    frequency, power = power_spectrum(audio, 8000)
    lowest = 440 * 2 ** ((91 - 69) / 12) * (0.5 if instrument == "organ" else 1)
    assert power[frequency < 0.85 * lowest].sum() < 1e-3 * power.sum()


def test_a_pianos_partials_are_stretched_and_a_guitars_hardly():
    def tenth_partial(instrument):
        audio = play(instrument, 60, velocity=127, duration=1.0, seed=1)[RATE // 4 :]
        frequency, power = power_spectrum(np.pad(audio, (0, 8 * RATE)))
        multiple = frequency / (440 * 2 ** (-9 / 12))
        search = (multiple > 9.9) & (multiple < 10.45)
        return multiple[search][np.argmax(power[search])]

    assert tenth_partial("piano") > 10.05
    assert tenth_partial("guitar") < 10.1
    assert tenth_partial("guitar") < tenth_partial("piano") - 0.05


@pytest.mark.parametrize("instrument", ["piano", "guitar", "bass", "strings", "brass"])
def test_loud_notes_are_louder_and_brighter(instrument):
    quiet, loud = (play(instrument, 48, velocity=velocity) for velocity in (40, 110))
    assert (loud**2).mean() > 3 * (quiet**2).mean()
    assert centroid(loud) > 1.05 * centroid(quiet)


def test_struck_and_plucked_notes_decay_and_bowed_and_blown_ones_do_not():
    def later_over_earlier(instrument):
        audio = play(instrument, 55, duration=1.6, length=2.0)
        early, late = audio[RATE // 2 : RATE], audio[RATE : 3 * RATE // 2]
        return (late**2).mean() / (early**2).mean()

    for instrument in ("piano", "guitar", "bass"):
        assert later_over_earlier(instrument) < 0.7, instrument
    for instrument in ("strings", "organ", "flute", "brass"):
        assert later_over_earlier(instrument) > 0.7, instrument


def test_drums_sound_where_drums_do():
    kick, tom, snare, hat = (centroid(play("drums", pitch)) for pitch in (36, 45, 38, 42))
    assert kick < 250
    assert kick < tom < snare < hat
    assert hat > 3500


def test_two_specimens_of_an_instrument_differ():
    one, same, other = (play("guitar", 50, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert abs(np.log(centroid(one) / centroid(other))) > 0.02
