"""MIDI files: what is written is read back, and what is damaged is repaired or refused."""

import os
import time
import warnings
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msa_sk import Notes, _midi_file
from msa_sk.exceptions import (
    InstrumentError,
    MidiFormatError,
    MsaWarning,
    NotesError,
    NotesWarning,
)
from msa_sk.midi import FAMILIES, program_of, read_midi, read_parts, write_midi

TICK = 0.0005


def rows(notes):
    """Return notes as a list of (onset tick, offset tick, pitch, velocity)."""
    columns = (np.rint(notes.onset / TICK), np.rint(notes.offset / TICK))
    columns += (notes.pitch, notes.velocity)
    return [tuple(int(value) for value in row) for row in zip(*columns, strict=True)]


def variable_length(value):
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.insert(0, value & 0x7F | 0x80)
    return bytes(digits)


def track(*events):
    """Build a track from (ticks since the last event, bytes of the event)."""
    body = b"".join(variable_length(delta) + event for delta, event in events)
    return b"MTrk" + len(body).to_bytes(4) + body


def song(*tracks, division=480, n_tracks=None, format_=1):
    header = [format_, len(tracks) if n_tracks is None else n_tracks, division]
    head = b"MThd" + (6).to_bytes(4) + b"".join(field.to_bytes(2) for field in header)
    return head + b"".join(tracks)


def on(pitch, velocity=80, channel=0):
    return bytes([0x90 | channel, pitch, velocity])


def off(pitch, channel=0):
    return bytes([0x80 | channel, pitch, 0])


def program(number, channel=0):
    return bytes([0xC0 | channel, number])


def name(text):
    return b"\xff\x03" + variable_length(len(text.encode())) + text.encode()


END = (0, b"\xff\x2f\x00")
ONE_NOTE = ((0, on(60)), (480, off(60)), END)


@pytest.fixture
def save(tmp_path):
    def write(content, filename="song.mid"):
        path = tmp_path / filename
        path.write_bytes(content)
        return path

    return write


# ------------------------------------------------------------------------------- there and back


def test_round_trip_keeps_names_order_notes_and_bytes(tmp_path):
    notes = {
        "piano": Notes([0.0, 0.5, 0.5], [1.0, 0.75, 2.0], [60, 64, 67], [1, 64, 127]),
        "drums": Notes([0.25], [0.3], [38]),
        "bass": Notes(),
        "guitar": Notes([3.0], [3.0001], [40]),
    }
    first = write_midi(tmp_path / "first.mid", notes)
    back = read_midi(first)
    assert list(back) == list(notes)
    assert rows(back["piano"]) == [(0, 2000, 60, 1), (1000, 1500, 64, 64), (1000, 4000, 67, 127)]
    assert rows(back["drums"]) == [(500, 600, 38, 64)]
    assert rows(back["guitar"]) == [(6000, 6001, 40, 64)]
    assert len(back["bass"]) == 0
    second = write_midi(tmp_path / "second.mid", back)
    assert first.read_bytes() == second.read_bytes()


some_notes = st.lists(
    st.tuples(
        st.integers(0, 60).map(lambda n: n * 0.05),
        st.integers(1, 40).map(lambda n: n * 0.05),
        st.integers(60, 62),
        st.integers(1, 127),
    ),
    max_size=25,
).map(
    lambda found: Notes(
        [n[0] for n in found],
        [n[0] + n[1] for n in found],
        [n[2] for n in found],
        [n[3] for n in found],
    )
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), some_notes))
def test_any_notes_and_names_come_back(tmp_path_factory, notes):
    folder = tmp_path_factory.mktemp("midi")
    notes = {key: value for key, value in notes.items() if program_of(key) is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MsaWarning)
        back = read_midi(write_midi(folder / "a.mid", notes))
        assert [(n, sorted(rows(v))) for n, v in back.items()] == [
            (n, sorted(rows(v))) for n, v in notes.items()
        ]
        write_midi(folder / "b.mid", back)
    assert (folder / "a.mid").read_bytes() == (folder / "b.mid").read_bytes()


def test_other_readers_find_the_same_notes_and_the_right_programs(tmp_path):
    notes = {
        "piano": Notes([0.0, 1.0], [0.5, 1.5], [60, 62], [100, 30]),
        "strings": Notes([0.2], [2.0], [55], [70]),
        "drums": Notes([0.1], [0.2], [36], [90]),
        "guitar": Notes([0.7], [0.9], [45], [50]),
    }
    path = write_midi(tmp_path / "song.mid", notes)
    found = {one.name: one for one in pretty_midi.PrettyMIDI(str(path)).instruments}
    assert {key: one.program for key, one in found.items()} == {
        "piano": 0,
        "strings": 48,
        "drums": 0,
        "guitar": 24,
    }
    assert [key for key, one in found.items() if one.is_drum] == ["drums"]
    for key, expected in notes.items():
        got = [(n.start, n.end, n.pitch, n.velocity) for n in found[key].notes]
        columns = (expected.onset, expected.offset, expected.pitch, expected.velocity)
        assert np.allclose(got, np.stack(columns, axis=1))
    parsed = mido.MidiFile(path)
    assert parsed.type == 1
    assert [one.name for one in parsed.tracks] == ["", *notes]
    assert mido.tempo2bpm(parsed.tracks[0][1].tempo) == 120


def test_repeated_note_is_not_ended_by_the_one_before(tmp_path):
    notes = Notes([0.0, 0.5, 1.0], [0.5, 1.0, 1.5], [60, 60, 60])
    path = write_midi(tmp_path / "song.mid", {"piano": notes})
    assert rows(read_midi(path)["piano"]) == rows(notes)
    assert [(n.start, n.end) for n in pretty_midi.PrettyMIDI(str(path)).instruments[0].notes] == [
        (0.0, 0.5),
        (0.5, 1.0),
        (1.0, 1.5),
    ]


def test_overlapping_notes_of_one_pitch_keep_their_ends(tmp_path):
    notes = Notes([0.0, 0.5, 0.6], [3.0, 1.0, 2.0], [60, 60, 60], [10, 20, 30])
    path = write_midi(tmp_path / "song.mid", {"piano": notes, "bass": Notes([0], [1], [40])})
    assert rows(read_midi(path)["piano"]) == rows(notes)
    assert len(mido.MidiFile(path).tracks) == 3  # the conductor, piano and bass


def test_drums_that_overlap_exchange_their_ends_with_a_count(tmp_path):
    nested = Notes([0.0, 0.5], [2.0, 1.0], [38, 38], [10, 20])
    with pytest.warns(NotesWarning, match="2 overlapping notes of one pitch exchanged"):
        path = write_midi(tmp_path / "song.mid", {"drums": nested})
    assert rows(read_midi(path)["drums"]) == [(0, 2000, 38, 10), (1000, 4000, 38, 20)]
    doubled = Notes([0.0, 0.0], [1.0, 1.0], [38, 38], [10, 20])
    write_midi(path, {"drums": doubled})  # no warning: nothing is lost
    assert rows(read_midi(path)["drums"]) == rows(doubled)


def test_more_instruments_than_channels_are_kept_apart(tmp_path):
    notes = {f"guitar {i}": Notes([i], [i + 1], [40 + i]) for i in range(20)}
    notes["drums"] = Notes([0], [1], [38])
    with pytest.warns(MsaWarning, match="20 channels are needed and MIDI has 15"):
        path = write_midi(tmp_path / "song.mid", notes)
    back = read_midi(path)
    assert list(back) == list(notes)
    assert all(rows(back[key]) == rows(notes[key]) for key in notes)
    assert {part.program for part in read_parts(path)} == {24, 0}


def test_names_in_any_script(tmp_path):
    notes = {
        "絆": Notes([0], [1], [60]),
        "Flügel ♪": Notes([0], [1], [61]),
        "": Notes([0], [1], [2]),
    }
    assert list(read_midi(write_midi(tmp_path / "song.mid", notes))) == list(notes)
    with pytest.raises(InstrumentError, match="a name of Unicode characters"):
        write_midi(tmp_path / "bad.mid", {"\udc80": Notes()})
    with pytest.raises(InstrumentError, match="a name of Unicode characters"):
        write_midi(tmp_path / "bad.mid", {3: Notes()})
    assert not (tmp_path / "bad.mid").exists()


def test_no_instruments_at_all(tmp_path):
    assert read_midi(write_midi(tmp_path / "song.mid", {})) == {}


def test_what_cannot_be_written_is_refused(tmp_path):
    path = tmp_path / "song.mid"
    with pytest.raises(NotesError, match="expected Notes, got list"):
        write_midi(path, {"piano": [1, 2]})
    with pytest.raises(NotesError, match="expected a dict of instrument to Notes, got Notes"):
        write_midi(path, Notes())
    with pytest.raises(NotesError, match="Are the times in seconds"):
        write_midi(path, {"piano": Notes([0], [1e6], [60])})
    assert not path.exists()


def test_write_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = write_midi(tmp_path / "song.mid", {"piano": Notes([0], [1], [60])})
    before = path.read_bytes()

    def fail(self, filename):
        Path(filename).write_bytes(b"half a fi")
        raise OSError("no space left on device")

    monkeypatch.setattr(mido.MidiFile, "save", fail)
    with pytest.raises(OSError, match="no space left"):
        write_midi(path, {"bass": Notes()})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["song.mid"]


@pytest.mark.parametrize(
    ("instrument", "expected"),
    [
        ("piano", 0),
        ("Bass", 33),
        ("electric guitar", 27),
        ("lead_guitar", 24),
        ("Violin 2", 40),
        ("drums", None),
        ("Drums 1", None),
        ("flute", 73),
        ("source_0", 0),
        ("", 0),
    ],
)
def test_program_by_name(instrument, expected):
    assert program_of(instrument) == expected


def test_every_program_has_one_family():
    assert sorted(p for programs in FAMILIES.values() for p in programs) == list(range(128))
    for family, programs in FAMILIES.items():
        assert program_of(family) in programs


# -------------------------------------------------------------------------- files of other origin


def test_programs_become_families_and_channel_ten_the_drums(save):
    path = save(
        song(
            track((0, name("Lead")), (0, program(30)), *ONE_NOTE),
            track((0, program(49, 1)), (0, on(50, 80, 1)), (960, off(50, 1)), END),
            track((0, on(38, 80, 9)), (10, off(38, 9)), END),
            track((0, name("Rhythm")), (0, program(25)), *ONE_NOTE),
        )
    )
    found = read_midi(path)
    assert {key: len(notes) for key, notes in found.items()} == {
        "guitar": 2,
        "strings": 1,
        "drums": 1,
    }
    assert np.allclose(found["strings"].offset, 1.0)
    assert {key: len(n) for key, n in read_midi(path, ["piano", "guitar"]).items()} == {
        "piano": 0,
        "guitar": 2,
    }
    # The track that is asked for by its name is no longer a guitar.
    asked = read_midi(path, ["Lead", "guitar"])
    assert {key: len(notes) for key, notes in asked.items()} == {"Lead": 1, "guitar": 1}
    assert len(read_midi(path, ["electric_guitar"])["electric_guitar"]) == 1
    assert [repr(part) for part in read_parts(path)][:2] == [
        "Part('Lead'; guitar, program 30; channel 1; 1 note; pitch 60 to 60; 0.00 to 0.50 s)",
        "Part(''; strings, program 49; channel 2; 1 note; pitch 50 to 50; 0.00 to 1.00 s)",
    ]


def test_unknown_instrument_names_the_closest(save):
    path = save(song(track(*ONE_NOTE)))
    with pytest.raises(InstrumentError, match="Did you mean 'guitar'"):
        read_midi(path, ["guitr"])
    with pytest.raises(InstrumentError, match="a sequence of names"):
        read_midi(path, "piano")


def test_program_change_within_a_track_makes_two_parts(save):
    path = save(
        song(
            track(
                (0, program(0)), (0, on(60)), (480, off(60)),
                (0, program(33)), (0, on(40)), (480, off(40)), END,
            )
        )
    )  # fmt: skip
    found = read_midi(path)
    assert (rows(found["piano"]), rows(found["bass"])) == (
        [(0, 1000, 60, 80)],
        [(1000, 2000, 40, 80)],
    )


def test_tracks_of_one_channel_share_a_program_unless_they_have_their_own(save):
    setup = track((0, program(30)), END)
    path = save(song(setup, track(*ONE_NOTE), track((0, program(33)), *ONE_NOTE)))
    families = [part.family for part in read_parts(path)]
    assert families == ["guitar", "bass"]
    path = save(song(setup, track(*ONE_NOTE), track(*ONE_NOTE)))
    assert [part.family for part in read_parts(path)] == ["guitar", "guitar"]
    path = save(song(track((0, program(30)), *ONE_NOTE), track((0, program(33)), *ONE_NOTE)))
    assert [part.family for part in read_parts(path)] == ["guitar", "bass"]
    path = save(song(track(*ONE_NOTE), track((0, program(33)), *ONE_NOTE)))
    assert [part.family for part in read_parts(path)] == ["bass", "bass"]


def test_tempo_changes_running_status_and_velocity_zero(save):
    tempo = b"\xff\x51\x03" + (1_000_000).to_bytes(3)
    body = [(0, on(60)), (480, bytes([60, 0])), (0, bytes([62, 70])), (480, bytes([62, 0])), END]
    path = save(song(track((480, tempo), END), track(*body)))
    assert rows(read_midi(path)["piano"]) == [(0, 1000, 60, 80), (1000, 3000, 62, 70)]


def test_film_time_and_type_zero(save):
    film = (256 - 25) << 8 | 40  # 25 frames per second, 40 ticks per frame
    path = save(song(track((0, on(60)), (1000, off(60)), END), division=film, format_=0))
    assert rows(read_midi(path)["piano"]) == [(0, 2000, 60, 80)]


def test_what_is_damaged_but_can_be_stepped_over(save):
    damaged = [
        (0, b"\xff\x59\x02\x63\x09"),  # a key signature with 99 sharps
        (0, b"\xff\x59\x00"),
        (0, b"\xff\x58\x01\x04"),  # a time signature of one byte
        (0, b"\xff\x03\x03\xff\xfe\xfd"),
        (0, b"\xff\x7f\x81\x00" + b"\x99" * 128),
        (0, b"\xf0\x03\xff\xff\xff"),  # a system message without an end
        (0, b"\xfe"),
    ]
    path = save(song(track(*damaged, *ONE_NOTE)))
    assert rows(read_midi(path)["piano"]) == [(0, 1000, 60, 80)]
    path = save(song(track((0, b"\xff\x51\x01\x07"), (0, b"\xff\x51\x03\0\0\0"), *ONE_NOTE)))
    with pytest.warns(NotesWarning, match="2 damaged tempo changes were ignored"):
        assert rows(read_midi(path)["piano"]) == [(0, 1000, 60, 80)]


def test_notes_without_length_or_end_are_repaired_and_counted(save):
    path = save(song(track((0, on(60)), (0, off(60)), (480, on(62)), (0, off(62)), END)))
    with pytest.warns(NotesWarning, match="2 notes of no length were made one tick long"):
        notes = read_midi(path)["piano"]
    assert np.allclose(notes.offset - notes.onset, 0.5 / 480)
    path = save(song(track((0, on(60)), (480, off(60)), (0, on(62)), (960, END[1]))))
    with pytest.warns(NotesWarning, match="1 notes without an end were ended with their track"):
        assert rows(read_midi(path)["piano"]) == [(0, 1000, 60, 80), (1000, 3000, 62, 80)]


def test_an_end_before_a_note_of_no_length_does_not_shift_all_later_ends(save):
    grace = [(0, off(60)), (0, on(60)), (480, on(60)), (480, off(60))]
    path = save(song(track(*grace, (480, on(60)), (480, off(60)), END)))
    with pytest.warns(NotesWarning, match="1 notes of no length"):
        notes = read_midi(path)["piano"]
    assert np.allclose(notes.onset, [0, 0.5, 1.5])
    assert np.allclose(notes.offset, [0.5 / 480, 1.0, 2.0])


def test_doubled_notes_that_are_ended_once(save):
    doubled = [(0, on(60)), (0, on(60)), (480, off(60)), (480, on(60)), (480, off(60)), END]
    with pytest.warns(NotesWarning, match="1 notes ended with another one of their pitch"):
        notes = read_midi(save(song(track(*doubled))))["piano"]
    assert rows(notes) == [(0, 1000, 60, 80), (0, 1000, 60, 80), (2000, 3000, 60, 80)]


def test_all_notes_off_ends_what_sounds(save):
    path = save(song(track((0, on(60)), (0, on(64)), (480, b"\xb0\x7b\x00"), (480, on(60)),
                           (480, off(60)), END)))  # fmt: skip
    assert [row[:2] for row in rows(read_midi(path)["piano"])] == [
        (0, 1000),
        (0, 1000),
        (2000, 3000),
    ]


def test_sustain_lengthens_to_the_pedal_or_the_next_stroke(save):
    pedal = [b"\xb0\x40" + bytes([value]) for value in (0, 127)]
    path = save(
        song(
            track(
                (0, pedal[1]), (0, on(60)), (0, on(64)), (240, off(60)), (0, off(64)),
                (240, on(60)), (240, off(60)), (240, pedal[0]), (0, on(67)), (480, off(67)), END,
            )
        )
    )  # fmt: skip
    assert [row[1] for row in rows(read_midi(path)["piano"])] == [500, 500, 1500, 3000]
    assert rows(read_midi(path, sustain=True)["piano"]) == [
        (0, 1000, 60, 80),  # until it is struck again
        (0, 2000, 64, 80),  # until the pedal is lifted
        (1000, 2000, 60, 80),
        (2000, 3000, 67, 80),
    ]


# ------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b"not a MIDI file, but long enough", "a file that begins with b'not '"),
        (b"MThd\0\0\0\6", "a file that begins with"),
        (song(), "no tracks"),
        (song(track(*ONE_NOTE), division=0), "0 ticks per beat"),
        (song(track(*ONE_NOTE), division=0xE700), "0 ticks per second"),
        (song(track(*ONE_NOTE), format_=2), "type 2"),
        (song(track(*ONE_NOTE), n_tracks=3), "a file that breaks off in track 1 of 3"),
        (song(track((0, b"\x90\x3c"))), "a track that breaks off"),
        (song(track((0, b"\x3c\x40"))), "bytes that are no event"),
        (song(track((0, b"\x90\x3c\xff"))), "bytes that are no event"),
        (song(track((0, b"\xff\x01\x7fshort"))), "an event that reaches past its track"),
        (song(b"MTrk\0\0\0\5\xff\xff\xff\xff\xff"), "a number of more than four bytes"),
    ],
)
def test_damage_is_one_error_that_names_file_and_reason(save, content, got):
    path = save(content)
    with pytest.raises(MidiFormatError) as caught:
        read_midi(path)
    assert caught.value.item == str(path)
    assert got in caught.value.got
    assert caught.value.remedy


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(MidiFormatError, match="nothing there"):
        read_midi(tmp_path / "missing.mid")
    with pytest.raises(MidiFormatError, match="a directory"):
        read_midi(tmp_path)


def test_a_file_cut_anywhere_is_refused(save):
    whole = song(track((0, name("a")), *ONE_NOTE), track((0, program(33, 1)), *ONE_NOTE))
    for length in range(len(whole)):
        with pytest.raises(MidiFormatError):
            read_midi(save(whole[:length]))
    assert len(read_midi(save(whole))["piano"]) == 2


def test_absurd_files_are_refused_at_once(save, monkeypatch):
    far = [(0x0FFFFFFF, b"\xff\x01\x00")] * 600  # 1.6e11 ticks
    start = time.process_time()
    with pytest.raises(MidiFormatError, match="notes that end within 86400 s"):
        read_midi(save(song(track(*far, *ONE_NOTE))))
    tempos = track(*[(1, b"\xff\x51\x03\x07\xa1\x20")] * 200_000)
    with pytest.raises(MidiFormatError, match="200000 tempo changes"):
        read_midi(save(song(tempos)))
    monkeypatch.setattr(_midi_file, "MAX_BYTES", 1000)
    with pytest.raises(MidiFormatError, match="at most 1000 bytes"):
        read_midi(save(song(tempos)))
    assert time.process_time() - start < 5


def test_mutated_files_give_notes_or_the_one_error(save):
    whole = song(
        track((0, name("絆")), (0, program(30)), (0, b"\xff\x51\x03\x07\xa1\x20"), *ONE_NOTE),
        track((0, on(38, 80, 9)), (10, off(38, 9)), (0, b"\xf0\x02\x01\xf7"), *ONE_NOTE),
    )
    rng = np.random.default_rng(0)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotesWarning)
        for _ in range(1000):
            content = np.frombuffer(whole, np.uint8).copy()
            places = rng.integers(len(content), size=rng.integers(1, 4))
            content[places] = rng.integers(256, size=len(places))
            try:
                found = read_midi(save(content.tobytes()))
            except MidiFormatError:
                refused += 1
            else:
                assert all((n.offset > n.onset).all() for n in found.values())
    assert 100 < refused < 900


# ------------------------------------------------------------------------------------ real files


def test_all_real_files_are_read(data_dir):
    files = sorted(data_dir.glob("midi/*/*.mid"))
    assert len(files) >= 110
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotesWarning)
        found = [read_parts(path) for path in files]
    assert all(found)
    for path, parts in list(zip(files, found, strict=True))[::12]:
        messages = [m for one in mido.MidiFile(path, clip=True).tracks for m in one]
        n_onsets = sum(m.type == "note_on" and m.velocity > 0 for m in messages)
        assert sum(len(part.notes) for part in parts) == n_onsets
