"""Bodies of networks: what each hears, and that any of them can stand under the heads."""

import json
import pickle
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import soundfile
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch import nn

import msa_sk
from msa_sk import STFT, Cerberus, MaskInference, Mixture, register_body
from msa_sk.datasets import make_scenes
from msa_sk.exceptions import ModelFileError, ParameterError
from msa_sk.neural import bodies
from msa_sk.neural.data import SceneDataset, collate
from msa_sk.neural.own_bodies import checked
from msa_sk.nn.band_split import BandSplit, attend, band_widths, rotated
from msa_sk.nn.bodies import BLSTM
from msa_sk.nn.unet import UNet

RATE = 8000
TINY = {
    "hidden_size": 8,
    "n_layers": 1,
    "embedding_size": 4,
    "max_epochs": 1,
    "validation_fraction": 0,
    "random_state": 0,
    "device": "cpu",
    "verbose": 0,
    "transformer": STFT(sample_rate=RATE, n_fft=256, hop_length=64),
}
ALL = (BLSTM, UNet, BandSplit)
NEW = ("unet", "band_split")


@pytest.fixture(scope="module")
def data():
    return make_scenes(2, duration=1.0, sample_rate=RATE, random_state=0)


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def _own_register():
    with mock.patch.dict(bodies.BODIES):
        yield


def weights_of(estimator):
    return estimator.net_.module_.state_dict()


# ---------------------------------------------------------------------------- what they hear


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("cls", ALL)
def test_padding_is_not_heard(cls, batch_norm):
    """In training, and in evaluation of what is longer than training was."""
    body = cls(33, 16, 2, batch_norm=batch_norm)
    frames, lengths = torch.randn(3, 150, 33), torch.tensor([150, 70, 1])
    body(frames[:, :20], torch.tensor([20, 11, 1]))
    body.eval()
    features = body(frames, lengths)
    assert features.shape == (3, 150, body.n_features)
    padded = frames.clone()
    for i, length in enumerate(lengths.tolist()):
        alone = body(frames[i : i + 1, :length], torch.tensor([length]))
        torch.testing.assert_close(features[i : i + 1, :length], alone, rtol=0, atol=1e-5)
        assert not features[i, length:].any()
        padded[i, length:] = torch.nan
    torch.testing.assert_close(body(padded, lengths), features, rtol=0, atol=0)
    gradients = [gradients_of(cls, one, lengths, batch_norm) for one in (frames, padded)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def gradients_of(cls, frames, lengths, batch_norm):
    torch.manual_seed(0)
    body = cls(33, 16, 2, batch_norm=batch_norm)
    body(frames, lengths).square().sum().backward()
    return [parameter.grad for parameter in body.parameters()]


@pytest.mark.parametrize("n_inputs", [1, 2, 33, 129, 513, 1025, 2049])
@pytest.mark.parametrize("cls", ALL)
def test_spectra_of_any_size_are_heard_whole(cls, n_inputs):
    body = cls(n_inputs, 8, 2)
    frames = torch.randn(2, 5, n_inputs).requires_grad_()
    features = body(frames, torch.tensor([5, 5]))
    assert features.shape == (2, 5, body.n_features)
    features.square().sum().backward()
    assert torch.isfinite(features).all()
    if n_inputs > 1:  # the band of a single bin is heard by its sign alone
        assert (frames.grad.abs().sum((0, 1)) > 0).all()


@pytest.mark.parametrize(("hidden_size", "n_layers"), [(1, 1), (5, 3), (130, 1), (9, 6)])
@pytest.mark.parametrize("cls", ALL)
def test_every_size_works_on_a_single_frame(cls, hidden_size, n_layers):
    body = cls(20, hidden_size, n_layers, dropout=0.3)
    features = body(torch.randn(1, 1, 20), torch.tensor([1]))
    assert features.shape == (1, 1, body.n_features)
    features.square().sum().backward()
    for name, parameter in body.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("cls", ALL)
def test_dropout_acts_in_training_only(cls):
    body, frames, lengths = cls(20, 64, 2, dropout=0.5), torch.randn(1, 9, 20), torch.tensor([9])
    assert (body(frames, lengths) != body(frames, lengths)).any()
    body.eval()
    torch.testing.assert_close(body(frames, lengths), body(frames, lengths), rtol=0, atol=0)


@pytest.mark.parametrize("cls", [UNet, BandSplit])
def test_where_a_recording_begins_makes_no_difference(cls):
    """So that windows of it find what the whole does, but near their edges."""
    body, frames = cls(33, 16, 2), torch.randn(1, 300, 33)
    body(frames[:, :20], torch.tensor([20]))
    body.eval()
    whole = body(frames, torch.tensor([300]))
    window = body(frames[:, 51:190], torch.tensor([139]))
    torch.testing.assert_close(window[:, 25:-25], whole[:, 76:165], rtol=0, atol=1e-5)


def test_frames_hear_as_far_as_in_training():
    body = BandSplit(9, 16, 1)
    for n_frames in (5, 21, 12):
        body(torch.randn(1, n_frames, 9), torch.tensor([n_frames]))
    frames = torch.randn(1, 90, 9).requires_grad_()
    features = body.eval()(frames, torch.tensor([90]))
    (gradient,) = torch.autograd.grad(features[0, 40].square().sum(), frames)
    heard = gradient[0].abs().sum(-1).nonzero().flatten()
    assert heard.tolist() == list(range(30, 51))  # 21 in training


# ------------------------------------------------------------------------------- attention


@pytest.mark.parametrize(("n", "reach"), [(5, 9), (40, 3), (64, 64), (130, 0), (201, 70)])
def test_attention_in_blocks_is_attention(n, reach):
    q, k, v = torch.randn(3, 2, 3, n, 8).double()
    there = torch.arange(n) < torch.tensor([[n], [n // 2]])
    near = (torch.arange(n)[:, None] - torch.arange(n)).abs() <= reach
    allowed = near & (there[:, None, None] | torch.eye(n, dtype=torch.bool))
    scores = (rotated(q) @ rotated(k).mT / 8**0.5).masked_fill(~allowed, -torch.inf)
    expected = scores.softmax(-1) @ v
    torch.testing.assert_close(attend(q, k, v, there, reach), expected, rtol=0, atol=1e-5)


def test_long_recordings_need_no_matrix_of_pairs():
    x = torch.randn(1, 1, 200_000, 4)  # the matrix would have 4 * 10**10 elements
    found = attend(x, x, x, torch.ones(1, 200_000, dtype=torch.bool), 8)
    assert torch.isfinite(found).all()


def test_rotation_tells_how_far_apart_two_are():
    q, k = torch.randn(2, 1, 6).double().expand(2, 30, 6)
    products = rotated(q) @ rotated(k).mT
    for distance in (-7, 0, 3):
        one = products.diagonal(distance)
        torch.testing.assert_close(one, one[:1].expand_as(one), rtol=0, atol=1e-6)
    assert products.diagonal(3)[0] != pytest.approx(products.diagonal(4)[0].item(), abs=1e-3)
    later = rotated(q, 1000) @ rotated(k, 1000).mT
    torch.testing.assert_close(later, products, rtol=0, atol=1e-3)


@pytest.mark.parametrize("n_bins", [1, 2, 33, 513, 2049])
def test_bands_are_narrow_below_and_wide_above(n_bins):
    widths = band_widths(n_bins)
    assert sum(widths) == n_bins
    assert min(widths) >= 1
    assert widths[-1] == max(widths)
    assert n_bins < 513 or widths[-1] > 10 * widths[0]


# --------------------------------------------------------------------------- under the heads


def gradient_of_body(data, weights, **parameters):
    """Return the gradient of a body's weights in the first step, by the losses' weights."""
    estimator = Cerberus(*weights, **TINY, **parameters)
    items = estimator._begin_fit(data[0])
    estimator.instruments_, estimator.has_rest_ = ("guitar", "piano"), False
    dataset = SceneDataset(items, data[1], estimator._make_target, 40)
    inputs, target = collate([dataset[0], dataset[5]])
    torch.manual_seed(0)
    network = estimator._make_module(129, 2)
    _, loss = estimator._make_loss()
    sum(loss(network(**inputs), target).values()).backward()
    return torch.cat([parameter.grad.flatten() for parameter in network.body.parameters()])


@pytest.mark.parametrize("body", NEW)
def test_every_head_reaches_the_body(data, body):
    everything = gradient_of_body(data, (1, 1, 1), body=body)
    for weights in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        without = gradient_of_body(data, weights, body=body)
        difference = (everything - without).norm() / everything.norm()
        assert difference > 1e-3, weights
    alone = [gradient_of_body(data, one, body=body) for one in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    torch.testing.assert_close(sum(alone), everything, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("body", NEW)
def test_bodies_start_alike_whatever_the_heads(data, body):
    still = {**TINY, "body": body, "lr": 1e-30}
    whole = weights_of(Cerberus(**still).fit(*data))
    assert any(name.startswith("body.") for name in whole)
    for weights in ((0, 1, 0), (1, 0, 0), (0, 0, 1)):
        for name, value in weights_of(Cerberus(*weights, **still).fit(*data)).items():
            torch.testing.assert_close(value, whole[name], rtol=0, atol=1e-20, msg=name)


@pytest.mark.parametrize("body", NEW)
def test_a_body_learns_what_can_be_learnt(data, body):
    more = {"hidden_size": 32, "max_epochs": 20, "lr": 0.01, "batch_size": 4}
    estimator = Cerberus(body=body, **{**TINY, **more}).fit(*data)
    assert estimator.history_[-1]["train_loss"] < 0.5 * estimator.history_[0]["train_loss"]
    assert estimator.score(*data) > 4


@pytest.mark.parametrize("body", NEW)
def test_windows_find_what_the_whole_does(data, body):
    parameters = {**TINY, "n_layers": 2, "max_epochs": 5, "lr": 0.01}
    estimator = Cerberus(0, 1, 1, body=body, **parameters).fit(*data)
    X = [Mixture(np.tile(data[0][0].read(), 3), RATE)]
    whole = estimator.set_params(window_seconds=None).predict(X)[0]
    (scene,) = estimator.set_params(window_seconds=1.0).iter_predict(X)
    np.testing.assert_allclose(scene.sources, whole.sources, atol=0.01)
    apart = np.abs(scene.rolls - whole.rolls).max(axis=(0, 1))
    assert (apart < 1e-4).mean() > 0.5  # but near the edges of windows
    assert apart.max() < 0.1


@pytest.mark.parametrize("body", NEW)
def test_bodies_compute_in_bfloat16(data, body):
    exact = Cerberus(0, 1, 1, body=body, **TINY).fit(*data)
    half = clone(exact).set_params(precision="bfloat16").fit(*data)
    one, other = (estimator.predict(data[0])[0] for estimator in (exact, half))
    assert not np.array_equal(one.sources, other.sources)
    np.testing.assert_allclose(other.sources, one.sources, atol=0.05)
    np.testing.assert_allclose(other.rolls, one.rolls, atol=0.05)


def test_batches_are_padded_as_for_any_body(data):
    X, y = data
    X = [X[0].excerpt(0, 0.3), *X]
    y = [y[0].excerpt(0, 0.3), *y]
    for body in NEW:
        estimator = Cerberus(body=body, batch_norm=True, sequence_length=200, **TINY).fit(X, y)
        assert np.isfinite(estimator.score(X, y))


# ------------------------------------------------------------------------- as a parameter


def test_bodies_compete_in_a_grid(data):
    grid = {"body": ["blstm", *NEW], "n_layers": [1, 2]}
    masks = MaskInference(**{name: TINY[name] for name in TINY.keys() - {"embedding_size"}})
    search = GridSearchCV(masks, grid, cv=2, error_score="raise").fit(*data)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.get_params()["body"] == search.best_params_["body"]


@pytest.mark.parametrize("body", NEW)
def test_what_is_saved_has_its_body(data, tmp_path, body):
    estimator = Cerberus(body=body, **TINY).fit(*data)
    back = msa_sk.load(estimator.save(tmp_path / "model.msa"))
    assert back.body == body
    for one, other in zip(estimator.predict(data[0]), back.predict(data[0]), strict=True):
        np.testing.assert_array_equal(one.sources, other.sources)
        np.testing.assert_array_equal(one.rolls, other.rolls)


def test_a_body_is_settled_by_fit_and_grows_by_a_warm_start(data):
    for body in NEW:
        estimator = Cerberus(body=body, warm_start=True, lr=1e-30, **TINY).fit(*data)
        before = {name: value.clone() for name, value in weights_of(estimator).items()}
        with pytest.raises(ParameterError, match=r"Cerberus\(body=\): expected .* fit a clone"):
            clone_of(estimator).set_params(body="blstm").predict(data[0])
        after = weights_of(estimator.set_params(n_layers=2).fit(*data))
        assert len(after) > len(before)
        for name, value in before.items():
            torch.testing.assert_close(after[name], value, rtol=0, atol=1e-20, msg=name)


def clone_of(fitted):
    return pickle.loads(pickle.dumps(fitted))


class Stop(BaseException):
    """What kills a training."""


def test_a_body_is_resumed_bit_for_bit(data, tmp_path, monkeypatch):
    parameters = {**TINY, "body": "band_split", "max_epochs": 3, "dropout": 0.2}
    whole = Cerberus(**parameters).fit(*data)
    broken = Cerberus(checkpoint=tmp_path / "x.msa", **parameters)
    with monkeypatch.context() as patch:
        patch.setattr(SceneDataset, "begin_epoch", stop_in(1))
        with pytest.raises(Stop):
            broken.fit(*data)
    resumed = weights_of(broken.fit(*data))
    for name, value in weights_of(whole).items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0, msg=name)


def stop_in(epoch):
    def begin_epoch(self, number):
        if number == epoch:
            raise Stop

    return begin_epoch


@pytest.mark.parametrize(("n_bins", "most"), [(1, 1), (4, 1), (5, 2), (129, 4), (513, 5)])
def test_levels_end_where_one_bin_is_left(n_bins, most):
    assert UNet.most_levels(n_bins) == most


def test_a_unet_of_more_levels_than_bins_allow_is_refused(data):
    with pytest.raises(
        ParameterError, match=r"n_layers=\): expected at most 4 .* 129 bins .* got 20"
    ):
        Cerberus(body="unet", **{**TINY, "n_layers": 20}).fit(*data)
    Cerberus(body="unet", **{**TINY, "n_layers": 4}).fit(*data)


# ----------------------------------------------------------------------- bodies of one's own


class FrameByFrame(nn.Module):
    """A user's own body."""

    def __init__(self, n_inputs, hidden_size, n_layers, dropout, batch_norm):
        super().__init__()
        self.n_features = hidden_size
        self.linear = nn.Linear(n_inputs, hidden_size)

    def forward(self, frames, lengths):
        return torch.relu(self.linear(frames))


@pytest.mark.usefixtures("_own_register")
def test_a_body_of_ones_own(data, tmp_path):
    estimator = Cerberus(body="frame by frame", **TINY)
    with pytest.raises(ParameterError) as caught:
        estimator.fit(*data)
    assert caught.value.item == "Cerberus(body=)"
    assert caught.value.expected == "one of blstm, unet, band_split"
    assert "register_body" in caught.value.remedy
    assert register_body("frame by frame")(FrameByFrame) is FrameByFrame
    path = estimator.fit(*data).save(tmp_path / "model.msa")
    expected = estimator.predict(data[0])[0].sources
    np.testing.assert_array_equal(msa_sk.load(path).predict(data[0])[0].sources, expected)


@pytest.mark.parametrize("body", [FrameByFrame, FrameByFrame(129, 8, 1, 0.0, False)])
def test_a_class_or_an_instance_is_registered_first(data, body):
    with pytest.raises(
        ParameterError, match=r"Cerberus\(body=\): expected an instance of 'str', "
    ) as caught:
        Cerberus(body=body, **TINY).fit(*data)
    assert (
        caught.value.remedy == "Register its class by @msa_sk.register_body('name'): body='name'."
    )
    assert msa_sk.register_body is register_body


class NoFeatures(FrameByFrame):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        del self.n_features


class Narrow(FrameByFrame):
    def forward(self, frames, lengths):
        return super().forward(frames, lengths)[..., 1:]


class Fewer(FrameByFrame):
    def forward(self, frames, lengths):
        return super().forward(frames, lengths)[:, ::2]


class Several(FrameByFrame):
    def forward(self, frames, lengths):
        return super().forward(frames, lengths), lengths


class Fails(FrameByFrame):
    def forward(self, frames, lengths):
        return self.linear(frames.mT)


class HearsPadding(FrameByFrame):
    """A recurrent body as one would first write it."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.lstm = nn.LSTM(self.n_features, self.n_features // 2, 1, True, True, 0, True)

    def forward(self, frames, lengths):
        return self.lstm(super().forward(frames, lengths))[0]


class IsMean(FrameByFrame):
    def forward(self, frames, lengths):
        return super().forward(frames, lengths).mean(dim=1, keepdim=True).expand(-1, 64, -1)


class InDouble(FrameByFrame):
    def forward(self, frames, lengths):
        return super().forward(frames, lengths).double()


class NotANumber(FrameByFrame):
    def forward(self, frames, lengths):
        return super().forward(frames, lengths) * float("nan")


class FewSizes(FrameByFrame):
    def __init__(self, n_inputs, hidden_size):
        super().__init__(n_inputs, hidden_size, 1, 0.0, False)


@pytest.mark.usefixtures("_own_register")
@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (NoFeatures, "a NoFeatures with a number n_features of 1 or more, got none"),
        (Narrow, r"Narrow to make features \(2, 64, 8\) of .* got \(2, 64, 7\)"),
        (Fewer, r"features \(2, 64, 8\) of frames \(2, 64, 129\), got \(2, 32, 8\)"),
        (Several, "got a tuple"),
        (HearsPadding, "the same features whatever follows `lengths` frames, got .* differ by"),
        (IsMean, "the same features whatever follows `lengths` frames, got .* differ by"),
        (InDouble, "finite features in torch.float32, got torch.float64"),
        (NotANumber, "finite features in torch.float32, got NaN or infinity"),
        (Fails, "got RuntimeError: mat1 and mat2 shapes"),
        (FewSizes, "FewSizes.n_inputs, hidden_size, n_layers, .* got TypeError: "),
    ],
)
def test_a_body_that_breaks_its_contract_is_refused(data, cls, words):
    register_body("mine")(cls)
    with pytest.raises(
        ParameterError, match=rf"^Cerberus\(body=\): .*{words}.* register_body says"
    ):
        Cerberus(body="mine", **TINY).fit(*data)


class Noisy(FrameByFrame):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.n_calls = 0

    def forward(self, frames, lengths):
        self.n_calls += 1
        return super().forward(frames + torch.rand_like(frames), lengths)


@pytest.mark.usefixtures("_own_register")
def test_asking_a_body_draws_nothing_and_leaves_it_alone():
    made = []
    for make in (Noisy, checked(Noisy, "body")):
        torch.manual_seed(0)
        body = make(9, 4, 1, 0.0, False)
        assert (body.n_calls, body.training) == (0, True)
        made.append([*body.parameters(), torch.rand(3)])
    for one, other in zip(*made, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.usefixtures("_own_register")
def test_a_saved_model_asks_for_its_body(data, tmp_path):
    register_body("frame by frame")(FrameByFrame)
    path = Cerberus(body="frame by frame", **TINY).fit(*data).save(tmp_path / "model.msa")
    del bodies.BODIES["frame by frame"]
    with pytest.raises(ModelFileError) as caught:
        msa_sk.load(path)
    assert caught.value.item == f"{path}, Cerberus(body=)"
    assert caught.value.got == "'frame by frame'"
    assert "import the module that registers it" in caught.value.remedy


@pytest.mark.usefixtures("_own_register")
def test_another_process_learns_of_the_body_with_the_estimator(data):
    """As the workers of a search do, which never saw it registered."""
    register_body("frame by frame")(FrameByFrame)
    sent = pickle.dumps(Cerberus(body="frame by frame", **TINY))
    del bodies.BODIES["frame by frame"]
    arrived = pickle.loads(sent)
    assert clone(arrived).fit(*data).net_.module_.body.linear.in_features == 129
    assert vars(arrived).keys() == vars(Cerberus()).keys()


@pytest.mark.usefixtures("_own_register")
def test_a_body_is_a_class_with_a_name_of_its_own():
    for name in ("blstm", "", 3, None):
        with pytest.raises(ParameterError, match=r"register_body\(name\): expected a str"):
            register_body(name)
    for cls in (FrameByFrame(3, 2, 1, 0.0, False), dict, "unet"):
        with pytest.raises(ParameterError, match="expected a subclass of torch.nn.Module"):
            register_body("mine")(cls)
    assert set(bodies.BODIES) == {"blstm", "unet", "band_split"}


# ------------------------------------------------------------------------------ the benchmark


@pytest.fixture
def benchmark(monkeypatch):
    root = Path(__file__).parents[1]
    if not (root / "benchmarks").is_dir():
        pytest.skip("the benchmarks are not installed with the package")
    monkeypatch.syspath_prepend(root)
    from benchmarks import bodies as benchmark
    from benchmarks._chapter3 import Fold

    def make_folds(size):
        songs = make_scenes(8, duration=6.0, scenes_per_song=1, random_state=0)
        parts = [tuple(half[i::2] for half in songs) for i in (0, 1)]
        return [Fold(i, [parts[i], parts[i]], parts[1 - i], []) for i in (0, 1)]

    monkeypatch.setattr(benchmark, "make_folds", make_folds)
    monkeypatch.setattr(benchmark, "keep_large_buffers", lambda: True)
    monkeypatch.setattr(benchmark, "N_JOBS", 1)
    monkeypatch.setitem(benchmark.SIZES, "tiny", benchmark.Size(8, 2, 1, 0, 0.2, 2, 2, 8))
    return benchmark


def test_the_benchmark_gives_all_bodies_the_same_time(benchmark, tmp_path):
    benchmark.main(["--seed", "3", "--results", str(tmp_path)])
    report = json.loads((tmp_path / "bodies-tiny.json").read_text())
    assert report["command"] == "python -m benchmarks.bodies --size tiny --seed 3"
    rows = {(r["system"], r["metric"]): r for r in report["rows"] if r["instrument"] == "all"}
    for body in benchmark.BODIES:
        assert rows[body, "si_sdri"]["n_excerpts"] == 4
        assert rows[body, "note_onset_f1"]["steps"] >= 1
        assert rows[body, "si_sdri"]["parameters"] > 1000
    floor = [row for row in report["rows"] if row["system"] == "unprocessed mixture"]
    assert [row["instrument"] for row in floor] == ["guitar", "piano", "all"]
    assert [row["mean"] for row in floor] == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_body_that_separates_nothing_fails_the_benchmark(benchmark):
    row = {"metric": "si_sdri", "instrument": "all"}
    rows = [{**row, "system": body, "low": 0.1} for body in benchmark.BODIES]
    benchmark.check(rows)
    rows[1]["low"] = -0.1
    with pytest.raises(AssertionError, match=r"not above 0 with unet: -0\.10 dB"):
        benchmark.check(rows)


def test_training_ends_when_its_time_is_up(benchmark, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(benchmark.time, "process_time", lambda: next(clock))
    equal, group = benchmark.EqualTime(4, lr=1.0), {"lr": None}
    net = mock.Mock(optimizer_=mock.Mock(param_groups=[group]), stopped_=False)
    equal.on_train_begin(net)
    rates = []
    for _ in range(5):
        equal.on_batch_end(net, training=True)
        rates.append(group["lr"])
    np.testing.assert_allclose(rates, [0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5, 0, 0], atol=1e-12)
    assert (equal.n_steps_, net.stopped_) == (3, True)


PEAK = """
import sys
import msa_sk
model, *sounds = sys.argv[1:]
estimator = msa_sk.load(model)
for sound in sounds:
    estimator.predict_to_files([sound], sound + " stems")
    # What ru_maxrss says begins at the size of the process that this one was started by.
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(1024 * int(line.split()[1]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has /proc")
@pytest.mark.parametrize("body", NEW)
def test_the_memory_of_a_body_is_foretold(data, tmp_path, body):
    """To a factor of two, by what the process grew."""
    parameters = {**TINY, "body": body, "hidden_size": 128, "n_layers": 2, "transformer": None}
    estimator = MaskInference(**{k: v for k, v in parameters.items() if k != "embedding_size"})
    model = estimator.fit(*data).save(tmp_path / "x.msa")
    sounds = [tmp_path / "short.wav", tmp_path / "long.wav"]
    for path, seconds in zip(sounds, (2, 60), strict=True):
        noise = np.random.default_rng(0).normal(0, 0.1, seconds * 16_000)
        soundfile.write(path, noise, 16_000)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, model, *sounds], capture_output=True, text=True, check=True
    )
    before, after = map(float, done.stdout.split())
    (item,) = estimator._accept([sounds[1]])
    assert 0.5 < estimator._memory(item) / (after - before) < 2
