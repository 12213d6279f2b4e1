"""NMF on signals whose spectra are known by construction."""

import numpy as np
import pytest

from msa_sk import Mixture, NMFSeparator, Scene
from msa_sk.datasets import make_scenes
from msa_sk.exceptions import AudioError
from msa_sk.metrics import si_sdr
from msa_sk.models.nmf import activate, cluster_spectra, learn_spectra

RATE = 8000


def tone(frequency, seconds=1.0, seed=0):
    """A tone that is on and off at random, in half-tenths of a second."""
    n_samples = int(RATE * seconds)
    gate = np.random.default_rng(seed).random(int(20 * seconds)) > 0.4
    envelope = np.repeat(gate, n_samples // len(gate)).astype(float)
    return np.sin(2 * np.pi * frequency * np.arange(n_samples) / RATE) * envelope


def two_tones(n_scenes=3, seconds=1.0):
    scenes = []
    for i in range(n_scenes):
        sources = np.stack([tone(500, seconds, 2 * i), tone(1500, seconds, 2 * i + 1)])
        scenes.append(Scene(("low", "high"), RATE, sources.astype(np.float32)))
    return [Mixture(scene.sources.sum(axis=0), RATE) for scene in scenes], scenes


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
def test_known_factors_are_found_again(beta_loss):
    random = np.random.default_rng(0)
    components = np.zeros((2, 12))
    components[0, 2:4], components[1, 8:10] = 1, 1
    activations = random.random((2, 40)) * (random.random((2, 40)) > 0.5)
    magnitude = components.T @ activations

    found = learn_spectra(magnitude, 2, beta_loss, max_iter=500, tol=0, random_state=0)
    found = found / found.max(axis=1, keepdims=True)
    order = np.argsort(found.argmax(axis=1))
    np.testing.assert_allclose(found[order], components, atol=0.02)

    np.testing.assert_allclose(
        activate(magnitude, components, beta_loss, max_iter=500, tol=0), activations, atol=1e-3
    )


@pytest.mark.parametrize("beta_loss", ["frobenius", "kullback-leibler"])
def test_tones_of_different_pitch_are_separated(beta_loss):
    X, y = two_tones(4)
    separator = NMFSeparator(2, beta_loss=beta_loss, random_state=0).fit(X[:3], y[:3])
    assert separator.instruments_ == ("high", "low")
    assert separator.components_.shape == (2, 2, 513)
    assert separator.score(X[3:], y[3:]) > 20
    for components, frequency in zip(separator.components_, (1500, 500), strict=True):
        peaks = components[components.any(axis=1)].argmax(axis=1) * 16000 / 1024
        assert np.abs(peaks - frequency).max() < 32


def test_what_is_not_asked_for_stays_in_the_mixture():
    X, y = two_tones(4)
    separator = NMFSeparator(2, instruments=["low"], random_state=0).fit(X[:3], y[:3])
    assert separator.components_.shape[0] == 2  # low, and the rest
    scene = separator.predict(X[3:])[0]
    assert scene.instruments == ("low",)
    assert si_sdr(y[3].source("low"), scene.source("low")) > 20
    assert si_sdr(y[3].source("high"), scene.residual(X[3])) > 20
    assert not separator.__sklearn_tags__().additive


def test_blind_separation_groups_components_by_timbre():
    X, y = make_scenes(4, ("bass", "drums"), random_state=0)
    separator = NMFSeparator(8, beta_loss="frobenius", blind=True, random_state=0).fit(X)
    scene = separator.predict(X)[0]
    assert scene.instruments == ("source_0", "source_1")
    assert not hasattr(separator, "components_")
    assert np.abs(scene.residual(X[0])).max() < 1e-5
    assert separator.score(X, y) > 2  # dB, by the better of both permutations


def test_cluster_spectra_tells_dark_from_bright():
    random = np.random.default_rng(0)
    bins = np.arange(257)
    dark = np.exp(-bins / 20) * random.uniform(0.5, 1, (4, 257))
    bright = np.exp(-((bins - 180) ** 2) / 800) * random.uniform(0.5, 1, (4, 257))
    labels = cluster_spectra(np.concatenate([dark, bright]), 2, 16000, random_state=0)
    assert len(set(labels[:4])) == len(set(labels[4:])) == 1
    assert labels[0] != labels[-1]


def test_an_instrument_that_never_sounds_cannot_be_learnt():
    X, y = two_tones(1)
    silent = Scene(("low", "high"), RATE, y[0].sources * np.array([[1], [0]], np.float32))
    with pytest.raises(AudioError, match="a scene in which high sounds"):
        NMFSeparator(2).fit([Mixture(silent.sources.sum(axis=0), RATE)], [silent])


def test_max_frames_bounds_what_is_learnt_from(monkeypatch):
    import msa_sk.models.nmf as nmf

    sizes = []

    def record(magnitude, n_components, *args):
        sizes.append(magnitude.shape[1])
        return learn_spectra(magnitude, n_components, *args)

    monkeypatch.setattr(nmf, "learn_spectra", record)
    X, y = two_tones(4)
    NMFSeparator(2, max_frames=40, random_state=0).fit(X, y)
    assert sizes == [40, 40]


def test_supervised_spectra_separate_composed_music():
    X, y = make_scenes(10, ("bass", "drums"), scenes_per_song=1, random_state=0)
    separator = NMFSeparator(16, random_state=0).fit(X[:8], y[:8])
    assert separator.score(X[8:], y[8:]) > 5
