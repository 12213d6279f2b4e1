"""Cerberus: its loss against the paper's equations, and what each head and weight does."""

import pickle
import warnings
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold

from msa_sk import (
    STFT,
    Cerberus,
    DeepClusteringTranscriber,
    MaskInferenceTranscriber,
    Mixture,
    NMFSeparator,
    Notes,
    Scene,
)
from msa_sk.datasets import make_scenes
from msa_sk.exceptions import (
    InputError,
    MsaWarning,
    NotesWarning,
    NotFittedError,
    ParameterError,
    TrainingError,
)
from msa_sk.masking import phase_sensitive_target
from msa_sk.metrics import SceneScorer
from msa_sk.neural.batches import ShuffledBatches
from msa_sk.neural.data import LevelledSTFT, SceneDataset, collate, split_by_group
from msa_sk.nn.cerberus import CerberusLoss, CerberusModule
from msa_sk.spectral import Spectrogram

RATE = 8000
TINY = {
    "hidden_size": 8,
    "n_layers": 1,
    "max_epochs": 1,
    "random_state": 0,
    "transformer": STFT(sample_rate=RATE, n_fft=256, hop_length=64),
}


@pytest.fixture(scope="module")
def data():
    return make_scenes(4, duration=1.0, sample_rate=RATE, random_state=0)


def module(heads=("embedding", "mask", "roll"), seed=0, stride=1):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 6, "n_layers": 1, "dropout": 0.0, "embedding_size": 5}
    ends = {"batch_norm": False, "input_scale": "log", "n_transcribed": 2, "n_pitches": 88}
    return CerberusModule(9, 2, **sizes, **ends, embedding_stride=stride, heads=heads)


def batch_of(X, y, **parameters):
    """Return one padded batch of what Cerberus learns from, as the engine would make it."""
    estimator = Cerberus(**TINY, **parameters)
    items = estimator._begin_fit(X)
    estimator.instruments_, estimator.has_rest_ = ("guitar", "piano"), False
    dataset = SceneDataset(items, y, estimator._make_target, 10_000)
    return estimator, collate([dataset[i] for i in range(len(dataset))])


# The target of eq. 3.2


def test_the_target_is_the_truncated_projection_on_the_mixture():
    x = np.array([[2.0 + 0j, 1j, 0.0]])
    sources = np.array([[[3.0 + 0j, 0.5j, 1.0]], [[-1.0 + 0j, 0.5j, -1.0]], [[1j, -1j, 0.0]]])
    expected = [[[2.0, 0.5, 0.0]], [[0.0, 0.5, 0.0]], [[0.0, 0.0, 0.0]]]
    np.testing.assert_allclose(phase_sensitive_target(x, sources), expected)


@pytest.mark.parametrize("n_sources", [2, 3])
def test_the_target_is_that_of_the_printed_formula(n_sources):
    """Of two sources it adds up to the mixture, as masks of a softmax do; of more, not always."""
    random = np.random.default_rng(0)
    s = random.normal(size=(n_sources, 5, 7)) + 1j * random.normal(size=(n_sources, 5, 7))
    x = s.sum(axis=0)
    target = phase_sensitive_target(x, s)
    projection = np.abs(s) * np.cos(np.angle(s) - np.angle(x))
    expected = np.minimum(np.maximum(projection, 0), np.abs(x))
    np.testing.assert_allclose(target, expected, rtol=1e-5, atol=1e-6)
    excess = target.sum(axis=0) - np.abs(x)
    assert excess.min() > -1e-5
    assert (excess.max() < 1e-5) == (n_sources == 2)


def test_the_target_of_equal_channels_is_that_of_one():
    random = np.random.default_rng(0)
    x = random.normal(size=(5, 7)) + 1j * random.normal(size=(5, 7))
    s = random.normal(size=(2, 5, 7)) + 1j * random.normal(size=(2, 5, 7))
    stereo = phase_sensitive_target(np.stack([x, x]), np.stack([s, s], axis=1))
    np.testing.assert_allclose(stereo, phase_sensitive_target(x, s), rtol=1e-5)
    opposite = phase_sensitive_target(np.stack([x, -x]), np.stack([s, -s], axis=1))
    np.testing.assert_allclose(opposite, stereo, rtol=1e-5)


def test_targets_of_the_rolls_are_the_notes(data):
    X, y = data
    _, (_, target) = batch_of(X[:1], y[:1])
    note = y[0].notes_of("piano").select(slice(0, 1))
    frame = round(float(note.onset[0]) * RATE / 64)
    assert target["roll"].shape[:3] == (1, 2, 88)
    assert target["roll"][0, 1, note.pitch[0] - 21, frame] == 1


def test_the_dominant_source_is_the_loudest(data):
    X, y = data
    _, (_, target) = batch_of(X[:1], y[:1])
    spectra = [
        np.abs(Spectrogram(X[0], RATE, 256, 64).analyse(y[0].source(name)[None])[0])
        for name in ("guitar", "piano")
    ]
    expected = np.argmax(spectra, axis=0)
    clear = np.abs(spectra[0] - spectra[1]) > 1e-3
    np.testing.assert_array_equal(target["dominant"][0].numpy()[clear], expected[clear])


# The loss of eq. 3.4


def test_weights_multiply_their_terms_and_zero_removes_the_head(data):
    X, y = data
    _, (inputs, target) = batch_of(X[:2], y[:2])
    torch.manual_seed(0)
    network = CerberusModule(
        129, 2, hidden_size=4, n_layers=1, dropout=0.0, embedding_size=3, embedding_stride=1,
        input_scale="log", batch_norm=False, heads=("embedding", "mask", "roll"), n_transcribed=2,
        n_pitches=88,
    )  # fmt: skip
    heads = {name: head.detach() for name, head in network(**inputs).items()}
    ones = CerberusLoss(1, 1, 1)(heads, target)
    assert set(ones) == {"dc", "mi", "tr"}
    weighted = CerberusLoss(0.1, 2, 3)(heads, target)
    for name, weight in (("dc", 0.1), ("mi", 2), ("tr", 3)):
        assert float(weighted[name]) == pytest.approx(weight * float(ones[name]), rel=1e-6)
    for weights, expected in (((0, 1, 0), {"mask"}), ((0.5, 0, 1), {"embedding", "roll"})):
        made = Cerberus(*weights, **TINY)
        made.instruments_ = ("a", "b")
        assert set(made._make_module(9, 2).heads) == expected


def test_the_loss_ignores_the_level_of_the_input(data):
    X, y = data
    network, losses = None, []
    for gain in (1.0, 0.003, 50.0):
        louder = [Mixture(m.audio * np.float32(gain), RATE) for m in X[:2]]
        truth = [Scene(s.instruments, RATE, s.sources * np.float32(gain), s.notes) for s in y[:2]]
        estimator, (inputs, target) = batch_of(louder, truth)
        if network is None:
            torch.manual_seed(0)
            network = estimator._make_module(129, 2)
        terms = CerberusLoss(1, 1, 1)(network.eval()(**inputs), target)
        losses.append([float(term.detach()) for term in terms.values()])
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=1e-4)


def test_the_loss_ignores_padding(data):
    X, y = data
    short = X[0].excerpt(0, 0.4), y[0].excerpt(0, 0.4)
    estimator, (inputs, target) = batch_of([short[0], X[1]], [short[1], y[1]])
    torch.manual_seed(0)
    network = estimator._make_module(129, 2).eval()
    loss = CerberusLoss(1, 1, 1)
    padded = loss(network(**inputs), target)
    alone = []
    for mixture, scene in ((short[0], short[1]), (X[1], y[1])):
        _, (one_input, one_target) = batch_of([mixture], [scene])
        alone.append(loss(network(**one_input), one_target))
    for name, term in padded.items():
        expected = np.mean([float(terms[name].detach()) for terms in alone])
        assert float(term.detach()) == pytest.approx(expected, rel=1e-4)


def test_silent_examples_have_a_finite_gradient(data):
    X, y = data
    silent = Mixture(np.zeros(4000, np.float32), RATE)
    nothing = Scene(("piano", "guitar"), RATE, np.zeros((2, 4000), np.float32), (Notes(),) * 2)
    estimator, (inputs, target) = batch_of([silent, X[0]], [nothing, y[0]])
    network = estimator._make_module(129, 2)
    _, loss = estimator._make_loss()
    sum(loss(network(**inputs), target).values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_what_is_unknown_is_left_out_of_the_loss(data):
    X, y = data
    unknown = Scene(("piano", "guitar"), RATE)
    estimator, (inputs, target) = batch_of([X[0], X[1]], [y[0], unknown])
    torch.manual_seed(0)
    network = estimator._make_module(129, 2).eval()
    both = CerberusLoss(1, 1, 1)(network(**inputs), target)
    _, (one_input, one_target) = batch_of([X[0]], [y[0]])
    one = CerberusLoss(1, 1, 1)(network(**one_input), one_target)
    for name in one:
        assert float(both[name].detach()) == pytest.approx(float(one[name].detach()), rel=1e-5)


def test_every_head_reaches_the_body(data):
    """So that a weight of zero changes what the body learns."""
    estimator, (inputs, target) = batch_of(data[0][:2], data[1][:2], embedding_stride=1)

    def gradient(*weights):
        torch.manual_seed(0)
        network = estimator._make_module(129, 2)
        sum(CerberusLoss(*weights)(network(**inputs), target).values()).backward()
        return torch.cat([one.grad.flatten() for one in network.body.parameters()])

    everything = gradient(1, 1, 1)
    alone = [gradient(*weights) for weights in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    torch.testing.assert_close(sum(alone), everything, rtol=1e-3, atol=1e-6)
    for one in alone:
        assert one.norm() > 1e-3 * everything.norm()


@pytest.mark.parametrize(
    ("loss", "weights", "low", "high"),
    [("bce", (1, 1), 0.5, 2), ("mse", (0.1, 0.8), 0.5, 2), ("bce", (0.1, 0.8), 0, 0.25)],
)
def test_masks_and_rolls_have_the_same_say_at_the_start(data, loss, weights, low, high):
    """With the defaults, and with the paper's loss and weights; not with a mixture of both."""
    estimator, (inputs, target) = batch_of(*data, transcription_loss=loss)
    torch.manual_seed(0)
    network = estimator._make_module(129, 2)
    terms = estimator._make_loss()[1](network(**inputs), target)
    norms = []
    for name in ("mi", "tr"):
        gradient = torch.autograd.grad(terms[name], network.body.parameters(), retain_graph=True)
        norms.append(float(torch.cat([one.flatten() for one in gradient]).norm()))
    assert low < weights[0] * norms[0] / (weights[1] * norms[1]) < high


def test_shared_weights_start_alike_whatever_the_heads():
    whole, alone = module(), module(heads=("roll",))
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(value, whole.state_dict()[name], rtol=0, atol=0)


def test_a_stride_skips_frames_in_training_only(data):
    X, y = data
    estimator, (inputs, target) = batch_of(X[:2], y[:2], embedding_stride=3)
    torch.manual_seed(0)
    network = estimator._make_module(129, 2)
    n_frames = inputs["magnitude"].shape[-1]
    skipping = network.train()(**inputs)
    assert skipping["embedding"].shape[1] == -(-n_frames // 3)
    whole = network.eval()(**inputs)
    assert whole["embedding"].shape[1] == n_frames
    loss = CerberusLoss(1, 0, 0, embedding_stride=3)
    thinned = {name: value.clone() for name, value in target.items()}
    kept = torch.zeros(n_frames)
    kept[::3] = 1
    thinned["bin_weight"] *= kept
    by_weight = loss({"embedding": whole["embedding"]}, thinned)["dc"]
    by_stride = loss({"embedding": skipping["embedding"]}, target)["dc"]
    assert float(by_stride.detach()) == pytest.approx(float(by_weight.detach()), rel=1e-4)


def test_bins_count_by_their_magnitude_or_all_alike(data):
    X, y = data
    _, (inputs, by_magnitude) = batch_of(X[:2], y[:2])
    _, (_, alike) = batch_of(X[:2], y[:2], bin_weights="equal")
    audible = alike["bin_weight"]
    assert set(audible.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(by_magnitude["bin_weight"], audible * inputs["magnitude"])


# The estimator


def test_running_means_of_inputs_begin_at_those_of_the_data(data):
    """And end near them: so `predict` hears what training did, and batches do not show."""
    X, y = data
    parameters = {**TINY, "batch_norm": True, "lr": 1e-9, "validation_fraction": 0}
    plain = Cerberus(**{**parameters, "batch_norm": False}).fit(X, y)
    normed = Cerberus(**{**parameters, "max_epochs": 3}).fit(X, y)
    state = normed.net_.module_.state_dict()
    torch.testing.assert_close(state["input_mean"], plain.net_.module_.input_mean)
    assert state["body.norm.mean"].abs().mean() < 0.05
    assert (state["body.norm.variance"] - 1).abs().mean() < 0.1
    for one, other in zip(normed.predict(X), plain.predict(X), strict=True):
        np.testing.assert_allclose(one.sources, other.sources, atol=2e-3)
        assert not np.array_equal(one.sources, other.sources)


@pytest.mark.parametrize("weights", [(-1, 1, 1), (0, float("nan"), 1), (0, 0, 0)])
def test_useless_weights_are_refused_in_fit(data, weights):
    X, y = data
    estimator = Cerberus(*weights, **TINY)
    with pytest.raises(ParameterError, match="_weight"):
        estimator.fit(X, y)


@pytest.mark.parametrize(
    ("weights", "has_sources", "has_notes"),
    [((0.1, 1, 1), True, True), ((0, 1, 0), True, False), ((0, 0, 1), False, True),
     ((1, 0, 0), True, False), ((0.5, 0, 0.5), True, True)],
)  # fmt: skip
def test_each_subset_of_heads_does_its_part(data, weights, has_sources, has_notes):
    X, y = data
    estimator = Cerberus(*weights, **TINY).fit(X, y)
    scene = estimator.predict(X[:1])[0]
    assert (scene.sources is not None, scene.notes is not None) == (has_sources, has_notes)
    tags = estimator.__sklearn_tags__()
    assert (tags.separates, tags.transcribes) == (has_sources, has_notes)
    if has_sources:
        assert np.abs(scene.residual(X[0])).max() < 1e-5
    if has_notes:
        assert scene.rolls.shape == (2, 88, 126)
        assert scene.frame_rate == 125
    assert np.isfinite(estimator.score(X, y))
    terms = {"dc": weights[0], "mi": weights[1], "tr": weights[2]}
    assert set(estimator.history_[0]) >= {f"train_{n}" for n, weight in terms.items() if weight}


def test_deep_clustering_names_its_clusters():
    """Two tones that never share a bin: embeddings that learn this separate them by name."""
    t = np.arange(RATE) / RATE
    X, y = [], []
    for seed in range(8):
        gates = np.repeat(np.random.default_rng(seed).random((2, 10)) > 0.3, RATE // 10, axis=1)
        tones = np.stack([np.sin(2 * np.pi * 500 * t), np.sin(2 * np.pi * 2500 * t)])
        sources = (tones * gates).astype(np.float32)
        X.append(Mixture(sources.sum(axis=0), RATE))
        y.append(Scene(("low", "high"), RATE, sources))
    parameters = {**TINY, "max_epochs": 40, "lr": 0.01, "batch_size": 4, "embedding_stride": 2}
    estimator = Cerberus(1, 0, 0, **parameters).fit(X, y)
    assert estimator.centroids_.shape == (2, 20)
    assert estimator.score(X, y) > 10


def test_training_learns_what_can_be_learnt(data):
    X, y = data
    parameters = {**TINY, "max_epochs": 60, "lr": 0.01, "hidden_size": 32, "batch_size": 2}
    estimator = Cerberus(validation_fraction=0, **parameters).fit(X, y)
    assert estimator.history_[-1]["train_loss"] < 0.5 * estimator.history_[0]["train_loss"]
    assert estimator.score(X, y) > 3


def test_how_notes_are_decoded_is_read_at_predict(data):
    X, y = data
    estimator = Cerberus(**TINY).fit(X, y)
    n_notes = [
        sum(map(len, estimator.set_params(**settings).predict(X[:1])[0].notes))
        for settings in (
            {"threshold": 0.0, "min_note": 0.0, "min_rise": None},
            {"min_rise": 100.0},
            {"min_rise": 4.0},
            {"threshold": 1.0},
        )
    ]
    # All keys held throughout; struck where the sound sets in; struck again; none.
    assert n_notes[:2] == [2 * 88, 2 * 88]
    assert n_notes[2] > 2 * 88
    assert n_notes[3] == 0


def test_velocities_are_heard_whatever_the_level(data):
    X, y = data
    estimator = Cerberus(**TINY, threshold=0.0).fit(X, y)
    quiet = Mixture(X[0].audio * np.float32(1e-3), X[0].sample_rate)
    (scene,), (same,) = estimator.predict(X[:1]), estimator.predict([quiet])
    for notes, others in zip(scene.notes, same.notes, strict=True):
        assert np.median(notes.velocity) == 80
        assert len(set(notes.velocity)) > 10
        np.testing.assert_array_equal(notes.pitch, others.pitch)
        np.testing.assert_allclose(notes.onset, others.onset, atol=1e-3)
        np.testing.assert_allclose(notes.velocity, others.velocity, atol=1)


def test_an_instrument_not_asked_for_stays_in_the_mixture(data):
    X, y = data
    estimator = Cerberus(instruments=["piano"], **TINY).fit(X, y)
    scene = estimator.predict(X[:1])[0]
    assert scene.instruments == ("piano",)
    assert estimator.has_rest_
    assert not estimator.__sklearn_tags__().additive
    assert np.abs(scene.residual(X[0])).max() > 1e-3


def test_validation_songs_are_never_trained_on():
    items = [Spectrogram(Mixture(np.zeros(9), RATE, group=g)) for g in "aabbccddee"]
    train, valid = split_by_group(items, 0.2, np.random.RandomState(0))
    assert len(valid) == 2
    assert {items[i].mixture.group for i in valid}.isdisjoint(
        {items[i].mixture.group for i in train}
    )
    assert split_by_group(items, 0.0, np.random.RandomState(0)) == (list(range(10)), [])


def test_patience_ends_training_and_the_best_weights_are_kept(data):
    X, y = data
    parameters = {**TINY, "max_epochs": 50, "lr": 3.0, "lr_schedule": "constant"}
    estimator = Cerberus(validation_fraction=0.5, patience=2, **parameters).fit(X, y)
    assert estimator.n_iter_ < 50
    losses = [epoch["valid_loss"] for epoch in estimator.history_]
    assert len(losses) - 1 - int(np.argmin(losses)) == 2


def test_long_scenes_are_cut_into_sequences(data):
    X, y = data
    estimator = Cerberus(**TINY)
    items = estimator._begin_fit(X[:1])
    estimator.instruments_, estimator.has_rest_ = ("guitar", "piano"), False
    dataset = SceneDataset(items, y[:1], estimator._make_target, 50)
    whole = LevelledSTFT.of(items[0]).magnitude
    assert whole.shape[-1] == 126
    windows = [inputs["magnitude"] for inputs, _ in dataset]
    for window, start in zip(windows, (0, 38, 76), strict=True):
        np.testing.assert_array_equal(window, whole[:, start : start + 50])


def test_chunks_are_analysed_once(data, monkeypatch):
    """Also where the windows of many are shuffled; and no more of them are kept."""
    X, y = data
    monkeypatch.setattr(SceneDataset, "KEPT", 2)
    monkeypatch.setattr("msa_sk.neural.data._CHUNK", 63)
    estimator = Cerberus(**TINY)
    items = estimator._begin_fit(X)
    estimator.instruments_, estimator.has_rest_ = ("guitar", "piano"), False
    analysed = []

    def make_target(spectrogram, levelled, scene):
        analysed.append(spectrogram.mixture)
        return estimator._make_target(spectrogram, levelled, scene)

    dataset = SceneDataset(items, y, make_target, 10)
    batches = ShuffledBatches(dataset, 3, torch.Generator().manual_seed(0))
    order = [index for batch in batches for index in batch]
    assert sorted(order) == list(range(len(dataset))) != order
    for index in order:
        dataset[index]
        assert len(dataset._examples) <= 2
    assert len(analysed) == len(dataset.chunks) == 2 * len(X)
    assert len({dataset._chunk_of(index) for index in order[: len(order) // 4]}) == 2
    dataset.make_target = round  # functions of tests cannot be pickled
    assert dataset._examples
    assert not pickle.loads(pickle.dumps(dataset))._examples


def test_chunks_are_levelled_by_their_song(data, monkeypatch):
    """A quiet passage looks as quiet in training as it does in predict, which sees the whole."""
    loud_then_quiet = data[0][0].audio * np.repeat([1.0, 0.01], RATE // 2).astype(np.float32)
    X = [Mixture(loud_then_quiet, RATE)]
    y = [Scene(("piano", "guitar"), RATE, np.stack([loud_then_quiet, 0 * loud_then_quiet]))]
    monkeypatch.setattr("msa_sk.neural.data._CHUNK", 63)
    estimator = Cerberus(0, 1, 0, **TINY)
    items = estimator._begin_fit(X)
    estimator.instruments_, estimator.has_rest_ = ("guitar", "piano"), False
    loud, quiet = (
        dataset["magnitude"].max()
        for dataset, _ in SceneDataset(items, y, estimator._make_target, 63)
    )
    assert loud > 20 * quiet


def test_means_of_an_epoch_leave_out_what_is_unknown(data):
    X, y = data
    parameters = {**TINY, "batch_size": 1, "validation_fraction": 0, "lr": 1e-12}
    all_known = Cerberus(0, 1, 1, **parameters).fit(X[:1], y[:1]).history_[0]
    without_sources = Scene(y[1].instruments, RATE, notes=y[1].notes)
    some_known = Cerberus(0, 1, 1, **parameters).fit(X[:2], [y[0], without_sources]).history_[0]
    assert some_known["train_mi"] == pytest.approx(all_known["train_mi"], rel=0.1)
    with pytest.raises(InputError, match="a scene whose sources are known"):
        Cerberus(0, 1, 0, **parameters).fit(X[1:2], [without_sources])


def without(part, scenes):
    return [replace(scene, **{part: None}) for scene in scenes]


@pytest.mark.parametrize("learn", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("system", "part", "words"),
    [
        (Cerberus(**TINY), "sources", r"dc_weight and mi_weight, .* set dc_weight=0, mi_weight=0"),
        (Cerberus(**TINY), "notes", r"tr_weight, got none. Give notes, or set tr_weight=0\.$"),
        (
            DeepClusteringTranscriber(**TINY),
            "sources",
            r"dc_weight, .* use a Cerberus with dc_weight=0\.",
        ),
        (
            MaskInferenceTranscriber(**TINY),
            "notes",
            r"tr_weight, .* use a Cerberus with tr_weight=0\.",
        ),
    ],
)
def test_a_head_that_could_learn_nothing_is_refused(data, learn, system, part, words):
    X, y = data
    with pytest.raises(InputError, match=f"^y: expected .* whose {part} are known, for {words}"):
        getattr(clone(system), learn)(X, without(part, y))
    getattr(clone(system), learn)(X, [*without(part, y[:3]), y[3]])


def test_truth_that_is_all_held_out_teaches_nothing(data):
    X, y = data
    learnt = []
    for known in range(4):
        scenes = without("notes", y)
        scenes[known] = y[known]
        with suppress(InputError):
            learnt.append(Cerberus(0, 1, 1, **TINY).fit(X, scenes))
    assert len(learnt) == 3  # one of four songs is held out


def test_a_head_that_has_learnt_before_needs_no_truth(data):
    X, y = data
    estimator = Cerberus(0, 1, 0, **TINY, warm_start=True).fit(X, y)
    estimator.fit(X, y)
    with pytest.raises(InputError, match="for tr_weight"):  # its head is new
        estimator.set_params(tr_weight=1).fit(X, without("notes", y))
    estimator.fit(X, y).fit(X, without("notes", y)).partial_fit(X, without("notes", y))
    estimator.set_params(dc_weight=1).fit(X, y).set_params(lr=1e-12)
    centroids = estimator.centroids_
    estimator.fit(X, without("sources", y)).partial_fit(X, without("sources", y))
    np.testing.assert_array_equal(estimator.centroids_, centroids)
    with pytest.raises(InputError, match="for tr_weight"):  # heads of other instruments are new
        estimator.set_params(instruments=["piano"]).fit(X, without("notes", y))


@pytest.mark.parametrize("system", [Cerberus(**TINY), NMFSeparator(2)])
def test_no_seed_leaves_the_global_generator_alone(data, system):
    X, y = data
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    clone(system).set_params(random_state=None).fit(X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_loss_that_is_not_finite_stops_training_loudly(data, monkeypatch):
    X, y = data
    monkeypatch.setattr(
        "msa_sk.nn.cerberus.mask_loss", lambda mask, *_: mask.sum((1, 2, 3)) * float("nan")
    )
    estimator = Cerberus(**TINY)
    with pytest.raises(TrainingError, match="not finite in epoch 1.*'mi': nan"):
        estimator.fit(X, y)
    with pytest.raises(NotFittedError):
        estimator.predict(X)


def test_the_same_seed_gives_the_same_file(data, tmp_path):
    X, y = data
    files = [clone(Cerberus(**TINY)).fit(X, y).save(tmp_path / f"{i}.msa") for i in range(2)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("weights", [[0, 1], [1, 0]])
def test_a_search_may_switch_a_head_off(data, weights):
    X, y = data
    search = GridSearchCV(
        Cerberus(**{**TINY, "verbose": 0}),
        {"tr_weight": weights},
        scoring=SceneScorer(["note_onset_f1", "si_sdri"]),
        refit="note_onset_f1",
        cv=GroupKFold(2),
    )
    with (
        pytest.warns(MsaWarning, match="^note_onset_f1 is NaN: this Cerberus predicts no notes"),
        pytest.warns(UserWarning, match="test scores are non-finite"),
    ):
        search.fit(X, y, groups=[mixture.group for mixture in X])
    results, without_notes = search.cv_results_, weights.index(0)
    assert np.isfinite(results["mean_test_si_sdri"]).all()
    found = np.isnan(results["mean_test_note_onset_f1"])
    np.testing.assert_array_equal(found, np.equal(weights, 0))
    assert results["rank_test_note_onset_f1"][without_notes] == 2
    assert search.best_params_ == {"tr_weight": 1}


@pytest.mark.parametrize("window_seconds", [None, 1.0])
def test_no_note_outlasts_its_mixture(data, window_seconds):
    X = [Mixture(np.append(mixture.audio, mixture.audio)[:12345], RATE) for mixture in data[0]]
    estimator = Cerberus(**TINY, tr_weight=1, threshold=0.0, min_rise=None).fit(*data)
    estimator.set_params(window_seconds=window_seconds)
    ends = [notes.offset.max() for scene in estimator.predict(X) for notes in scene.notes]
    assert max(ends) == X[0].duration


def test_notes_outside_rolls_are_told_once_with_their_scene(data):
    X, y = data
    low = [replace(scene, notes=(Notes([0.0], [0.5], [12]), *scene.notes[1:])) for scene in y[:2]]
    name = y[0].instruments[0]
    message = rf"^2 notes, the first of {name!r} in y\[0\], outside MIDI"
    with pytest.warns(NotesWarning, match=message) as caught:
        Cerberus(**TINY, validation_fraction=0).fit(X, [*low, *y[2:]])
    assert sum(issubclass(one.category, NotesWarning) for one in caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotesWarning)  # of what nobody asked for
        Cerberus(**TINY, instruments=y[0].instruments[1:], validation_fraction=0).fit(
            X, low + y[2:]
        )
