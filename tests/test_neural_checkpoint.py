"""Training that was cut short goes on as if nothing had happened, or says why it cannot."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochTimer,
    Freezer,
    LRScheduler,
    ProgressBar,
)

import msa_sk
from msa_sk import STFT, Cerberus, Mixture, Transcriber
from msa_sk.datasets import make_scenes
from msa_sk.exceptions import (
    InputError,
    ModelFileError,
    MsaWarning,
    NotFittedError,
    TrainingError,
)
from msa_sk.neural.checkpoint import pack, unpack
from msa_sk.neural.fingerprint import digest
from msa_sk.neural.net import SceneNet
from msa_sk.neural.remembering import is_plain
from msa_sk.persistence import read_document, write_document

ROOT = Path(__file__).parents[1]
TINY = {
    "hidden_size": 4,
    "n_layers": 2,
    "embedding_size": 3,
    "dropout": 0.3,
    "max_epochs": 3,
    "batch_size": 2,
    "sequence_length": 400,
    "validation_fraction": 0.3,
    "random_state": 0,
    "device": "cpu",
    "transformer": STFT(8000, 256, 128),
    "checkpoint_minutes": 0,
}
WAYS_OUT = "Set checkpoint= to another path, or delete this file to train from the beginning"
N_STEPS = 6  # two a pass: four of six scenes are trained on


class Killed(BaseException):
    """Ends a fit where it stands, as a signal would."""


@pytest.fixture(scope="module")
def data():
    return make_scenes(6, duration=0.5, sample_rate=8000, random_state=0)


def outcome(estimator):
    weights = estimator.net_.module_.state_dict()
    return {name: value.numpy().tobytes() for name, value in weights.items()}, estimator.history_


def at_step(monkeypatch, k, act):
    """Let `act` happen after the k-th step that is made from now on, before it is noted."""
    whole, done = SceneNet.train_step, []

    def train_step(self, batch, **kwargs):
        step = whole(self, batch, **kwargs)
        done.append(1)
        if len(done) == k:
            act(self)
        return step

    monkeypatch.setattr(SceneNet, "train_step", train_step)


def kill(*_):
    raise Killed


# ------------------------------------------------------------------------------- going on


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lr_schedule": "halve", "max_grad_norm": "autoclip"},
        {"lr_schedule": "decay", "validation_fraction": 0, "batch_size": 3},
        {"lr_schedule": "constant", "lr": 3.0, "patience": 1, "max_epochs": 30},
    ],
)
def test_a_fit_that_was_killed_ends_as_if_it_had_not_been(data, tmp_path, monkeypatch, changes):
    parameters = {**TINY, **changes}
    expected = outcome(Cerberus(**parameters).fit(*data))
    parameters["checkpoint"] = tmp_path / "training.msa"
    for k in (1, 2, 3, 1):  # each counted from where the one before was left
        with monkeypatch.context() as patched:
            at_step(patched, k, kill)
            estimator = Cerberus(**parameters)
            with pytest.raises(Killed):
                estimator.fit(*data)
        with pytest.raises(NotFittedError):
            estimator.predict(data[0])
    assert outcome(Cerberus(**parameters).fit(*data)) == expected


def test_without_a_seed_too(data, tmp_path, monkeypatch):
    """The file says what was drawn: songs held out, weights, shuffles and dropout."""
    parameters = {**TINY, "random_state": None, "checkpoint": tmp_path / "training.msa"}
    with monkeypatch.context() as patched:
        at_step(patched, 2, kill)
        with pytest.raises(Killed):
            Cerberus(**parameters).fit(*data)
    begun = (tmp_path / "training.msa").read_bytes()
    one = outcome(Cerberus(**parameters).fit(*data))
    (tmp_path / "training.msa").write_bytes(begun)
    assert outcome(Cerberus(**parameters).fit(*data)) == one


class Average(Callback):
    """Remembers, and ends with, the mean of the weights so far; a lock cannot be kept."""

    def on_train_begin(self, net, **kwargs):
        self.mean_ = torch.optim.swa_utils.AveragedModel(net.module_)
        self.losses_, self.lock_ = {}, threading.Lock()

    def on_epoch_begin(self, net, **kwargs):
        self.losses_[str(len(net.history))] = []

    def on_batch_end(self, net, training, **kwargs):
        if training:
            self.mean_.update_parameters(net.module_)
            self.losses_[str(len(net.history))].append(net.history[-1, "batches", -1, "train_dc"])

    def on_train_end(self, net, **kwargs):
        net.module_.load_state_dict(self.mean_.module.state_dict())
        assert [len(one) for one in self.losses_.values()] == [2] * len(net.history)
        assert not self.lock_.locked()


@pytest.mark.parametrize(
    "make",
    [
        lambda: EarlyStopping(patience=1, threshold=1e9, sink=print, load_best=True),
        lambda: LRScheduler("CosineAnnealingLR", T_max=3),
        lambda: LRScheduler("ReduceLROnPlateau", patience=0, threshold=1e9),
        lambda: Freezer("body.*"),
        lambda: Checkpoint("train_loss_best", load_best=True),
        Average,
        EpochTimer,
        ProgressBar,
    ],
)
def test_callbacks_go_on_as_if_nothing_had_been(data, tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    parameters = {**TINY, "lr_schedule": "constant"}
    expected = outcome(Cerberus(**parameters, callbacks=[make()]).fit(*data))
    parameters["checkpoint"] = tmp_path / "training.msa"
    for k in (2, 3):  # amid the first epoch, and amid the second
        with monkeypatch.context() as patched:
            at_step(patched, k, kill)
            with pytest.raises(Killed):
                Cerberus(**parameters, callbacks=[make()]).fit(*data)
    assert outcome(Cerberus(**parameters, callbacks=[make()]).fit(*data)) == expected


def test_who_ended_a_training_begins_anew(data, tmp_path):
    parameters = {**TINY, "max_epochs": 9, "checkpoint": tmp_path / "training.msa"}
    for n_epochs in (3, 6):  # the first one of each is better than nothing
        stopping = EarlyStopping(patience=2, threshold=1e9, sink=print)
        fitted = Cerberus(**parameters, callbacks=[stopping]).fit(*data)
        assert (fitted.n_iter_, stopping.misses_) == (n_epochs, 2)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (
            {"a": [1, 0.5, None, True, "x", np.float32(2), np.zeros(2), torch.zeros(2)], 3: {}},
            True,
        ),
        (torch.zeros(2, dtype=torch.bfloat16), False),
        ([1, (2, 3)], False),
        ({(1, 2): 3}, False),
        (np.zeros(2, complex), False),
        ([object()], False),
    ],
)
def test_what_is_plain_can_be_kept(value, plain):
    assert is_plain(value) == plain


def test_a_training_that_has_ended_is_not_run_again(data, tmp_path, monkeypatch):
    estimator = Cerberus(**TINY, checkpoint=tmp_path / "training.msa").fit(*data)
    at_step(monkeypatch, 1, kill)
    assert outcome(clone(estimator).fit(*data)) == outcome(estimator)


def test_it_is_written_after_each_epoch_and_when_it_is_due(data, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        "msa_sk.neural.checkpoint.write_document", lambda path, *_: written.append(path)
    )
    path = tmp_path / "training.msa"
    for minutes, n_times in ((1e6, 3), (0, 3 + N_STEPS)):
        Cerberus(**{**TINY, "checkpoint_minutes": minutes, "checkpoint": path}).fit(*data)
        assert len(written) == n_times
        written.clear()


def test_a_killed_process_resumes(tmp_path):
    """With three kills; ``python -m benchmarks.crash_safety --size small`` has twenty."""
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks are not installed with the package")
    subprocess.run(
        [sys.executable, "-m", "benchmarks.crash_safety", "--results", tmp_path],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        timeout=300,
    )
    report = json.loads((tmp_path / "crash_safety-tiny.json").read_text())
    assert len(report["rows"]) == 3
    assert all(row["identical"] for row in report["rows"])


# -------------------------------------------------------------------- what cannot be written


def test_a_kill_amid_writing_leaves_the_one_before(data, tmp_path, monkeypatch):
    path = tmp_path / "training.msa"
    parameters = {**TINY, "checkpoint": path}
    with monkeypatch.context() as patched:
        at_step(patched, 3, kill)
        with pytest.raises(Killed):
            Cerberus(**parameters).fit(*data)
    before = path.read_bytes()
    with monkeypatch.context() as patched:
        # As a signal would: no clean-up runs.
        patched.setattr("msa_sk._files.os.replace", kill)
        patched.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        with pytest.raises(Killed):
            Cerberus(**parameters).fit(*data)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2, "a temporary file was left, as it would be"
    foreign = tmp_path / ".tmp-of-someone-else.msa"
    foreign.write_bytes(b"")
    Cerberus(**parameters).fit(*data)
    assert sorted(tmp_path.iterdir()) == [foreign, path]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_ends_training_loudly(data, tmp_path, monkeypatch, code):
    path = tmp_path / "training.msa"
    parameters = {**TINY, "checkpoint": path}
    expected = outcome(Cerberus(**TINY).fit(*data))

    def fill_the_disk(net):
        def fsync(_):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr("msa_sk._files.os.fsync", fsync)

    at_step(monkeypatch, 3, fill_the_disk)
    message = rf"training.msa cannot be written in epoch 2: .*{os.strerror(code)}.*as it was"
    with pytest.raises(TrainingError, match=message):
        Cerberus(**parameters).fit(*data)
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    assert outcome(Cerberus(**parameters).fit(*data)) == expected


def test_a_folder_that_is_not_there_is_told_before_training(data, tmp_path, monkeypatch):
    at_step(monkeypatch, 1, kill)
    with pytest.raises(InputError, match="runs: expected a folder that is there, got nothing"):
        Cerberus(**TINY, checkpoint=tmp_path / "runs" / "training.msa").fit(*data)
    monkeypatch.setattr("pathlib.Path.touch", lambda *_, **__: os.open(tmp_path / "a" / "b", 0))
    with pytest.raises(InputError, match="training.msa: expected a place where files can be made"):
        Cerberus(**TINY, checkpoint=tmp_path / "training.msa").fit(*data)
    assert list(tmp_path.iterdir()) == []


# ----------------------------------------------------------------- what must not look fitted


def test_ctrl_c_saves_and_is_raised(data, tmp_path, monkeypatch):
    path = tmp_path / "training.msa"
    parameters = {**TINY, "checkpoint_minutes": 1e6, "checkpoint": path}
    expected = outcome(Cerberus(**TINY).fit(*data))
    estimator = Cerberus(**parameters)
    with monkeypatch.context() as patched:
        at_step(patched, 3, lambda _: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            estimator.fit(*data)
    with pytest.raises(NotFittedError):
        estimator.predict(data[0])
    steps = []
    at_step(monkeypatch, N_STEPS - 3, lambda _: steps.append(3))
    assert outcome(estimator.fit(*data)) == expected
    assert steps == [3]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("when", ["on_batch_end", "on_epoch_end"])
def test_a_callback_that_interrupts_leaves_the_rest_to_the_next_fit(data, tmp_path, when):
    class Interrupter(Callback):
        """Ends training once, at its second epoch."""

        def raise_once(self, net, **kwargs):
            if len(net.history) == 2:
                raise KeyboardInterrupt

    setattr(Interrupter, when, Interrupter.raise_once)
    expected = outcome(Cerberus(**TINY).fit(*data))
    parameters = {**TINY, "checkpoint": tmp_path / "training.msa"}
    cut_short = Cerberus(**parameters, callbacks=[Interrupter()]).fit(*data)
    assert cut_short.n_iter_ == 2
    assert cut_short.predict(data[0][:1])[0].sources is not None
    assert outcome(Cerberus(**parameters).fit(*data)) == expected


def test_ctrl_c_twice_does_not_wait(data, monkeypatch):
    def twice(net):
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        raise AssertionError("the step went on")

    at_step(monkeypatch, 1, twice)
    with pytest.raises(KeyboardInterrupt):
        Cerberus(**TINY).fit(*data)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_search_does_not_score_what_was_interrupted(data, monkeypatch):
    search = GridSearchCV(Cerberus(**TINY), {"lr": [1e-3]}, cv=2, error_score=0.0)
    at_step(monkeypatch, 1, lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        search.fit(*data)


@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_what_is_not_finite_names_the_batch_and_keeps_the_file(data, tmp_path, monkeypatch, fault):
    path = tmp_path / "training.msa"
    X = [replace(mixture, group=f"song {i}") for i, mixture in enumerate(data[0])]
    states, steps = [], []
    whole = SceneNet.get_loss

    def get_loss(self, heads, *args, training=False, **kwargs):
        steps.append(1)
        if len(steps) == 4:
            states.append(path.read_bytes())
            if fault == "loss":
                heads["mask"] = heads["mask"] * float("nan")
        loss = whole(self, heads, *args, training=training, **kwargs)
        if len(steps) == 4:
            loss.register_hook(lambda gradient: gradient * float("inf"))
        return loss

    monkeypatch.setattr(SceneNet, "get_loss", get_loss)
    estimator = Cerberus(**{**TINY, "checkpoint": path, "validation_fraction": 0})
    message = (
        r"not finite in epoch 2, batch 1: .*examples \[\d, \d\] \(seed \d+\): "
        rf"Mixture\(.*group 'song \d'\).*, Mixture\(.* {path} holds the last state that was good"
    )
    with pytest.raises(TrainingError, match=message):
        estimator.fit(X, data[1])
    assert path.read_bytes() == states[0]
    with pytest.raises(NotFittedError):
        estimator.predict(X)


def test_weights_that_are_not_finite_are_never_kept(data, tmp_path, monkeypatch):
    path = tmp_path / "training.msa"
    states = []

    def spoil(net):
        states.append(path.read_bytes())
        with torch.no_grad():
            next(net.module_.parameters()).fill_(float("inf"))

    at_step(monkeypatch, 2, spoil)
    with pytest.raises(TrainingError, match="A weight is not finite in epoch 1.*last state that"):
        Cerberus(**TINY, checkpoint=path).fit(*data)
    assert path.read_bytes() == states[0]


def test_the_last_step_may_not_spoil_the_weights_either(data):
    X, y = data
    parameters = {**TINY, "max_epochs": 1, "batch_size": len(X), "validation_fraction": 0}
    wild = Cerberus(**{**parameters, "lr": 3e38, "lr_schedule": "constant"})
    with pytest.raises(TrainingError, match="A weight is not finite in epoch 1; lower lr"):
        wild.fit(X, y)
    tame = Cerberus(**parameters).fit(X, y)
    before = outcome(tame)
    with pytest.raises(TrainingError, match="A weight is not finite in epoch 2"):
        tame.set_params(lr=3e38).partial_fit(X, y)
    assert outcome(tame) == before


def test_a_generator_is_known_by_its_state(data, tmp_path):
    def fit(state):
        return Cerberus(**{**TINY, "random_state": state}, checkpoint=tmp_path / "ck").fit(*data)

    first = fit(np.random.RandomState(0))
    assert outcome(fit(np.random.RandomState(0))) == outcome(first)
    message = r"random_state=\): expected a RandomState, as in .*, got a RandomState in another st"
    with pytest.raises(InputError, match=message):
        fit(np.random.RandomState(1))


def test_who_would_train_further_is_told_how(data, tmp_path):
    parameters = {**TINY, "max_epochs": 1, "checkpoint": tmp_path / "ck", "warm_start": True}
    estimator = Cerberus(**parameters).fit(*data)
    with pytest.raises(InputError, match="^the weights before: .*each needs a file of its own"):
        estimator.fit(*data)
    longer = Cerberus(**{**parameters, "max_epochs": 2})
    with pytest.raises(
        InputError, match=r"\(max_epochs=\): expected 1, .* got 2.*warm_start=True"
    ):
        longer.fit(*data)


# ------------------------------------------------------------------------ whose file it is


@pytest.mark.parametrize(
    ("changes", "item", "got"),
    [
        ({"lr": 0.01}, r"Cerberus\(lr=\): expected 0.002, as in the checkpoint", "got 0.01"),
        ({"instruments": ["piano"]}, r"Cerberus\(instruments=\): expected nothing", "piano"),
        ({"random_state": 1}, r"Cerberus\(random_state=\): expected 0,", "got 1"),
        ({"transformer": STFT(8000, 256, 64)}, r"Cerberus\(transformer=\): .*128", "64"),
    ],
)
def test_other_parameters_are_refused_by_name(data, tmp_path, changes, item, got):
    parameters = {**TINY, "max_epochs": 1, "checkpoint": tmp_path / "training.msa"}
    Cerberus(**parameters).fit(*data)
    with pytest.raises(InputError, match=f"{item}.*{got}"):
        Cerberus(**{**parameters, **changes}).fit(*data)


def test_a_file_of_another_class_is_told(data, tmp_path):
    parameters = {**TINY, "max_epochs": 1, "checkpoint": tmp_path / "training.msa"}
    Cerberus(**parameters).fit(*data)
    del parameters["embedding_size"]
    with pytest.raises(InputError) as caught:
        Transcriber(**parameters).fit(*data)
    assert str(caught.value) == (
        "Transcriber(checkpoint=): expected a file of a training of Transcriber, got one of "
        f"Cerberus: {tmp_path / 'training.msa'}. Choose another path for this training."
    )


def test_parameters_that_training_does_not_read_may_change(data, tmp_path):
    parameters = {**TINY, "max_epochs": 1, "checkpoint": tmp_path / "training.msa"}
    one = Cerberus(**parameters).fit(*data)
    other = Cerberus(**{**parameters, "threshold": 0.7, "verbose": 0}).fit(*data)
    assert outcome(other) == outcome(one)


def test_other_data_are_refused_by_name(data, tmp_path):
    X, y = data
    estimator = Cerberus(**{**TINY, "max_epochs": 1, "checkpoint": tmp_path / "training.msa"})
    estimator.fit(X, y)
    louder = [*X[:-1], replace(X[-1], audio=X[-1].audio * np.float32(1.001))]
    message = r"^X: expected 6 mixtures, as in the checkpoint .*, got 6 mixtures of other content"
    with pytest.raises(InputError, match=message):
        clone(estimator).fit(louder, y)
    with pytest.raises(InputError, match="^X: expected 6 mixtures, as in .*, got 5 mixtures. Re"):
        clone(estimator).fit(X[:5], y[:5])
    shorter = [*y[:-1], replace(y[-1], notes=tuple(n.select(slice(1, None)) for n in y[-1].notes))]
    message = "^y: expected 6 scenes, as in the checkpoint .*, got 6 scenes of other content"
    with pytest.raises(InputError, match=message):
        clone(estimator).fit(X, shorter)
    with pytest.raises(InputError, match="^X_val, y_val: expected none, .*, got 2 mixtures. Re"):
        clone(estimator).fit(X, y, X_val=X[:2], y_val=y[:2])


def test_another_version_warns(data, tmp_path, monkeypatch):
    estimator = Cerberus(**{**TINY, "max_epochs": 1, "checkpoint": tmp_path / "training.msa"})
    estimator.fit(*data)
    monkeypatch.setattr("msa_sk.__version__", "99.0")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        message = (
            rf"not bit for bit: msa_sk was .* and is 99.0, the number of threads was {threads}"
        )
        with pytest.warns(MsaWarning, match=message):
            clone(estimator).fit(*data)
    finally:
        torch.set_num_threads(threads)


def test_models_and_checkpoints_are_told_apart(data, tmp_path):
    path = tmp_path / "training.msa"
    estimator = Cerberus(**{**TINY, "max_epochs": 1, "checkpoint": path}).fit(*data)
    with pytest.raises(ModelFileError, match="got a checkpoint of training. Call fit again"):
        msa_sk.load(path)
    model = estimator.save(tmp_path / "model.msa")
    assert msa_sk.load(model).checkpoint is None
    message = rf"{model.name}: expected a checkpoint, got a model. {WAYS_OUT}"
    with pytest.raises(ModelFileError, match=message):
        clone(estimator).set_params(checkpoint=model).fit(*data)
    path.write_bytes(b"notes of mine")
    with pytest.raises(ModelFileError, match=f"got another kind of file. .* {WAYS_OUT}"):
        clone(estimator).fit(*data)
    assert path.read_bytes() == b"notes of mine"


def test_a_damaged_file_is_refused(data, tmp_path):
    path = tmp_path / "training.msa"
    estimator = Cerberus(**{**TINY, "max_epochs": 1, "checkpoint": path}).fit(*data)
    whole = path.read_bytes()
    for position in np.random.default_rng(0).integers(0, len(whole), 20):
        flipped = bytearray(whole)
        flipped[position] ^= 1
        for damaged in (flipped, whole[:position]):
            path.write_bytes(damaged)
            with pytest.raises(ModelFileError, match=f"training.msa: .*{WAYS_OUT}"):
                clone(estimator).fit(*data)


@pytest.mark.parametrize("part", ["module", "optimizer", "batches", "callbacks", "generator"])
def test_a_file_that_lacks_a_part_is_refused(data, tmp_path, part):
    """Even one whose sha256 is right."""
    path = tmp_path / "training.msa"
    estimator = Cerberus(**{**TINY, "max_epochs": 1, "checkpoint": path}).fit(*data)
    document, arrays = read_document(path)
    state = dict(document["checkpoint"]["dict"])["state"]
    state["dict"] = [pair for pair in state["dict"] if pair[0] != part]
    write_document(path, document, arrays)
    message = f"training.msa: .* KeyError: '{part}'. {WAYS_OUT}"
    with pytest.raises(ModelFileError, match=message):
        clone(estimator).fit(*data)


# ------------------------------------------------------------------------------- the parts


def test_trees_come_back():
    tree = {
        "none": None,
        "tensors": {0: torch.arange(6.0).reshape(2, 3), 1: torch.tensor(2, dtype=torch.uint8)},
        "array": np.array(3.5),
        "list": [1, 0.1, float("inf"), True, "text", {}, []],
    }
    arrays = {}
    packed = json.loads(json.dumps(pack(tree, "", arrays)))
    back = unpack(packed, arrays)
    assert back.keys() == tree.keys()
    assert back["list"] == tree["list"]
    assert back["array"].shape == ()
    for key, value in tree["tensors"].items():
        assert back["tensors"][key].dtype == value.dtype
        assert torch.equal(back["tensors"][key], value)


def test_digests_tell_records_apart(data, tmp_path):
    X, _ = data
    assert digest(X) == digest([replace(one, audio=one.audio.copy()) for one in X])
    variants = [X, X[::-1], X[:2], [X[0]], X[0], [replace(X[0], group="a")], [[X[0]]], "x", ["x"]]
    assert len({digest(one) for one in variants}) == len(variants)
    file = tmp_path / "a.wav"
    file.write_bytes(b"1")
    before = digest(Mixture(str(file)))
    assert digest(Mixture(str(file))) == before
    file.write_bytes(b"12")
    assert digest(Mixture(str(file))) != before
