"""One path of a hierarchy: nested masks, levels that are unknown, and what comes out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

from msa_sk import (
    STFT,
    CoherentMixing,
    Hierarchy,
    Mixture,
    QueryMixing,
    Scene,
    SourceSpecificSeparator,
    load,
)
from msa_sk.base import only
from msa_sk.datasets import make_scenes, scenes_along
from msa_sk.exceptions import InputError, InstrumentError, ParameterError
from msa_sk.neural.levels import LeafDropout
from msa_sk.nn.levels import LevelLoss, nest

RATE = 8000
TREE = Hierarchy.from_dict({"strings": {"keys": {"piano": 0}, "plucked": {"guitar": 24}}})
TINY = {
    "hidden_size": 8,
    "n_layers": 1,
    "max_epochs": 1,
    "validation_fraction": 0,
    "transformer": STFT(sample_rate=RATE, n_fft=256, hop_length=64),
    "random_state": 0,
    "device": "cpu",
    "verbose": 0,
}
STATIONARY = {"max_grad_norm": None, "lr_schedule": "constant"}


@pytest.fixture(scope="module")
def leaves():
    return make_scenes(4, duration=1.0, sample_rate=RATE, random_state=0)


@pytest.fixture(scope="module")
def data(leaves):
    X, y = scenes_along(TREE, "guitar", *leaves)
    # The top level of the tree is all that there is; a noise besides makes a residual.
    noise = np.random.default_rng(0).normal(0, 0.01, RATE).astype(np.float32)
    return [replace(mixture, audio=mixture.audio + noise) for mixture in X], y


def fitted(data, **parameters):
    return SourceSpecificSeparator(**{**TINY, **parameters}).fit(*data)


def masks_of(separator, mixture):
    magnitude = separator._accept([mixture])[0].magnitude
    (heads,) = separator._heads([{"magnitude": magnitude}], ["mask"])
    return heads["mask"]


def energy_db(sounds):
    return 10 * np.log10(np.square(np.abs(sounds), dtype=float).sum(axis=(-2, -1)))


# ------------------------------------------------------------------------ the constraint


def test_nested_masks_are_the_running_maximum():
    masks = torch.rand(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    nested = nest(masks)
    np.testing.assert_array_equal(nested, np.maximum.accumulate(masks.numpy(), axis=1))
    assert bool((nested.diff(dim=1) >= 0).all())
    ordered = masks.sort(dim=1).values
    np.testing.assert_array_equal(nest(ordered), ordered)  # what is in order stays


@pytest.mark.parametrize(
    ("own", "below", "asked", "expected"),
    [
        (0.7, 0.2, +1.0, (1.0, 0.0)),  # it has the bin: all of the gradient is its own
        (0.7, 0.2, -1.0, (-1.0, 0.0)),
        (0.2, 0.7, +1.0, (0.0, 1.0)),  # to be less, it is the level below that has to fall
        (0.2, 0.7, -1.0, (-1.0, -1.0)),  # to be more, either may rise
        (0.5, 0.5, +1.0, (1.0, 0.0)),
    ],
)
def test_gradients_where_a_level_wins_and_where_it_loses(own, below, asked, expected):
    masks = torch.tensor([below, own]).reshape(1, 2, 1, 1).requires_grad_()
    (nest(masks)[0, 1] * asked).sum().backward()
    gradient = masks.grad.flatten().tolist()
    assert gradient == [expected[1], expected[0]]


@pytest.mark.parametrize("order", ["above", "below", "mixed"])
def test_gradients_flow_to_all_levels(order):
    """Where more is asked of every level it reaches each in every bin, whoever has lost it."""
    masks = 0.1 + 0.8 * torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    if order != "mixed":
        masks = masks.sort(dim=1, descending=order == "below").values
    masks.requires_grad_()
    (1 - nest(masks)).abs().sum().backward()
    assert bool((masks.grad < 0).all())


def test_a_level_that_has_lost_a_bin_wins_it_back():
    """With a mere maximum the two errors would pull at the lower mask with equal force."""
    scores = torch.tensor([0.4, -0.4]).reshape(1, 2, 1, 1).requires_grad_()
    wanted = torch.tensor([0.1, 0.9]).reshape(1, 2, 1, 1)
    optimizer = torch.optim.Adam([scores], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        (nest(torch.sigmoid(scores)) - wanted).abs().sum().backward()
        optimizer.step()
    torch.testing.assert_close(nest(torch.sigmoid(scores)), wanted, atol=0.05, rtol=0)


def test_a_trained_model_keeps_the_constraint(data):
    separator = fitted(data, constraint=True, max_epochs=3, lr=0.02)
    for mixture in data[0]:
        masks = masks_of(separator, mixture)
        assert (np.diff(masks, axis=0) >= 0).all()
        spectrum = separator._accept([mixture])[0].stft
        assert (np.diff(energy_db(masks * spectrum)) >= 0).all()
        sources = separator.predict([mixture])[0].sources[:, None]
        assert (np.diff(energy_db(sources)) >= -0.1).all()


def test_every_head_learns_under_the_constraint(data):
    before, after = (
        fitted(data, constraint=True, lr=lr).net_.module_.heads["mask"].linear.weight.detach()
        for lr in (1e-30, 1e-2)
    )
    changed = (after - before).abs().unflatten(0, (3, -1)).amax(dim=(1, 2))
    assert bool((changed > 1e-3).all())


def test_without_the_constraint_masks_are_free(data):
    separator = fitted(data, max_epochs=3, lr=0.02)
    assert (np.diff(masks_of(separator, data[0][0]), axis=0) < 0).any()


# ------------------------------------------------------------------------ one network or three


def test_networks_for_single_levels_share_nothing(data):
    """What one learns does not depend on the truth of the others; in one network it does."""
    X, y = data
    turned = [replace(one, sources=one.sources * np.float32([[1], [1], [0.5]])) for one in y]

    def lowest(scenes, levels):
        separator = fitted((X, scenes), levels=levels, **STATIONARY)
        return separator.predict(X[:1])[0].source("level_1")

    np.testing.assert_array_equal(lowest(y, "single"), lowest(turned, "single"))
    assert not np.array_equal(lowest(y, "multi"), lowest(turned, "multi"))


def test_single_levels_have_a_network_each(data):
    single, multi = (fitted(data, levels=levels).net_ for levels in ("single", "multi"))
    shapes = [weight.shape for weight in multi.module_.body.parameters()]
    for network in single.module_.networks:
        assert [weight.shape for weight in network.body.parameters()] == shapes
        assert network.heads["mask"].n_levels == 1
    assert len(single.module_.networks) == multi.module_.heads["mask"].n_levels == 3
    assert single.history[-1, "train_batch_count"] == multi.history[-1, "train_batch_count"]


# ------------------------------------------------------------------------ the loss


def loss_of(shared, has_leaf):
    """Return the terms for two examples; masked magnitudes miss by 0.1 (leaf) and 0.4."""
    n_examples, shape = len(has_leaf), (1, 1)
    target = {
        "magnitude": torch.ones(n_examples, *shape),
        "lengths": torch.ones(n_examples),
        "mask_target": torch.zeros(n_examples, 2, *shape),
        "has_level_1": torch.tensor(has_leaf),
        "has_level_2": torch.ones(n_examples),
    }
    masks = torch.tensor([0.1, 0.4]).reshape(1, 2, *shape).expand(n_examples, -1, -1, -1)
    terms = LevelLoss(("level_1", "level_2"), shared)({"mask": masks}, target)
    return {name: pytest.approx(float(term)) for name, term in terms.items()}


@pytest.mark.parametrize(
    ("shared", "has_leaf", "expected"),
    [
        (True, [1.0, 1.0], {"level_1": 0.05, "level_2": 0.2}),
        # The mean over the examples of (0.1 + 0.4) / 2 and of 0.4 alone.
        (True, [1.0, 0.0], {"level_1": 0.025, "level_2": 0.3}),
        (True, [0.0, 0.0], {"level_2": 0.4}),
        # Each level's own mean: the leaf's absence says nothing to the other network.
        (False, [1.0, 1.0], {"level_1": 0.05, "level_2": 0.2}),
        (False, [1.0, 0.0], {"level_1": 0.05, "level_2": 0.2}),
        (False, [0.0, 0.0], {"level_2": 0.2}),
    ],
)
def test_the_loss_is_a_mean_over_the_levels_that_are_known(shared, has_leaf, expected):
    assert loss_of(shared, has_leaf) == expected


def test_terms_add_up_to_the_loss(data):
    (row,) = fitted(data).history_
    assert row["train_loss"] == pytest.approx(sum(row[f"train_level_{k}"] for k in (1, 2, 3)))


# ------------------------------------------------------------------------ leaves that are missing


def leaves_in(dataset):
    return ["level_1" in scene.instruments for scene in dataset.scenes]


def test_a_share_of_the_leaves_is_left_out(data):
    X, y = data[0] * 3, data[1] * 3
    separator = SourceSpecificSeparator(**TINY, leaf_dropout=0.75)
    items, scenes = separator._begin(X, y)
    known = leaves_in(separator._training_set(items, scenes, seed=3))
    assert (len(known), sum(known)) == (12, 3)
    assert leaves_in(separator._training_set(items, scenes, seed=3)) == known
    assert leaves_in(separator._training_set(items, scenes, seed=4)) != known
    assert all(leaves_in(separator._dataset(items, scenes)))  # those that are held out
    assert all("level_1" in scene.instruments for scene in y)


def test_some_leaf_is_always_left(data):
    separator = SourceSpecificSeparator(**TINY, leaf_dropout=0.99)
    assert sum(leaves_in(separator._training_set(*separator._begin(*data), seed=0))) == 1


def test_missing_leaves_leave_the_number_of_steps_as_it_is(data):
    some, all_known = (fitted(data, leaf_dropout=share) for share in (0.5, 0.0))
    steps = [one.net_.history[-1, "train_batch_count"] for one in (some, all_known)]
    assert steps[0] == steps[1]
    assert some.history_[0]["train_level_2"] > all_known.history_[0]["train_level_2"]


def test_a_leaf_that_is_not_listed_has_no_say(data):
    """Not even as silence."""
    X, y = data
    blank = [replace(one, sources=one.sources * np.float32([[0], [1], [1]])) for one in y]
    without = [
        Scene(one.instruments[1:], one.sample_rate, tuple(one.sources[1:])) for one in y[1:]
    ]
    kept = fitted((X, [y[0], *without]), **STATIONARY).predict(X[:1])[0].sources
    silent = fitted((X, [y[0], *blank[1:]]), **STATIONARY).predict(X[:1])[0].sources
    assert kept.shape == silent.shape
    assert not np.array_equal(kept, silent)


def test_a_sampler_leaves_the_same_leaves_out_in_each_epoch(leaves):
    X, y = leaves[0] * 2, leaves[1] * 2
    draws = QueryMixing(TREE, n_mixes=40, min_level_db=None).prepare(X, y, seed=0)
    some = LeafDropout(draws, 0.5, seed=0)
    fates = {}
    for epoch in range(3):
        for index, scene in enumerate(some.epoch(epoch)[1]):
            fates.setdefault(draws.picks(epoch, index)[0], set()).add(scene.instruments[0])
    assert all(len(fate) == 1 for fate in fates.values())
    for leaf in TREE.leaves:
        known = [fate == {"level_1"} for (_, name), fate in fates.items() if name == leaf]
        assert (len(known), sum(known)) == (8, 4)


def test_a_sampler_makes_levels_of_leaves(leaves):
    sampler = QueryMixing(TREE, n_mixes=4, min_level_db=None, leaves=["guitar"])
    separator = fitted(leaves, sampler=sampler, leaf_dropout=0.5)
    assert separator.instruments_ == ("level_1", "level_2", "level_3")


# ------------------------------------------------------------------------ what comes out


def test_levels_come_leaf_first_and_the_residual_is_without_the_top(data):
    X, y = data
    shuffled = [
        Scene(one.instruments[::-1], one.sample_rate, one.sources[::-1].copy()) for one in y
    ]
    estimate = fitted((X, shuffled)).predict(X[:1])[0]
    assert estimate.instruments == ("level_1", "level_2", "level_3")
    expected = X[0].audio - estimate.source("level_3")
    np.testing.assert_array_equal(estimate.residual(X[0]), expected)
    np.testing.assert_array_equal(estimate.sources, fitted(data).predict(X[:1])[0].sources)


def test_the_truth_has_the_same_residual(data):
    X, y = data
    noise = X[0].audio - y[0].source("level_3")
    np.testing.assert_allclose(y[0].residual(X[0]), noise, atol=1e-7)


def test_more_levels_than_nine_stay_in_order():
    names = [f"level_{k}" for k in range(1, 12)]
    noise = np.random.default_rng(0).normal(0, 0.1, (11, 2000)).astype(np.float32).cumsum(0)
    X, y = [Mixture(noise[-1], RATE)], [Scene(sorted(names), RATE, noise)]
    assert fitted((X, y)).instruments_ == tuple(names)


@pytest.mark.parametrize(
    ("level", "expected"), [(1, 1.0), (1.4, 1.4), (2, 2.0), (2.5, 3.0), (3, 4.0)]
)
def test_blending_crossfades_neighbours_by_gain(level, expected):
    scene = Scene(("level_2", "level_1", "level_3"), RATE, np.float32([[2, 2], [1, 1], [4, 4]]))
    np.testing.assert_allclose(scene.blend(level), [expected] * 2, rtol=1e-6)
    assert scene.blend(level).dtype == np.float32


def test_blending_keeps_channels_and_skips_levels_that_are_missing():
    sources = np.stack([np.full((2, 5), value, np.float32) for value in (1, 5)])
    scene = Scene(("level_1", "level_3"), RATE, sources)
    np.testing.assert_allclose(scene.blend(2), np.full((2, 5), 3.0))


def test_an_only_level_is_its_own_blend():
    scene = Scene(("level_3",), RATE, np.ones((1, 4), np.float32))
    np.testing.assert_array_equal(scene.blend(3), np.ones(4))
    np.testing.assert_array_equal(scene.blend(3.0), np.ones(4))


@pytest.mark.parametrize(
    ("instruments", "level", "error", "words"),
    [
        (("level_3",), 1.4, ParameterError, "expected 3, the scene's only level, got 1.4"),
        (("level_1", "level_2"), 0.9, ParameterError, r"range \[1.0, 2.0\], got 0.9"),
        (("level_1", "level_2"), 2.1, ParameterError, "got 2.1"),
        (("level_1", "level_2"), float("nan"), ParameterError, "got nan"),
        (("level_1", "level_2"), "top", ParameterError, "got 'top'"),
        (("level_1", "piano"), 1, InstrumentError, "levels of a hierarchy"),
        (("level_1", "level_02"), 1, InstrumentError, "levels of a hierarchy"),
        ((), 1, InstrumentError, "got no sources"),
    ],
)
def test_what_cannot_be_blended_is_refused(instruments, level, error, words):
    scene = Scene(instruments, RATE, np.zeros((len(instruments), 4), np.float32))
    with pytest.raises(error, match=words):
        scene.blend(level)


# ------------------------------------------------------------------------ like any estimator


def test_the_constraint_is_searched(data):
    grid = GridSearchCV(SourceSpecificSeparator(**TINY), {"constraint": [False, True]}, cv=2)
    grid.fit(*data)
    scores = grid.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    assert scores[0] != scores[1]


@pytest.mark.parametrize("levels", ["single", "multi"])
def test_long_mixtures_are_heard_in_windows(data, levels, tmp_path):
    X, y = data
    separator = fitted(data, levels=levels, constraint=levels == "multi", max_epochs=3)
    long = Mixture(np.concatenate([mixture.audio for mixture in X]), RATE)
    whole = separator.predict([long])[0]
    separator = load(separator.save(tmp_path / "model.msa")).set_params(window_seconds=1.5)
    pieces = separator.predict([long])[0]
    assert whole.instruments == pieces.instruments == ("level_1", "level_2", "level_3")
    difference = energy_db((whole.sources - pieces.sources)[None])
    assert (difference < energy_db(whole.sources[None]) - 20).all()
    (folder,) = separator.predict_to_files([long], tmp_path / "out", instruments=["level_2"])
    assert sorted(path.name for path in folder.iterdir()) == ["level_2.wav", "scene.json"]


def test_the_preset_is_that_of_the_paper():
    paper = SourceSpecificSeparator.from_preset("chapter2", levels="single")
    expected = {
        "levels": "single",
        "constraint": False,
        "leaf_dropout": 0.0,
        "hidden_size": 600,
        "n_layers": 4,
        "dropout": 0.3,
        "sequence_length": 626,
        "max_epochs": 100,
        "batch_size": 25,
        "lr": 1e-4,
        "lr_schedule": "halve",
        "max_grad_norm": "autoclip",
    }
    assert paper.get_params().items() >= expected.items()
    assert 626 == 1 + 10 * 16000 // 256
    with pytest.raises(ParameterError, match="Did you mean 'constraint'"):
        SourceSpecificSeparator.from_preset("chapter2", constrain=True)


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"levels": "single", "constraint": True}, ParameterError, "networks know nothing of"),
        ({"levels": "both"}, ParameterError, r"SourceSpecificSeparator\(levels=\)"),
        ({"leaf_dropout": 1.0}, ParameterError, r"leaf_dropout=\).*\[0.0, 1.0\)"),
        ({"sampler": CoherentMixing()}, InputError, "none is part of another"),
        ({"sampler": QueryMixing(TREE, leaves=["piano"])}, InputError, "Mix the scenes of leaves"),
    ],
)
def test_misuse_is_refused(data, parameters, error, words):
    with pytest.raises(error, match=words):
        fitted(data, **parameters)


def test_scenes_of_leaves_are_refused(leaves):
    with pytest.raises(InstrumentError, match="level_1 .the leaf., .* got guitar, piano. .*along"):
        fitted(leaves)
    sampler = CoherentMixing()
    with pytest.raises(InstrumentError, match="got guitar, piano"):
        fitted(leaves, sampler=sampler)
    with pytest.raises(InstrumentError, match="got source_0, source_1"):
        fitted(([one.audio for one in leaves[0]], [one.sources for one in leaves[1]]))


def test_scenes_without_sound_are_refused(data):
    X, y = data
    unknown = [replace(one, sources=None) for one in y]
    with pytest.raises(InputError, match="y: expected a scene with the sound of level_1"):
        fitted((X, unknown))
    no_leaf = [only(one, one.instruments[1:]) for one in y[1:]]
    with pytest.raises(InputError, match="y: .* to train on with the sound of level_1, got none"):
        fitted((X, [unknown[0], *no_leaf]))
    mixed = fitted((X, [unknown[0], *y[1:]]))
    np.testing.assert_array_equal(
        mixed.predict(X[:1])[0].sources, fitted((X[1:], y[1:])).predict(X[:1])[0].sources
    )


def test_one_path_is_asked_of_a_sampler():
    X, y = make_scenes(4, ("piano", "guitar"), duration=0.5, sample_rate=RATE, random_state=0)
    tree = Hierarchy.from_dict({"strings": {"piano": 0, "guitar": 24}})
    for leaves in (None, ["piano", "guitar"]):
        separator = SourceSpecificSeparator(sampler=QueryMixing(tree, 4, leaves=leaves), verbose=0)
        with pytest.raises(ParameterError, match="a sampler that asks for one leaf"):
            separator.fit(X, y)
