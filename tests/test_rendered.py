"""Rendering: stems that sound what their notes say, and add up to their mixture."""

import shutil
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from msa_sk import Hierarchy, Notes
from msa_sk.audio import rms
from msa_sk.datasets import _fluidsynth, render_scenes, rendered, scenes_along
from msa_sk.exceptions import (
    InputError,
    InstrumentError,
    MidiFormatError,
    MissingDependencyError,
    MsaWarning,
    NotesWarning,
    ParameterError,
)
from msa_sk.midi import read_midi, write_midi

RATE = 16000
PITCH_OF_SAMPLE = 69  # the sample is a 441 Hz cosine: 100 samples a period at 44.1 kHz


@pytest.fixture(scope="module", autouse=True)
def fluidsynth():
    """Skip where FluidSynth cannot be loaded."""
    try:
        import fluidsynth
    except ImportError as error:
        pytest.skip(f"FluidSynth is not installed: {error}")
    return fluidsynth


def chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def soundfont_bytes(programs):
    """Return a SoundFont: one looped sine that begins and ends at once, under each preset.

    `programs` are (bank, program).
    """
    period = np.round(20000 * np.sin(2 * np.pi * np.arange(100) / 100)).astype("<i2")
    samples = np.concatenate([np.tile(period, 20), np.zeros(46, "<i2")])
    generators = [  # attack and release as short as they can be; loop; the sample
        struct.pack("<Hh", 34, -12000),
        struct.pack("<Hh", 38, -12000),
        struct.pack("<Hh", 54, 1),
        struct.pack("<Hh", 53, 0),
    ]
    presets = [
        struct.pack("<20sHHHIII", b"sine", program, bank, i, 0, 0, 0)
        for i, (bank, program) in enumerate(programs)
    ]
    n = len(presets)
    presets.append(struct.pack("<20sHHHIII", b"EOP", 0, 0, n, 0, 0, 0))
    header = struct.pack(
        "<20sIIIIIBbHH", b"sine", 0, 2000, 500, 1500, 44100, PITCH_OF_SAMPLE, -4, 0, 1
    )
    parameters = [
        (b"phdr", b"".join(presets)),
        (b"pbag", b"".join(struct.pack("<HH", i, 0) for i in range(n + 1))),
        (b"pmod", bytes(10)),
        (b"pgen", struct.pack("<Hh", 41, 0) * n + bytes(4)),
        (b"inst", struct.pack("<20sH20sH", b"sine", 0, b"EOI", 1)),
        (b"ibag", struct.pack("<HHHH", 0, 0, len(generators), 0)),
        (b"imod", bytes(10)),
        (b"igen", b"".join(generators) + bytes(4)),
        (b"shdr", header + struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)),
    ]
    about = chunk(b"ifil", struct.pack("<HH", 2, 1)) + chunk(b"isng", b"EMU8000\0")
    about += chunk(b"INAM", b"sine\0\0")
    body = b"sfbk" + chunk(b"LIST", b"INFO" + about)
    body += chunk(b"LIST", b"sdta" + chunk(b"smpl", samples.tobytes()))
    body += chunk(b"LIST", b"pdta" + b"".join(chunk(*one) for one in parameters))
    return chunk(b"RIFF", body)


@pytest.fixture(scope="module")
def soundfont(tmp_path_factory):
    path = tmp_path_factory.mktemp("font") / "sine.sf2"
    programs = [(0, program) for program in (0, 24, 33, 48)] + [(128, 0)]
    path.write_bytes(soundfont_bytes(programs))
    return path


def songs(folder, **contents):
    """Write a MIDI file for each keyword; return their paths."""
    folder.mkdir(exist_ok=True)
    return [write_midi(folder / f"{name}.mid", notes) for name, notes in contents.items()]


def frequency(audio):
    """Return the strongest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), 8 * len(audio)))
    return np.argmax(spectrum) * RATE / (8 * len(audio))


def level(audio, start, end):
    """Return the RMS between two times in seconds."""
    return rms(audio[round(start * RATE) : round(end * RATE)])


LINE = Notes([0.5, 1.0], [0.75, 1.5], [60, 64], [100, 100])
LOW = Notes([0.25], [2.0], [45], [100])


@pytest.fixture
def duo(tmp_path, soundfont):
    """Return a mixture and scene of piano and guitar, and the MIDI file they are of."""
    files = songs(tmp_path, duo={"piano": LINE, "guitar": LOW})
    X, y = render_scenes(files, soundfont, cache_dir=tmp_path / "stems")
    return X[0], y[0], files[0]


def test_the_mixture_is_the_sum_of_stems_of_one_length(duo):
    mixture, scene, _ = duo
    assert scene.instruments == ("piano", "guitar")
    assert mixture.sample_rate == scene.sample_rate == RATE
    assert mixture.group == "duo"
    piano, guitar = scene.source("piano"), scene.source("guitar")
    assert piano.shape == guitar.shape == (RATE * 3,)  # the last offset and one second
    assert np.array_equal(mixture.read(), piano + guitar)
    assert all(clip.path.parent.name == "stems" for clip in mixture.audio)
    assert rms(piano) > 0.01
    assert rms(guitar) > 0.01


def test_notes_are_those_of_the_file_and_sound_when_they_say(duo):
    _, scene, path = duo
    for name, expected in read_midi(path).items():
        notes = scene.notes_of(name)
        for column in ("onset", "offset", "pitch", "velocity"):
            assert np.array_equal(getattr(notes, column), getattr(expected, column))
    piano = scene.source("piano")
    assert level(piano, 0.0, 0.495) < 1e-4
    assert level(piano, 0.51, 0.74) > 0.05
    assert level(piano, 0.78, 0.99) < 1e-4
    assert level(piano, 1.01, 1.49) > 0.05
    loud = np.flatnonzero(np.abs(piano) > 0.02) / RATE
    assert abs(loud[0] - 0.5) < 0.004  # a block of the synthesizer and its attack
    assert frequency(piano[round(0.55 * RATE) : round(0.7 * RATE)]) == pytest.approx(261.6, abs=2)
    assert frequency(piano[round(1.1 * RATE) : round(1.4 * RATE)]) == pytest.approx(329.6, abs=2)


def test_overlapping_notes_of_one_pitch_each_sound_to_their_end(tmp_path, soundfont):
    long_and_short = Notes([0.0, 0.5], [2.0, 1.0], [60, 60], [100, 100])
    files = songs(tmp_path, song={"piano": long_and_short})
    _, y = render_scenes(files, soundfont, ["piano"], cache_dir=tmp_path)
    audio = y[0].source("piano")
    assert level(audio, 1.2, 1.9) > 0.05
    assert level(audio, 2.1, 3.0) < 1e-4


def test_velocity_volume_and_bend_are_heard(tmp_path, soundfont):
    import mido

    def channel(number, *controls):
        messages = [mido.Message("program_change", channel=number, program=0), *controls]
        messages += [mido.Message("note_on", channel=number, note=69, velocity=100)]
        return [*messages, mido.Message("note_off", channel=number, note=69, time=960)]

    def render(*controls):
        file = mido.MidiFile(tracks=[mido.MidiTrack(channel(0, *controls))])
        file.save(tmp_path / "song.mid")
        _, y = render_scenes([tmp_path / "song.mid"], soundfont, ["piano"], cache_dir=tmp_path)
        return y[0].source("piano")[:RATE]

    plain = render()
    assert rms(render(mido.Message("control_change", control=7, value=0))) < 1e-4
    assert rms(render(mido.Message("control_change", control=11, value=64))) < 0.5 * rms(plain)
    assert frequency(plain) == pytest.approx(440, abs=2)
    bent = render(mido.Message("pitchwheel", pitch=8191))
    assert frequency(bent) == pytest.approx(440 * 2 ** (2 / 12), abs=2)

    files = songs(tmp_path, soft={"piano": Notes([0], [1], [69], [40])})
    _, y = render_scenes(files, soundfont, ["piano"], cache_dir=tmp_path)
    assert rms(y[0].source("piano")[:RATE]) < 0.5 * rms(plain)


TREE = Hierarchy.from_dict(
    {
        "tuned": {"hammered_or_plucked": [0, 24], "blown": 73, "low": 33},
        "other": {"drums": "drums", "recorded": None},
    }
)


def test_the_leaves_of_a_hierarchy_are_rendered_one_stem_each(tmp_path, soundfont):
    names = ("guitar", "bass", "piano", "strings", "drums")
    files = songs(tmp_path, song={n: Notes([0], [1], [60 + i]) for i, n in enumerate(names)})
    folder = tmp_path / "stems"
    X, y = render_scenes(files, soundfont, TREE, require="any", cache_dir=folder)
    # In the order of the tree; nobody blows, and the strings have no leaf.
    assert y[0].instruments == ("hammered_or_plucked", "low", "drums")
    assert [notes.pitch.tolist() for notes in y[0].notes] == [[60, 62], [61], [64]]
    assert len(X[0].audio) == len(list(folder.iterdir())) == 3
    _, alone = render_scenes(files, soundfont, ["piano", "guitar"], cache_dir=folder)
    both = alone[0].source("piano") + alone[0].source("guitar")
    assert np.allclose(y[0].source("hammered_or_plucked"), both, atol=1e-4)
    before = {stem: stem.stat().st_mtime_ns for stem in folder.iterdir()}
    render_scenes(files, soundfont, TREE, require="any", cache_dir=folder)
    assert {stem: stem.stat().st_mtime_ns for stem in folder.iterdir()} == before
    _, (levels,) = scenes_along(TREE, "low", X, y)
    assert np.array_equal(
        levels.source("level_2"), y[0].source("hammered_or_plucked") + y[0].source("low")
    )


def test_hierarchies_that_cannot_be_rendered_are_refused(tmp_path, soundfont):
    files = songs(tmp_path, song={"piano": LINE})
    with pytest.raises(InstrumentError, match="leaves that can name a file, got 'a/b'"):
        render_scenes(files, soundfont, Hierarchy([["a/b"]], {"a/b": 0}), cache_dir=tmp_path)
    with pytest.raises(InstrumentError, match="at least one name"):
        render_scenes(files, soundfont, Hierarchy([["piano"]]), cache_dir=tmp_path)
    with (
        pytest.warns(MsaWarning, match="1 do not hold all of hammered_or_plucked, blown, low"),
        pytest.raises(InputError, match="require='any'"),
    ):
        render_scenes(files, soundfont, TREE, cache_dir=tmp_path)


def test_drums_and_other_rates(tmp_path, soundfont):
    files = songs(tmp_path, song={"drums": Notes([0.5], [1.0], [69]), "piano": LINE})
    X, y = render_scenes(files, soundfont, ["drums"], cache_dir=tmp_path, sample_rate=22050)
    assert y[0].instruments == ("drums",)
    assert X[0].n_samples == round(2.5 * 22050)  # as long as the song, with the piano's notes
    audio = y[0].source("drums")
    assert rms(audio[: 22050 // 2 - 100]) < 1e-4
    assert rms(audio[22050 // 2 + 200 : 22050]) > 0.01
    with pytest.raises(InputError, match="at most 96000 Hz"):
        render_scenes(files, soundfont, ["drums"], cache_dir=tmp_path, sample_rate=192000)


def test_same_bytes_on_repeat_and_in_parallel(tmp_path, soundfont):
    files = songs(
        tmp_path,
        a={"piano": LINE, "guitar": LOW},
        b={"piano": LOW, "guitar": LINE},
    )
    stems = {}
    for run, n_jobs in (("one", 1), ("again", 1), ("two", 2)):
        folder = tmp_path / run
        X, _ = render_scenes(files, soundfont, cache_dir=folder, n_jobs=n_jobs)
        assert [mixture.group for mixture in X] == ["a", "b"]
        stems[run] = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(stems["one"]) == 4
    assert stems["one"] == stems["again"] == stems["two"]


def test_the_cache_serves_where_nothing_can_be_rendered(tmp_path, soundfont, monkeypatch):
    files = songs(tmp_path, song={"piano": LINE, "guitar": LOW})
    X, _ = render_scenes(files, soundfont, cache_dir=tmp_path / "stems")
    monkeypatch.setitem(sys.modules, "fluidsynth", None)
    again, _ = render_scenes(files, soundfont, cache_dir=tmp_path / "stems")
    assert [clip.path for clip in again[0].audio] == [clip.path for clip in X[0].audio]
    with pytest.raises(MissingDependencyError) as caught:
        render_scenes(files, soundfont, cache_dir=tmp_path / "other")
    assert "pip install 'msa_sk[render]'" in str(caught.value)
    assert "apt install fluidsynth" in str(caught.value)


def test_what_goes_into_a_stem_names_it(tmp_path, soundfont):
    files = songs(tmp_path, song={"piano": LINE, "guitar": LOW})
    folder = tmp_path / "stems"
    louder = tmp_path / "other.sf2"
    louder.write_bytes(soundfont_bytes([(0, 0), (0, 24), (0, 25)]))
    render_scenes(files, soundfont, cache_dir=folder)
    render_scenes(files, soundfont, ["guitar"], cache_dir=folder)  # is there already
    assert len(list(folder.iterdir())) == 2
    render_scenes(files, soundfont, cache_dir=folder, sample_rate=8000)
    render_scenes(files, louder, cache_dir=folder)
    songs(tmp_path, song={"piano": LINE, "guitar": LINE})
    render_scenes(files, soundfont, cache_dir=folder)
    assert len(list(folder.iterdir())) == 8


def test_an_interrupted_stem_is_not_taken_for_a_whole_one(tmp_path, soundfont, monkeypatch):
    from scipy.io import wavfile

    files = songs(tmp_path, song={"piano": LINE})
    folder = tmp_path / "stems"

    def stop(path, *_):
        Path(path).write_bytes(b"RIFF")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(wavfile, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            render_scenes(files, soundfont, ["piano"], cache_dir=folder)
    assert list(folder.iterdir()) == []
    X, _ = render_scenes(files, soundfont, ["piano"], cache_dir=folder)
    assert X[0].duration == 2.5


def test_songs_without_the_instruments_are_counted(tmp_path, soundfont):
    files = songs(
        tmp_path,
        both={"piano": LINE, "guitar": LOW},
        one={"piano": LOW, "guitar": Notes()},
        none={"bass": LOW},
    )
    with pytest.warns(MsaWarning, match="2 of 3 songs were left out: 2 do not hold all of piano"):
        X, _ = render_scenes(files, soundfont, cache_dir=tmp_path)
    assert [mixture.group for mixture in X] == ["both"]
    with pytest.warns(MsaWarning, match="1 of 3 songs were left out: 1 do not hold any of piano"):
        X, y = render_scenes(files, soundfont, require="any", cache_dir=tmp_path)
    assert [scene.instruments for scene in y] == [("piano", "guitar"), ("piano",)]
    assert len(X[1].audio) == 1
    with pytest.warns(MsaWarning, match="2 of 3"):
        X, _ = render_scenes(files, soundfont, ["piano"], min_notes=2, cache_dir=tmp_path)
    assert [mixture.group for mixture in X] == ["both"]
    with (
        pytest.warns(MsaWarning, match="3 of 3"),
        pytest.raises(InputError, match="none among 3"),
    ):
        render_scenes(files, soundfont, ["flute"], cache_dir=tmp_path)


def test_bad_songs_are_left_out_with_their_reasons_or_raise(tmp_path, soundfont, capfd):
    files = songs(tmp_path, good={"piano": LINE}, organ={"piano": LINE, "organ": LOW})
    bad = tmp_path / "bad.mid"
    bad.write_bytes(b"garbage")
    files = [bad, *files]
    with pytest.warns(MsaWarning) as caught:
        X, _ = render_scenes(files, soundfont, ["piano"], cache_dir=tmp_path)
    assert [mixture.group for mixture in X] == ["good", "organ"]
    assert len(caught) == 1
    assert "1 of 3 songs were left out: 1 failed: bad.mid" in str(caught[0].message)
    assert "begins with b'garb'" in str(caught[0].message)
    with pytest.raises(InputError, match="that can be rendered, got none: bad.mid .*'garb'"):
        render_scenes([bad], soundfont, ["piano"], cache_dir=tmp_path)
    with (
        pytest.warns(MsaWarning, match="3 of 3 songs were left out"),
        pytest.raises(InputError, match="none among 3, of which 1 failed: bad.mid .*'garb'"),
    ):
        render_scenes(files, soundfont, ["flute"], cache_dir=tmp_path)
    with pytest.raises(MidiFormatError, match="bad.mid"):
        render_scenes(files, soundfont, ["piano"], cache_dir=tmp_path, on_error="raise")
    with pytest.raises(InputError, match="a sound for program 16 .organ."):
        render_scenes(files[2:], soundfont, ["organ"], cache_dir=tmp_path, on_error="raise")
    assert capfd.readouterr().err == ""  # what FluidSynth prints itself is silenced


def test_copies_are_left_out_and_equal_names_told_apart(tmp_path, soundfont):
    (original,) = songs(tmp_path, song={"piano": LINE})
    (other,) = songs(tmp_path / "more", song={"piano": LOW})
    copy = tmp_path / "copy.mid"
    shutil.copy(original, copy)
    with pytest.warns(MsaWarning, match="1 are copies of another file"):
        X, _ = render_scenes([original, copy, other], soundfont, ["piano"], cache_dir=tmp_path)
    assert [mixture.group for mixture in X] == [str(original), str(other)]


def test_doubles_are_summed_or_split(tmp_path, soundfont):
    import mido

    def player(channel, program, note):
        return mido.MidiTrack(
            [
                mido.Message("program_change", channel=channel, program=program),
                mido.Message("note_on", channel=channel, note=note),
                mido.Message("note_off", channel=channel, note=note, time=480),
            ]
        )

    path = tmp_path / "song.mid"
    tracks = [player(0, 0, 60), player(1, 0, 64), player(2, 24, 40)]
    mido.MidiFile(tracks=tracks).save(path)
    _, y = render_scenes([path], soundfont, cache_dir=tmp_path / "sum")
    assert [len(notes) for notes in y[0].notes] == [2, 1]
    X, split = render_scenes([path], soundfont, doubles="split", cache_dir=tmp_path / "split")
    assert [scene.notes_of("piano").pitch.tolist() for scene in split] == [[60], [64]]
    assert [mixture.group for mixture in X] == ["song", "song"]
    first, second = (scene.source("piano") for scene in split)
    assert np.allclose(first + second, y[0].source("piano"), atol=1e-6)
    assert np.array_equal(split[0].source("guitar"), y[0].source("guitar"))


def test_songs_are_played_in_other_keys(tmp_path, soundfont):
    """All instruments but drums are transposed alike, notes and sound, and stay within MIDI."""
    files = songs(
        tmp_path,
        a={"piano": LINE, "guitar": LOW, "drums": LOW},
        high={"piano": Notes([0.5], [1.0], [126])},
    )
    names = ["piano", "guitar", "drums"]
    shifts = set()
    for seed in range(6):
        X, (one, high) = render_scenes(
            files, soundfont, names, require="any", transpose=5, random_state=seed,
            cache_dir=tmp_path,
        )  # fmt: skip
        assert [mixture.group for mixture in X] == ["a", "high"]
        (shift,) = {
            *(one.notes_of("piano").pitch - LINE.pitch),
            *(one.notes_of("guitar").pitch - 45),
        }
        assert one.notes_of("drums").pitch == [45]
        sound = frequency(one.source("piano")[round(1.1 * RATE) : round(1.4 * RATE)])
        assert sound == pytest.approx(440 * 2 ** ((64 + shift - 69) / 12), abs=2)
        assert 121 <= high.notes_of("piano").pitch[0] <= 127
        shifts.add(int(shift))
    assert len(shifts) > 2
    assert max(map(abs, shifts)) <= 5


def test_songs_are_played_with_other_programs(tmp_path, soundfont, monkeypatch):
    played = []
    play = rendered.play
    monkeypatch.setattr(
        rendered, "play", lambda parts, *rest: played.append(parts) or play(parts, *rest)
    )
    files = songs(tmp_path, **{f"song{i}": {"piano": LINE, "guitar": LOW} for i in range(6)})
    options = {"programs": {"piano": [33, 48]}, "cache_dir": tmp_path, "random_state": 3}
    for i, path in enumerate(files):
        path.write_bytes(path.read_bytes().replace(b"piano", b"pian%d" % i))  # no copies
    X, y = render_scenes(files, soundfont, **options)
    assert all(scene.instruments == ("piano", "guitar") for scene in y)
    programs = [part.program for (part,) in played]
    assert set(programs[::2]) == {33, 48}
    assert set(programs[1::2]) == {24}
    again, _ = render_scenes(files, soundfont, **options)
    stems = [[[clip.path for clip in one.audio] for one in mixes] for mixes in (again, X)]
    assert stems[0] == stems[1]
    assert len(played) == 12  # the second time, all were in the cache


def test_repaired_notes_are_reported(tmp_path, soundfont):
    import mido

    path = tmp_path / "song.mid"
    messages = [mido.Message("note_on", note=60), mido.Message("note_off", note=60)]
    mido.MidiFile(tracks=[mido.MidiTrack(messages)]).save(path)
    with pytest.warns(NotesWarning, match="1 songs were repaired: .*song.mid: 1 notes of no len"):
        render_scenes([path], soundfont, ["piano"], cache_dir=tmp_path)


def test_arguments_that_cannot_be_used(tmp_path, soundfont):
    files = songs(tmp_path, song={"piano": LINE})
    with pytest.raises(InputError, match="sorted.Path.folder..glob"):
        render_scenes(str(files[0]), soundfont, cache_dir=tmp_path)
    with pytest.raises(InstrumentError, match="Did you mean 'guitar'"):
        render_scenes(files, soundfont, ["giutar"], cache_dir=tmp_path)
    with pytest.raises(InstrumentError, match="each name once"):
        render_scenes(files, soundfont, ["piano", "piano"], cache_dir=tmp_path)
    for programs, problem in (
        ([0], r"programs: expected an instance of"),
        ({"flute": [0]}, r"names among .'piano', 'guitar'., got 'flute'"),
        ({"piano": 0}, r"programs.'piano'.: expected"),
        ({"piano": []}, r"at least one program, got none"),
        ({"piano": [128]}, r"programs.'piano'.: expected .* 127.*got 128"),
    ):
        with pytest.raises((ParameterError, InstrumentError), match=problem):
            render_scenes(files, soundfont, programs=programs, cache_dir=tmp_path)
    with pytest.raises(ParameterError, match="transpose: expected .* got -1"):
        render_scenes(files, soundfont, transpose=-1, cache_dir=tmp_path)
    with pytest.raises(ParameterError, match="require: expected one of"):
        render_scenes(files, soundfont, require="some", cache_dir=tmp_path)
    with pytest.raises(InputError, match="a SoundFont, got nothing there"):
        render_scenes(files, tmp_path / "none.sf2", cache_dir=tmp_path)
    with pytest.raises(InputError, match="a SoundFont, got another kind of file"):
        render_scenes(files, files[0], cache_dir=tmp_path)
    damaged = tmp_path / "damaged.sf2"
    damaged.write_bytes(soundfont.read_bytes()[:300])
    with pytest.raises(InputError, match="a SoundFont, got a damaged one"):
        render_scenes(files, damaged, ["piano"], cache_dir=tmp_path, on_error="raise")


def test_a_song_of_hours_is_refused(tmp_path, soundfont):
    files = songs(tmp_path, song={"piano": Notes([4000], [4001], [60])})
    with pytest.raises(InputError, match="at most 3600 s, got 4002 s"):
        render_scenes(files, soundfont, ["piano"], cache_dir=tmp_path, on_error="raise")


def test_more_than_the_synthesizer_can_play_is_refused(tmp_path, soundfont, monkeypatch):
    many = Notes(np.arange(40) * 0.01, np.full(40, 1.0), np.full(40, 60))
    files = [tmp_path / "song.mid"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MIDI has fewer channels, too
        write_midi(files[0], {"piano": many})
    monkeypatch.setattr(_fluidsynth, "_MAX_CHANNELS", 32)
    with pytest.raises(InputError, match="at most 32 lines, got 40"):
        render_scenes(files, soundfont, ["piano"], cache_dir=tmp_path, on_error="raise")


def test_real_songs_render_with_a_real_soundfont(tmp_path, data_dir):
    """Onsets of the notes are where the energy rises, to a few milliseconds."""
    files = [data_dir / "midi" / "freedoom" / f"{name}.mid" for name in ("d_dm02", "d_e1m1")]
    (soundfont,) = (data_dir / "soundfonts").glob("*.sf2")
    _, y = render_scenes(files, soundfont, ["drums", "bass"], cache_dir=tmp_path, n_jobs=1)
    hop = 32
    for scene in y:
        audio = scene.source("drums")[: 60 * RATE]
        energy = np.square(audio).reshape(-1, hop).sum(-1)
        rise = np.maximum(np.diff(np.log(energy + 1e-3), prepend=0), 0)
        onsets = np.zeros(len(rise))
        played = scene.notes_of("drums").onset
        onsets[np.unique((played[played < 59.9] * RATE / hop).astype(int))] = 1
        lags = np.arange(-30, 31)  # of 2 ms
        match = [np.dot(np.roll(onsets, lag), rise) for lag in lags]
        assert abs(lags[int(np.argmax(match))] * hop / RATE) <= 0.01
        assert max(match) > 3 * np.median(match)
