"""What ``on_error="skip"`` leaves out of training, counts, and does not let grow."""

import pytest
import soundfile
import torch
from skorch.callbacks import Callback

import msa_sk
from msa_sk import STFT, Cerberus, Mixture
from msa_sk.datasets import make_scenes
from msa_sk.exceptions import AudioError, ParameterError, SkippedWarning, TrainingError
from msa_sk.neural import net as net_module
from msa_sk.neural.data import SceneDataset
from msa_sk.neural.net import SceneNet

RATE, N = 8000, 21
TINY = {
    "hidden_size": 4,
    "n_layers": 1,
    "dc_weight": 0.0,
    "max_epochs": 2,
    "batch_size": 1,
    "sequence_length": 400,
    "validation_fraction": 0,
    "random_state": 0,
    "device": "cpu",
    "transformer": STFT(RATE, 256, 128),
    "on_error": "skip",
}
skips = pytest.mark.filterwarnings("ignore:.*on_error='skip':msa_sk.exceptions.SkippedWarning")


@pytest.fixture(scope="module")
def data():
    return make_scenes(N, duration=0.3, sample_rate=RATE, random_state=0)


@pytest.fixture
def files(data, tmp_path):
    paths = [tmp_path / f"{i}.wav" for i in range(N)]
    for path, mixture in zip(paths, data[0], strict=True):
        soundfile.write(path, mixture.audio, RATE, subtype="FLOAT")
    return paths


class Harm(Callback):
    """Delete files when the second epoch begins."""

    def __init__(self, paths):
        self.paths = paths

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            for path in self.paths:
                path.unlink()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_file_that_goes_is_left_out_and_counted(
    data, files, monkeypatch, num_workers, batch_size
):
    monkeypatch.setattr(SceneDataset, "KEPT", 1)  # so that files are read again
    changes = {"num_workers": num_workers, "batch_size": batch_size}
    estimator = Cerberus(**(TINY | changes), callbacks=[Harm(files[3:4])])
    with pytest.warns(SkippedWarning, match=r"^1 training examples were left out.*3\.wav"):
        estimator.fit([Mixture(path) for path in files], data[1])
    assert [row["n_skipped"] for row in estimator.history_] == [0, 1]
    assert estimator.n_skipped_ == 1
    assert estimator.predict(data[0][:1])


def test_more_than_a_few_are_an_error_that_names_a_file(data, files, monkeypatch):
    monkeypatch.setattr(SceneDataset, "KEPT", 1)
    estimator = Cerberus(**TINY, callbacks=[Harm(files[3:5])])
    with pytest.raises(TrainingError, match=r"left out 2 of the 21 .* 5%; .*[34]\.wav"):
        estimator.fit([Mixture(path) for path in files], data[1])
    assert not estimator.__sklearn_is_fitted__()


def test_all_that_is_looked_at_beforehand_being_gone_is_an_error(data, files, monkeypatch):
    def analyse(self, *chunk):
        raise AudioError("X[0]", "a file", "none")

    monkeypatch.setattr(SceneDataset, "_analyse", analyse)
    with pytest.raises(AudioError, match=r"X\[0\]"):
        Cerberus(**TINY).fit([Mixture(path) for path in files], data[1])


@pytest.fixture
def spoilt(monkeypatch):
    """Make the loss or the gradient of some steps NaN or infinite; tell the weights around."""

    def spoil(fault, steps):
        seen, around = [0], []
        whole, step = SceneNet.get_loss, SceneNet.train_step

        def get_loss(self, heads, *args, **kwargs):
            seen[0] += 1
            if seen[0] in steps and fault == "loss":
                heads["mask"] = heads["mask"] * float("nan")
            loss = whole(self, heads, *args, **kwargs)
            if seen[0] in steps:
                loss.register_hook(lambda gradient: gradient * float("inf"))
            return loss

        def train_step(self, *args, **kwargs):
            around.append(weights_of(self))
            return step(self, *args, **kwargs)

        monkeypatch.setattr(SceneNet, "get_loss", get_loss)
        monkeypatch.setattr(SceneNet, "train_step", train_step)
        return around

    return spoil


def weights_of(net):
    return torch.cat([value.detach().flatten().clone() for value in net.module_.parameters()])


@skips
@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(data, spoilt, fault):
    around = spoilt(fault, [5])
    estimator = Cerberus(**TINY).fit(*data)
    moved = [not torch.equal(a, b) for a, b in zip(around, around[1:], strict=False)]
    assert moved.index(False) == 4
    assert moved.count(False) == 1
    assert estimator.n_skipped_ == 1
    assert estimator.history_[0]["train_loss"] < 10  # no NaN


def test_a_training_that_diverges_ends(data, spoilt):
    spoilt("loss", range(5, 1000))
    with pytest.raises(TrainingError, match=r"left out 2 of the 21 .* not finite in epoch 1"):
        Cerberus(**TINY).fit(*data)


@skips
def test_the_count_survives_a_kill_and_a_file(data, spoilt, tmp_path, monkeypatch):
    estimator = Cerberus(**TINY, checkpoint=tmp_path / "a.msa", checkpoint_minutes=0)
    spoilt("loss", [5])
    write, written = net_module.Checkpoint.write, []

    class Killed(BaseException):
        pass

    def killing(self, net):
        write(self, net)
        written.append(1)
        if len(written) == 9:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(net_module.Checkpoint, "write", killing)
        with pytest.raises(Killed):
            estimator.fit(*data)
    estimator.fit(*data)
    assert [row["n_skipped"] for row in estimator.history_] == [1, 0]
    estimator.save(tmp_path / "model.msa")
    assert msa_sk.load(tmp_path / "model.msa").n_skipped_ == 1


@skips
def test_nothing_left_out_is_the_same_training(data):
    whole = Cerberus(**TINY).fit(*data)
    usual = Cerberus(**TINY | {"on_error": "raise"}).fit(*data)
    assert torch.equal(weights_of(whole.net_), weights_of(usual.net_))
    assert whole.n_skipped_ == usual.n_skipped_ == 0


def test_processes_that_train_together_skip_nothing(data, monkeypatch):
    monkeypatch.setattr(net_module, "n_processes", lambda: 2)
    with pytest.raises(ParameterError, match="on_error: expected 'raise'"):
        Cerberus(**TINY).fit(*data)
