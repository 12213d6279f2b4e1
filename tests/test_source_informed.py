"""Transcription by the sources: what the network is told, and that it listens."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from informed import INSTRUMENTS, RATE, SEEN, SIZES, TINY, VARIANTS, told_scenes
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline

from msa_sk import (
    Clip,
    MaskInference,
    Mixture,
    Notes,
    Scene,
    SourceInformedTranscriber,
    Transcriber,
    attach_truth,
)
from msa_sk.audio import rms, write_audio
from msa_sk.datasets import make_scenes
from msa_sk.decoding import NoteDecoder
from msa_sk.exceptions import AudioError, InputError, InstrumentError, ParameterError
from msa_sk.neural.data import collate, some_examples, window_norm
from msa_sk.nn.heads import RollHead
from msa_sk.nn.informed import SourceInformedModule
from msa_sk.nn.losses import roll_loss
from msa_sk.spectral import channel_rms


@pytest.fixture(scope="module")
def data():
    return told_scenes()


@pytest.fixture(scope="module")
def fitted(data):
    return SourceInformedTranscriber(**TINY).fit(*data)


def rolls_of(system, *mixtures):
    return [scene.rolls for scene in system.predict(list(mixtures))]


# ------------------------------------------------------------------------------ the network


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_variants_give_rolls(variant):
    torch.manual_seed(0)
    module = SourceInformedModule(6, 2, 7, variant=variant, leaky_rolls=False, **SIZES)
    assert module.body.lstm.input_size == 6 + (12 if variant == "vanilla" else 3)
    heard, told = torch.rand(2, 6, 9), torch.rand(2, 2, 6, 9)
    lengths = torch.tensor([5, 9])
    found = module(heard, lengths, told)["roll"]
    assert found.shape == (2, 2, 7, 9)
    norm = module.norm.mean.clone(), module.hint_norm.norm.mean.clone()
    assert all(mean.abs().max() > 0 for mean in norm)
    heard[0, :, 5:], told[0, ..., 5:] = 9.0, 9.0  # in the padding
    torch.testing.assert_close(module(heard, lengths, told)["roll"][0, ..., :5], found[0, ..., :5])


def test_sources_have_one_scale():
    """A bin in which a source was never heard is not blown up when it is."""
    module = SourceInformedModule(6, 2, 7, variant="vanilla", leaky_rolls=False, **SIZES)
    heard, told = torch.rand(4, 6, 30), torch.rand(4, 2, 6, 30)
    told[:, :, 4] = 0  # a bin without any sound
    module.standardise(list(heard))
    module.standardise_hints(list(told))
    values = module.hint_norm.eval()(module.hints_of(told))
    assert values.mean().item() == pytest.approx(0, abs=1e-4)
    assert values.square().mean().item() == pytest.approx(1, abs=1e-3)
    told[0, 0, 4] = 1.0
    louder = module.hint_norm(module.hints_of(told))
    assert louder.abs().max() < 2 * values.abs().max()
    seen = module.hints_of(told)[:, 0]
    torch.testing.assert_close(seen, module.frames_of(told[:, 0]))


@pytest.mark.parametrize("batch_norm", [True, False])
def test_training_begins_with_sources_of_variance_1(data, batch_norm):
    parameters = {**TINY, "lr": 1e-30, "batch_norm": batch_norm}
    module = SourceInformedTranscriber(**parameters).fit(*data).net_.module_
    system = SourceInformedTranscriber(**parameters)
    items = system.fit(*data)._accept_training(data[0])
    batch, _ = collate([(one, {}) for one, _ in some_examples(system._dataset(items, data[1]))])
    scaled = (module.hints_of(batch["sources"]) - module.hint_norm.mean) / module.hint_norm.std
    assert scaled.mean().item() == pytest.approx(0, abs=1e-4)
    assert scaled.square().mean().item() == pytest.approx(1, abs=1e-3)


def test_hints_are_standardised_where_the_network_is():
    module = SourceInformedModule(6, 2, 7, variant="vanilla", leaky_rolls=False, **SIZES)
    module.to("meta")
    module.standardise([torch.rand(6, 30)])
    module.standardise_hints([torch.rand(2, 6, 30)])


def test_rolls_of_leaky_relus():
    """Section 6.2: the squared error of what is not cut yet."""
    scores = torch.tensor([-2.0, 0.4, 3.0]).reshape(1, 1, 3, 1)
    roll, valid = torch.tensor([0.0, 1.0, 1.0]).reshape(1, 1, 3, 1), torch.ones(1, 1)
    expected = (0.02**2 + 0.6**2 + 2.0**2) / 3
    assert roll_loss(scores, roll, valid, "leaky_mse").item() == pytest.approx(expected)
    begun = RollHead(5, 7, 2, leaky=True)(torch.zeros(1, 1, 5))
    torch.testing.assert_close(begun, torch.full((1, 2, 7, 1), 0.1))


@pytest.mark.parametrize("cls", [Transcriber, SourceInformedTranscriber])
def test_leaky_posteriors_are_cut_to_0_and_1(data, cls):
    parameters = {k: v for k, v in TINY.items() if k in cls().get_params()}
    if cls is SourceInformedTranscriber:
        parameters["variant"] = "vanilla"
    leaky = cls(transcription_loss="leaky_mse", **{**parameters, "lr": 0.3, "max_epochs": 3})
    found = np.concatenate(rolls_of(leaky.fit(*data), *data[0]), axis=-1)
    assert found.min() == 0
    assert found.max() == 1
    assert ((found > 0) & (found < 1)).any()
    with pytest.raises(ParameterError, match="expected 'leaky_mse', as it was fitted with"):
        leaky.set_params(transcription_loss="mse").predict(data[0])
    either = cls(transcription_loss="bce", **parameters).fit(*data)
    either.set_params(transcription_loss="mse").predict(data[0])  # both have a sigmoid


@pytest.mark.parametrize("cls", [Transcriber, SourceInformedTranscriber])
def test_presets_have_the_values_of_sections_4_3_5_and_6_2(cls):
    network = cls.from_preset("chapter4")
    assert (network.hidden_size, network.n_layers, network.batch_norm) == (600, 4, True)
    assert (network.batch_size, network.lr, network.lr_schedule) == (64, 3e-4, "decay")
    assert network.transcription_loss == "leaky_mse"
    assert (network.threshold, network.drum_threshold) == (0.8, 0.1)
    if cls is SourceInformedTranscriber:
        sizes = (network.hint_size, network.hint_layers, network.hint_features)
        assert sizes == (600, 2, 512)


# ------------------------------------------------------------------------- what it is told


def test_it_is_told_magnitudes_on_the_scale_of_the_mixture(data):
    """In training and in predict: those of a mixture that has one source are the mixture's."""
    _, y = data
    piano = y[0].source("piano")
    mixture = Mixture(piano, RATE, sources={"piano": piano})
    system = SourceInformedTranscriber(**TINY).fit(*data)
    (item,) = system._accept([mixture])
    scene = Scene(INSTRUMENTS, RATE, np.stack([0 * piano, piano]), (Notes(), Notes()))
    inputs, _ = system._dataset([item], [scene])[0]
    n_frames = inputs["magnitude"].shape[1]
    np.testing.assert_allclose(inputs["sources"][1], inputs["magnitude"], rtol=1e-5, atol=1e-6)
    assert not inputs["sources"][0].any()
    told = system._told(item, 0, n_frames)["sources"]
    expected = channel_rms(item.stft)[:, :n_frames]
    np.testing.assert_allclose(told[1], expected, rtol=1e-5, atol=1e-6)
    assert not told[0].any()


def test_sources_that_a_mixture_brings_along_come_first(data):
    (mixture, *_), (scene, *_) = data
    swapped = dict(zip(INSTRUMENTS, scene.sources[::-1], strict=True))
    system = SourceInformedTranscriber(sequence_length=1000, **TINY).fit(*data)

    def told(mixture):
        items = system._accept_training([mixture])
        return system._dataset(items, [scene])[0][0]["sources"]

    truth = told(replace(mixture, sources=None))
    np.testing.assert_array_equal(told(replace(mixture, sources=swapped)), truth[::-1])


@pytest.mark.parametrize("rate", [RATE, 11025])
def test_windows_of_sources_are_those_of_the_whole(rate, tmp_path):
    """Of samples and of files: a window reads what it needs, and some more."""
    X, y = make_scenes(2, INSTRUMENTS, duration=4.0, sample_rate=rate, random_state=0)
    samples = attach_truth(X, y)
    system = SourceInformedTranscriber(**TINY).fit(samples, y)
    clips = {
        name: Clip(write_audio(tmp_path / f"{name}.wav", audio, rate, "FLOAT"))
        for name, audio in samples[0].sources.items()
    }
    for mixture in (samples[0], replace(samples[0], sources=clips)):
        (item,) = system._accept([mixture])
        n_frames = 1 + len(item.audio) // SEEN.hop_length
        whole = system._told(item, 0, n_frames)["sources"]
        atol = 1e-6 if rate == RATE else 0.01 * whole.max()  # rates have no samples in common
        for first, last in ((0, 200), (150, 350), (300, n_frames)):
            piece = system._told(item, first, last)["sources"]
            np.testing.assert_allclose(piece, whole[..., first:last], atol=atol)


# ---------------------------------------------------------------------------- what it does


def test_levels_do_not_matter_if_sources_have_the_mixtures(fitted, data):
    mixture = data[0][0]
    for gain in (1e-3, 1e3):
        sources = {name: gain * audio for name, audio in mixture.sources.items()}
        scaled = replace(mixture, audio=gain * mixture.audio, sources=sources)
        one, other = rolls_of(fitted, mixture, scaled)
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_source_that_is_not_listed_is_silent(fitted, data):
    mixture = data[0][0]
    piano = {"piano": mixture.sources["piano"]}
    silence = {**piano, "guitar": np.zeros_like(mixture.audio)}
    listed, missing, both = rolls_of(
        fitted, replace(mixture, sources=silence), replace(mixture, sources=piano), mixture
    )
    np.testing.assert_array_equal(listed, missing)
    assert np.abs(both - missing).max() > 1e-3


def test_it_learns_from_the_sources(data):
    """Two tones sound all the time: which instrument has which is in the sources alone."""
    time = np.arange(RATE) / RATE
    X, y = [], []
    for swap in (False, True) * 4:
        pitches = (60, 67)[:: -1 if swap else 1]
        sources = np.stack(
            [np.sin(2 * np.pi * 440 * 2 ** ((p - 69) / 12) * time) for p in pitches]
        ).astype(np.float32)
        notes = tuple(Notes([0.0], [1.0], [p]) for p in pitches)
        X.append(Mixture(sources.sum(axis=0), RATE))
        y.append(Scene(("one", "other"), RATE, sources, notes))
    training = {**TINY, "max_epochs": 12, "lr": 0.02, "batch_size": 8}
    system = SourceInformedTranscriber("vanilla", **training).fit(X, y)
    rolls = rolls_of(system, *attach_truth(X[:2], y[:2]))
    for roll, scene in zip(rolls, y[:2], strict=True):
        for posteriors, notes in zip(roll, scene.notes, strict=True):
            means = posteriors.mean(axis=1)
            (pitch,) = notes.pitch - 21
            assert means.argmax() == pitch
            assert means[pitch] > 0.6


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_windows_it_finds_what_it_finds_in_the_whole(variant):
    X, y = make_scenes(2, INSTRUMENTS, duration=5.0, sample_rate=RATE, random_state=0)
    X = attach_truth(X, y)
    system = SourceInformedTranscriber(variant, **TINY).fit(X, y)
    (whole,) = system.predict(X[:1])
    pieces = list(system.set_params(window_seconds=2.0).stream(X[0]))
    rolls = np.concatenate([piece.rolls for piece in pieces], axis=-1)
    assert len(pieces) == 3
    off = np.abs(rolls - whole.rolls)
    assert off.mean() < 0.001
    assert off.max() < 0.1  # of what a recurrent network remembers from the window before


SHORT = np.zeros(100, np.float32)
FAULTS = [
    (None, InputError, "its sources: a dict of instrument to audio, got None.*a Pipeline separ"),
    ({"pianno": SHORT}, InstrumentError, "one of .'guitar', 'piano'.*Did you mean 'piano'"),
    ({"piano": SHORT}, AudioError, r"\['piano'\]: expected 8000 samples, as its mix.*got 100"),
    ({"piano": "no such.wav"}, AudioError, "no such.wav"),
    ({"piano": np.full(8000, np.nan)}, AudioError, r"source.*'piano'.*finite samples"),
]


@pytest.mark.parametrize(("sources", "error", "message"), FAULTS)
def test_sources_that_do_not_fit_are_refused(fitted, data, sources, error, message):
    mixture = replace(data[0][1], sources=sources)
    with pytest.raises(error, match=message):
        fitted.predict([data[0][0], mixture])
    if sources is not None:
        with pytest.raises(error, match=message):
            SourceInformedTranscriber(**TINY).fit([data[0][0], mixture], data[1][:2])


def test_training_needs_sources_from_somewhere(data):
    X, y = [replace(one, sources=None) for one in data[0]], list(data[1])
    y[2] = replace(y[2], sources=None)
    with pytest.raises(InputError, match=r"X\[2\]: expected a mixture with sources, or a true"):
        SourceInformedTranscriber(**TINY).fit(X, y)


# ----------------------------------------------------------------- separate, then transcribe


def chain():
    sizes = {k: v for k, v in TINY.items() if not k.startswith("hint")}
    steps = [
        ("separate", MaskInference(**sizes)),
        ("transcribe", SourceInformedTranscriber(**TINY)),
    ]
    return Pipeline(steps)


def test_a_separator_gives_the_sources(data):
    X, y = [replace(one, sources=None) for one in data[0]], data[1]
    pipeline = chain().fit(X, y)
    (scene,) = pipeline.predict(X[:1])
    assert scene.sources is None
    separator, transcriber = (step for _, step in pipeline.steps)
    (filled,) = separator.transform(X[:1])
    assert set(filled.sources) == set(INSTRUMENTS)
    np.testing.assert_array_equal(scene.rolls, transcriber.predict([filled])[0].rolls)


def test_the_chain_is_validated_and_searched(data):
    X, y = [replace(one, sources=None) for one in data[0]], data[1]
    assert np.isfinite(cross_val_score(chain(), X, y, cv=2)).all()
    grid = {"transcribe__threshold": [0.3, 0.5]}
    search = GridSearchCV(chain(), grid, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("window_seconds", [None, 1.0])
def test_notes_are_decoded_by_listening_to_the_source(data, fitted, monkeypatch, window_seconds):
    heard = []
    push = NoteDecoder.push

    def listening(self, roll, magnitude=None, mask=None):
        heard.append(magnitude * mask)
        return push(self, roll, magnitude, mask)

    mixture = replace(data[0][0], audio=np.tile(data[0][0].audio, 2))
    sources = {name: np.tile(source, 2) for name, source in mixture.sources.items()}
    system = copy.copy(fitted).set_params(window_seconds=window_seconds)
    monkeypatch.setattr(NoteDecoder, "push", listening)
    system.predict([replace(mixture, sources=sources)])
    found = [np.concatenate(heard[i :: len(INSTRUMENTS)], axis=-1) for i in range(2)]
    level = rms(mixture.audio) * window_norm(SEEN)
    whole = SEEN.transform([mixture])[0].magnitude
    for name, magnitude in zip(fitted.instruments_, found, strict=True):
        (source,) = SEEN.transform([Mixture(sources[name], RATE)])
        expected = np.minimum(source.magnitude, whole) / level
        np.testing.assert_allclose(magnitude, expected, atol=2e-4 * expected.max())
