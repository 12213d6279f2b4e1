"""Asked by example: what a query may be, what is made of it, and that it is listened to."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

from msa_sk import (
    STFT,
    Anchor,
    Clip,
    HierarchicalQBE,
    Hierarchy,
    Mixture,
    QueryByExample,
    QueryMixing,
    Scene,
    load,
)
from msa_sk.audio import write_audio
from msa_sk.datasets import make_scenes
from msa_sk.exceptions import AudioError, InputError, ParameterError
from msa_sk.models.query import loudest_stretch
from msa_sk.neural.data import collate, some_examples
from msa_sk.nn.query import QueryNet, present

RATE = 8000
TREE = Hierarchy.from_dict({"strings": {"piano": 0, "guitar": 24}})
TINY = {
    "hidden_size": 8,
    "query_size": 8,
    "n_layers": 1,
    "query_length": 16,
    "embedding_size": 4,
    "max_epochs": 1,
    "validation_fraction": 0,
    "transformer": STFT(sample_rate=RATE, n_fft=256, hop_length=64),
    "random_state": 0,
    "device": "cpu",
    "verbose": 0,
}


@pytest.fixture(scope="module")
def leaves():
    return make_scenes(4, duration=1.0, sample_rate=RATE, random_state=0)


@pytest.fixture(scope="module")
def data(leaves):
    return QueryMixing(TREE, min_level_db=None).apply(*leaves)


@pytest.fixture(scope="module")
def asked(data):
    return HierarchicalQBE(**TINY).fit(*data)


def with_query(mixture, query):
    return replace(mixture, query=query)


def sources_of(system, *mixtures):
    return [scene.sources for scene in system.predict(list(mixtures))]


# ------------------------------------------------------------------------ the query network


def query_net(n_bins=6, embedding_size=3):
    torch.manual_seed(0)
    return QueryNet(
        n_bins,
        hidden_size=5,
        n_layers=2,
        dropout=0.0,
        embedding_size=embedding_size,
        input_scale="log",
    )


def some_queries(*lengths, n_bins=6):
    random = torch.Generator().manual_seed(1)
    return [10 ** (-5 * torch.rand(n_bins, n, generator=random)) for n in lengths]


def test_the_anchor_is_the_mean_embedding_of_the_bins_that_sound():
    """Eq. 2.5, with an embedding for each bin of each frame."""
    net, (query,) = query_net(), some_queries(9)
    with torch.no_grad():
        features = net.body(net.frames_of(query[None]), torch.tensor([9]))
        embedding = net.embed(features).unflatten(-1, (6, 3))[0]  # (n_frames, n_bins, 3)
        presence = (query > query.max() * 1e-3).T[..., None]
        expected = (presence * embedding).sum((0, 1)) / presence.sum()
        anchor = net(query[None], torch.tensor([9]))[0]
    assert 0 < presence.float().mean() < 1
    torch.testing.assert_close(anchor, expected)


def test_what_is_60_db_below_the_loudest_bin_does_not_count():
    levels = torch.tensor([[0.0, -59.9, -60.1, -200.0]]) + torch.tensor([[30.0]])
    query = 10 ** (levels / 20)
    assert present(query[None]).tolist() == [[[1.0, 1.0, 0.0, 0.0]]]


def test_queries_of_different_lengths_do_not_hear_each_other():
    net, queries = query_net(), some_queries(4, 9, 6)
    inputs, _ = collate(
        [({"magnitude": q[:, :2].numpy(), "query": q.numpy()}, {}) for q in queries]
    )
    assert inputs["lengths"].tolist() == [2, 2, 2]
    assert inputs["query_lengths"].tolist() == [4, 9, 6]
    assert inputs["query"].shape == (3, 6, 9)
    with torch.no_grad():
        together = net(inputs["query"], inputs["query_lengths"])
        alone = [net(q[None], torch.tensor([q.shape[1]]))[0] for q in queries]
    torch.testing.assert_close(together, torch.stack(alone))


def test_bins_do_not_drown_the_anchor(data):
    """When training begins the anchor has as much power as all bins together."""
    system = HierarchicalQBE(**{**TINY, "lr": 1e-30}).fit(*data)
    module = system.net_.module_
    items, scenes = system._accept(data[0]), data[1]
    inputs = [one for one, _ in some_examples(system._dataset(items, scenes))]
    bins = torch.cat(
        [module.frames_of(torch.from_numpy(one["magnitude"])[None]) for one in inputs], 1
    )
    with torch.no_grad():
        batch, _ = collate([(one, {}) for one in inputs])
        anchors = module.query(batch["query"], batch["query_lengths"])
    told = module.gain * anchors
    power = (told.square().sum(-1).mean() / bins.square().sum(-1).mean()).item()
    assert 0.8 < power < 1.3
    assert told.std(0).min() > 1


def test_a_step_of_the_weights_is_a_small_step_of_the_anchor():
    """Also where anchors are means over many bins, and vary little before they are scaled."""
    net, queries = query_net(513), some_queries(*(8,) * 12, n_bins=513)
    batch, lengths = torch.stack(queries), torch.full((12,), 8)
    with torch.no_grad():
        assert net(batch, lengths).std(0).max() < 0.05
        net.standardise_anchors(queries)
        anchors = net(batch, lengths)
        net.embed.weight += 1e-3  # as Adam does, with all of them the same way
        stepped = net(batch, lengths)
    torch.testing.assert_close(anchors.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(anchors.std(0, correction=0), torch.ones(3))
    assert 0 < (stepped - anchors).abs().max() < 0.01


def test_training_hears_the_loudest_stretch():
    magnitude = np.zeros((3, 20), np.float32)
    magnitude[0, 2:5], magnitude[1, 12:15] = 1.0, 1.1
    np.testing.assert_array_equal(loudest_stretch(magnitude, 3), magnitude[:, 12:15])
    np.testing.assert_array_equal(loudest_stretch(magnitude[:, :3], 3), magnitude[:, :3])
    np.testing.assert_array_equal(loudest_stretch(magnitude[:, 18:], 3), magnitude[:, 18:])


@pytest.mark.parametrize("n_frames", [16, 40])
def test_training_hears_a_stretch_of_one_example(data, n_frames):
    """Two examples that swell towards their seam; the second one lasts longer."""
    X, y = data
    t = np.arange(RATE // 2, dtype=np.float32) / RATE
    first = np.sin(2 * np.pi * 500 * t[: RATE // 4]) * t[: RATE // 4] ** 2
    second = np.sin(2 * np.pi * 2000 * t) * t[::-1] ** 2
    system = HierarchicalQBE(**{**TINY, "query_length": n_frames}).fit(X[:1], y[:1])
    asked = [with_query(X[0], query) for query in ([first, second], second)]
    both, *_, longer = (  # a mixture has many examples
        inputs["query"]
        for inputs, _ in some_examples(system._dataset(system._accept(asked), [y[0]] * 2))
    )
    np.testing.assert_array_equal(both, longer)


# ------------------------------------------------------------------------ what a query may be


def test_a_query_is_audio_of_any_form(asked, data, tmp_path):
    mixture = data[0][0]
    sound = np.random.default_rng(0).normal(0, 0.1, 6000).astype(np.float32)
    longer = np.concatenate([np.zeros(4000, np.float32), sound, np.zeros(900, np.float32)])
    path = write_audio(tmp_path / "other.wav", longer, RATE, "FLOAT")
    half = write_audio(tmp_path / "half.wav", sound / 2, RATE, "FLOAT")
    region = Clip(path, start=0.5, duration=0.75)
    queries = [
        sound,
        np.stack([sound, sound]),
        torch.from_numpy(sound),
        region,
        Mixture(longer, RATE).excerpt(0.5, 0.75),
        Mixture(region),
        Mixture(sound),
        half,
        str(half),
        (Clip(half), Clip(half)),
        Anchor(asked.embed([sound])[0]),
        [sound, region],
    ]
    expected, *others = sources_of(asked, *(with_query(mixture, query) for query in queries))
    for found in others:
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(expected - sources_of(asked, mixture)[0]).max() > 1e-4


def test_a_query_has_its_own_rate_and_level(asked, data):
    mixture, t = data[0][0], np.arange(2 * RATE) / (2 * RATE)
    tone = np.sin(2 * np.pi * 440 * t).astype(np.float32)
    queries = [tone[::2], Mixture(tone, 2 * RATE), 1e-4 * tone[::2], tone]
    at_8_khz, at_16_khz, softer, an_octave_lower = asked.embed(queries)
    size = np.linalg.norm(at_8_khz)
    assert np.linalg.norm(at_16_khz - at_8_khz) < 0.05 * size
    assert np.linalg.norm(softer - at_8_khz) < 1e-5 * size
    assert np.linalg.norm(an_octave_lower - at_8_khz) > 0.2 * size
    stereo_at_16_khz = Mixture(np.zeros((2, 3000)) + 0.1, 2 * RATE, query=tone)
    with_rate = with_query(stereo_at_16_khz, Mixture(tone, 2 * RATE))
    by_samples, by_mixture = sources_of(asked, stereo_at_16_khz, with_rate)
    np.testing.assert_array_equal(by_samples, by_mixture)
    assert by_samples.shape == (2, 2, 3000)
    assert sources_of(asked, mixture)[0].shape == (2, RATE)


def test_several_examples_have_the_mean_of_their_anchors(asked, data):
    X, _ = data
    one, other = X[0].query, X[1].query[:3000]
    anchors = asked.embed([one, other, [one, other], [one, Anchor(np.zeros(4))]])
    assert anchors.shape == (4, 4)
    assert anchors.dtype == np.float32
    np.testing.assert_allclose(anchors[2], anchors[:2].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(anchors[3], anchors[0] / 2, rtol=1e-6)
    assert not np.allclose(anchors[0], anchors[1])


def test_anchors_are_queries_and_so_is_what_lies_between(asked, data):
    X, _ = data
    one, other = asked.embed([X[0].query, X[1].query])
    shares = np.linspace(0, 1, 5)
    between = [Anchor((1 - share) * one + share * other) for share in shares]
    sources = sources_of(asked, *(with_query(X[0], anchor) for anchor in between))
    ends = sources_of(asked, X[0], with_query(X[0], X[1].query))
    np.testing.assert_allclose([sources[0], sources[-1]], ends, atol=1e-6)
    for found in sources[1:-1]:
        assert min(np.linalg.norm(found - end) for end in ends) > 0.01


def test_an_array_of_rows_is_so_many_queries(asked, data):
    rows = np.stack([mixture.query for mixture in data[0][:2]])
    np.testing.assert_array_equal(asked.embed(rows), asked.embed(list(rows)))
    assert asked.embed([]).shape == (0, 4)


SILENCE = np.zeros(4000, np.float32)


@pytest.mark.parametrize(
    ("query", "error", "words"),
    [
        (None, InputError, r"X\[1\]: expected a mixture with a query"),
        (SILENCE, InputError, r"X\[1\].query\[0\]: expected an example of a sound, got silence"),
        ([SILENCE + 0.1, SILENCE], InputError, r"X\[1\].query\[1\]: .*got silence"),
        (np.ones(4), InputError, r"X\[1\].query\[0\]: .* 4 samples, 0.0005 s.* Anchor\(values\)"),
        (np.full(4000, np.nan), AudioError, r"X\[1\].query\[0\].*finite"),
        ("no such file.wav", AudioError, r"X\[1\].query\[0\].*no such file.wav"),
        (Anchor(np.zeros(3)), InputError, r"X\[1\].query: expected an anchor of 4 dimensions"),
    ],
)
def test_what_is_no_query_is_refused(asked, data, query, error, words):
    X, y = data
    mixtures = [X[0], with_query(X[1], query)]
    with pytest.raises(error, match=words):
        asked.predict(mixtures)
    if not isinstance(query, Anchor):
        with pytest.raises(error, match=words):
            HierarchicalQBE(**TINY).fit(mixtures, y[:2])


def test_silence_says_so_to_embed_too(asked, tmp_path):
    with pytest.raises(InputError, match=r"queries\[1\].*got silence. Choose a stretch in which"):
        asked.embed([SILENCE + 0.1, SILENCE])
    write_audio(tmp_path / "silence.wav", SILENCE, RATE)
    with pytest.raises(InputError, match=r"the query Mixture\(.*silence.wav.*got silence"):
        asked.embed([tmp_path / "silence.wav"])
    with pytest.raises(InputError, match=r"To pass a single one: \[queries\]"):
        asked.embed(SILENCE)
    with pytest.raises(InputError, match=r"To pass a single one: \[queries\]"):
        asked.embed("sound.wav")


def test_what_embed_returns_is_no_sound(asked, data):
    with pytest.raises(InputError, match=r"queries\[0\]\[0\]: .*got 4 samples.* Anchor\(values\)"):
        asked.embed(asked.embed([data[0][0].query]))


def test_what_a_sampler_asks_can_be_scored_once_it_is_made():
    X, y = make_scenes(6, TREE.leaves, duration=0.5, sample_rate=RATE, random_state=0)
    sampler = QueryMixing(TREE, 4)
    asked = HierarchicalQBE(**TINY, sampler=sampler).fit(X, y)
    with pytest.raises(InputError, match=r"X\[0\]: .*X, y = sampler.apply\(X, y\)"):
        asked.score(X, y)
    assert np.isfinite(asked.score(*sampler.apply(X, y)))


def test_anchors_teach_nothing(data):
    X, y = data
    with pytest.raises(InputError, match=r"X\[0\].query: expected a sound to learn from"):
        HierarchicalQBE(**TINY).fit([with_query(X[0], Anchor(np.zeros(4)))], y[:1])
    asked_of_several = with_query(X[0], [X[0].query, X[1].query])
    assert HierarchicalQBE(**TINY).fit([asked_of_several], y[:1]).n_iter_ == 1


# ------------------------------------------------------------------------ it is listened to


def tones(rng, low, high, n_samples=4000):
    """Return a low and a high tone with random phases and a common, random rhythm."""
    t = np.arange(n_samples) / RATE
    gate = np.repeat(rng.random(8) < 0.7, n_samples // 8)
    return [
        (gate * np.sin(2 * np.pi * (hertz * t + rng.random()))).astype(np.float32) * 0.1
        for hertz in (low, high)
    ]


def test_the_query_tells_what_to_take():
    """Both tones are in each mixture: without the query there is no telling which is meant."""
    rng = np.random.default_rng(0)
    X, y, others = [], [], []
    for k in range(24):
        pair, (low, high) = tones(rng, 500, 1800), tones(rng, 500, 1800)
        which = k % 2
        X.append(Mixture(sum(pair), RATE, query=(low, high)[which]))
        y.append(Scene(("level_1", "level_2"), RATE, np.stack([pair[which], sum(pair)])))
        others.append(pair[1 - which])
    parameters = {**TINY, "hidden_size": 24, "max_epochs": 12, "lr": 0.01}
    system = HierarchicalQBE(**parameters).fit(X[4:], y[4:])
    for mixture, scene, other in zip(X[:4], y[:4], others, strict=False):
        found = system.predict([mixture])[0].source("level_1")
        to_own, to_other = (
            abs(found @ one) / np.linalg.norm(one) for one in (scene.source("level_1"), other)
        )
        assert to_own > 3 * to_other


def test_long_mixtures_hear_their_query_once(data, monkeypatch, tmp_path):
    X, y = data
    system = HierarchicalQBE(**{**TINY, "max_epochs": 3}).fit(X, y)
    long = Mixture(np.concatenate([mixture.audio for mixture in X]), RATE, query=X[0].query)
    whole = system.predict([long])[0]
    system = load(system.save(tmp_path / "model.msa")).set_params(window_seconds=1.5)
    asked, anchor = [], system._anchor
    monkeypatch.setattr(system, "_anchor", lambda examples: asked.append(0) or anchor(examples))
    pieces = list(system.stream(long))
    assert len(pieces) > 2
    assert len(asked) == 1
    joined = np.concatenate([piece.sources for piece in pieces], axis=-1)
    error = np.square(joined - whole.sources).sum(-1) / np.square(whole.sources).sum(-1)
    assert (error < 0.01).all()


# ------------------------------------------------------------------------ levels


def test_one_level_is_separated_of_those_in_the_truth(data):
    X, y = data
    for level in (1, 2):
        system = QueryByExample(level=level, **TINY).fit(X, y)
        (scene,) = system.predict(X[:1])
        assert scene.instruments == system.instruments_ == (f"level_{level}",)
        np.testing.assert_array_equal(scene.residual(X[0]), X[0].audio - scene.sources[0])
        assert np.isfinite(system.score(X, y))
        assert set(system.history_[0]) == {"epoch", "train_loss", f"train_level_{level}"}


def test_the_constraint_holds(data):
    system = HierarchicalQBE(**{**TINY, "max_epochs": 3, "lr": 0.02}).fit(*data)
    for mixture in data[0]:
        (item,) = system._accept([mixture])
        heads = system._look(item.magnitude, system._anchor_of(item))
        assert (np.diff(heads["mask"], axis=0) >= 0).all()
        energy = np.square(system.predict([mixture])[0].sources, dtype=float).sum(-1)
        assert energy[1] >= 10**-0.01 * energy[0]


def test_the_constraint_is_on_by_default_and_searched(data):
    assert HierarchicalQBE().constraint
    grid = GridSearchCV(HierarchicalQBE(**TINY), {"constraint": [False, True]}, cv=2)
    scores = grid.fit(*data).cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert scores[0] != scores[1]


def test_leaves_may_be_missing(data):
    X, y = data
    top = [Scene(("level_2",), RATE, one.sources[1:]) for one in y]
    system = HierarchicalQBE(**TINY).fit(X, [y[0], *top[1:]])
    assert system.instruments_ == ("level_1", "level_2")
    assert HierarchicalQBE(**TINY, leaf_dropout=0.5).fit(X, y).n_iter_ == 1
    of_leaf = QueryByExample(**TINY).fit(X, [y[0], *top[1:]])
    alone = QueryByExample(**TINY).fit(X[:1], y[:1])
    np.testing.assert_array_equal(sources_of(of_leaf, *X), sources_of(alone, *X))


def test_a_sampler_brings_the_queries(leaves, data, tmp_path):
    sampler = QueryMixing(TREE, n_mixes=6, min_level_db=None)
    system = HierarchicalQBE(**{**TINY, "max_epochs": 2}, sampler=sampler, leaf_dropout=0.5)
    system.fit(*leaves, X_val=data[0], y_val=data[1])
    assert system.instruments_ == ("level_1", "level_2")
    assert "valid_level_1" in system.history_[1]
    with pytest.raises(InputError, match=r"X\[0\]: expected a mixture with a query"):
        system.predict(leaves[0])
    copy = load(system.save(tmp_path / "model.msa"))
    assert copy.sampler.hierarchy == TREE
    np.testing.assert_array_equal(sources_of(copy, *data[0]), sources_of(system, *data[0]))
    passes = HierarchicalQBE(**TINY, sampler=sampler)
    assert passes.partial_fit(*leaves).partial_fit(*leaves).n_iter_ == 2
    X_val = [with_query(data[0][0], None), *data[0][1:]]
    with pytest.raises(InputError, match=r"X_val\[0\]: expected a mixture with a query"):
        system.fit(*leaves, X_val=X_val, y_val=data[1])


@pytest.mark.parametrize(
    ("cls", "parameters", "words"),
    [
        (QueryByExample, {"level": 3}, r"level=\): expected one of level_1, level_2, .* got 3"),
        (QueryByExample, {"level": 0}, r"level=\)"),
        (
            QueryByExample,
            {"query_level": 2},
            "queries of level_1, the lowest level .*query_level=2",
        ),
        (HierarchicalQBE, {"query_level": 2}, "does not say which target is meant"),
        (HierarchicalQBE, {"leaf_dropout": 1.5}, r"leaf_dropout=\)"),
        (HierarchicalQBE, {"embedding_size": 0}, r"embedding_size=\)"),
    ],
)
def test_misuse_is_refused(leaves, cls, parameters, words):
    of_queries = {"query_level": 1, **parameters}["query_level"]
    sampler = QueryMixing(TREE, min_level_db=None, query_level=of_queries)
    own = {name: value for name, value in parameters.items() if name != "query_level"}
    with pytest.raises(ParameterError, match=words):
        cls(**{**TINY, **own}, sampler=sampler).fit(*leaves)


def test_queries_may_be_as_broad_as_the_target(leaves):
    sampler = QueryMixing(TREE, min_level_db=None, query_level=2)
    system = QueryByExample(level=2, **TINY, sampler=sampler).fit(*leaves)
    assert system.instruments_ == ("level_2",)


@pytest.mark.parametrize("cls", [QueryByExample, HierarchicalQBE])
def test_the_preset_is_that_of_the_paper(cls):
    expected = {
        "hidden_size": 600,
        "n_layers": 4,
        "query_size": 600,
        "query_layers": 2,
        "query_length": 626,
        "embedding_size": 20,
        "dropout": 0.3,
        "sequence_length": 626,
        "max_epochs": 100,
        "batch_size": 25,
        "lr": 1e-4,
        "lr_schedule": "halve",
        "max_grad_norm": "autoclip",
    }
    assert cls.from_preset("chapter2").get_params().items() >= expected.items()
