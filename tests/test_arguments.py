"""What is no number, no name and no path is refused in one way, wherever it is passed."""

import math
from pathlib import Path

import numpy as np
import pytest

from msa_sk import Clip, Hierarchy, MixtureBaseline, Notes, Scene, load
from msa_sk._arguments import (
    check_excerpt,
    check_file,
    check_folder,
    check_names,
    check_path,
    check_song,
    check_value,
)
from msa_sk._sklearn import StrOptions, real, whole
from msa_sk.audio import audio_info, read_audio, write_audio
from msa_sk.datasets import MAPS, Folder, cache_resampled, make_scenes, render_scenes
from msa_sk.exceptions import InputError, InstrumentError, MsaError, ParameterError
from msa_sk.metrics import compare
from msa_sk.midi import read_midi, read_parts, write_midi

SCENE = Scene(("piano",), 8000, np.zeros((1, 80)), [Notes()])


@pytest.fixture(scope="module")
def baseline():
    return MixtureBaseline().fit(*make_scenes(1, duration=0.5, random_state=0))


# ------------------------------------------------------------------------- numbers, names


def test_what_is_allowed_passes():
    check_value(3, "n", whole(1))
    check_value(None, "n", whole(1), None)
    check_value(math.inf, "seconds", real(0, math.inf, closed="right"))
    check_excerpt(0, np.float32(0.5))
    check_song(("album", 3), "song")


@pytest.mark.parametrize(
    ("value", "allowed", "expected"),
    [
        (0, [whole(1)], "an int in the range [1, inf)"),
        (True, [whole(1)], "an int in the range [1, inf)"),
        (1.5, [whole(1), None], "an int in the range [1, inf) or None"),
        (math.nan, [real(0)], "a float in the range [0.0, inf)"),
        ("it must be a.b. Got it", [whole(1)], "an int in the range [1, inf)"),
        ("e", [StrOptions(set("dbca"))], "a str among {'a', 'b', 'c', 'd'}"),
        ({}, [Hierarchy], "an instance of 'msa_sk.hierarchy.Hierarchy'"),
    ],
)
def test_what_is_not_allowed_is_named(value, allowed, expected):
    with pytest.raises(ParameterError) as caught:
        check_value(value, "the item", *allowed, remedy="Mend it.")
    found = caught.value
    assert (found.item, found.expected, found.remedy) == ("the item", expected, "Mend it.")
    assert found.got == repr(value)


@pytest.mark.parametrize(
    ("start", "duration", "item"),
    [
        (-1, 1, "start"),
        (math.nan, 1, "start"),
        ("a", 1, "start"),
        ([0], 1, "start"),
        (0, 0, "duration"),
        (0, -1, "duration"),
        (0, math.inf, "duration"),
        (0, None, "duration"),
    ],
)
@pytest.mark.parametrize(
    "record",
    [make_scenes(1, duration=0.5, random_state=0)[0][0], SCENE, Notes(), Clip("x.wav", 0.0, 5.0)],
)
def test_no_record_has_such_an_excerpt(record, start, duration, item):
    with pytest.raises(ParameterError, match=rf"excerpt\({item}\): expected seconds"):
        record.excerpt(start, duration)


def test_names_become_a_tuple():
    assert check_names(["piano", np.str_("bass")], "names") == ("piano", "bass")
    assert check_names(iter("ab"), "names") == ("a", "b")
    assert check_names((), "names", at_least=0) == ()


@pytest.mark.parametrize(
    ("names", "expected", "remedy"),
    [
        ("piano", "a sequence of names", "['piano']"),
        (None, "a sequence of names", "['piano', 'guitar']"),
        (Hierarchy.slakh(), "a sequence of names", "['piano', 'guitar']"),
        (["piano", 3], "a sequence of names", "['piano', 'guitar']"),
        ([], "at least one name", "Name"),
        (["piano", "piano"], "each name once", "doubles"),
    ],
)
def test_what_names_nobody_is_refused(names, expected, remedy):
    with pytest.raises(InstrumentError) as caught:
        check_names(names, "names")
    assert (caught.value.item, caught.value.expected) == ("names", expected)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("song", [[1], ("album", [1]), {}])
def test_songs_that_cannot_be_told_apart_are_refused(song):
    with pytest.raises(InputError, match="item: expected a hashable name of the song, got"):
        check_song(song, "item")


# ---------------------------------------------------------------------------------- paths

# By what is done: a call with a path, and with a fitted estimator where that does it.
READERS = {
    "audio_info": lambda path, _: audio_info(path),
    "read_audio": lambda path, _: read_audio(path),
    "read_midi": lambda path, _: read_midi(path),
    "read_parts": lambda path, _: read_parts(path),
    "Hierarchy.from_file": lambda path, _: Hierarchy.from_file(path),
    "load": lambda path, _: load(path),
    "Folder": lambda path, _: Folder(path),
    "MAPS": lambda path, _: MAPS(path),
    "soundfont": lambda path, _: render_scenes(["a.mid"], path, cache_dir="stems"),
    "midi_files": lambda path, _: render_scenes([path], "a.sf2", cache_dir="stems"),
}
WRITERS = {
    "write_audio": lambda path, _: write_audio(path, np.zeros(80), 8000),
    "write_midi": lambda path, _: write_midi(path, {"piano": Notes()}),
    "save": lambda path, baseline: baseline.save(path),
    "to_markdown": lambda path, baseline: compare(
        {"it": baseline}, *make_scenes(1, duration=0.5, random_state=0)
    ).to_markdown(path or 3),
}
FOLDERS = {
    "write": lambda path, _: SCENE.write(path),
    "predict_to_files": lambda path, baseline: baseline.predict_to_files([np.ones(80)], path),
    "cache_resampled": lambda path, _: cache_resampled([], [], path),
}


@pytest.mark.parametrize("path", [None, 3, b"x.wav", ["x.wav"], "x\0.wav", Path("x\0.wav")])
@pytest.mark.parametrize("name", [*READERS, *WRITERS, *FOLDERS])
def test_what_is_no_path_is_refused(name, path, baseline):
    with pytest.raises(ParameterError, match="expected a path, got"):
        (READERS | WRITERS | FOLDERS)[name](path, baseline)


@pytest.mark.parametrize("name", [*WRITERS, *FOLDERS])
def test_a_file_in_the_place_of_a_folder_is_refused(name, tmp_path, baseline):
    place = tmp_path / "place"
    place.write_text("mine")
    target = place if name in FOLDERS else place / "x.wav"
    for path in (target, target / "below.wav", str(target)):
        with pytest.raises(InputError, match="place: expected a folder, got a file"):
            (WRITERS | FOLDERS)[name](path, baseline)
    assert place.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_in_the_place_of_a_file_is_refused(name, tmp_path, baseline):
    place = tmp_path / "place.wav"
    place.mkdir()
    with pytest.raises(InputError, match="place.wav: expected the name of a file, got a folder"):
        WRITERS[name](place, baseline)
    assert list(tmp_path.rglob("*")) == [place]


def test_a_folder_need_not_be_there_yet(tmp_path):
    assert check_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert check_path("x.wav") == Path("x.wav")
    assert check_file("x.wav") == Path("x.wav")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_goes_into_no_folder_that_is_not_there(name, tmp_path, baseline):
    with pytest.raises(InputError) as caught:
        WRITERS[name](tmp_path / "modles" / "new" / "x.wav", baseline)
    assert caught.value.item == str(tmp_path / "modles")
    assert "nothing there. Make it, or check the path" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(FOLDERS.keys() - {"cache_resampled"}))  # of nothing
def test_a_folder_that_is_named_is_made(name, tmp_path, baseline):
    FOLDERS[name](tmp_path / "a" / "b", baseline)
    assert list((tmp_path / "a" / "b").rglob("*.wav"))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no such place")
@pytest.mark.parametrize("name", [*WRITERS, *sorted(set(FOLDERS) - {"cache_resampled"})])
@pytest.mark.parametrize("place", ["/proc/", "n" * 300])
def test_a_place_where_no_file_can_be_made_is_named(name, place, baseline):
    path = f"{place}x.wav"
    with pytest.raises(InputError, match=f"^{path}.*: expected a place where files can be made"):
        (WRITERS | FOLDERS)[name](path, baseline)


# ------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("got", "text"),
    [
        ("nothing there", "x: expected a, got nothing there. Mend it."),
        ("Format not recognised.", "x: expected a, got Format not recognised. Mend it."),
    ],
)
def test_a_message_has_one_full_stop_where_a_sentence_ends(got, text):
    assert str(InputError("x", "a", got, "Mend it.")) == text


def test_an_error_says_where_it_was_found():
    error = InstrumentError("names", "one of ['a']", "'b'", "Check the spelling.").within("y[3]")
    assert isinstance(error, InstrumentError)
    assert isinstance(error, MsaError)
    assert str(error) == "y[3], names: expected one of ['a'], got 'b'. Check the spelling."


def test_a_link_stays_one_and_devices_are_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "x")
    assert check_file(tmp_path / "link") == (tmp_path / "real" / "x").resolve()
    with pytest.raises(InputError, match="/dev/null: expected the name of a file, got a device"):
        check_file("/dev/null")
