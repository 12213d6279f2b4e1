"""Separation by a score: what the network is told, and that it listens."""

import functools
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from informed import INSTRUMENTS, RATE, SEEN, SIZES, TINY, VARIANTS, told_scenes
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from test_docs import ROOT, run

import msa_sk
from msa_sk import (
    STFT,
    IncoherentMixing,
    Mixture,
    Notes,
    Scene,
    ScoreInformedSeparator,
    SourceInformedTranscriber,
    Transcriber,
    attach_truth,
    load,
)
from msa_sk.datasets import make_scenes
from msa_sk.exceptions import InputError, InstrumentError, NotesError, ParameterError, ScoreWarning
from msa_sk.neural.data import collate, some_examples
from msa_sk.nn.bodies import InputNorm
from msa_sk.nn.heads import MaskHead
from msa_sk.nn.informed import HintModule, ScoreInformedModule, SharedNorm
from msa_sk.rolls import notes_to_roll


@pytest.fixture(scope="module")
def data():
    return told_scenes()


@pytest.fixture(scope="module")
def fitted(data):
    return ScoreInformedSeparator(**TINY).fit(*data)


def silent(mixture):
    return replace(mixture, notes={})


def rolls_of(scene, n_frames):
    return np.stack([notes_to_roll(notes, n_frames, SEEN.frame_rate) for notes in scene.notes])


# ----------------------------------------------------------------------------- the network


def some_rolls(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator) < 0.1).float()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_rolls_have_one_scale(batch_norm):
    """Pitches that training has not heard would have variance 0, each by itself."""
    rolls = some_rolls(5, 20, 88)
    rolls[..., 60:] = 0
    norm = SharedNorm(batch_norm)
    norm.standardise([rolls])
    out = norm(rolls)
    assert out.shape == rolls.shape
    assert out.mean().item() == pytest.approx(0, abs=1e-5)
    assert out.square().mean().item() == pytest.approx(1, abs=1e-3)
    assert len(out.unique()) == 2  # one value for on, and one for off, whatever the pitch
    unheard = norm.eval()(torch.eye(88))
    assert len(unheard.unique()) == 2


def test_without_notes_rolls_stay_finite():
    norm = SharedNorm(True)
    norm.standardise([torch.zeros(4, 88)])
    assert torch.isfinite(norm(torch.zeros(4, 88))).all()
    assert torch.isfinite(norm.eval()(torch.ones(4, 88))).all()


def network(variant="residual", **changes):
    torch.manual_seed(0)
    parameters = {**SIZES, "mask_activation": "softmax", **changes}
    return ScoreInformedModule(6, 2, 3, 7, variant=variant, **parameters)


@pytest.mark.parametrize(
    ("variant", "n_told", "has_skip"),
    [("vanilla", 14, None), ("processed", 3, False), ("residual", 3, True)],
)
def test_the_body_sees_bins_and_what_becomes_of_rolls(variant, n_told, has_skip):
    """Figure 4.3: two instruments of 7 pitches beside 6 bins."""
    module = network(variant)
    assert module.body.lstm.input_size == 6 + n_told
    assert (module.hints and module.hints.skip is not None) == has_skip
    masks = module(torch.rand(2, 6, 9), torch.tensor([9, 9]), some_rolls(2, 2, 7, 9))["mask"]
    assert masks.shape == (2, 3, 6, 9)
    torch.testing.assert_close(masks.sum(1), torch.ones(2, 6, 9))


def test_the_skip_goes_around_all_layers():
    """It is a projection, and what is left of a module whose layers give nothing."""
    torch.manual_seed(0)
    module, rolls = HintModule(14, 4, 2, 0.0, 3, residual=True), torch.randn(2, 9, 14)
    lengths = torch.tensor([9, 9])
    without = HintModule(14, 4, 2, 0.0, 3, residual=False)
    without.load_state_dict(module.state_dict(), strict=False)
    skipped = rolls @ module.skip.weight.T
    torch.testing.assert_close(module(rolls, lengths), without(rolls, lengths) + skipped)
    torch.nn.init.zeros_(module.linear.weight)
    torch.nn.init.zeros_(module.linear.bias)
    torch.testing.assert_close(module(rolls, lengths), skipped)


@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_is_left_out(variant):
    """In training it would move the mean and the variance of a batch."""
    heard, score = torch.rand(2, 6, 9), some_rolls(2, 2, 7, 9)
    lengths = torch.tensor([5, 9])
    found, means = [], []
    for noise in (0.0, 50.0):
        module = network(variant)
        magnitude, rolls = heard.clone(), score.clone()
        magnitude[0, :, 5:] = rolls[0, :, :, 5:] = noise
        found.append(module(magnitude, lengths, rolls)["mask"])
        means.append([norm.mean for norm in module.modules() if isinstance(norm, InputNorm)])
    torch.testing.assert_close(found[0][0, ..., :5], found[1][0, ..., :5])
    torch.testing.assert_close(found[0][1], found[1][1])
    assert len(means[0]) == 2
    torch.testing.assert_close(means[0], means[1])


def test_masks_lie_between_0_and_1():
    features = 20 * torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(0))
    for activation in ("softmax", "sigmoid", "leaky_relu"):
        torch.manual_seed(0)
        head = MaskHead(5, 6, 3, activation)
        in_training, masks = head(features), head.eval()(features)
        assert masks.min() >= 0
        assert masks.max() <= 1
        adds_up = torch.allclose(masks.sum(1), torch.ones(2, 6, 9))
        assert adds_up == (activation == "softmax")
        if activation == "leaky_relu":
            assert in_training.max() > 1
            assert in_training.min() < 0
            torch.testing.assert_close(masks, in_training.clamp(0, 1))
        else:
            torch.testing.assert_close(masks, in_training)


def test_masks_of_leaky_relus_begin_at_equal_shares():
    masks = MaskHead(5, 6, 4, "leaky_relu")(torch.zeros(1, 1, 5))
    torch.testing.assert_close(masks, torch.full((1, 4, 6, 1), 0.25))


def test_harmonics_speak_for_the_instrument_whose_note_is_on():
    """Of two instruments and a rest, pitch 2 of the second one begins bins 1 and 4."""
    harmonics = torch.zeros(2, 7, 6)
    harmonics[1, 2, 1], harmonics[1, 2, 4] = 1.0, 0.5
    module = network(harmonics=harmonics)
    torch.nn.init.zeros_(module.heads["mask"].linear.weight)
    torch.nn.init.zeros_(module.heads["mask"].linear.bias)
    score = torch.zeros(1, 2, 7, 3)
    score[0, 1, 2, 1] = 1
    with torch.no_grad():
        module.gain[1, 4] = 3.0
        masks = module(torch.rand(1, 6, 3), torch.tensor([3]), score)["mask"][0]
    expected = torch.full((3, 6, 3), 1 / 3)
    for bin_, logit in ((1, 2.0), (4, 1.5)):
        expected[:, bin_, 1] = torch.softmax(torch.tensor([0, logit, 0]), 0)
    torch.testing.assert_close(masks, expected)
    score[0, 1] = 1  # many notes of one bin are no more than one
    assert module.evidence(score).max() <= 3.0


def test_harmonics_of_tones_and_bands_of_drums():
    X, y = make_scenes(2, ("drums", "piano"), duration=1.0, sample_rate=RATE, random_state=0)
    separator = ScoreInformedSeparator(roll_input="harmonics", **TINY).fit(X, y)
    drums, piano = separator.net_.module_.harmonics.numpy()
    width = RATE / SEEN.n_fft
    for pitch in (57, 69, 81):
        frequency = 440 * 2 ** ((pitch - 69) / 12)
        peaks = [round(h * frequency / width) for h in (1, 2, 3)]
        np.testing.assert_allclose(piano[pitch - 21, peaks], [1, 1 / 2, 1 / 3], atol=0.05)
    kick = drums[36 - 21]
    np.testing.assert_array_equal(kick > 0, np.arange(SEEN.n_bins) * width < 150)
    assert not any("harmonics" in name for name in separator.net_.module_.state_dict())


# ------------------------------------------------------------------------- what it is told


def test_each_window_has_its_piece_of_the_score():
    X, y = make_scenes(1, INSTRUMENTS, duration=4.2, sample_rate=RATE, random_state=0)
    separator = ScoreInformedSeparator(sequence_length=50, **TINY).fit(X, y)
    dataset = separator._dataset(separator._accept_training(X), y)
    pieces = [inputs["score"] for inputs, _ in dataset]
    assert len(pieces) == 12
    assert {piece.shape for piece in pieces} == {(2, 88, 50)}
    whole = rolls_of(y[0], 525)
    told = np.concatenate(pieces, axis=2)
    np.testing.assert_array_equal(pieces[0], whole[..., :50])
    for instrument, notes in enumerate(y[0].notes):
        lit = set(np.flatnonzero(told[instrument].any(axis=1)) + 21)
        assert lit == set(notes.pitch)


def test_the_score_that_a_mixture_brings_along_comes_first(data):
    """Without one the truth has the say: teacher forcing."""
    (mixture, *_), (scene, *_) = data
    other = {"piano": Notes([0.1], [0.5], [60])}
    separator = ScoreInformedSeparator(sequence_length=1000, **TINY).fit(*data)

    def score_of(mixture, scene):
        items = separator._accept_training([mixture])
        return separator._dataset(items, [scene])[0][0]["score"]

    np.testing.assert_array_equal(
        score_of(replace(mixture, notes=None), scene), rolls_of(scene, 126)
    )
    found = score_of(replace(mixture, notes=other), scene)
    assert not found[0].any()
    np.testing.assert_array_equal(found[1], notes_to_roll(other["piano"], 126, SEEN.frame_rate))


def test_new_mixtures_have_the_notes_of_their_sources():
    X, y = make_scenes(4, INSTRUMENTS, duration=1.0, sample_rate=RATE, random_state=0)
    sampler = IncoherentMixing(n_mixes=3)
    separator = ScoreInformedSeparator(sampler=sampler, sequence_length=1000, **TINY).fit(X, y)
    train = separator._training_set(separator._accept_training(X), y, seed=0)
    assert len(train) == 3
    for (inputs, _), scene in zip(train, train.scenes, strict=True):
        order = [scene.instruments.index(name) for name in separator.instruments_]
        np.testing.assert_array_equal(inputs["score"], rolls_of(scene, 126)[order])


def test_training_begins_with_rolls_of_variance_1(data):
    separator = ScoreInformedSeparator(**{**TINY, "lr": 1e-30, "batch_norm": False}).fit(*data)
    items = separator._accept_training(data[0])
    batch, _ = collate([(one, {}) for one, _ in some_examples(separator._dataset(items, data[1]))])
    scaled = separator.net_.module_.hint_norm(batch["score"])
    assert scaled.mean().item() == pytest.approx(0, abs=1e-4)
    assert scaled.square().mean().item() == pytest.approx(1, abs=1e-3)


# ----------------------------------------------------------------------------- what it does


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("roll_input", ["pitches", "harmonics"])
def test_moving_a_note_moves_masks(data, variant, roll_input):
    """And nothing else does: the same score gives the same bytes."""
    X, y = data
    parameters = {**TINY, "variant": variant, "roll_input": roll_input}
    separator = ScoreInformedSeparator(**parameters).fit(X, y)
    guitar, piano = (X[0].notes[name] for name in INSTRUMENTS)
    moved = {
        "guitar": guitar.select(slice(1, None)),
        "piano": Notes(
            np.append(guitar.onset[:1], piano.onset),
            np.append(guitar.offset[:1], piano.offset),
            np.append(guitar.pitch[:1], piano.pitch),
        ),
    }
    before, again, after = separator.predict([X[0], X[0], replace(X[0], notes=moved)])
    np.testing.assert_array_equal(before.sources, again.sources)
    assert np.abs(after.sources - before.sources).max() > 1e-5
    np.testing.assert_allclose(after.sources.sum(0), X[0].audio, atol=1e-5)
    assert after.notes == (moved["guitar"], moved["piano"])


def twins(n_scenes, seed):
    """Return scenes of two instruments that sound the same, and take turns at random."""
    random, X, y = np.random.default_rng(seed), [], []
    time = np.arange(RATE) / RATE
    for _ in range(n_scenes):
        onset = np.arange(8) / 8
        pitch, who = random.integers(60, 84, 8), random.integers(2, size=8)
        on = (time >= onset[:, None]) & (time < onset[:, None] + 1 / 8)
        tones = on * np.sin(2 * np.pi * 440 * 2 ** ((pitch[:, None] - 69) / 12) * time)
        sources = np.stack([tones[who == k].sum(0) for k in (0, 1)]).astype(np.float32)
        notes = tuple(
            Notes(onset[who == k], onset[who == k] + 1 / 8, pitch[who == k]) for k in (0, 1)
        )
        X.append(Mixture(sources.sum(axis=0), RATE))
        y.append(Scene(("one", "other"), RATE, sources, notes))
    return attach_truth(X, y), y


@pytest.mark.parametrize(("roll_input", "least"), [("pitches", 6), ("harmonics", 10)])
def test_it_learns_what_only_the_score_tells(roll_input, least):
    """Which of two equal instruments plays a note, of pieces that it has not heard."""
    training = {"hidden_size": 16, "max_epochs": 8, "lr": 0.02, "batch_size": 8}
    separator = ScoreInformedSeparator("vanilla", roll_input=roll_input, **{**TINY, **training})
    separator.fit(*twins(12, seed=0))
    X, y = twins(4, seed=1)
    told, not_told = separator.score(X, y), separator.score([silent(one) for one in X], y)
    assert told > least
    assert not_told < 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_in_windows_it_finds_what_it_finds_in_the_whole(variant):
    X, y = make_scenes(2, INSTRUMENTS, duration=5.0, sample_rate=RATE, random_state=0)
    X = attach_truth(X, y)
    separator = ScoreInformedSeparator(variant, **TINY).fit(X, y)
    (whole,) = separator.predict(X[:1])
    pieces = list(separator.set_params(window_seconds=2.0).stream(X[0]))
    sources = np.concatenate([piece.sources for piece in pieces], axis=-1)
    assert len(pieces) == 3
    difference = np.abs(sources - whole.sources) / np.abs(X[0].audio).max()
    assert difference.max() < 0.03  # where a window ends
    assert np.median(difference) < 1e-4
    assert [piece.notes for piece in pieces] == [None, None, whole.notes]
    (item,) = separator._accept(X[:1])
    told = separator._told(item, 100, 300)["score"]
    np.testing.assert_array_equal(told, separator._told(item, 0, 626)["score"][..., 100:300])


def test_what_it_is_not_asked_for_stays_in_the_mixture(data):
    X, y = data
    alone = ScoreInformedSeparator(instruments=["piano"], **TINY).fit(X, y)
    scene = alone.predict(X[:1])[0]  # the score lists the guitar too
    assert scene.instruments == ("piano",)
    assert scene.notes == (X[0].notes["piano"],)
    assert not alone.__sklearn_tags__().additive


@pytest.mark.parametrize("activation", ["sigmoid", "leaky_relu"])
def test_only_masks_that_add_up_make_it_additive(data, activation):
    separator = ScoreInformedSeparator(mask_activation=activation, **TINY).fit(*data)
    assert not separator.__sklearn_tags__().additive
    scene = separator.predict(data[0][:1])[0]
    assert np.abs(scene.residual(data[0][0])).max() > 1e-3


def test_the_preset_has_the_values_of_section_4_3_5():
    separator = ScoreInformedSeparator.from_preset("chapter4", variant="processed")
    assert (separator.hidden_size, separator.n_layers, separator.batch_norm) == (600, 4, True)
    sizes = (separator.hint_size, separator.hint_layers, separator.hint_features)
    assert sizes == (600, 2, 512)
    assert (separator.batch_size, separator.lr, separator.lr_schedule) == (64, 3e-4, "decay")
    assert (separator.variant, separator.mask_activation) == ("processed", "leaky_relu")


def test_saved_and_loaded_it_gives_the_same_bytes(data, tmp_path):
    separator = ScoreInformedSeparator(roll_input="harmonics", **TINY).fit(*data)
    copy = load(separator.save(tmp_path / "model.msa"))
    for one, other in zip(separator.predict(data[0]), copy.predict(data[0]), strict=True):
        np.testing.assert_array_equal(one.sources, other.sources)


@pytest.mark.parametrize("cls", [ScoreInformedSeparator, SourceInformedTranscriber])
def test_it_goes_on_from_what_it_knows(data, cls):
    X, y = data
    system = cls(**TINY, warm_start=True).fit(X, y)
    system.set_params(lr=1e-30, n_layers=2).fit(X, y)
    again = cls(**TINY).partial_fit(X, y).partial_fit(X, y)
    assert again.n_iter_ == 2
    others = [Scene(("guitar", "lute"), RATE, one.sources, one.notes) for one in y]
    bare = [Mixture(one.audio, RATE) for one in X]
    with pytest.raises(ParameterError, match="of the fit before, guitar, piano, got guitar, lute"):
        system.fit(bare, others)


# -------------------------------------------------------------------- scores that do not fit

LATE = {"piano": Notes([0.2, 3.5], [0.4, 4.0], [60, 62])}
FAULTS = [
    (None, InputError, "a score: a dict of instrument to Notes, got None.*a Pipeline transcribe"),
    ({"pianno": Notes()}, InstrumentError, "one of .'guitar', 'piano'.*Did you mean 'piano'"),
    (LATE, NotesError, "'piano'.*before the mixture ends, at 1.00 s, got one that begins 2.50 s"),
]


@pytest.mark.parametrize(("score", "error", "message"), FAULTS)
def test_a_score_that_does_not_fit_is_refused(fitted, data, score, error, message):
    mixture = replace(data[0][1], notes=score)
    with pytest.raises(error, match=rf"X\[1\].*{message}"):
        fitted.predict([data[0][0], mixture])


@pytest.mark.parametrize(("score", "error", "message"), FAULTS[1:])
def test_training_refuses_it_too(data, score, error, message):
    X = [data[0][0], replace(data[0][1], notes=score)]
    with pytest.raises(error, match=rf"X\[1\].*{message}"):
        ScoreInformedSeparator(**TINY).fit(X, data[1][:2])


def test_training_needs_notes_from_somewhere(data):
    X, y = [replace(one, notes=None) for one in data[0]], list(data[1])
    y[2] = replace(y[2], notes=None)
    with pytest.raises(InputError, match=r"X\[2\]: expected a mixture with notes, or a true sc"):
        ScoreInformedSeparator(**TINY).fit(X, y)
    with pytest.raises(InputError, match=r"X_val\[0\]: expected a mixture with notes, or a true"):
        ScoreInformedSeparator(**TINY).fit(*data, X_val=X[2:3], y_val=y[2:3])


@pytest.mark.parametrize("window_seconds", [None, 6.0])
def test_a_shifted_score_is_reported(fitted, window_seconds):
    (mixture,), (scene,) = make_scenes(
        1, INSTRUMENTS, duration=8.0, sample_rate=RATE, random_state=0
    )
    late = {
        name: Notes(notes.onset + 0.5, notes.offset + 0.5, notes.pitch).select(
            notes.onset + 0.5 < 8
        )
        for name, notes in zip(scene.instruments, scene.notes, strict=True)
    }
    separator = ScoreInformedSeparator(**TINY, window_seconds=window_seconds)
    separator.fit(*make_scenes(2, INSTRUMENTS, duration=1.0, sample_rate=RATE, random_state=0))
    separator.predict(attach_truth([mixture], [scene]))  # without a warning
    with pytest.warns(ScoreWarning, match=r"0\.[45]\d s too late: moved by -0\.[45]\d s"):
        separator.predict([replace(mixture, notes=late)])


# ------------------------------------------------------------------ transcribe, then separate


def chain():
    transcriber = Transcriber(**{k: v for k, v in TINY.items() if not k.startswith("hint")})
    transcriber.set_params(threshold=0.05, min_rise=None)
    return Pipeline([("transcribe", transcriber), ("separate", ScoreInformedSeparator(**TINY))])


def test_a_transcriber_writes_the_score(data):
    X, y = [replace(one, notes=None) for one in data[0]], data[1]
    pipeline = chain().fit(X, y)
    transcriber, separator = (step for _, step in pipeline.steps)
    (scene,) = pipeline.predict(X[:1])
    (found,) = transcriber.predict(X[:1])
    assert sum(map(len, found.notes)) > 0
    for ours, theirs in zip(scene.notes, found.notes, strict=True):
        np.testing.assert_array_equal(ours.onset, theirs.onset)
    alone = ScoreInformedSeparator(**TINY).fit(transcriber.transform(X), y)
    np.testing.assert_array_equal(
        scene.sources, alone.predict(transcriber.transform(X[:1]))[0].sources
    )
    assert separator.score(data[0], y) == separator.score(data[0], y)


def test_the_chain_is_validated_and_searched(data):
    X, y = [replace(one, notes=None) for one in data[0]], data[1]
    assert np.isfinite(cross_val_score(chain(), X, y, cv=2)).all()
    grid = {"transcribe__threshold": [0.05, 0.9], "separate__variant": ["vanilla"]}
    search = GridSearchCV(chain(), grid, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_["separate"].variant == "vanilla"


# ------------------------------------------------------------------------------- the page

PAGE = ROOT / "docs" / "score_informed.md"


@pytest.mark.filterwarnings("ignore:.* mixtures (is a solo|are solos)")  # of half a second
def test_the_page_runs(monkeypatch):
    short = functools.partial(make_scenes, duration=0.5, sample_rate=RATE)
    monkeypatch.setattr(msa_sk.datasets, "make_scenes", short, False)
    seen = STFT(sample_rate=RATE, n_fft=512, hop_length=256)
    tiny = {"hidden_size": 8, "n_layers": 1, "max_epochs": 1, "transformer": seen, "verbose": 0}
    systems = ("MaskInference", "Transcriber", "ScoreInformedSeparator")
    for name in (*systems, "SourceInformedTranscriber"):
        made = functools.partial(getattr(msa_sk, name), **tiny)
        monkeypatch.setattr(msa_sk, name, made, False)
    *_, names = run(PAGE)
    assert names["scene"].instruments == INSTRUMENTS
    assert len(names["scene"].notes) == len(names["notes"]) == 2


def test_what_the_page_cites_exists():
    cited = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE.read_text("utf-8"))
    assert len(cited) > 15
    for file, name in cited:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8")


def test_its_table_of_defaults_holds():
    text = PAGE.read_text("utf-8")
    assert ScoreInformedSeparator().variant == "vanilla"
    assert SourceInformedTranscriber().variant == "processed"
    assert '| default "vanilla", of transcribers "processed" |' in text
    assert ScoreInformedSeparator().mask_activation == "softmax"
    assert "| `mask_activation` | leaky ReLU | default softmax" in text
    assert ScoreInformedSeparator().roll_input == "harmonics"
    assert 'default `roll_input="harmonics"`; "pitches" in the preset' in text
