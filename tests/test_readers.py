"""Readers of data sets, each on a small tree in the true layout, and on real samples."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from trees import (
    RATE,
    SECONDS,
    jams,
    make_folder,
    make_guitarset,
    make_maestro,
    make_maps,
    make_mir1k,
    make_musdb,
    make_slakh,
    make_slakh_track,
    write_noise,
)

from msa_sk import Notes
from msa_sk.datasets import (
    MAESTRO,
    MAPS,
    MIR1K,
    MUSDB18,
    Excerpts,
    Folder,
    GuitarSet,
    Slakh,
    make_scenes,
)
from msa_sk.exceptions import (
    InputError,
    InstrumentError,
    MidiFormatError,
    MsaWarning,
    NotesWarning,
    ParameterError,
)
from msa_sk.hierarchy import Hierarchy
from msa_sk.midi import write_midi

READERS = {
    Slakh: (make_slakh, 4),
    MUSDB18: (make_musdb, 3),
    MAPS: (make_maps, 3),
    MAESTRO: (make_maestro, 4),
    MIR1K: (make_mir1k, 4),
    GuitarSet: (make_guitarset, 3),
    Folder: (make_folder, 2),
}


# A file of each tree.
VICTIMS = {
    Slakh: "train/Track00001/stems/S00.flac",
    MUSDB18: "train/A - B/bass.wav",
    MAPS: "ENSTDkAm/MUS/MAPS_MUS-alb_se3_ENSTDkAm.wav",
    MAESTRO: "2018/MIDI-Unprocessed_0.wav",
    MIR1K: "Wavfile/amy_2_01.wav",
    GuitarSet: "audio_mono-mic/00_BN1-129-Eb_comp_mic.wav",
    Folder: "first song/piano.wav",
}


@pytest.fixture
def tree(request, tmp_path):
    """Make the tree of the reader in question, and return the reader."""
    make, _ = READERS[request.param]
    root = tmp_path / "root"
    root.mkdir()
    make(root)
    return request.param(root)


every_reader = pytest.mark.parametrize("tree", READERS, indirect=True)


def only(reader):
    return pytest.mark.parametrize("tree", [reader], indirect=True)


# ------------------------------------------------------------------------------- all of them


@every_reader
def test_songs_and_scenes_fit_together(tree):
    X, y = tree.load()
    assert len(X) == len(y) == READERS[type(tree)][1]
    for mixture, scene in zip(X, y, strict=True):
        audio = mixture.read()
        assert isinstance(mixture.group, str)
        assert mixture.rate == scene.sample_rate == RATE
        assert audio.shape[-1] == SECONDS * RATE
        for name in scene.instruments:
            assert scene.source(name).shape == audio.shape
        if isinstance(tree, Slakh):  # its silent stem is noise here, and in the mixture
            continue
        # Each file was rounded to 16 bits.
        np.testing.assert_allclose(scene.residual(mixture), 0, atol=2**-14)


@every_reader
def test_no_audio_is_read_until_asked(tree, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("audio was read")

    monkeypatch.setattr(soundfile.SoundFile, "read", refuse)
    X, _ = tree.load()
    assert [mixture.duration for mixture in X] == [SECONDS] * len(X)
    with pytest.raises(AssertionError, match="audio was read"):
        X[0].read()


@every_reader
def test_a_whole_tree_has_no_problems(tree):
    assert tree.validate() == []
    assert tree.validate(decode=True) == []


@every_reader
def test_splits_part_the_data_set(tree):
    whole = {str(mixture.audio) for mixture in tree.load()[0]}
    if not tree.splits:
        with pytest.raises(ParameterError, match="expected None, got 'train'.* no official"):
            tree.load("train")
        return
    parts = [
        {str(mixture.audio) for mixture in tree.load(split)[0]}
        for split in tree.splits
        if split != "omitted"
    ]
    assert whole == set().union(*parts)
    with pytest.raises(ParameterError, match=r"one of \['train', .*\], or None, got 'all'"):
        tree.load("all")


@every_reader
def test_a_song_with_a_broken_file_is_left_out_or_refused(tree):
    victim = Path(tree.root) / VICTIMS[type(tree)]
    victim.write_text("no audio")
    n_songs = READERS[type(tree)][1]
    with pytest.warns(MsaWarning, match=rf"^1 of {n_songs} songs were left out: .*{victim.name}"):
        X, y = tree.load()
    assert len(X) == len(y) == n_songs - 1
    with pytest.raises(InputError, match=rf"{victim.name}: expected an audio file"):
        tree.load(on_error="raise")
    assert {problem.path for problem in tree.validate()} == {str(victim)}


# Of a voice in MIR-1K, or an instrument in a folder, nothing says that it ought to be there.
@pytest.mark.parametrize(
    ("tree", "path"),
    [
        (Slakh, "train/Track00001/mix.flac"),
        (Slakh, "train/Track00001/stems/S00.flac"),
        (Slakh, "train/Track00001/MIDI/S00.mid"),
        (Slakh, "train/Track00001/metadata.yaml"),
        (MUSDB18, "test/C - D/vocals.wav"),
        (MAPS, "ENSTDkAm/MUS/MAPS_MUS-alb_se3_ENSTDkAm.wav"),
        (MAPS, "ENSTDkAm/MUS/MAPS_MUS-alb_se3_ENSTDkAm.mid"),
        (MAESTRO, "2018/MIDI-Unprocessed_0.wav"),
        (MAESTRO, "2018/MIDI-Unprocessed_0.midi"),
        (GuitarSet, "audio_mono-mic/00_BN1-129-Eb_comp_mic.wav"),
        (GuitarSet, "annotation/00_BN1-129-Eb_comp.jams"),
    ],
    indirect=["tree"],
)
def test_a_missing_file_is_listed(tree, path):
    victim = Path(tree.root) / path
    victim.unlink()
    (problem,) = tree.validate()
    assert problem.path == str(victim)
    assert problem.reason.endswith("got nothing there")
    with pytest.warns(MsaWarning, match="^1 of . songs were left out"):
        tree.load()


@every_reader
def test_a_file_that_is_cut_off_is_found(tree):
    for path in Path(tree.root).rglob("*"):
        if path.suffix in (".wav", ".flac"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    n_songs = READERS[type(tree)][1]
    assert len({problem.song for problem in tree.validate()}) == n_songs


@every_reader
@pytest.mark.parametrize(
    ("kind", "got"),
    [("none", "nothing there"), ("file", "a file"), ("empty", "an empty folder")],
)
def test_another_folder_is_refused_with_what_was_expected(tree, kind, got, tmp_path):
    root = tmp_path / kind
    if kind == "file":
        root.write_text("")
    elif kind == "empty":
        root.mkdir()
    name = type(tree).__name__
    for ask in (type(tree)(root).load, type(tree)(root).validate):
        message = rf"expected a folder as {name} reads it: .*, got {got}\."
        with pytest.raises(InputError, match=message):
            ask()


@every_reader
def test_instruments_are_chosen_and_checked(tree):
    _, y = tree.load()
    name = y[0].instruments[-1]
    _, y_one = tree.load(instruments=[name])
    assert {scene.instruments for scene in y_one} == {(name,)}
    with pytest.raises(InstrumentError, match="expected one of .*, got 'kazoo'"):
        tree.load(instruments=[name, "kazoo"])
    for wrong in (name, Hierarchy.slakh(), 3):
        with pytest.raises(InstrumentError, match="a sequence of names"):
            tree.load(instruments=wrong)
    with pytest.raises(InstrumentError, match="each name once"):
        tree.load(instruments=[name, name])


@every_reader
def test_readers_say_their_terms(tree):
    assert tree.licence
    assert tree.source
    assert repr(tree) == f"{type(tree).__name__}({os.fspath(tree.root)!r})"


@every_reader
def test_excerpts_can_be_cut(tree):
    X, y = tree.load()
    if y[0].notes is None:
        cuts = X[0].excerpt(0.1, 0.2), y[0].excerpt(0.1, 0.2)
    else:
        X, y = Excerpts(0.2, 0.1, min_notes=1).apply(X, y)
        cuts = X[0], y[0]
    assert cuts[0].read().shape[-1] == 0.2 * RATE
    assert cuts[1].source(cuts[1].instruments[0]).shape == cuts[0].read().shape


# --------------------------------------------------------------------------------- one by one


@only(Slakh)
def test_slakh_sums_the_stems_of_an_instrument(tree):
    X, y = tree.load("train")
    assert [mixture.group for mixture in X] == ["Track00001", "Track00002"]
    assert y[0].instruments == ("guitar", "drums", "strings")
    place = Path(tree.root) / "train" / "Track00001"
    guitars = [soundfile.read(place / "stems" / f"{s}.flac")[0] for s in ("S00", "S02")]
    np.testing.assert_allclose(y[0].source("guitar"), sum(guitars), atol=1e-6)
    np.testing.assert_allclose(
        X[0].read(), soundfile.read(place / "mix.flac", dtype="float32")[0], atol=0
    )
    # The stems' own notes, not those of all_src.mid.
    np.testing.assert_array_equal(y[0].notes_of("guitar").pitch, [60, 62, 72, 74])
    np.testing.assert_array_equal(y[0].notes_of("drums").pitch, [61, 73])


@only(Slakh)
def test_slakh_remixes_what_was_asked_for(tree):
    X, y = tree.load("train", ["violin", "electric_guitar"], remix=True)
    assert y[0].instruments == ("violin", "electric_guitar")
    np.testing.assert_allclose(y[0].residual(X[0]), 0, atol=1e-6)
    X_whole, _ = tree.load("train", ["violin", "electric_guitar"])
    assert np.abs(X_whole[0].read() - X[0].read()).max() > 0.1  # the drums play along
    with pytest.raises(InstrumentError, match="Did you mean 'violin'"):
        tree.load("train", ["violine"])
    with pytest.raises(InstrumentError, match=r"one of \['drums', 'guitar', .*got 'tuba'"):
        tree.load("train", ["tuba", "drums"])


@only(Slakh)
def test_slakh_leaves_out_what_its_redux_edition_omits(tree):
    assert [mixture.group for mixture in tree.load()[0]] == [
        "Track00001",
        "Track00002",
        "Track01501",
        "Track01876",
    ]
    assert [mixture.group for mixture in tree.load("omitted")[0]] == ["Track00049"]
    make_slakh_track(Path(tree.root) / "train" / "Track00049")
    with pytest.warns(MsaWarning, match="first edition of Slakh2100, whose splits share songs"):
        tree.load("train")


def test_babyslakh_has_no_splits_and_denies_its_stems(tmp_path):
    make_slakh_track(tmp_path / "Track00001", ".wav", says_rendered=False)
    X, y = Slakh(tmp_path).load()
    assert y[0].instruments == ("guitar", "drums", "strings")
    assert len(y[0].notes_of("strings")) == 2
    assert X[0].group == "Track00001"
    with pytest.raises(InputError, match="as Slakh reads it, with a part 'train'.*Track00001"):
        Slakh(tmp_path).load("train")


@only(Slakh)
@pytest.mark.parametrize("content", ["stems: [", "stems: 5", "{}", "stems: {S00: {}}", "\x00"])
def test_slakh_tells_of_damaged_metadata(tree, content):
    path = Path(tree.root) / "train" / "Track00001" / "metadata.yaml"
    path.write_text(content)
    with pytest.warns(MsaWarning, match="1 of 2 songs were left out: Track00001.*metadata of a"):
        X, _ = tree.load("train")
    assert len(X) == 1
    (problem,) = tree.validate("train")
    assert (problem.song, problem.path) == ("Track00001", str(path))


@only(Slakh)
def test_two_jobs_read_as_one(tree):
    X, y = tree.load(n_jobs=1)
    X_two, y_two = tree.load(n_jobs=2)
    assert list(map(repr, X)) == list(map(repr, X_two))
    assert list(map(repr, y)) == list(map(repr, y_two))


@only(Slakh)
def test_all_that_is_wrong_is_listed(tree):
    place = Path(tree.root) / "train" / "Track00001"
    (place / "MIDI" / "S00.mid").write_bytes(b"MThd")
    (place / "stems" / "S01.flac").unlink()
    (place / "mix.flac").write_text("no audio")
    problems = tree.validate("train")
    assert sorted(Path(problem.path).name for problem in problems) == [
        "S00.mid",
        "S01.flac",
        "mix.flac",
    ]
    assert {problem.song for problem in problems} == {"Track00001"}
    assert "got nothing there" in next(p.reason for p in problems if p.path.endswith("S01.flac"))


@only(Slakh)
def test_a_set_of_broken_songs_is_refused(tree):
    for path in Path(tree.root).rglob("metadata.yaml"):
        path.unlink()
    with pytest.raises(InputError, match="songs that can be read, got none: Track00001"):
        tree.load()


@only(Folder)
def test_an_instrument_of_broken_songs_alone_is_missed(tree):
    write_noise(Path(tree.root) / "first song" / "tuba.wav", 1, seconds=2.0)
    with (
        pytest.warns(MsaWarning, match="1 of 2 songs were left out: first song"),
        pytest.raises(InstrumentError, match=r"one of \['guitar', 'piano'\], got 'tuba'"),
    ):
        tree.load(instruments=["piano", "tuba"])


@only(Folder)
def test_levels_are_not_added_up_to_a_mixture(tree):
    place = Path(tree.root) / "third song"
    for name in ("level_1", "level_2"):
        write_noise(place / f"{name}.wav", 1, seconds=2.0)
    with pytest.warns(MsaWarning, match="third song.* mixture.wav beside levels"):
        assert len(tree.load()[0]) == 2
    write_noise(place / "mixture.wav", 1, seconds=2.0)
    X, y = tree.load()
    assert y[2].instruments == ("level_1", "level_2")
    assert "mixture.wav" in repr(X[2])


@only(Folder)
def test_a_file_that_two_stems_share_is_listed_once(tree):
    place = Path(tree.root) / "third song"
    for name in ("piano", "guitar"):
        write_noise(place / f"{name}.wav", 1, seconds=2.0)
    (place / "scene.mid").write_text("no MIDI")
    assert [Path(problem.path).name for problem in tree.validate()] == ["scene.mid"]


@only(Folder)
def test_a_warning_names_ten_songs_at_most(tree):
    for i in range(13):
        place = Path(tree.root) / f"x{i:02d}"
        place.mkdir()
        (place / "piano.wav").write_text("no audio")
    with pytest.warns(MsaWarning, match=r"13 of 15 songs were left out: x00 .*; x09 .*; and 3 mo"):
        tree.load()


@only(MUSDB18)
def test_musdb_has_a_validation_split_within_its_training_folder(tree):
    groups = {split: [m.group for m in tree.load(split)[0]] for split in tree.splits}
    assert groups == {
        "train": ["A - B"],
        "validation": ["ANiMAL - Rockshow"],
        "test": ["C - D"],
    }
    X, y = tree.load("test")
    assert y[0].instruments == ("vocals", "drums", "bass", "other")
    assert y[0].notes is None
    assert X[0].read().shape == (2, SECONDS * RATE)


@only(MAPS)
def test_maps_groups_by_piece_across_pianos(tree):
    X_train, _ = tree.load("train")
    X, y = tree.load("test")
    assert [mixture.group for mixture in X] == ["alb_se3", "bk_xmas1"]
    assert [mixture.group for mixture in X_train] == ["alb_se3"]
    assert y[0].instruments == ("piano",)
    np.testing.assert_array_equal(y[0].notes[0].pitch, [60, 64])
    assert X[0].read().shape == (2, SECONDS * RATE)


def write_pedalled(path):
    """Write one note of 0.1 s that the pedal holds until 0.3 s."""
    import mido

    track = mido.MidiTrack(
        [
            mido.Message("control_change", control=64, value=127, time=0),
            mido.Message("note_on", note=60, velocity=80, time=0),
            mido.Message("note_off", note=60, time=100),
            mido.Message("control_change", control=64, value=0, time=200),
        ]
    )
    mido.MidiFile(type=0, ticks_per_beat=500, tracks=[track]).save(path)


@pytest.mark.parametrize("tree", [MAPS, MAESTRO], indirect=True)
def test_pianos_sound_on_under_the_pedal(tree):
    for path in Path(tree.root).rglob("*.mid*"):
        write_pedalled(path)
    notes = tree.load("test")[1][0].notes[0]
    np.testing.assert_allclose((notes.onset[0], notes.offset[0]), (0, 0.3))
    keys = type(tree)(tree.root, sustain=False).load("test")[1][0].notes[0]
    np.testing.assert_allclose((keys.onset[0], keys.offset[0]), (0, 0.1))


@only(MAESTRO)
def test_maestro_groups_by_composition(tree):
    X, _ = tree.load("train")
    assert [m.group for m in X] == ["Frédéric Chopin: Sonata No. 1, Op. 1"] * 2
    assert [m.group for m in tree.load("validation")[0]] == ["Frédéric Chopin: Étude"]


@only(MAESTRO)
def test_maestro_tells_of_a_damaged_table(tree):
    (path,) = Path(tree.root).glob("*.csv")
    path.write_text(path.read_text("utf-8").replace("audio_filename", "audio"), "utf-8")
    with pytest.raises(InputError, match=r"maestro-v3\.0\.0\.csv: expected a table with the col"):
        tree.load()


@only(MIR1K)
def test_mir1k_has_the_voice_on_the_right(tree):
    X, y = tree.load("train")
    assert [mixture.group for mixture in X] == ["abjones_1", "abjones_1", "amy_2"]
    stereo, _ = soundfile.read(Path(tree.root) / "Wavfile" / "abjones_1_01.wav", dtype="float32")
    np.testing.assert_array_equal(y[0].source("accompaniment"), stereo[:, 0])
    np.testing.assert_array_equal(y[0].source("vocals"), stereo[:, 1])
    np.testing.assert_array_equal(X[0].read(), stereo.sum(axis=1))
    assert [mixture.group for mixture in tree.load("test")[0]] == ["Ani_1"]
    whole = MIR1K(tree.root, undivided=True).load()[0]
    assert [Path(mixture.audio[0].path).name for mixture in whole] == ["Ani_1.wav"]


@only(GuitarSet)
def test_guitarset_puts_the_strings_together(tree):
    X, y = tree.load()
    assert [mixture.group for mixture in X] == ["BN1-129-Eb", "BN1-129-Eb", "Funk3-98-A"]
    notes = y[0].notes_of("guitar")
    np.testing.assert_array_equal(notes.pitch, [64, 70, 51])
    np.testing.assert_allclose(notes.onset, [0.0, 0.1, 0.2])
    np.testing.assert_allclose(notes.offset, [0.1, 0.2, 0.3])
    assert (notes.velocity == 64).all()
    pickup = GuitarSet(tree.root, recording="pickup").load()[0][0]
    assert Path(pickup.audio.path).name == "00_BN1-129-Eb_comp_mix.wav"
    with pytest.raises(ParameterError, match=r"one of \['mic', 'pickup'\], got 'hex'"):
        GuitarSet(tree.root, recording="hex").load()


@only(GuitarSet)
@pytest.mark.parametrize(
    "content", ["", "[]", '{"annotations": 5}', jams([[(0.1, 300.0)]]), jams([[(-1.0, 60.0)]])]
)
def test_guitarset_tells_of_damaged_annotations(tree, content):
    path = Path(tree.root) / "annotation" / "00_BN1-129-Eb_comp.jams"
    path.write_text(content)
    with pytest.warns(MsaWarning, match="1 of 3 songs were left out: 00_BN1-129-Eb_comp"):
        tree.load()
    assert [problem.song for problem in tree.validate()] == ["00_BN1-129-Eb_comp"]


# ------------------------------------------------------------------------------- your own songs


@only(Folder)
def test_a_mixture_that_is_not_there_is_the_sum(tree):
    X, y = tree.load()
    assert [mixture.group for mixture in X] == ["first song", "second song"]
    assert Path(X[0].audio.path).name == "mixture.wav"
    assert [Path(clip.path).name for clip in X[1].audio] == ["guitar.wav", "piano.wav"]
    assert y[1].instruments == ("guitar", "piano")
    np.testing.assert_array_equal(y[1].notes_of("piano").pitch, [60, 62])
    X_solo, _ = tree.load(instruments=["piano"], remix=True)
    assert Path(X_solo[0].audio.path).name == "piano.wav"
    X_all, y_piano = tree.load(instruments=["piano"])
    assert len(X_all[1].audio) == 2
    assert y_piano[1].instruments == ("piano",)


@only(Folder)
def test_notes_of_some_instruments_are_notes_of_none(tree):
    (Path(tree.root) / "second song" / "guitar.mid").unlink()
    with pytest.warns(MsaWarning, match="1 of 2 songs have only .* of some instruments: second s"):
        _, y = tree.load()
    assert y[0].notes is not None
    assert y[1].notes is None
    _, y = tree.load(instruments=["piano"])  # complete again
    assert len(y[1].notes_of("piano")) == 2


@only(Folder)
def test_a_transcription_needs_no_stems(tree):
    place = Path(tree.root) / "first song"
    (place / "guitar.wav").unlink()
    (place / "piano.wav").unlink()
    X, y = tree.load()
    assert y[0].sources is None
    assert len(y[0].notes_of("guitar")) == 1
    with pytest.warns(MsaWarning, match=r"first song: expected audio of every instrument"):
        tree.load(remix=True)
    (place / "mixture.wav").unlink()
    with pytest.warns(MsaWarning, match=r"first song: expected audio of every instrument"):
        assert len(tree.load()[0]) == 1


@only(Folder)
def test_neither_all_audio_nor_all_notes_is_nothing(tree):
    place = Path(tree.root) / "first song"
    (place / "guitar.wav").unlink()
    (place / "piano.mid").unlink()
    with pytest.warns(MsaWarning, match="first song: expected the audio, or the notes, of every"):
        tree.load()


@only(Folder)
def test_lengths_may_differ_by_a_little(tree):
    path = Path(tree.root) / "first song" / "piano.wav"
    write_noise(path, 5, seconds=SECONDS - 0.05)
    X, y = tree.load()
    assert X[0].duration == pytest.approx(SECONDS - 0.05)
    assert y[0].source("guitar").shape == y[0].source("piano").shape == X[0].read().shape
    write_noise(path, 5, seconds=SECONDS - 0.2)
    with pytest.warns(MsaWarning, match=r"piano\.wav: expected 0\.50 s, as the song's longest"):
        X, _ = tree.load()
    assert len(X) == 1
    assert [Path(problem.path).name for problem in tree.validate()] == ["piano.wav"]


@only(Folder)
def test_rates_may_differ(tree):
    write_noise(Path(tree.root) / "first song" / "piano.wav", 5, rate=16000)
    X, y = tree.load()
    assert y[0].sample_rate == X[0].rate == RATE
    assert y[0].source("piano").shape == X[0].read().shape


@only(Folder)
def test_notes_end_with_the_recording(tree):
    write_midi(
        Path(tree.root) / "first song" / "piano.mid",
        {"piano": Notes([0.4, 0.6], [0.7, 0.8], [60, 61])},
    )
    notes = tree.load()[1][0].notes_of("piano")
    np.testing.assert_allclose((notes.onset, notes.offset), ([0.4], [0.5]))


@only(Folder)
def test_other_names_and_formats(tree):
    place = Path(tree.root) / "third"
    write_noise(place / "hurdy gurdy.flac", 1)
    (place / "readme.txt").write_text("")
    X, y = tree.load()
    assert y[2].instruments == ("hurdy gurdy",)
    assert y[2].notes is None
    write_noise(place / "hurdy gurdy.wav", 1)
    with pytest.raises(InputError, match=r"one file of a name, got hurdy gurdy\.flac and hurdy"):
        tree.load()


@only(Folder)
def test_a_mixture_alone_teaches_nothing(tree):
    write_noise(Path(tree.root) / "third" / "mixture.wav", 1)
    with pytest.warns(MsaWarning, match="third: expected at least one instrument, got none"):
        tree.load()


@only(Folder)
def test_notes_that_were_repaired_are_reported(tree):
    path = Path(tree.root) / "first song" / "piano.mid"
    data = path.read_bytes()
    # Without their ends, notes last to the end of the track.
    path.write_bytes(data.replace(b"\x80\x3e\x00", b"\x80\x3f\x00"))
    message = r"1 of 2 songs had their notes repaired: .*piano.mid.*[^.]\.$"
    with pytest.warns(NotesWarning, match=message):
        tree.load()
    assert tree.validate() == []
    path.write_bytes(data[:-3])
    with pytest.raises(MidiFormatError, match=r"piano\.mid"):
        tree.load(on_error="raise")


def test_what_was_written_is_read(tmp_path):
    _, scenes = make_scenes(2, duration=1.0, sample_rate=RATE, random_state=0)
    for i, scene in enumerate(scenes):
        scene.write(tmp_path / str(i), subtype="FLOAT")
    X, y = Folder(tmp_path).load(instruments=["piano", "guitar"])
    for one, other, mixture in zip(scenes, y, X, strict=True):
        assert other.instruments == ("piano", "guitar")
        np.testing.assert_array_equal(one.source("piano"), other.source("piano"))
        np.testing.assert_array_equal(one.notes_of("guitar").pitch, other.notes_of("guitar").pitch)
        np.testing.assert_allclose(other.residual(mixture), 0, atol=1e-6)


@only(Folder)
def test_what_to_do_with_errors_is_checked(tree):
    with pytest.raises(ParameterError, match="'warn' or 'raise', got 'ignore'"):
        tree.load(on_error="ignore")


# ------------------------------------------------------------------------------- real samples


def test_real_slakh(data_dir):
    X, y = Slakh(data_dir / "real" / "slakh" / "slakh2100_flac_redux").load("train")
    assert X[0].group == "Track00001"
    assert y[0].instruments == ("guitar", "drums", "piano", "bass", "voice", "organ")
    # The audio was cut to 2 s, in which only the first guitar sounds.
    assert X[0].duration == 2.0
    np.testing.assert_array_equal(y[0].source("guitar"), X[0].read())
    assert np.abs(X[0].read()).max() > 0.1
    assert y[0].notes_of("guitar").onset[0] == pytest.approx(0.78, abs=0.01)
    assert len(y[0].notes_of("piano")) == 0


def test_real_babyslakh_has_a_broken_track(data_dir):
    slakh = Slakh(data_dir / "real" / "slakh" / "babyslakh_16k")
    with pytest.warns(
        MsaWarning, match=r"1 of 2 songs were left out: Track00007 .*metadata\.yaml"
    ):
        X, y = slakh.load(instruments=["guitar", "bass"], remix=True)
    assert X[0].rate == 16000
    assert len(X[0].audio) == 4  # three guitars and a bass
    np.testing.assert_allclose(y[0].residual(X[0]), 0, atol=1e-6)
    (problem,) = slakh.validate(decode=True)
    assert problem.song == "Track00007"


def test_real_slakh_metadata(data_dir):
    tracks = sorted((data_dir / "real" / "slakh_metadata").rglob("Track*/"))
    slakh = Slakh(data_dir / "real" / "slakh_metadata" / "slakh2100_flac_redux")
    played = {
        place.name: [stem.audio.path.stem for stem in slakh._song(place).stems] for place in tracks
    }
    assert {name: len(stems) for name, stems in played.items()} == {
        "Track00001": 10,
        "Track00049": 7,
        "Track01501": 10,
        "Track01876": 13,
    }
    assert "S09" not in played["Track01501"]  # the timpani, whose MIDI is there


def test_real_guitarset(data_dir):
    guitarset = GuitarSet(data_dir / "real" / "guitarset")
    with pytest.warns(MsaWarning, match=r"1 of 2 songs .*: 00_BN1-129-Eb_comp .*_mic\.wav"):
        X, y = guitarset.load()
    assert X[0].group == "BN3-119-G"
    assert len(y[0].notes_of("guitar")) == 6
    whole = data_dir / "real" / "guitarset_full_jams" / "00_BN1-129-Eb_comp.jams"
    notes = guitarset._notes(whole, "guitar")
    assert len(notes) == 133
    assert notes.pitch.min() == 44
    assert notes.offset.max() == pytest.approx(22.32, abs=0.01)
