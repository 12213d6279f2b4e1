"""NMF that is told the score: on tones whose spectra are known, and on composed music."""

from dataclasses import replace

import numpy as np
import pytest

from msa_sk import Mixture, NMFSeparator, Notes, Scene, load
from msa_sk.datasets import make_scenes
from msa_sk.exceptions import InputError, InstrumentError, NotesError, ParameterError
from msa_sk.metrics import si_sdr
from msa_sk.templates import factorise, harmonic_templates, model_parts, note_supports

RATE, N_FFT = 16000, 1024
N_BINS = 1 + N_FFT // 2


def tone(pitch, seconds):
    time = np.arange(int(RATE * seconds)) / RATE
    f = 440 * 2 ** ((pitch - 69) / 12)
    return sum(np.sin(2 * np.pi * h * f * time) / h for h in range(1, 6)).astype(np.float32)


def with_score(mixtures, scenes):
    return [
        replace(mixture, notes=dict(zip(scene.instruments, scene.notes, strict=True)))
        for mixture, scene in zip(mixtures, scenes, strict=True)
    ]


@pytest.fixture(scope="module")
def music():
    """Return mixtures with their scores, and the truth."""
    mixtures, scenes = make_scenes(4, random_state=0)
    return with_score(mixtures, scenes), scenes


@pytest.fixture(scope="module")
def informed(music):
    return NMFSeparator(score_informed=True).fit(*music)


# ---------------------------------------------------------------------------------- the parts


def test_templates_have_energy_around_harmonics_alone():
    low, high, absent = harmonic_templates(np.array([45, 81, 127]), N_BINS, RATE, N_FFT)
    frequency = np.arange(N_BINS) * RATE / N_FFT
    for template, fundamental in ((low, 110.0), (high, 880.0)):
        assert template.sum() == pytest.approx(1)
        assert frequency[template.argmax()] == pytest.approx(fundamental, abs=RATE / N_FFT / 2)
        away = np.abs(frequency / fundamental - np.round(frequency / fundamental))
        assert not template[(away > 0.3) | (frequency < fundamental / 2)].any()
    assert (high[np.round(880 * np.arange(1, 9) * N_FFT / RATE).astype(int)] > 0).all()
    assert not absent.any()  # 12.5 kHz


def test_supports_are_notes_with_tolerance_and_the_same_in_windows():
    notes = Notes([0.5, 2.0], [1.0, 2.02], [60, 64])
    supports = note_supports(notes, 0, 30, 10.0, 0.2)
    assert supports.shape == (2, 128, 30)
    np.testing.assert_array_equal(np.flatnonzero(supports[0, 60]), range(3, 13))
    np.testing.assert_array_equal(np.flatnonzero(supports[1, 60]), range(3, 7))
    np.testing.assert_array_equal(np.flatnonzero(supports.any(axis=(0, 2))), [60, 64])
    windows = [note_supports(notes, first, first + 10, 10.0, 0.2) for first in (0, 10, 20)]
    np.testing.assert_array_equal(np.concatenate(windows, axis=-1), supports)
    struck = note_supports(notes, 0, 30, 10.0, 0.0, percussive=True)
    assert struck[0, 64].sum() == 2  # 0.1 s, though the note is shorter


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
def test_factors_fit_and_keep_their_zeros(beta_loss):
    random = np.random.default_rng(0)
    templates, gains = np.zeros((2, 12)), random.random((2, 40)) + 0.1
    templates[0, 1:6], templates[1, 4:9] = random.random(5), random.random(5)
    gains[0, 30:] = gains[1, :10] = 0
    magnitude = (templates.T @ gains).astype(np.float32)
    begin = (templates > 0).astype(float), (gains > 0).astype(float)
    found = factorise(magnitude, *begin, beta_loss, 300)
    for factor, start in zip(found, begin, strict=True):
        assert not factor[start == 0].any()
    np.testing.assert_allclose(found[0].T @ found[1], magnitude, atol=0.02)
    np.testing.assert_allclose(found[0].sum(axis=1), 1, rtol=1e-5)


def test_parts_are_the_notes_of_each_instrument():
    supports = np.zeros((3, 2, 128, 20), bool)
    supports[0, :, 60, :10] = supports[1, :, 67, 10:] = True
    magnitude = np.ones((N_BINS, 20), np.float32)
    models = model_parts(magnitude, supports, [False, False, True], RATE, N_FFT)
    assert models.shape == (3, N_BINS, 20)
    assert models[0, :, :10].any()
    assert not models[0, :, 10:].any()
    assert not models[2].any()


# --------------------------------------------------------------------------------- the system


def test_it_beats_plain_nmf(music, informed):
    X, y = music
    plain = NMFSeparator(8, max_iter=50, random_state=0).fit(X[:2], y[:2])
    assert informed.score(X[2:], y[2:]) > plain.score(X[2:], y[2:]) + 3  # dB
    assert informed.score(X, y) > 6


@pytest.mark.parametrize("instruments", [None, ["drums"]])
def test_drums_have_a_spectrum_per_pitch(instruments):
    mixtures, scenes = make_scenes(2, ("bass", "drums"), random_state=0)
    X = with_score(mixtures, scenes)
    system = NMFSeparator(score_informed=True, instruments=instruments).fit(X, scenes)
    assert system.score(X, scenes) > 4
    assert system.__sklearn_tags__().additive == (instruments is None)


def test_a_note_goes_where_the_score_has_it():
    audio = np.concatenate([tone(60, 1.0), tone(67, 1.0)])
    c, g = Notes([0.0], [1.0], [60]), Notes([1.0], [2.0], [67])
    system = NMFSeparator(score_informed=True).fit(
        [Mixture(audio, RATE)], [Scene(("a", "b"), RATE, np.stack([audio, 0 * audio]))]
    )
    score = {"a": c, "b": g}
    first, second = system.predict(
        [Mixture(audio, RATE, notes=score), Mixture(audio, RATE, notes={"b": c, "a": g})]
    )
    inner = slice(RATE // 5, -RATE // 5)
    assert si_sdr(audio[:RATE][inner], first.source("a")[:RATE][inner]) > 20
    assert si_sdr(audio[RATE:][inner], first.source("b")[RATE:][inner]) > 20
    np.testing.assert_allclose(second.sources[::-1], first.sources, atol=1e-5)
    assert first.notes == (c, g)


def test_who_has_no_notes_is_silent(music, informed):
    mixture = music[0][0]
    alone = replace(mixture, notes={"piano": mixture.notes["piano"]})
    scene = informed.predict([alone])[0]
    assert not scene.source("guitar").any()
    np.testing.assert_allclose(scene.source("piano"), mixture.audio, atol=1e-5)
    equal = informed.predict([replace(mixture, notes={})])[0]  # nobody: in equal shares
    np.testing.assert_allclose(equal.sources, [mixture.audio / 2] * 2, atol=1e-5)


def test_windows_find_what_the_whole_has(music):
    X, y = music
    audio = np.concatenate([mixture.audio for mixture in X[:2]])
    late = [
        Notes(
            np.append(a.onset, b.onset + 5),
            np.append(a.offset, b.offset + 5),
            np.append(a.pitch, b.pitch),
        )
        for a, b in zip(y[0].notes, y[1].notes, strict=True)
    ]
    song = Mixture(audio, RATE, notes=dict(zip(y[0].instruments, late, strict=True)))
    truth = np.concatenate([scene.sources for scene in y[:2]], axis=1)
    system = NMFSeparator(score_informed=True, window_seconds=4.0).fit(X, y)
    scene, (*_, last) = system.predict([song])[0], system.stream(song, ["piano"])
    whole = system.set_params(window_seconds=None).predict([song])[0]
    found, expected = (
        np.mean(si_sdr(truth[[1, 0]], one.sources)) for one in (scene, whole)
    )  # sorted: guitar, piano
    assert found > expected - 1
    assert np.abs(scene.residual(song)).max() < 1e-5
    assert scene.notes == tuple(late[::-1])
    assert last.notes == (late[0],)


def test_it_is_saved_and_loaded(music, informed, tmp_path):
    loaded = load(informed.save(tmp_path / "model.msa"))
    one, other = (system.predict(music[0][:1])[0] for system in (informed, loaded))
    np.testing.assert_array_equal(one.sources, other.sources)
    assert not hasattr(informed, "components_")


@pytest.mark.parametrize(
    ("notes", "error", "message"),
    [
        (None, InputError, r"X\[1\], Mixture\(notes=\): expected a score.*got None.*transcribe"),
        ({"pianno": Notes()}, InstrumentError, r"X\[1\].*'pianno'. Did you mean 'piano'"),
        (
            {"piano": Notes([6.5], [7.0], [60])},
            NotesError,
            r"X\[1\].*\['piano'\].*before the mixture ends, at 5.00 s.*1.50 s later",
        ),
    ],
)
def test_a_score_that_does_not_fit_is_refused(music, informed, notes, error, message):
    mixture = music[0][0]
    with pytest.raises(error, match=message):
        informed.predict([mixture, replace(mixture, notes=notes)])


def test_a_score_is_not_blind(music):
    with pytest.raises(ParameterError, match=r"blind=, score_informed=\): expected one of them"):
        NMFSeparator(blind=True, score_informed=True).fit(*music)
