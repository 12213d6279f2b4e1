"""Recordings of any length: by windows and by blocks, with bounded memory."""

import copy
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from sklearn.base import clone

from msa_sk import (
    STFT,
    Cerberus,
    Clip,
    IdealMaskSeparator,
    Mixture,
    MixtureBaseline,
    NMFSeparator,
    Scene,
    attach_truth,
)
from msa_sk._progress import progress, say
from msa_sk.audio import read_audio, resample, write_audio
from msa_sk.datasets import make_scenes
from msa_sk.decoding import NoteDecoder
from msa_sk.exceptions import (
    AudioError,
    InputError,
    InstrumentError,
    ParameterError,
    SilenceWarning,
)
from msa_sk.metrics import note_onset_scores
from msa_sk.spectral import Spectrogram
from msa_sk.stems import write_scenes
from msa_sk.streams import ResampleStream, read_blocks
from msa_sk.windows import Inverse, Windows, crossfade, join_scenes, plan_windows

RATE = 8000
SMALL = STFT(RATE, 256, 128)


def noise(*shape, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(-0.3, 0.3, shape).astype(np.float32)


@pytest.fixture(scope="module")
def data():
    return make_scenes(6, duration=1.0, sample_rate=RATE, random_state=0)


@pytest.fixture(scope="module")
def long(data):
    """Twelve seconds in stereo."""
    audio = np.concatenate([mix.read() for mix in data[0]] * 2)
    return Mixture(np.stack([audio, 0.5 * audio[::-1]]), RATE)


@pytest.fixture(scope="module")
def nmf(data):
    return NMFSeparator(
        4, max_iter=20, tol=0, window_seconds=2.0, transformer=SMALL, random_state=0
    ).fit(*data)


@pytest.fixture(scope="module")
def cerberus(data):
    return Cerberus(
        hidden_size=8,
        n_layers=1,
        max_epochs=4,
        threshold=0.12,
        window_seconds=4.0,
        transformer=SMALL,
        random_state=0,
        device="cpu",
        verbose=0,
    ).fit(*data)


def whole(estimator, mixture):
    """Predict without windows."""
    seconds = estimator.window_seconds
    try:
        return estimator.set_params(window_seconds=None).predict([mixture])[0]
    finally:
        estimator.set_params(window_seconds=seconds)


# -------------------------------------------------------------------------------- by blocks


@pytest.mark.parametrize("rates", [(44100, 16000), (8000, 11025), (8000, 8000)])
@pytest.mark.parametrize("leading", [(), (2,), (3, 2)])
def test_resampling_by_pieces_is_resampling(rates, leading):
    audio = noise(*leading, 30000)
    expected = resample(audio, *rates)
    stream = ResampleStream(*rates, expected.shape[-1])
    pieces = [stream.push(piece) for piece in np.split(audio, [7, 9000, 21111], axis=-1)]
    pieces.append(stream.push(audio[..., :0], last=True))
    np.testing.assert_array_equal(np.concatenate(pieces, axis=-1), expected)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_audio(folder / "stereo.wav", noise(2, 300_000), 44100)
    write_audio(folder / "mono.flac", noise(90_000, seed=1), RATE)
    return folder


@pytest.mark.parametrize("sample_rate", [None, 16000])
@pytest.mark.parametrize(
    "make",
    [
        lambda folder: Mixture(folder / "stereo.wav"),
        lambda folder: Mixture(folder / "stereo.wav", 22050),
        lambda folder: Mixture(Clip(folder / "stereo.wav", 1.5, 4.0, gain=0.5, channel=(1, 0))),
        lambda folder: Mixture(Clip(folder / "stereo.wav", channel=1)),
        lambda folder: Mixture((Clip(folder / "stereo.wav"), Clip(folder / "mono.flac", 0, 3.0))),
        lambda folder: Mixture(noise(2, 400_000), 44100),
        lambda folder: Mixture((noise(100) * 2**15).astype(np.int16), RATE),
    ],
)
def test_blocks_are_what_is_read(files, make, sample_rate):
    mixture = make(files)
    own = mixture.read()
    expected = resample(own, mixture.rate, sample_rate or mixture.rate)
    blocks = list(read_blocks(mixture, sample_rate))
    np.testing.assert_array_equal(np.concatenate(blocks, axis=-1), expected)
    assert max(block.shape[-1] for block in blocks) <= 2**17 * 2


def test_a_block_that_is_wrong_says_where(tmp_path):
    audio = noise(200_000)
    audio[150_000] = np.nan
    soundfile.write(tmp_path / "x.wav", audio, RATE, subtype="FLOAT")
    blocks = read_blocks(Mixture(tmp_path / "x.wav"))
    next(blocks)
    with pytest.raises(AudioError, match=r"x\.wav from 16\.4 s: expected finite samples"):
        next(blocks)


# ------------------------------------------------------------------------------- in windows


@pytest.mark.parametrize("n_frames", [1, 5, 16, 17, 31, 1000])
def test_windows_cover_all_and_overlap(n_frames):
    bounds = plan_windows(n_frames, 16, 3)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == n_frames
    assert len({last - first for first, last in bounds}) == 1
    assert bounds[0][1] <= 16
    for (_, last), (following, _) in itertools.pairwise(bounds):
        assert 3 <= last - following < bounds[0][1]


def test_where_windows_agree_nothing_is_changed_by_crossfading():
    truth = noise(2, 5, 100) + 1
    bounds = plan_windows(100, 30, 8)
    windows = [
        (noise(5, last - first), {"mask": truth[..., first:last].copy()}) for first, last in bounds
    ]
    pieces = list(crossfade(windows, bounds))
    assert sum(spectrum.shape[-1] for spectrum, _ in pieces) == 100
    mask = np.concatenate([heads["mask"] for _, heads in pieces], axis=-1)
    np.testing.assert_allclose(mask, truth, rtol=1e-6)


def test_one_window_fades_into_the_next():
    bounds = plan_windows(40, 24, 8)  # frames 0 to 23, and 16 to 39
    windows = [(np.zeros((1, 24)), {"mask": np.full((1, 24), float(k))}) for k in range(2)]
    mask = np.concatenate([heads["mask"][0] for _, heads in crossfade(windows, bounds)])
    fade = [0, 0, 1 / 8, 3 / 8, 5 / 8, 7 / 8, 1, 1]  # the edges' quarters are the other's
    np.testing.assert_allclose(mask, [0.0] * 16 + fade + [1.0] * 16)


@pytest.mark.parametrize("settings", [(256, 128), (256, 64), (512, 100)])
@pytest.mark.parametrize("channels", [(), (2,)])
def test_spectra_and_masked_sources_are_those_of_the_whole(settings, channels):
    mixture = Mixture(noise(*channels, 50_001), RATE)
    seen = Spectrogram(mixture, RATE, *settings)
    windows = Windows(seen, 1.3)
    assert len(windows.bounds) > 4
    spectra = list(windows.spectra())
    expected = seen.stft
    for (first, last), spectrum in zip(windows.bounds, spectra, strict=True):
        wanted = expected[..., first:last]
        np.testing.assert_allclose(spectrum[..., : last - first], wanted, atol=1e-5)
    masks = noise(3, seen.n_bins, expected.shape[-1], seed=2) + 0.5
    looks = (
        (spectrum, {"mask": masks[..., first:last].copy()})
        for spectrum, (first, last) in zip(spectra, windows.bounds, strict=True)
    )
    inverse = Inverse(windows)
    pieces = [inverse.push(s, heads["mask"]) for s, heads in crossfade(looks, windows.bounds)]
    np.testing.assert_allclose(np.concatenate(pieces, axis=-1), seen.invert(masks), atol=1e-6)


# --------------------------------------------------------------------------------- estimators


@pytest.mark.parametrize("rate", [RATE, 11025])
def test_fixed_spectra_find_the_same_in_windows(nmf, long, rate):
    mixture = Mixture(resample(long.audio, RATE, rate), rate)
    windowed, expected = nmf.predict([mixture])[0], whole(nmf, mixture)
    np.testing.assert_allclose(windowed.sources, expected.sources, atol=2e-6)


def test_a_network_finds_nearly_the_same_in_windows(cerberus, long):
    windowed, expected = cerberus.predict([long])[0], whole(cerberus, long)
    assert windowed.rolls.shape == expected.rolls.shape
    level = np.abs(long.audio).max()
    difference = np.abs(windowed.sources - expected.sources).max(axis=(0, 1)) / level
    assert difference.max() < 0.05
    # The first window, up to where the second has a say, sees nothing later.
    assert difference[: int(2.5 * RATE)].max() < 1e-4
    assert np.abs(windowed.rolls - expected.rolls).max() < 0.02
    np.testing.assert_allclose(windowed.sources.sum(axis=0), long.audio, atol=1e-6)


def test_notes_are_those_of_all_that_was_heard(cerberus, long, monkeypatch):
    heard, push = {}, NoteDecoder.push

    def listen(decoder, *parts):
        heard.setdefault(decoder, []).append(parts)
        push(decoder, *parts)

    monkeypatch.setattr(NoteDecoder, "push", listen)
    scene = cerberus.predict([long])[0]
    monkeypatch.undo()
    assert sum(map(len, scene.notes)) > 10
    for pieces, roll, name, notes in zip(
        heard.values(), scene.rolls, scene.instruments, scene.notes, strict=True
    ):
        assert len(pieces) == 4
        decoder = cerberus._decoder(name)
        decoder.push(*(np.concatenate(one, axis=1) for one in zip(*pieces, strict=True)))
        np.testing.assert_array_equal(np.concatenate([p[0] for p in pieces], axis=1), roll)
        for field, expected in vars(decoder.notes(long.duration)).items():
            np.testing.assert_allclose(getattr(notes, field), expected, atol=1e-4)


def test_notes_in_windows_are_nearly_those_of_the_whole(cerberus, long):
    windowed, expected = cerberus.predict([long])[0], whole(cerberus, long)
    assert note_onset_scores(expected, windowed, onset_tolerance=0.01).f1 > 0.95
    velocities = [np.concatenate([n.velocity for n in s.notes]) for s in (windowed, expected)]
    assert abs(np.mean(velocities[0]) - np.mean(velocities[1])) < 1


def test_one_window_is_as_before(cerberus, nmf, data):
    """A mixture that is no longer than a window gives the bytes that it gives whole."""
    for estimator in (cerberus, nmf):
        scene, expected = estimator.predict(data[0][:1])[0], whole(estimator, data[0][0])
        np.testing.assert_array_equal(scene.sources, expected.sources)


def test_clusters_have_one_centre_in_all_windows(data, long):
    estimator = Cerberus(
        1, 0, 0, hidden_size=8, max_epochs=2, transformer=SMALL, random_state=0, verbose=0
    ).fit(*data)
    looks = []
    estimator._read = lambda heads, magnitude, survey: (
        looks.append(survey),
        type(estimator)._read(estimator, heads, magnitude, survey),
    )[1]
    scene = estimator.set_params(window_seconds=3.0).predict([long])[0]
    surveys = {survey.tobytes() for survey in looks}
    assert len(looks) == 5
    assert len(surveys) == 1
    np.testing.assert_allclose(scene.sources.sum(axis=0), long.audio, atol=1e-6)


def test_blind_spectra_are_learnt_once_for_all_windows(long):
    blind = NMFSeparator(3, blind=True, tol=0, max_iter=20, transformer=SMALL, random_state=0)
    blind.fit([long])
    expected = blind.set_params(window_seconds=None).predict([long])[0]
    learnt = []
    learn = blind._learn_blindly
    blind._learn_blindly = lambda magnitude: (learnt.append(magnitude.shape[1]), learn(magnitude))[
        1
    ]
    scene = blind.set_params(window_seconds=3.0, max_frames=300).predict([long])[0]
    assert len(learnt) == 1
    assert 200 < learnt[0] <= 305  # of 751
    assert scene.sources.shape == expected.sources.shape
    np.testing.assert_allclose(scene.sources.sum(axis=0), long.audio, atol=1e-6)


def test_the_level_is_that_of_the_whole(nmf, long):
    quiet = Mixture(long.audio * np.float32(1e-3), RATE)
    scene, expected = nmf.predict([quiet])[0], nmf.predict([long])[0]
    np.testing.assert_allclose(1e3 * scene.sources, expected.sources, atol=2e-5)


def test_what_is_not_needed_is_not_computed(cerberus, long):
    computed = []
    hooks = [
        head.register_forward_hook(lambda *_, name=name: computed.append(name))
        for name, head in cerberus.net_.module_.heads.items()
    ]
    assert len(hooks) == 3
    try:
        cerberus.predict([long])
    finally:
        for hook in hooks:
            hook.remove()
    assert set(computed) == {"mask", "roll"}


# ---------------------------------------------------------------------------------- streaming


def test_a_stream_is_the_prediction_in_pieces(cerberus, long):
    expected = cerberus.predict([long])[0]
    scenes = list(cerberus.stream(long))
    assert len(scenes) == 4
    for part in ("sources", "rolls"):
        pieces = [getattr(scene, part) for scene in scenes]
        np.testing.assert_array_equal(np.concatenate(pieces, axis=-1), getattr(expected, part))
    assert [scene.notes is None for scene in scenes] == [True, True, True, False]
    assert all(scene.sample_rate == RATE for scene in scenes)


def test_a_stream_needs_no_more_of_the_file_than_it_gives(cerberus, tmp_path):
    path = write_audio(tmp_path / "x.wav", noise(40 * RATE), RATE)
    stream = cerberus.stream(path)
    assert next(stream).sources.shape[-1] < 5 * RATE
    stream.close()


def test_a_short_mixture_streams_in_one_piece(cerberus, data):
    (scene,) = cerberus.stream(data[0][0])
    np.testing.assert_array_equal(scene.sources, cerberus.predict(data[0][:1])[0].sources)
    assert scene.notes is not None


def test_systems_without_windows_stream_in_one_piece(data):
    (informed,) = attach_truth(data[0][:1], data[1][:1])
    estimator = IdealMaskSeparator(transformer=SMALL).fit([informed], data[1][:1])
    (scene,) = estimator.stream(informed)
    np.testing.assert_array_equal(scene.sources, estimator.predict([informed])[0].sources)


@pytest.mark.parametrize("seconds", [0.5, 12])  # whole, and in windows
def test_instruments_that_are_not_wanted_are_left_out(cerberus, long, seconds):
    mixture = long.excerpt(0.0, seconds)
    both, (*_, last) = cerberus.predict([mixture])[0], cerberus.stream(mixture, ["piano"])
    piano = join_scenes(cerberus.stream(mixture, instruments=["piano"]), mixture.n_samples)
    assert piano.instruments == ("piano",)
    np.testing.assert_allclose(piano.source("piano"), both.source("piano"), atol=1e-7)
    np.testing.assert_array_equal(last.notes_of("piano").onset, both.notes_of("piano").onset)


@pytest.mark.parametrize("instruments", [["harp"], "piano", []])
def test_instruments_that_are_not_known_are_refused(cerberus, long, tmp_path, instruments):
    with pytest.raises(InstrumentError, match="instruments: expected"):
        cerberus.stream(long, instruments)
    with pytest.raises(InstrumentError, match="instruments: expected"):
        cerberus.predict_to_files([long], tmp_path, instruments=instruments)
    assert [*tmp_path.iterdir()] == []


def test_long_silence_is_silence(cerberus, tmp_path):
    path = write_audio(tmp_path / "silence.wav", np.zeros((2, 30 * RATE)), RATE)
    with pytest.warns(SilenceWarning, match="A mixture is silent"):
        scenes = list(cerberus.stream(path))
    assert len(scenes) == 2
    assert [scene.notes is None for scene in scenes] == [True, False]
    assert sum(scene.sources.shape[-1] for scene in scenes) == 30 * RATE
    assert not any(scene.sources.any() for scene in scenes)


@pytest.mark.parametrize("seconds", [0, -30.0, "30"])
def test_windows_that_cannot_be_are_refused(nmf, long, seconds):
    broken = clone(nmf).fit([long], [Scene(["a"], RATE, long.audio[None])])
    with pytest.raises(ParameterError, match=r"NMFSeparator\(window_seconds=\): expected"):
        broken.set_params(window_seconds=seconds).predict([long])


def test_weights_that_went_bad_are_found_in_a_window(nmf, long):
    broken = clone(nmf).fit([long], [Scene(["a"], RATE, long.audio[None])])
    broken._look = lambda magnitude, survey, told: {"mask": np.full((1, *magnitude.shape), np.nan)}
    with pytest.raises(InputError, match="expected finite sources from NMFSeparator"):
        next(broken.stream(long))


# -------------------------------------------------------------------------------------- files


def test_files_hold_what_predict_gives(cerberus, long, tmp_path):
    path = write_audio(tmp_path / "song.wav", long.audio, RATE)
    (folder,) = cerberus.predict_to_files([path], tmp_path / "out")
    scene = cerberus.predict([path])[0]
    scene.write(tmp_path / "whole")
    assert folder == tmp_path / "out" / "song"
    for written in (tmp_path / "whole").iterdir():
        assert (folder / written.name).read_bytes() == written.read_bytes()
    assert len(list(folder.iterdir())) == 4


def test_one_instrument_writes_one(cerberus, long, tmp_path):
    (folder,) = cerberus.predict_to_files([long], tmp_path, instruments=["piano"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "piano.wav",
        "scene.json",
        "scene.mid",
    ]


def stretches(loud=1.0):
    """Two stretches of four sources, the second of which is louder."""
    names = ("bass", "drums", "guitar", "piano")
    for k, level in enumerate((1.0, loud)):
        yield Scene(names, RATE, level * noise(4, 2, 5000, seed=k))


def test_one_gain_is_found_over_all_stretches(tmp_path):
    loud = 0.3**-1 * 2
    with pytest.warns(Warning, match="would clip: all sources were scaled"):
        write_scenes(tmp_path, stretches(loud))
    gain = json.loads((tmp_path / "scene.json").read_text())["gain"]
    sources = np.concatenate([scene.sources for scene in stretches(loud)], axis=-1)
    assert gain == pytest.approx(0.999 / np.abs(sources).max())
    for name, source in zip(("bass", "drums", "guitar", "piano"), sources, strict=True):
        back, _ = read_audio(tmp_path / f"{name}.wav")
        np.testing.assert_allclose(back, gain * source, atol=2.0**-22)


@pytest.mark.parametrize("existed", [False, True])
def test_a_full_disk_leaves_nothing_at_final_names(tmp_path, monkeypatch, existed):
    """As the third of four stems is turned into its format."""
    folder = tmp_path / "out"
    if existed:
        folder.mkdir()
        (folder / "bass.wav").write_bytes(b"what was there before")
    write, written = soundfile.SoundFile.write, []

    def until_full(file, block):
        written.append(file.name)
        if len(set(written)) == 3:
            raise soundfile.LibsndfileError(2)
        write(file, block)

    monkeypatch.setattr("soundfile.SoundFile.write", until_full)
    message = "guitar.wav: expected all samples written, got .* nothing of it was kept"
    with pytest.raises(AudioError, match=message):
        write_scenes(folder, stretches())
    assert folder.exists() == existed
    if existed:
        assert [path.name for path in folder.iterdir()] == ["bass.wav"]
        assert (folder / "bass.wav").read_bytes() == b"what was there before"


def test_a_disk_that_fills_amid_songs_leaves_those_that_are_done(nmf, data, tmp_path, monkeypatch):
    write, written = soundfile.SoundFile.write, []

    def until_full(file, block):
        written.append(file.name)
        if len(set(written)) == 3:  # the first stem of the second song
            raise soundfile.LibsndfileError(2)
        write(file, block)

    with monkeypatch.context() as patched:
        patched.setattr("soundfile.SoundFile.write", until_full)
        with pytest.raises(AudioError, match="guitar.wav: .*disk is full; nothing of it was kept"):
            nmf.predict_to_files(data[0][:3], tmp_path)
    (done,) = tmp_path.iterdir()
    expected = nmf.predict(data[0][:1])[0].source("piano")
    np.testing.assert_allclose(read_audio(done / "piano.wav")[0], expected, atol=2.0**-22)


@pytest.mark.skipif(sys.platform == "win32", reason="a limit on files is POSIX's")
def test_a_real_write_that_fails_is_said(tmp_path):
    """The system itself refuses to let any file grow beyond 60 kB."""
    code = """
        import resource, signal, sys
        import numpy as np
        from msa_sk import Scene
        from msa_sk.exceptions import AudioError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        try:
            Scene(["bass", "piano"], 8000, np.zeros((2, 2, 10_000), np.float32)).write(sys.argv[1])
        except AudioError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "bass.wav: expected room for 10000 samples, got [Errno 27]" in done.stdout
    assert [*tmp_path.iterdir()] == []


def test_a_disk_without_room_is_refused_before_work_begins(nmf, long, tmp_path, monkeypatch):
    # Two stems of 2 x 96000 samples as float32, and one more as 24 bits.
    needed = 2 * 96000 * (2 * 4 + 3)
    free = SimpleNamespace(free=needed - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(AudioError, match=r"0000: expected 0\.0021 GB of free disk"):
        nmf.predict_to_files([long], tmp_path / "out")
    assert [*(tmp_path / "out").iterdir()] == []
    free.free = needed
    nmf.predict_to_files([long], tmp_path / "out")


def test_what_is_too_long_for_wav_is_written_as_rf64(tmp_path, monkeypatch):
    monkeypatch.setattr("msa_sk.audio._MAX_WAV", 60_000)
    write_scenes(tmp_path, stretches(), "FLOAT")
    assert soundfile.info(tmp_path / "piano.wav").format == "RF64"
    back, rate = read_audio(tmp_path / "piano.wav")
    np.testing.assert_array_equal(back[:, :5000], next(stretches()).sources[3])
    assert rate == RATE
    with pytest.raises(AudioError, match="expected less than 4 GB, got more, as IMA_ADPCM"):
        write_scenes(tmp_path / "out", stretches(), "IMA_ADPCM")
    assert not (tmp_path / "out").exists()


def test_a_format_that_wav_cannot_have_is_refused(tmp_path):
    with pytest.raises(AudioError, match="subtype: expected one of .*, got 'VORBIS'"):
        write_scenes(tmp_path / "out", stretches(), "VORBIS")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------- memory, and a bar


def test_memory_does_not_grow_with_length(data, nmf, tmp_path):
    """Fifteen minutes need as much as five; an hour is in the benchmark `long_audio`."""
    nmf.set_params(window_seconds=30.0, max_iter=3).save(tmp_path / "model.msa")
    nmf.set_params(window_seconds=2.0, max_iter=20)
    code = """
        import sys, msa_sk
        msa_sk.load(sys.argv[1]).predict_to_files([sys.argv[2]], sys.argv[3], overwrite=True)
        try:  # getrusage's begins at what the parent had
            lines = open("/proc/self/status").read().splitlines()
            print(*[line.split()[1] for line in lines if line.startswith("VmHWM")])
        except OSError:
            import resource
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    peaks = []
    for minutes in (5, 15):
        audio = np.tile(noise(2, 60 * RATE), minutes)
        path = write_audio(tmp_path / f"{minutes}.wav", audio, RATE, "PCM_16")
        arguments = [tmp_path / "model.msa", path, tmp_path / "out"]
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.15 * peaks[0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux limits and tells memory")
def test_a_long_file_needs_less_memory_than_the_whole_would(nmf, tmp_path):
    """Five minutes of stereo at 44.1 kHz, and 400 MB beside libraries: a limit of the system's."""
    nmf.set_params(max_iter=3, window_seconds=30.0).save(tmp_path / "model.msa")
    nmf.set_params(max_iter=20, window_seconds=2.0)
    write_audio(tmp_path / "x.wav", np.tile(noise(2, 60 * 44100), 5), 44100, "PCM_16")
    write_audio(tmp_path / "short.wav", noise(2, 40 * 44100), 44100, "PCM_16")
    code = """
        import resource
        import msa_sk
        from pathlib import Path

        nmf = msa_sk.load("model.msa")
        nmf.predict_to_files(["short.wav"], "out")  # loads all libraries
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + 400_000_000,) * 2)
        nmf.predict_to_files(["x.wav"], "out")
        try:
            nmf.set_params(window_seconds=None).predict_to_files(["x.wav"], "whole")
        except MemoryError:
            print("too much")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "too much\n"
    assert soundfile.info(tmp_path / "out" / "x" / "piano.wav").frames == 5 * 60 * 44100
    assert not (tmp_path / "whole").exists()


@pytest.mark.parametrize("shape", [(1, 60, None), (2, 60, None), (2, 120, 20.0), (2, 20, 10.0)])
@pytest.mark.parametrize("system", ["nmf", "blind nmf", "floor"])
def test_the_memory_that_is_foretold_is_what_is_needed(nmf, data, tmp_path, system, shape):
    """To a factor of two."""
    n_channels, seconds, window_seconds = shape
    mixture = write_audio(tmp_path / "x.wav", noise(n_channels, seconds * RATE), RATE)
    estimator = {
        "nmf": copy.copy(nmf),
        "blind nmf": NMFSeparator(2, blind=True, transformer=SMALL, random_state=0).fit([mixture]),
        "floor": MixtureBaseline().fit(*data),
    }[system]
    if system != "floor":
        estimator.set_params(window_seconds=window_seconds, max_iter=2)
    estimator.predict_to_files([noise(2000)], tmp_path / "first")  # loads libraries
    tracemalloc.start()
    try:
        estimator.predict_to_files([mixture], tmp_path / "out")
        _, needed = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    with pytest.raises(InputError, match="expected a mixture that takes at most"):
        estimator.predict_to_files([mixture], tmp_path / "too", max_memory_gb=needed / 2e9)
    estimator.predict_to_files([mixture], tmp_path / "fits", max_memory_gb=needed / 0.5e9)


def test_what_takes_too_much_memory_is_refused_before_work(nmf, cerberus, long, tmp_path):
    path = write_audio(tmp_path / "x.wav", noise(600 * RATE), RATE, "PCM_16")
    message = (
        r"Mixture\(Clip\(x.wav.*: expected a mixture that takes at most 0.05 GB of memory, "
        r"got one that takes about 0\.\d+ GB. Set window_seconds to less"
    )
    for estimator in (nmf, cerberus):
        whole = copy.copy(estimator).set_params(window_seconds=None)
        with pytest.raises(InputError, match=message):
            whole.predict_to_files([long, path], tmp_path / "out", max_memory_gb=0.05)
        assert not (tmp_path / "out").exists()
    nmf.predict_to_files([long, path], tmp_path / "out", max_memory_gb=0.05)
    assert len([*(tmp_path / "out").iterdir()]) == 2


@pytest.mark.parametrize("wrong", [{"directory": ""}, {"overwrite": "no"}, {"overwrite": 1}])
def test_what_says_neither_where_nor_whether_is_refused(nmf, long, tmp_path, wrong):
    (name,) = wrong
    with pytest.raises(ParameterError, match=f"{name}.*: expected"):
        nmf.predict_to_files([long], **{"directory": tmp_path / "out", **wrong})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("most", [0, -1.0, "2", True, float("nan")])
def test_what_is_no_limit_is_refused(nmf, long, tmp_path, most):
    with pytest.raises(ParameterError, match="max_memory_gb: expected None or a"):
        nmf.predict_to_files([long], tmp_path / "out", max_memory_gb=most)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verbose", [0, 1])
def test_memory_and_time_left_are_said(cerberus, long, tmp_path, monkeypatch, verbose):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("tqdm.std.time", itertools.count(step=5).__next__)  # a slow machine's
    speaking = copy.copy(cerberus).set_params(verbose=verbose)
    speaking.predict_to_files([long], tmp_path)
    said = terminal.getvalue()
    assert bool(re.match(r"0000: 0\.2 min, about 0\.0\d+ GB of memory\n", said)) == bool(verbose)
    assert bool(re.search(r"predict:.* 2/4 \[\d\d:\d\d<\d\d:\d\d,", said)) == bool(verbose)


def test_a_bar_is_for_terminals(monkeypatch):
    for is_terminal, verbose in ((False, True), (True, False), (True, True)):
        stream = io.StringIO()
        stream.isatty = lambda is_terminal=is_terminal: is_terminal
        monkeypatch.setattr(sys, "stderr", stream)
        assert list(progress(range(3), 3, "predict", "window", verbose)) == [0, 1, 2]
        assert ("predict" in stream.getvalue()) == (is_terminal and verbose)


def test_a_terminal_that_goes_away_takes_only_the_bar(monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    items = progress(range(3), 3, "predict", "window")
    assert next(items) == 0
    stream.close()
    assert list(items) == [1, 2]
    for gone in (stream, None, SimpleNamespace(isatty=lambda: True)):
        monkeypatch.setattr(sys, "stderr", gone)
        assert list(progress(range(3), 3, "predict", "window")) == [0, 1, 2]
        say("nobody hears this")
