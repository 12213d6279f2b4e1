"""Resampled copies: made once, the same as resampling on the fly, whatever they belong to."""

import os

import numpy as np
import pytest
import soundfile

from msa_sk import Clip, Mixture, Notes, Scene
from msa_sk.audio import audio_info, read_audio, resample, write_audio
from msa_sk.datasets import cache_resampled
from msa_sk.exceptions import AudioError

RATE, MODEL_RATE = 44100, 16000


@pytest.fixture
def song(tmp_path, rng):
    """Return a mixture and a scene of two stereo stems, in FLAC files of one second."""
    folder = tmp_path / "data"
    folder.mkdir()
    paths = {
        name: write_audio(folder / f"{name}.flac", rng.uniform(-0.4, 0.4, (2, RATE)), RATE)
        for name in ("piano", "guitar", "query")
    }
    stems = Clip(paths["piano"], gain=0.5), Clip(paths["guitar"], channel=(1, 0))
    notes = tuple(Notes([0.1], [0.9], [pitch]) for pitch in (60, 61))
    mixture = Mixture(
        stems,
        RATE,
        group="song",
        query=paths["query"],
        sources={"piano": stems[0]},
        notes={"piano": notes[0]},
    )
    return mixture, Scene(("piano", "guitar"), RATE, stems, notes)


def cache(pair, folder, **how):
    (mixture,), (scene,) = cache_resampled([pair[0]], [pair[1]], folder, **how)
    return mixture, scene


def test_copies_sound_as_files_resampled_whole(tmp_path, song):
    mixture, scene = cache(song, tmp_path / "cache")
    assert (mixture.sample_rate, scene.sample_rate, mixture.group) == (16000, 16000, "song")
    assert scene.notes is song[1].notes
    assert mixture.notes is song[0].notes
    piano, guitar = (clip.read(MODEL_RATE) for clip in song[0].audio)
    np.testing.assert_array_equal(scene.source("piano"), piano)
    np.testing.assert_array_equal(scene.source("guitar"), guitar)
    np.testing.assert_array_equal(mixture.read(), piano + guitar)
    np.testing.assert_array_equal(mixture.read_source("piano"), piano)
    query, _ = read_audio(song[0].query, sample_rate=MODEL_RATE)
    np.testing.assert_array_equal(mixture.query[0].read(), query)
    files = sorted(path.name.split("-")[0] for path in (tmp_path / "cache").iterdir())
    assert files == ["guitar", "piano", "query"]
    assert all(audio_info(clip.path).sample_rate == MODEL_RATE for clip in mixture.audio)


def test_excerpts_keep_their_times_and_share_copies(tmp_path, song):
    cuts = [(0.0, 0.4), (0.25, 0.5)]
    X = [song[0].excerpt(*cut) for cut in cuts]
    y = [song[1].excerpt(*cut) for cut in cuts]
    X_cached, y_cached = cache_resampled(X, y, tmp_path / "cache")
    whole, _ = cache(song, tmp_path / "cache")
    assert len([*(tmp_path / "cache").iterdir()]) == 3
    for (start, duration), mixture, scene in zip(cuts, X_cached, y_cached, strict=True):
        first, n_samples = round(start * MODEL_RATE), round(duration * MODEL_RATE)
        expected = whole.read()[:, first : first + n_samples]
        np.testing.assert_array_equal(mixture.read(), expected)
        assert mixture.audio[0] is scene.sources[0][0]


def test_what_is_there_is_not_written_again(tmp_path, song):
    cache(song, tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    contents = {path: path.read_bytes() for path in before}
    next(iter(before)).unlink()  # as if the first run had been interrupted
    cache(song, tmp_path / "cache")
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert sum(before[path] == after[path] for path in before) == 2
    assert {path: path.read_bytes() for path in after} == contents
    write_audio(song[0].query, np.full((2, RATE), 0.25), RATE)  # another file of this name
    mixture, _ = cache(song, tmp_path / "cache")
    assert len([*(tmp_path / "cache").iterdir()]) == 4
    np.testing.assert_allclose(mixture.query[0].read()[:, 2000:-2000], 0.25, atol=1e-3)


def test_copies_do_not_depend_on_the_number_of_jobs(tmp_path, song):
    cache(song, tmp_path / "one")
    cache(song, tmp_path / "two", n_jobs=2)
    one, two = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("one", "two"))
    assert one == two


def test_files_that_fit_stay_where_they_are(tmp_path, rng):
    path = write_audio(tmp_path / "a.wav", rng.uniform(-0.5, 0.5, MODEL_RATE), MODEL_RATE)
    flac = write_audio(tmp_path / "b.flac", rng.uniform(-0.5, 0.5, MODEL_RATE), MODEL_RATE)
    scene = Scene(("a", "b"), MODEL_RATE, (path, flac))
    _, cached = cache((Mixture((Clip(path), Clip(flac))), scene), tmp_path / "cache")
    assert cached.sources[0][0].path == os.fspath(path)
    assert [copy.name[:2] for copy in (tmp_path / "cache").iterdir()] == ["b-"]
    np.testing.assert_array_equal(cached.source("b"), scene.source("b"))


def test_samples_in_memory_are_resampled(tmp_path, rng):
    sources = rng.normal(0, 0.1, (2, 4410)).astype(np.float32)
    pair = Mixture(sources.sum(axis=0), RATE), Scene(("a", "b"), RATE, sources)
    mixture, scene = cache(pair, tmp_path / "cache", sample_rate=8000)
    np.testing.assert_array_equal(scene.sources, resample(sources, RATE, 8000))
    np.testing.assert_array_equal(mixture.audio, resample(pair[0].audio, RATE, 8000))
    assert not (tmp_path / "cache").exists()
    unknown = Mixture(sources[0], RATE), Scene(("a",), RATE)
    assert cache(unknown, tmp_path / "cache")[1].sources is None


def test_a_damaged_file_is_named_and_leaves_no_copy(tmp_path, song):
    damaged = song[0].query
    damaged.write_bytes(damaged.read_bytes()[:5000])
    with pytest.raises(AudioError, match=r"query\.flac: expected"):
        cache(song, tmp_path / "cache")
    names = [path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()]
    assert sorted(names) == ["guitar", "piano"]


def test_copies_are_float_and_keep_what_is_louder_than_full_scale(tmp_path, rng):
    loud = write_audio(tmp_path / "x.wav", 3 * rng.normal(0, 1, RATE), RATE, "FLOAT")
    mixture, _ = cache((Mixture(loud), Scene(("a",), RATE, (loud,))), tmp_path / "cache")
    assert soundfile.info(mixture.audio[0].path).subtype == "FLOAT"
    assert np.abs(mixture.read()).max() > 3
