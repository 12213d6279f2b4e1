"""The networks with some of the heads of Cerberus."""

import inspect

import numpy as np
import pytest
import torch

from msa_sk import (
    STFT,
    Cerberus,
    Chimera,
    DeepClustering,
    DeepClusteringTranscriber,
    MaskInference,
    MaskInferenceTranscriber,
    Mixture,
    Scene,
    Transcriber,
)
from msa_sk.datasets import make_scenes
from msa_sk.decoding import NoteDecoder
from msa_sk.exceptions import ParameterError, SilenceWarning
from msa_sk.neural.data import some_examples
from msa_sk.nn.losses import whitened_clustering_loss

TINY = {
    "hidden_size": 8,
    "n_layers": 1,
    "max_epochs": 1,
    "validation_fraction": 0,
    "transformer": STFT(sample_rate=8000, n_fft=256, hop_length=64),
    "random_state": 0,
    "device": "cpu",
    "verbose": 0,
}
# What each computes, and the weights of Cerberus that make it the same.
FAMILY = {
    DeepClustering: ({"embedding"}, (1, 0, 0)),
    MaskInference: ({"mask"}, (0, 1, 0)),
    Transcriber: ({"roll"}, (0, 0, 1)),
    Chimera: ({"embedding", "mask"}, (0.5, 0.5, 0)),
    DeepClusteringTranscriber: ({"embedding", "roll"}, (0.1, 0, 1)),
    MaskInferenceTranscriber: ({"mask", "roll"}, (0, 1, 1)),
}


@pytest.fixture(scope="module")
def data():
    return make_scenes(2, duration=1.0, sample_rate=8000, random_state=0)


@pytest.mark.parametrize("cls", FAMILY)
def test_it_is_cerberus_with_some_of_its_heads(data, cls):
    heads, weights = FAMILY[cls]
    ours, same = cls(**TINY).fit(*data), Cerberus(*weights, **TINY).fit(*data)
    assert set(ours.net_.module_.heads) == heads
    for one, other in zip(ours.predict(data[0]), same.predict(data[0]), strict=True):
        for name in ("sources", "rolls"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_shared_parts_begin_at_the_same_weights(data):
    """What a head adds is then the head's doing, as table 3.1 asks."""
    parameters = {**TINY, "lr": 1e-30}
    whole = Cerberus(**parameters).fit(*data).net_.module_.state_dict()
    for cls in FAMILY:
        for name, weight in cls(**parameters).fit(*data).net_.module_.state_dict().items():
            torch.testing.assert_close(weight, whole[name], rtol=0, atol=0, msg=f"{cls} {name}")


@pytest.mark.parametrize("cls", FAMILY)
def test_it_has_only_the_parameters_that_concern_it(cls):
    parameters = set(inspect.signature(cls).parameters)
    heads, _ = FAMILY[cls]
    assert ("embedding_size" in parameters) == ("embedding" in heads)
    for name in ("threshold", "min_rise"):
        assert (name in parameters) == ("roll" in heads)
    assert parameters == set(cls().get_params(deep=False)) == set(cls._parameter_constraints)
    with pytest.raises(TypeError, match=r"^\w+\.__init__\(\) .* argument 'no_such'"):
        cls(no_such=1)
    sizes = cls.from_preset("chapter3", max_epochs=3)
    assert (sizes.hidden_size, sizes.n_layers, sizes.max_epochs) == (300, 4, 3)
    _, weights = FAMILY[cls]
    larger = cls.from_preset("chapter2")
    assert (larger.dc_weight, larger.mi_weight, larger.tr_weight) == weights


def test_presets_have_the_weights_of_table_3_1():
    masks = MaskInferenceTranscriber.from_preset("chapter3")
    assert (masks.mi_weight, masks.tr_weight) == (0.2, 0.8)
    clusters = DeepClusteringTranscriber.from_preset("chapter3")
    assert (clusters.dc_weight, clusters.tr_weight) == (0.2, 0.8)


@pytest.mark.parametrize("cls", [Transcriber, MaskInferenceTranscriber])
def test_notes_are_heard_in_the_source_or_else_in_the_mixture(data, cls, monkeypatch):
    masks = []
    monkeypatch.setattr(NoteDecoder, "push", lambda self, roll, heard, mask: masks.append(mask))
    (scene,) = cls(**TINY).fit(*data).predict(data[0][:1])
    assert len(masks) == 2
    assert [mask is None for mask in masks] == [scene.sources is None] * 2


def test_either_head_of_chimera_separates(data):
    chimera = Chimera(alpha=0.3, **TINY).fit(*data)
    assert (chimera.dc_weight, chimera.mi_weight) == (0.3, 0.7)
    by_mask = chimera.predict(data[0])[0].sources
    by_embedding = chimera.set_params(separate_by="embedding").predict(data[0])[0].sources
    assert not np.array_equal(by_mask, by_embedding)
    np.testing.assert_allclose(by_mask.sum(0), by_embedding.sum(0), atol=1e-5)


def test_alpha_weighs_as_in_eq_3_3(data):
    some, more = (
        Chimera(alpha=alpha, **TINY, lr=1e-30).fit(*data).history_[0] for alpha in (0.25, 0.75)
    )
    assert more["train_dc"] == pytest.approx(3 * some["train_dc"])
    assert some["train_mi"] == pytest.approx(3 * more["train_mi"])
    for row in (some, more):
        assert row["train_loss"] == pytest.approx(row["train_dc"] + row["train_mi"])


def test_a_head_that_is_not_there_cannot_separate(data):
    X, y = data
    with pytest.raises(ParameterError, match="separate_by=.: expected a head whose weight"):
        Cerberus(0, 1, 1, separate_by="embedding", **TINY).fit(X, y)
    cerberus = Cerberus(1, 0, 1, **TINY).fit(X, y)
    with pytest.raises(ParameterError, match="got 'mask'"):
        cerberus.set_params(separate_by="mask").predict(X)
    with pytest.raises(ParameterError, match=r"Chimera\(alpha=\)"):
        Chimera(alpha=1, **TINY).fit(X, y)


def test_embeddings_of_one_number_are_refused(data):
    """Of unit length, they would all be 1."""
    with pytest.raises(ParameterError, match=r"embedding_size=.* got 1"):
        DeepClustering(embedding_size=1, **TINY).fit(*data)


@pytest.mark.parametrize("loss", ["affinity", "whitened"])
def test_embeddings_spread(data, loss):
    """To begin with, they do not tell sources apart: all means are within a few degrees."""

    def angle(estimator):
        one, other = estimator.centroids_
        return np.degrees(np.arccos(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))

    parameters = {**TINY, "hidden_size": 16, "embedding_size": 5, "clustering_loss": loss}
    before = DeepClustering(**{**parameters, "lr": 1e-30}).fit(*data)
    training = {"lr": 0.03, "max_epochs": 60, "batch_size": 4}
    after = DeepClustering(**{**parameters, **training}).fit(*data)
    assert angle(before) < 5
    assert angle(after) > 20
    assert after.score(*data) > before.score(*data) + 1


# Clusters


def gated_tones(gates, rate=8000, block=128):
    """Return a scene of tones at 500, 1500 and 2500 Hz, each on where its gate is 1."""
    on = np.repeat(np.atleast_2d(gates), block, axis=1)
    t = np.arange(on.shape[1]) / rate
    tones = [np.sin(2 * np.pi * hertz * t) for hertz in (500, 1500, 2500)]
    sources = (on * tones).astype(np.float32)
    scene = Scene(("low", "middle", "high"), rate, sources)
    return Mixture(sources.sum(axis=0), rate), scene


def test_clusters_are_of_audible_bins_alone(monkeypatch):
    """Silent ones would be most of them, and their embeddings were never learnt."""
    mixture, scene = gated_tones(np.ones((3, 100)))
    estimator = DeepClustering(**TINY).fit([mixture], [scene])
    clustered = []
    monkeypatch.setattr(
        "msa_sk.models.cerberus.cluster_centres",
        lambda points, start, weight: clustered.append((points, weight)) or start,
    )
    estimator.predict([mixture])
    estimator.set_params(bin_weights="equal").predict([mixture])
    magnitude = TINY["transformer"].transform([mixture])[0].magnitude.T
    is_heard = magnitude > 0.01 * magnitude.max()
    (points, weight), (same_points, alike) = clustered
    assert points.shape == same_points.shape == (is_heard.sum(), 20)
    assert is_heard.mean() < 0.2
    assert alike is None
    # What the network hears is the mixture at another level.
    np.testing.assert_allclose(
        weight / weight.sum(), (magnitude / magnitude[is_heard].sum())[is_heard], rtol=1e-4
    )


def test_what_is_rarely_heard_has_a_centre_too(monkeypatch):
    """Also where the examples that tell of the others do not hold it."""
    gates = np.ones((3, 100))
    gates[1, :80] = 0
    X, y = zip(gated_tones(gates), strict=True)
    monkeypatch.setattr(
        "msa_sk.models.cerberus.some_examples",
        lambda dataset, n_examples=1: some_examples(dataset, n_examples),
    )
    centroids = DeepClustering(**TINY).fit(X, y).centroids_
    assert (np.linalg.norm(centroids, axis=1) > 0.5).all()


def test_what_is_never_heard_gets_no_bin():
    gates = np.ones((3, 100))
    gates[1] = 0
    X, y = zip(gated_tones(gates), strict=True)
    with pytest.warns(SilenceWarning, match="a sound of middle"):
        estimator = DeepClustering(**TINY, instruments=["low", "middle", "high"]).fit(X, y)
    np.testing.assert_array_equal(np.isnan(estimator.centroids_).all(axis=1), [0, 1, 0])
    scene = estimator.predict(X)[0]
    assert not scene.source("middle").any()
    np.testing.assert_allclose(scene.sources.sum(axis=0), X[0].audio, atol=1e-5)


# The whitened loss


def one_example(n_bins=60, n_dimensions=4, n_sources=2, seed=0):
    random = np.random.default_rng(seed)
    v = random.normal(size=(n_bins, n_dimensions))
    v /= np.linalg.norm(v, axis=1)[:, None]
    return v, random.integers(n_sources, size=n_bins), random.random(n_bins)


def whitened(v, dominant, weight, n_sources=2):
    tensors = (torch.from_numpy(a)[None, None] for a in (v, dominant, weight))
    return whitened_clustering_loss(*tensors, n_sources)[0].item()


def test_the_whitened_loss_is_that_of_the_definition():
    """||V(V'V)^-1/2 - Y(Y'Y)^-1 Y'V(V'V)^-1/2||^2, each row weighted."""
    v, dominant, weight = one_example()
    root = np.sqrt(weight / weight.sum())[:, None]
    y = root * np.eye(2)[dominant]
    values, vectors = np.linalg.eigh((root * v).T @ (root * v))
    white = root * v @ vectors @ np.diag(values**-0.5) @ vectors.T
    projection = y @ np.linalg.inv(y.T @ y) @ y.T
    expected = np.square(white - projection @ white).sum() / v.shape[1]
    assert whitened(v, dominant, weight) == pytest.approx(expected, rel=2e-3)


def test_the_whitened_loss_ends_where_clusters_are_points():
    _, dominant, weight = one_example()
    assert whitened(np.eye(2)[dominant], dominant, weight) == pytest.approx(0, abs=1e-3)
    assert whitened(np.eye(4)[dominant], dominant, weight) == pytest.approx(0.5, abs=1e-3)
    assert whitened(np.eye(2)[1 - dominant], dominant, weight) == pytest.approx(0, abs=1e-3)


def test_silence_has_no_say_in_the_whitened_loss():
    v, dominant, weight = one_example()
    weight[:20] = 0
    changed = np.where(weight[:, None] > 0, v, 1.0)
    assert whitened(changed, dominant, weight) == whitened(v, dominant, weight)
    assert whitened(v, dominant, 0 * weight) == 0
