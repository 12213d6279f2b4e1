"""Bodies, heads and losses: shapes, invariants, and the naive formulas they equal."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from msa_sk.nn.bodies import BLSTM, InputNorm
from msa_sk.nn.heads import EmbeddingHead, MaskHead, RollHead, unit_length
from msa_sk.nn.losses import (
    deep_clustering_loss,
    frame_mask,
    mask_loss,
    roll_loss,
    whitened_clustering_loss,
)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def embeddings(*shape, seed=0):
    points = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return nn.functional.normalize(points, dim=-1)


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------------- the bodies


def test_padding_does_not_leak_into_a_packed_sequence():
    body = BLSTM(n_inputs=5, hidden_size=4, n_layers=2)
    frames, lengths = uniform(3, 12, 5), torch.tensor([12, 7, 1])
    features = body(frames, lengths)
    assert features.shape == (3, 12, body.n_features) == (3, 12, 8)
    for i, length in enumerate(lengths.tolist()):
        alone = body(frames[i : i + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(features[i : i + 1, :length], alone, rtol=0, atol=1e-6)
        assert not features[i, length:].any()
    padded = frames.clone()
    padded[1, 7:] = 1e6
    padded[2, 1:] = torch.nan
    torch.testing.assert_close(body(padded, lengths), features, rtol=0, atol=0)


def test_inputs_are_normalized_as_torch_does():
    ours, theirs = InputNorm(5), nn.BatchNorm1d(5)
    for seed in range(3):
        rows = uniform(7, 4, 5, seed=seed) * torch.arange(5) - 2
        outputs, expected = ours(rows), theirs(rows.flatten(0, 1)).reshape(7, 4, 5)
        torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.mean, theirs.running_mean)
    assert not outputs[..., 0].any(), "an input that never changes is 0"
    # Theirs estimates the variance without bias.
    variance = (theirs.running_var - 0.9**3) * 27 / 28 + 0.9**3
    torch.testing.assert_close(ours.variance, variance)
    rows = uniform(2, 5)
    expected = (rows - ours.mean) / (ours.variance + 1e-5).sqrt()
    torch.testing.assert_close(ours.eval()(rows), expected)


def test_padding_is_not_normalized_by():
    frames, lengths = uniform(2, 9, 5), torch.tensor([9, 4])
    body = BLSTM(5, 4, n_layers=1, batch_norm=True)
    features = body(frames, lengths)
    true = torch.cat([frames[0], frames[1, :4]])
    torch.testing.assert_close(body.norm.mean, 0.1 * true.mean(0))
    padded = frames.clone()
    padded[1, 4:] = torch.nan
    torch.testing.assert_close(body(padded, lengths), features, rtol=0, atol=0)


def test_the_last_frame_hears_the_first_and_the_first_the_last():
    body = BLSTM(n_inputs=2, hidden_size=3, n_layers=1)
    frames = uniform(1, 6, 2).requires_grad_()
    features = body(frames, torch.tensor([6]))
    for target, source in ((5, 0), (0, 5)):
        (gradient,) = torch.autograd.grad(features[0, target].sum(), frames, retain_graph=True)
        assert gradient[0, source].abs().sum() > 0


def test_dropout_acts_between_layers_in_training_only():
    frames, lengths = uniform(1, 9, 5), torch.tensor([9])
    body = BLSTM(5, 4, n_layers=2, dropout=0.5)
    assert (body(frames, lengths) != body(frames, lengths)).any()
    body.eval()
    torch.testing.assert_close(body(frames, lengths), body(frames, lengths), rtol=0, atol=0)
    alone = BLSTM(5, 4, n_layers=1, dropout=0.5)  # torch would warn of dropout after one layer
    torch.testing.assert_close(alone(frames, lengths), alone(frames, lengths), rtol=0, atol=0)


# ----------------------------------------------------------------------------- the heads


def test_embeddings_have_unit_length():
    head = EmbeddingHead(n_features=6, n_bins=5, n_dimensions=4)
    points = head(10 * torch.randn(2, 7, 6))
    assert points.shape == (2, 7, 5, 4)
    torch.testing.assert_close(points.norm(dim=-1), torch.ones(2, 7, 5))
    assert (points >= 0).all()  # of a sigmoid


def test_embeddings_begin_apart():
    """A sigmoid lets all be positive, and small weights then let all be the same."""
    features = 0.3 * torch.randn(50, 64)  # as a recurrent layer gives them before training

    def angle(**spread):
        points = EmbeddingHead(n_features=64, n_bins=30, n_dimensions=20, **spread)(features)
        centre = points.mean(dim=(0, 1))
        cosines = points @ (centre / centre.norm())
        return float(torch.rad2deg(torch.arccos(cosines.detach().median())))

    assert angle(spread=1) < 6
    assert angle() > 15


def test_unit_length_is_normalize_and_so_is_its_gradient():
    points = torch.randn(3, 4, 5, dtype=torch.double, requires_grad=True)
    unit = unit_length(points)
    torch.testing.assert_close(unit, nn.functional.normalize(points, dim=-1))
    assert torch.autograd.gradcheck(unit_length, points)
    along = (torch.autograd.grad((unit**3).sum(), points)[0] * points).sum(-1)
    torch.testing.assert_close(along, torch.zeros_like(along))  # length makes no difference


def test_a_point_at_the_origin_stays_there():
    points = torch.zeros(2, 3, requires_grad=True)
    unit = unit_length(points)
    assert not unit.any()
    unit.sum().backward()
    assert torch.isfinite(points.grad).all()


def test_embeddings_are_of_unit_length_also_under_autocast():
    head = EmbeddingHead(n_features=6, n_bins=50, n_dimensions=20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        points = head(torch.randn(1, 70, 6))
        points[..., 0].sum().backward()
    assert points.dtype == torch.float32
    torch.testing.assert_close(points.norm(dim=-1), torch.ones(1, 70, 50), rtol=0, atol=1e-6)
    assert torch.isfinite(head.linear.weight.grad).all()


def test_masks_add_up_to_one():
    head = MaskHead(n_features=6, n_bins=5, n_sources=3)
    masks = head(10 * torch.randn(2, 7, 6))
    assert masks.shape == (2, 3, 5, 7)
    torch.testing.assert_close(masks.sum(dim=1), torch.ones(2, 5, 7))
    assert ((masks >= 0) & (masks <= 1)).all()


def test_rolls_start_at_their_prior():
    head = RollHead(n_features=6, n_pitches=88, n_sources=2, prior=0.1)
    assert head(torch.randn(2, 7, 6)).shape == (2, 2, 88, 7)
    rest = torch.sigmoid(head(torch.zeros(1, 1, 6)))
    torch.testing.assert_close(rest, torch.full((1, 2, 88, 1), 0.1))


@pytest.mark.parametrize("make", [MaskHead, RollHead])
def test_axes_are_the_right_ones(make):
    """The head of one source, pitch and frame depends on that frame's features only."""
    head = make(3, 4, 2)
    features = torch.randn(1, 5, 3)
    before = head(features)
    features[0, 2] += 1
    changed = (head(features) != before)[0]
    assert changed[:, :, 2].all()
    assert not changed[:, :, [0, 1, 3, 4]].any()
    flat = head.linear(features)[0, 2].reshape(2, 4)
    expected = torch.softmax(flat, dim=0) if make is MaskHead else flat
    torch.testing.assert_close(head(features)[0, :, :, 2], expected)


# ------------------------------------------------------------------------ deep clustering


def naive_deep_clustering(embedding, dominant, weight, n_sources):
    """Eq. 3.1 with the matrices of all pairs of bins."""
    losses = []
    for v, d, w in zip(
        embedding.flatten(1, 2), dominant.flatten(1), weight.flatten(1), strict=True
    ):
        y = nn.functional.one_hot(d, n_sources).to(v.dtype)
        pairs = w[:, None] * w[None, :]
        losses.append((pairs * (v @ v.T - y @ y.T) ** 2).sum() / w.sum() ** 2)
    return torch.stack(losses)


@given(
    st.integers(0, 1000),
    st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 6)),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_deep_clustering_equals_the_naive_formula(seed, shape, n_sources, n_dimensions):
    v = embeddings(*shape, n_dimensions, seed=seed)
    dominant = (uniform(*shape, seed=seed) * n_sources).long()
    weight = uniform(*shape, seed=seed + 1) + 0.01
    loss = deep_clustering_loss(v, dominant, weight, n_sources)
    assert loss.shape == shape[:1]
    torch.testing.assert_close(
        loss, naive_deep_clustering(v, dominant, weight, n_sources), rtol=1e-4, atol=1e-6
    )


def test_its_gradient_is_that_of_the_naive_formula():
    v = embeddings(2, 4, 5, 3).requires_grad_()
    dominant, weight = (uniform(2, 4, 5) * 2).long(), uniform(2, 4, 5, seed=1)
    gradients = [
        torch.autograd.grad(loss(v, dominant, weight, 2).sum(), v)[0]
        for loss in (deep_clustering_loss, naive_deep_clustering)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_its_gradient_is_the_slope():
    v, dominant, weight = embeddings(1, 3, 4, 2), (uniform(1, 3, 4) * 2).long(), uniform(1, 3, 4)
    v.requires_grad_()
    (gradient,) = torch.autograd.grad(deep_clustering_loss(v, dominant, weight, 2).sum(), v)
    direction, step = torch.randn(v.shape), 1e-2
    up, down = (
        deep_clustering_loss(v.detach() + sign * step * direction, dominant, weight, 2).item()
        for sign in (1, -1)
    )
    assert (up - down) / (2 * step) == pytest.approx((gradient * direction).sum().item(), rel=0.02)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 5))
def test_its_gradient_passes_gradcheck(seed, n_sources, n_dimensions):
    shape = (2, 3, 4)
    points = 2 * uniform(*shape, n_dimensions, seed=seed).double() - 1
    dominant = (uniform(*shape, seed=seed) * n_sources).long()
    weight = uniform(*shape, seed=seed + 1).double().round(decimals=1)  # some are 0

    def loss(points):
        return deep_clustering_loss(unit_length(points), dominant, weight, n_sources)

    assert torch.autograd.gradcheck(loss, points.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda v: deep_clustering_loss(v, dominant, weight, n_sources), points
    )


def test_single_precision_is_enough_for_its_gradient():
    points = uniform(2, 100, 500, 20).requires_grad_()
    dominant, weight = (uniform(2, 100, 500) * 3).long(), uniform(2, 100, 500, seed=1)

    def gradient(points):
        loss = deep_clustering_loss(unit_length(points), dominant, weight.to(points.dtype), 3)
        return torch.autograd.grad(loss.sum(), points)[0]

    exact = gradient(points.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        amid_autocast = gradient(points)
    for single in (gradient(points), amid_autocast):
        assert (single - exact).norm() < 1e-5 * exact.norm()


def test_its_gradient_has_no_gradient():
    v, dominant, weight = embeddings(1, 3, 4, 2), (uniform(1, 3, 4) * 2).long(), uniform(1, 3, 4)
    loss = deep_clustering_loss(v.requires_grad_(), dominant, weight, 2)
    (gradient,) = torch.autograd.grad(loss.square().sum(), v, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_perfect_and_worst_embeddings():
    dominant = torch.tensor([[[0, 0, 1, 1]]])
    weight = torch.ones(1, 1, 4)
    axes = torch.eye(2)
    perfect = deep_clustering_loss(axes[dominant], dominant, weight, 2)
    torch.testing.assert_close(perfect, torch.zeros(1), rtol=0, atol=1e-6)
    swapped = deep_clustering_loss(axes[1 - dominant], dominant, weight, 2)
    torch.testing.assert_close(swapped, torch.zeros(1), rtol=0, atol=1e-6)
    # All at one point: the half of the pairs that belong to two sources are wrong by 1.
    together = deep_clustering_loss(axes[torch.zeros_like(dominant)], dominant, weight, 2)
    torch.testing.assert_close(together, torch.tensor([0.5]))


def test_bins_of_no_weight_have_no_influence():
    v, dominant, weight = embeddings(1, 6, 5, 3), (uniform(1, 6, 5) * 2).long(), uniform(1, 6, 5)
    weight[:, 4:] = 0
    loss = deep_clustering_loss(v, dominant, weight, 2)
    short = deep_clustering_loss(v[:, :4], dominant[:, :4], weight[:, :4], 2)
    torch.testing.assert_close(loss, short)
    changed = v.clone()
    changed[:, 4:] = embeddings(1, 2, 5, 3, seed=7)
    torch.testing.assert_close(deep_clustering_loss(changed, dominant, weight, 2), loss)
    v.requires_grad_()
    (gradient,) = torch.autograd.grad(deep_clustering_loss(v, dominant, weight, 2).sum(), v)
    assert not gradient[:, 4:].any()
    assert gradient[:, :4].abs().sum() > 0


def test_where_no_bin_counts_the_loss_is_zero_and_the_gradient_finite():
    v = embeddings(2, 3, 4, 2).requires_grad_()
    weight = torch.stack([torch.zeros(3, 4), torch.ones(3, 4)])
    loss = deep_clustering_loss(v, torch.zeros(2, 3, 4, dtype=torch.long), weight, 2)
    assert loss[0] == 0
    loss.sum().backward()
    assert torch.isfinite(v.grad).all()
    assert not v.grad[0].any()


def test_where_all_embeddings_are_one_the_gradient_vanishes():
    """It is along the embedding then: training begins at a saddle, and near it."""
    points = torch.ones(1, 3, 4, 5, requires_grad=True)
    dominant, weight = (uniform(1, 3, 4) * 2).long(), torch.ones(1, 3, 4)
    (gradient,) = torch.autograd.grad(
        deep_clustering_loss(unit_length(points), dominant, weight, 2).sum(), points
    )
    torch.testing.assert_close(gradient, torch.zeros_like(points), rtol=0, atol=1e-7)


@pytest.mark.parametrize("loss", [deep_clustering_loss, whitened_clustering_loss])
def test_clusters_have_no_order(loss):
    v, dominant, weight = embeddings(2, 4, 5, 6), (uniform(2, 4, 5) * 3).long(), uniform(2, 4, 5)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(loss(v, order[dominant], weight, 3), loss(v, dominant, weight, 3))


@pytest.mark.parametrize("factor", [1e-6, 0.5, 1e6])
def test_the_scale_of_the_weights_does_not_matter(factor):
    v, dominant, weight = embeddings(1, 3, 4, 2), (uniform(1, 3, 4) * 2).long(), uniform(1, 3, 4)
    torch.testing.assert_close(
        deep_clustering_loss(v, dominant, factor * weight, 2),
        deep_clustering_loss(v, dominant, weight, 2),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_it_is_computed_in_single_precision(dtype):
    """Its terms nearly cancel; also under autocast."""
    v = embeddings(1, 50, 60, 20).to(dtype)
    dominant, weight = (uniform(1, 50, 60) * 3).long(), uniform(1, 50, 60, seed=1)
    exact = deep_clustering_loss(v.double(), dominant, weight.double(), 3)
    half = deep_clustering_loss(v, dominant, weight, 3)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact.float(), rtol=1e-4, atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(deep_clustering_loss(v, dominant, weight, 3), half)


def test_a_million_bins_need_no_matrix_of_pairs():
    v = embeddings(1, 1000, 500, 4)
    weight = v[..., 0].abs()
    dominant = torch.zeros(1, 1000, 500, dtype=torch.long)
    loss = deep_clustering_loss(v.requires_grad_(), dominant, weight, 2)
    loss.sum().backward()
    assert torch.isfinite(loss).all()  # the matrix would have 10**12 elements
    assert torch.isfinite(v.grad).all()


# ----------------------------------------------------------------------- masks and rolls


def test_frames_that_are_there_are_one():
    assert frame_mask(torch.tensor([0, 2, 3]), 3).tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_the_mask_loss_is_a_mean_of_absolute_errors():
    mask, magnitude, target = (
        uniform(2, 3, 4, 5),
        uniform(2, 4, 5, seed=1),
        uniform(2, 3, 4, 5, seed=2),
    )
    loss = mask_loss(mask, magnitude, target, torch.ones(2, 5))
    naive = np.abs(mask.numpy() * magnitude.numpy()[:, None] - target.numpy()).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(loss, naive, rtol=1e-5)
    fitting = mask_loss(mask, magnitude, mask * magnitude[:, None], torch.ones(2, 5))
    assert not fitting.any()


@pytest.mark.parametrize("kind", ["mse", "bce"])
def test_the_roll_loss_is_the_mean_of_its_kind(kind):
    logits, roll = torch.randn(2, 3, 88, 5), (uniform(2, 3, 88, 5) > 0.9).float()
    p = 1 / (1 + np.exp(-logits.numpy().astype(float)))
    r = roll.numpy()
    errors = (p - r) ** 2 if kind == "mse" else -r * np.log(p) - (1 - r) * np.log(1 - p)
    loss = roll_loss(logits, roll, torch.ones(2, 5), kind)
    np.testing.assert_allclose(loss, errors.mean(axis=(1, 2, 3)), rtol=1e-5)


def test_cross_entropy_survives_certainty():
    logits = torch.full((1, 1, 88, 2), 1e4)
    loss = roll_loss(logits, torch.zeros(1, 1, 88, 2), torch.ones(1, 2), "bce")
    torch.testing.assert_close(loss, torch.tensor([1e4]))


def pad(tensor, n_frames, value):
    return nn.functional.pad(tensor, (0, n_frames), value=value)


@pytest.mark.parametrize("which", ["mask", "mse", "bce"])
@pytest.mark.parametrize("value", [0.0, 1.0, 1e6])
def test_padding_has_no_influence(which, value):
    lengths = torch.tensor([5, 3])
    if which == "mask":
        parts = [uniform(2, 3, 4, 5), uniform(2, 4, 5, seed=1), uniform(2, 3, 4, 5, seed=2)]
        loss = mask_loss
    else:
        parts = [torch.randn(2, 3, 88, 5), (uniform(2, 3, 88, 5) > 0.9).float()]

        def loss(logits, roll, valid):
            return roll_loss(logits, roll, valid, which)

    together = loss(*(pad(part, 4, value) for part in parts), frame_mask(lengths, 9))
    for i, length in enumerate(lengths.tolist()):
        alone = loss(*(part[i : i + 1, ..., :length] for part in parts), torch.ones(1, length))
        torch.testing.assert_close(together[i : i + 1], alone)


@pytest.mark.parametrize("which", ["mask", "mse", "bce"])
def test_padding_gets_no_gradient(which):
    valid = frame_mask(torch.tensor([3]), 5)
    output = torch.randn(1, 2, 4, 5, requires_grad=True)
    target = uniform(1, 2, 4, 5)
    loss = (
        mask_loss(output, uniform(1, 4, 5), target, valid)
        if which == "mask"
        else roll_loss(output, target, valid, which)
    )
    loss.sum().backward()
    assert not output.grad[..., 3:].any()
    assert output.grad[..., :3].all()


def test_an_example_of_no_frames_has_no_loss():
    nothing = frame_mask(torch.tensor([0]), 5)
    assert mask_loss(uniform(1, 2, 4, 5), uniform(1, 4, 5), uniform(1, 2, 4, 5), nothing) == 0
    assert roll_loss(torch.randn(1, 2, 4, 5), uniform(1, 2, 4, 5), nothing) == 0


def test_examples_weigh_alike_whatever_their_length():
    """One loss per example, so that a batch's mean gives each the same say."""
    short, long = torch.tensor([2]), torch.tensor([50])
    for lengths in (short, long):
        n_frames = int(lengths)
        mask = torch.full((1, 2, 4, n_frames), 0.5)
        loss = mask_loss(
            mask, torch.ones(1, 4, n_frames), torch.ones_like(mask), torch.ones(1, n_frames)
        )
        torch.testing.assert_close(loss, torch.tensor([0.5]))
