"""How networks are trained: rates, clipping, validation, callbacks, and what they begin from."""

import copy
import io
import itertools
import os
import pickle
import re
import select
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    LoadInitState,
    LRScheduler,
    PassthroughScoring,
    TrainEndCheckpoint,
)

import msa_sk
from msa_sk import STFT, Cerberus, Mixture, NMFSeparator, Notes, Scene
from msa_sk.datasets import Excerpts, IncoherentMixing, make_scenes
from msa_sk.exceptions import (
    AudioError,
    InputError,
    InstrumentError,
    ParameterError,
    SilenceWarning,
    TrainingError,
    ValidationWarning,
)
from msa_sk.metrics import SceneScorer, get_scorer
from msa_sk.neural import estimator as estimator_module
from msa_sk.neural import parallel
from msa_sk.neural.callbacks import Progress
from msa_sk.neural.clipping import GradientClipping, percentile
from msa_sk.neural.data import SceneDataset
from msa_sk.neural.devices import resolve_precision
from msa_sk.neural.schedule import Schedule
from msa_sk.persistence import read_document, write_document

RATE = 8000
TINY = {
    "hidden_size": 6,
    "n_layers": 1,
    "embedding_size": 3,
    "max_epochs": 2,
    "batch_size": 2,
    "sequence_length": 400,
    "random_state": 0,
    "device": "cpu",
    "transformer": STFT(RATE, 256, 128),
}


@pytest.fixture(scope="module")
def data():
    return make_scenes(6, duration=0.5, sample_rate=RATE, random_state=0)


@pytest.fixture(scope="module")
def others():
    return make_scenes(4, ("bass", "drums"), duration=0.5, sample_rate=RATE, random_state=1)


def weights_of(estimator):
    weights = estimator.net_.module_.state_dict()
    return {name: value.clone() for name, value in weights.items()}


def same(one, other, prefix=""):
    return all(torch.equal(one[name], other[name]) for name in one if name.startswith(prefix))


# ------------------------------------------------------------------------- learning rates


def rates(name, n_batches, losses, batches_per_epoch):
    """Return the learning rate at the end of each epoch, whose validation losses are given."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    net = SimpleNamespace(optimizer_=optimizer, history=[])
    schedule, seen = Schedule(name, n_batches), []
    schedule.on_train_begin(net)
    for loss in losses:
        for _ in range(batches_per_epoch):
            optimizer.step()
            schedule.on_batch_end(net, training=True)
            schedule.on_batch_end(net, training=False)
        net.history.append({"train_loss": 0.0, **({} if loss is None else {"valid_loss": loss})})
        schedule.on_epoch_end(net)
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def test_rates_are_halved_after_five_epochs_without_a_better_loss():
    losses = [3, 2, 2, 2, 2, 2, 2, 1, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5]
    expected = [1.0] * 6 + [0.5] * 6 + [0.25] * 5 + [0.125]
    assert rates("halve", 99, losses, 1) == expected
    assert rates("halve", 99, [None] * 6, 1) == [1, 1, 1, 1, 1, 0.5]


def test_rates_decay_by_the_thousand_steps():
    seen = rates("decay", 99, [1, 1, 1, 1], 5000)
    np.testing.assert_allclose(seen, [1, 0.98, 0.98, 0.98**2])


def test_a_cosine_ends_at_nothing():
    seen = rates("cosine", 20, [1] * 4, 5)
    np.testing.assert_allclose(
        seen, [0.5 + np.sqrt(0.125), 0.5, 0.5 - np.sqrt(0.125), 0], atol=1e-9
    )


# ------------------------------------------------------------------------------- clipping


def test_percentiles_are_those_of_numpy(rng):
    values = sorted(rng.exponential(size=101).tolist())
    for n in (1, 2, 7, 101):
        for q in (0, 10, 33.3, 100):
            assert percentile(values[:n], q) == pytest.approx(np.percentile(values[:n], q))


def test_autoclip_clips_to_the_tenth_percentile_of_unclipped_norms(rng):
    clipping, norms = GradientClipping("autoclip"), rng.exponential(size=30)
    for k, norm in enumerate(norms):
        parameter = torch.nn.Parameter(torch.zeros(2))
        parameter.grad = torch.tensor([0.6, 0.8]) * norm
        assert clipping([parameter]).item() == pytest.approx(norm, rel=1e-5)
        limit = np.percentile(norms[: k + 1], 10)
        expected = min(norm, limit)
        assert parameter.grad.norm().item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("limit", [1.0, None, "autoclip"])
def test_a_gradient_that_overflows_is_told(limit):
    clipping = GradientClipping(limit)
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3e38, 3e38])
    assert not clipping([parameter]).isfinite()
    assert clipping.norms == []


def test_sound_as_loud_as_numbers_go_is_learnt_from_or_refused(data):
    def loud(peak):
        gain = np.float32(peak / max(np.abs(mixture.audio).max() for mixture in data[0]))
        X = [replace(mixture, audio=gain * mixture.audio) for mixture in data[0]]
        return X, [replace(scene, sources=gain * scene.sources) for scene in data[1]]

    losses = [Cerberus(**TINY).fit(*loud(peak)).history_[-1]["train_loss"] for peak in (1, 9e33)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    with pytest.raises(AudioError, match=r"^X\[0\]: expected samples up to 1e\+34"):
        Cerberus(**TINY).fit(*loud(1e38))


# ----------------------------------------------------------------------------- validation


def test_validation_data_choose_the_best_epoch(data):
    X, y = data
    parameters = {**TINY, "max_epochs": 9, "lr": 3.0, "lr_schedule": "constant"}
    estimator = Cerberus(**parameters).fit(X[:4], y[:4], X_val=X[4:], y_val=y[4:])
    losses = [row["valid_loss"] for row in estimator.history_]
    best = int(np.argmin(losses))
    again = Cerberus(**{**parameters, "max_epochs": best + 1})
    again.fit(X[:4], y[:4], X_val=X[4:], y_val=y[4:])
    assert best < 8
    assert same(weights_of(estimator), weights_of(again))
    # All of X is trained on: what is held out by default is not missing.
    whole = Cerberus(**{**parameters, "validation_fraction": 0, "max_epochs": 1}).fit(X[:4], y[:4])
    assert whole.history_[0]["train_loss"] == again.history_[0]["train_loss"]


def test_validation_data_are_checked_like_others(data):
    X, y = data
    estimator = Cerberus(**TINY)
    with pytest.raises(InputError, match="X_val, y_val: expected both or none"):
        estimator.fit(X, y, X_val=X)
    with pytest.raises(InputError, match="y_val: expected 1 scenes"):
        estimator.fit(X, y, X_val=X[:1], y_val=y[:2])
    for wrong, item in ((X[0], "X_val: "), ([np.full(9, np.nan)], r"X_val\[0\]"), ([], "X_val: ")):
        with pytest.raises(InputError, match=f"^{item}.*expected"):
            estimator.fit(X, y, X_val=wrong, y_val=y[:1])
    unknown = [Scene(y[0].instruments, RATE)]
    with pytest.raises(InputError, match="y_val: expected a scene whose"):
        estimator.fit(X, y, X_val=X[:1], y_val=unknown)
    for names, got in ((("bass", "drums"), "bass, drums"), ((), "none")):
        strangers = [Scene(names, RATE, y[0].sources[: len(names)])]
        message = f"y_val: expected scenes with any of guitar, piano, got {got}"
        with pytest.raises(InstrumentError, match=message):
            estimator.fit(X, y, X_val=X[:1], y_val=strangers)


def test_scenes_without_instruments_are_told(data):
    X, y = data
    for estimator in (Cerberus(**TINY), NMFSeparator(), Cerberus(**TINY, instruments=["piano"])):
        with pytest.raises(
            InstrumentError, match="^y: expected scenes with instruments, got none"
        ):
            estimator.fit(X[:1], [{}])
    message = "expected 0, as none of the rest has guitar, piano, got 0.5. Give fit X_val"
    with pytest.raises(ParameterError, match=message):
        Cerberus(**TINY, validation_fraction=0.5).fit(X[:2], [y[0], {}])


@pytest.mark.parametrize(
    ("n_songs", "changes", "told"),
    [
        (1, {}, ["validation_fraction=0.1 can hold nothing out of one song"]),
        (1, {"patience": 3}, ["of one song, patience=3 never ends training, and"]),
        (
            6,
            {"validation_fraction": 0, "patience": 3},
            ["validation: patience=3 never ends training, and"],
        ),
        (6, {"validation_fraction": 0, "lr_schedule": "halve"}, []),
        (6, {"patience": 3, "lr_schedule": "halve"}, []),
    ],
)
def test_what_waits_for_validation_in_vain_is_told_once(data, n_songs, changes, told):
    X = [replace(mixture, group=i % n_songs) for i, mixture in enumerate(data[0])]
    parameters = {**TINY, "max_epochs": 1, **changes}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Cerberus(**parameters).fit(X, data[1])
    found = [one for one in caught if issubclass(one.category, ValidationWarning)]
    assert len(found) == len(told)
    assert all(text in str(one.message) for text, one in zip(told, found, strict=True))
    if n_songs == 1:  # where there is some, there is nothing to tell
        Cerberus(**parameters).fit(X, data[1], X_val=X[:1], y_val=data[1][:1])


@pytest.mark.parametrize("muted", [("piano",), ("guitar", "piano")])
def test_what_is_never_heard_is_told(data, muted):
    X, y = data
    sources = [[one.source(n) * np.float32(n not in muted) for n in one.instruments] for one in y]
    y = [replace(one, sources=own) for one, own in zip(y, sources, strict=True)]
    message = f"No training scene has a sound of {', '.join(muted)}: silence is what is learnt"
    with pytest.warns(SilenceWarning, match=message):
        estimator = Cerberus(**TINY).fit(X, y)
    assert np.isfinite(estimator.predict(X[:1])[0].sources).all()
    notes = [[Notes() if n in muted else one.notes_of(n) for n in one.instruments] for one in y]
    y = [replace(one, notes=own) for one, own in zip(y, notes, strict=True)]
    with pytest.warns(SilenceWarning, match=f"has a note of {', '.join(muted)}: silence"):
        Cerberus(0, 0, 1, **TINY).fit(X, y)


# ------------------------------------------------------------------------------ callbacks


class Recorder(Callback):
    """Notes what it is told."""

    def __init__(self):
        self.calls = []

    def on_epoch_end(self, net, **kwargs):
        self.calls.append(("epoch", net.history[-1]["train_loss"]))

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.calls.append(("gradient", len(list(named_parameters))))


def test_callbacks_are_called(data, tmp_path):
    recorder = Recorder()
    estimator = Cerberus(**TINY, validation_fraction=0, callbacks=[recorder]).fit(*data)
    kinds = [kind for kind, _ in recorder.calls]
    assert kinds == [*["gradient"] * 3, "epoch"] * 2
    losses = [value for kind, value in recorder.calls if kind == "epoch"]
    assert losses == [row["train_loss"] for row in estimator.history_]
    assert same(
        weights_of(Cerberus(**TINY, validation_fraction=0).fit(*data)), weights_of(estimator)
    )
    back = msa_sk.load(estimator.save(tmp_path / "model.msa"))
    assert back.callbacks is None
    pickle.loads(pickle.dumps(estimator)).predict(data[0][:1])


def test_a_callback_may_end_training(data):
    stopping = EarlyStopping(monitor="train_loss", patience=1, threshold=1e9, sink=lambda _: None)
    estimator = Cerberus(**{**TINY, "max_epochs": 9}, callbacks=[("stop", stopping)]).fit(*data)
    assert estimator.n_iter_ < 9
    assert estimator.predict(data[0][:1])[0].sources is not None


@pytest.mark.parametrize(
    "callbacks", [1, [1], ["stop"], [None], [("stop", 1)], [(1, 2, 3)], [object], [Checkpoint]]
)
def test_what_is_no_callback_is_refused(data, callbacks):
    with pytest.raises(
        ParameterError, match=r"callbacks=\): expected None or a list of instances"
    ):
        Cerberus(**TINY, callbacks=callbacks).fit(*data)


@pytest.mark.parametrize(
    ("held_out", "callback", "message"),
    [
        (
            0,
            EarlyStopping(),
            r"EarlyStopping\(monitor=\).*nothing is held out.*monitor='train_loss'",
        ),
        (0, ("stop", Checkpoint()), r"'valid_loss_best'. Give fit X_val.*='train_loss_best'"),
        (0, PassthroughScoring("valid_tr"), r"PassthroughScoring\(name=\).*name='train_tr'"),
        (0.5, PassthroughScoring("train_tr"), "on_train=False, got train_tr. Pass on_train=True"),
        (0.5, PassthroughScoring("valid_tr", on_train=True), "Pass on_train=False"),
        (0.5, EarlyStopping("train_los"), "got 'train_los'. Did you mean 'train_loss'"),
        (
            0.5,
            LRScheduler("ReduceLROnPlateau", monitor="tr"),
            r"'train_loss', .*'valid_tr'\], got",
        ),
        (0.5, ("score", EpochScoring("accuracy")), "EpochScoring. Score scenes in a callback"),
        (0.5, LRScheduler(), r"as lr_schedule='cosine' does, got LRS.*lr_schedule='constant'"),
        (0.5, Checkpoint(f_pickle="net"), r"Checkpoint\(f_pickle=\): expected None.*checkpoint="),
        (0.5, TrainEndCheckpoint(f_pickle="net"), r"\(f_pickle=\).* got 'net'"),
    ],
)
def test_callbacks_that_cannot_do_here_what_they_say_are_refused(
    data, held_out, callback, message
):
    estimator = Cerberus(**TINY, validation_fraction=held_out, callbacks=[callback])
    with pytest.raises(ParameterError, match=rf"^Cerberus\(callbacks=\).*{message}"):
        estimator.fit(*data)
    if held_out == 0:
        with pytest.raises(ParameterError, match=message):
            estimator.partial_fit(*data)


@pytest.mark.parametrize("callback", [LRScheduler(), LoadInitState(Checkpoint(monitor=None))])
def test_a_pass_has_its_own_rate_and_weights(data, callback):
    estimator = Cerberus(**TINY, lr_schedule="constant", callbacks=[("it", callback)])
    with pytest.raises(ParameterError, match="first weights to partial_fit, got L.*lr="):
        estimator.partial_fit(*data)


def test_a_scheduler_of_skorch_has_the_rate_to_itself(data):
    halving = LRScheduler("StepLR", step_size=1, gamma=0.5)
    parameters = {**TINY, "lr": 0.25, "max_epochs": 3, "lr_schedule": "constant"}
    estimator = Cerberus(**parameters, callbacks=[halving]).fit(*data)
    assert estimator.net_.history[:, "event_lr"] == [0.25, 0.125, 0.0625]


def test_where_all_is_frozen_nothing_is_learnt(data):
    message = "callbacks: expected something left to learn in epoch 1, .*Freeze fewer"
    estimator = Cerberus(**TINY, callbacks=[Freezer("*")])
    for learn in (estimator.fit, estimator.partial_fit):
        with pytest.raises(ParameterError, match=message):
            learn(*data)


def test_callbacks_watch_terms_and_what_others_record(data):
    class Own(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("scenes", len(net.history))

    passing = PassthroughScoring("valid_dc")
    parameters = {**TINY, "max_epochs": 9, "validation_fraction": 0.5}
    for name in ("scenes", "train_tr_best"):  # the first is the best
        stopping = EarlyStopping(name, patience=2, lower_is_better=name == "scenes")
        callbacks = [Own(), passing, stopping]
        estimator = Cerberus(**parameters, callbacks=callbacks).fit(*data)
        assert estimator.n_iter_ == 3
        losses = [row["valid_dc"] for row in estimator.history_]
        assert passing.best_score_ == pytest.approx(min(losses))
        assert estimator.net_.history[-1]["scenes"] == estimator.n_iter_


def test_a_terminal_that_goes_away_is_no_harm(data, monkeypatch):
    class Gone:
        """A terminal until something is written."""

        def isatty(self):
            return True

        def write(self, *text):
            raise BrokenPipeError

        flush = write

    expected = weights_of(Cerberus(**TINY).fit(*data))
    for terminal in (Gone(), None):
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr("msa_sk.neural.callbacks.multiprocessing.parent_process", lambda: None)
        assert same(weights_of(Cerberus(**TINY).fit(*data)), expected)
    progress = Progress(1, 1)
    progress.on_train_begin(None)
    assert progress._bar is None


def test_a_terminal_that_is_closed_is_no_harm(data, tmp_path):
    """A real one, of a process of its own whose standard output is closed as well."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    code = """
        import sys, time
        from pathlib import Path
        from skorch.callbacks import Callback
        from msa_sk import STFT, Cerberus
        from msa_sk.datasets import make_scenes

        class Wait(Callback):
            def on_batch_end(self, net, **kwargs):
                while not Path("closed").exists():
                    time.sleep(0.01)

        data = make_scenes(6, duration=0.5, sample_rate=8000, random_state=0)
        Cerberus(**eval(sys.argv[1]), callbacks=[Wait()]).fit(*data).save("model.msa")
    """
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), repr(TINY)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    assert select.select([ours], [], [], 180)[0]
    assert b"training" in os.read(ours, 1000)
    os.close(ours)
    process.stdout.close()
    (tmp_path / "closed").touch()
    # 120 is Python's own: there is nobody left to be told what was in its buffers at the end.
    assert process.wait(timeout=180) in (0, 120)
    trained = weights_of(msa_sk.load(tmp_path / "model.msa"))
    for name, value in weights_of(Cerberus(**TINY).fit(*data)).items():
        torch.testing.assert_close(trained[name], value, atol=1e-6, rtol=0)


def test_a_clock_that_jumps_is_no_harm(data, tmp_path, monkeypatch):
    expected = weights_of(Cerberus(**TINY).fit(*data))
    times, terminal = itertools.cycle([1e9, 2e9, 0.0, 1e9 + 1]), io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    for clock in ("time.time", "tqdm.std.time"):
        monkeypatch.setattr(clock, lambda: next(times))
    parameters = {**TINY, "checkpoint": tmp_path / "training.msa"}
    assert same(weights_of(Cerberus(**parameters).fit(*data)), expected)
    assert "epoch   2" in terminal.getvalue()


# ------------------------------------------------------------------------ what is there already


def test_a_warm_start_goes_on_from_the_weights(data):
    estimator = Cerberus(**{**TINY, "warm_start": True, "lr": 1e-12}).fit(*data)
    before = weights_of(estimator)
    estimator.set_params(random_state=5).fit(*data)
    for name, after in weights_of(estimator).items():
        torch.testing.assert_close(after, before[name], atol=1e-6, rtol=0)
    cold = clone(estimator).set_params(warm_start=False).fit(*data)
    assert not torch.allclose(
        weights_of(cold)["body.lstm.weight_hh_l0"], before["body.lstm.weight_hh_l0"], atol=1e-3
    )


def test_a_saved_model_is_tuned_to_other_instruments(data, others, tmp_path):
    path = Cerberus(**TINY).fit(*data).save(tmp_path / "model.msa")
    tuned = msa_sk.load(path).set_params(warm_start=True, lr=1e-12)
    before = weights_of(tuned)
    tuned.fit(*others)
    after = weights_of(tuned)
    assert tuned.instruments_ == ("bass", "drums")
    torch.testing.assert_close(
        after["body.lstm.weight_ih_l0"], before["body.lstm.weight_ih_l0"], atol=1e-6, rtol=0
    )
    assert same(before, after, "input_")
    fresh = Cerberus(**{**TINY, "lr": 1e-12}).fit(*others)
    for name, value in weights_of(fresh).items():
        if name.startswith("heads."):  # as they are drawn for whom starts anew
            torch.testing.assert_close(after[name], value, atol=1e-6, rtol=0)
    assert tuned.predict(others[0][:1])[0].instruments == ("bass", "drums")


SETTLED = {
    "hidden_size": 7,
    "n_layers": 3,
    "batch_norm": True,
    "embedding_size": 4,
    "input_scale": "magnitude",
    "transformer": STFT(RATE, 256, 64),
    "instruments": ["piano"],
    "dc_weight": 0,
    "tr_weight": 0,
}
OPEN_TO_WARM_START = ("n_layers", "instruments", "dc_weight", "tr_weight")


@pytest.fixture(scope="module")
def fitted(data):
    return Cerberus(**{**TINY, "n_layers": 2}, warm_start=True).fit(*data)


@pytest.mark.parametrize("name", SETTLED)
def test_another_network_needs_another_fit(data, tmp_path, fitted, name):
    X, y = data
    changed = copy.deepcopy(fitted).set_params(**{name: SETTLED[name]})
    path = tmp_path / "model.msa"
    uses = [
        lambda: changed.predict(X),
        lambda: changed.partial_fit(X, y),
        lambda: changed.save(path),
        lambda: msa_sk.save(Pipeline([("cerberus", changed)]), path),
    ]
    if name not in OPEN_TO_WARM_START:
        uses.append(lambda: changed.fit(X, y))
    for use in uses:
        with pytest.raises(ParameterError) as caught:
            use()
        assert caught.value.item == f"Cerberus({name}=)"
        assert "as it was fitted with" in caught.value.expected
        assert "fit a clone" in caught.value.remedy
    assert not path.exists()
    changed.set_params(**{name: getattr(fitted, name)}).predict(X[:1])
    if name in OPEN_TO_WARM_START:
        changed.set_params(**{name: SETTLED[name]}).fit(X, y).partial_fit(X, y)
        assert msa_sk.load(changed.save(path)).n_iter_ == 3


def test_a_warm_start_cannot_lose_layers(data, fitted):
    message = r"warm_start=\): expected .* a larger one, got n_layers=1 instead of 2"
    with pytest.raises(ParameterError, match=message):
        copy.deepcopy(fitted).set_params(n_layers=1).fit(*data)
    seen, other = (STFT(RATE, n_fft, 128).transform(data[0]) for n_fft in (256, 512))
    network = Cerberus(**{**TINY, "transformer": None}, warm_start=True).fit(seen, data[1])
    with pytest.raises(ParameterError, match=r"warm_start=\): .*, got spectrograms of STFT"):
        network.fit(other, data[1])


def test_all_that_the_network_is_made_of_is_settled_by_fit(fitted):
    """But for what is read in training alone."""
    seen = set()

    class Watched(Cerberus):
        def __getattribute__(self, name):
            seen.add(name)
            return super().__getattribute__(name)

    watched = Watched()
    watched.__dict__.update(vars(fitted))
    seen.clear()
    watched._make_module(129, 2)
    made_of = seen & set(fitted.get_params(deep=False))
    # Of the loss it is settled whether it is that of leaky ReLUs.
    free = {"dropout", "embedding_stride", "transcription_loss"}
    assert made_of - set(fitted._settled_by_fit) == free
    assert len(made_of) > 8


def test_other_parameters_may_change_between_passes(data):
    X, y = data
    estimator = Cerberus(**{**TINY, "lr": 1e-12}).partial_fit(X, y)
    estimator.set_params(mi_weight=2.0, batch_size=3).partial_fit(X, y)
    before, after = estimator.history_
    assert after["train_mi"] == pytest.approx(2 * before["train_mi"], rel=1e-4)
    assert after["train_tr"] == pytest.approx(before["train_tr"], rel=1e-4)
    assert [len(row["batches"]) for row in estimator.net_.history.to_list()] == [3, 2]


def test_passes_one_by_one_are_a_training(data):
    X, y = data
    estimator = Cerberus(**{**TINY, "lr": 0.01, "lr_schedule": "decay"})
    assert estimator.partial_fit(X, y) is estimator
    assert estimator.instruments_ == ("guitar", "piano")
    for _ in range(14):
        estimator.partial_fit(X, y)
    losses = [row["train_loss"] for row in estimator.history_]
    assert estimator.n_iter_ == 15
    assert losses[-1] < 0.8 * losses[0]
    assert [row["epoch"] for row in estimator.history_] == list(range(1, 16))
    # As a fit without validation at a constant rate begins.
    fit = Cerberus(
        **{**TINY, "lr": 0.01, "lr_schedule": "constant", "max_epochs": 1}, validation_fraction=0
    )
    assert fit.fit(X, y).history_[0]["train_loss"] == pytest.approx(losses[0], rel=1e-5)


def test_later_passes_may_show_less_and_not_more(data, others, tmp_path):
    X, y = data
    estimator = Cerberus(**TINY).partial_fit(X, y)
    rate = estimator.set_params(lr=0.5).partial_fit(X[:1], y[:1]).net_.optimizer_
    assert rate.param_groups[0]["lr"] == 0.5
    piano = Scene(("piano",), RATE, y[0].source("piano")[None])
    estimator.partial_fit([Mixture(piano.sources[0], RATE)], [piano])
    assert estimator.instruments_ == ("guitar", "piano")
    with pytest.raises(InstrumentError, match="expected only guitar, piano, got bass, drums"):
        estimator.partial_fit(*others)
    back = msa_sk.load(estimator.save(tmp_path / "model.msa"))
    assert back.partial_fit(X, y).n_iter_ == 4
    assert back.history_[:3] == estimator.history_
    assert pickle.loads(pickle.dumps(estimator)).partial_fit(X, y).n_iter_ == 4


def test_a_fit_can_be_gone_on_with_and_forgotten(data):
    estimator = Cerberus(**TINY).fit(*data)
    first = weights_of(estimator)
    assert estimator.partial_fit(*data).n_iter_ == 3
    assert not same(weights_of(estimator), first)
    assert same(weights_of(estimator.fit(*data)), first)


def test_files_from_before_there_was_a_parameter_load(data, tmp_path):
    estimator = Cerberus(**TINY).fit(*data)
    document, arrays = read_document(estimator.save(tmp_path / "model.msa"))
    parameters = document["estimator"]["parameters"]
    for name in ("warm_start", "checkpoint_minutes", "num_workers", "precision"):
        del parameters[name]
    old = msa_sk.load(write_document(tmp_path / "old.msa", document, arrays))
    assert old.get_params().keys() == estimator.get_params().keys()
    assert (old.warm_start, old.num_workers, old.precision) == (False, 0, "float32")
    one, other = (model.predict(data[0][:1])[0].sources for model in (old, estimator))
    np.testing.assert_array_equal(one, other)


def test_a_pass_that_failed_holds_no_data(data, monkeypatch):
    estimator = Cerberus(**TINY).partial_fit(*data)
    before = weights_of(estimator)
    with monkeypatch.context() as patched:
        patched.setattr(GradientClipping, "__call__", lambda *_: torch.tensor(float("nan")))
        with pytest.raises(TrainingError, match="A gradient is not finite in epoch 2, batch 1"):
            estimator.partial_fit(*data)
    assert same(weights_of(estimator), before)
    assert not hasattr(estimator.net_, "batches")
    assert pickle.loads(pickle.dumps(estimator)).partial_fit(*data).predict(data[0][:1])


# ------------------------------------------------------------------------- loading, precision

two_workers = pytest.mark.filterwarnings(
    "ignore:This DataLoader will create:UserWarning",
    "ignore:This process .* is multi-threaded:DeprecationWarning",
)


def in_a_worker():
    return torch.utils.data.get_worker_info() is not None


@two_workers
def test_the_weights_do_not_depend_on_who_prepares(data, monkeypatch):
    alone = Cerberus(**TINY).fit(*data)
    helped = Cerberus(**TINY, num_workers=2).fit(*data)
    assert same(weights_of(alone), weights_of(helped))
    assert alone.history_ == helped.history_


@two_workers
def test_a_worker_that_dies_is_an_error_and_no_wait(data, monkeypatch):
    whole = SceneDataset.__getitem__

    def getitem(self, index):
        if in_a_worker():
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, index)

    monkeypatch.setattr(SceneDataset, "__getitem__", getitem)
    start = time.monotonic()
    with pytest.raises(TrainingError, match="prepares examples failed in epoch 1: .*worker"):
        Cerberus(**TINY, num_workers=2).fit(*data)
    assert time.monotonic() - start < 30


@two_workers
@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"RIFF, once")])
def test_a_file_that_goes_or_breaks_amid_training_is_named(
    tmp_path, data, monkeypatch, num_workers, harm
):
    monkeypatch.setattr(SceneDataset, "KEPT", 1)  # so that files are read again
    y = data[1]
    X = []
    for i, mixture in enumerate(data[0]):
        path = tmp_path / f"{i}.wav"
        soundfile.write(path, mixture.audio, RATE, subtype="FLOAT")
        X.append(Mixture(path))

    class Harm(Callback):
        def on_epoch_begin(self, net, **kwargs):
            harm(tmp_path / "3.wav")

    parameters = {**TINY, "validation_fraction": 0, "callbacks": [Harm()]}
    with pytest.raises(AudioError, match="3.wav") as caught:
        Cerberus(**parameters, num_workers=num_workers).fit(X, y)
    assert "Traceback" not in str(caught.value)


@two_workers
def test_what_fails_in_a_worker_names_the_example(data, monkeypatch):
    def getitem(self, index):
        raise ValueError("it is broken")

    monkeypatch.setattr(SceneDataset, "__getitem__", getitem)
    monkeypatch.setattr(Cerberus, "_before_training", lambda *_: None)
    with pytest.raises(TrainingError) as caught:
        Cerberus(**TINY, num_workers=1).fit(*data)
    message = r"Mixture\(.*\) from 0.0 s cannot be prepared: ValueError: it is broken"
    assert re.fullmatch(message, str(caught.value))
    assert 'raise ValueError("it is broken")' in str(caught.value.__cause__)


@two_workers
def test_streams_of_workers_differ_and_repeat(data, monkeypatch):
    """Whatever is drawn in a worker, by torch or numpy, is drawn from the estimator's seed."""

    def drawn(seed):
        whole, net = SceneDataset.__getitem__, []

        def getitem(self, index):
            inputs, target = whole(self, index)
            if not in_a_worker():
                return inputs, target
            worker = torch.utils.data.get_worker_info().id
            numbers = [worker, torch.rand(1).item(), np.random.random()]  # noqa: NPY002
            return inputs, {**target, "numbers": np.array(numbers)}

        class Reader(Callback):
            def on_batch_begin(self, net_, batch, training, **kwargs):
                net.extend(map(tuple, batch[1]["numbers"][:, :3].tolist()))

        with monkeypatch.context() as patched:
            patched.setattr(SceneDataset, "__getitem__", getitem)
            parameters = {**TINY, "random_state": seed, "validation_fraction": 0}
            Cerberus(**parameters, num_workers=2, callbacks=[Reader()]).fit(*data)
        return net

    one = drawn(0)
    assert {worker for worker, *_ in one} == {0, 1}
    for column in (1, 2):
        assert len({numbers[column] for numbers in one}) == len(one) == 2 * len(data[0])
    assert drawn(0) == one
    assert set(drawn(1)).isdisjoint(one)


def test_examples_can_be_prepared_anywhere(data):
    """Other processes may have to be sent what they work with, without the network."""
    datasets = []

    class Reader(Callback):
        def on_train_begin(self, net, X, **kwargs):
            datasets.append((pickle.loads(pickle.dumps(X)), X[0]))

    estimator = Cerberus(**TINY, callbacks=[Reader(), Recorder()]).fit(*data)
    estimator.set_params(warm_start=True).fit(*data)
    for sent, (inputs, target) in datasets:
        for there, here in zip(sent[0], (inputs, target), strict=True):
            assert there.keys() == here.keys()
            assert all(np.array_equal(there[name], here[name]) for name in there)


@pytest.mark.filterwarnings("ignore:1 of 6 mixtures is a solo")
def test_bfloat16_learns_as_well(data):
    X, y = data
    parameters = {**TINY, "hidden_size": 32, "max_epochs": 60, "lr": 0.01}
    scores, losses = {}, {}
    for precision in ("float32", "bfloat16"):
        estimator = Cerberus(**parameters, precision=precision, validation_fraction=0).fit(X, y)
        scores[precision] = estimator.score(X, y)
        losses[precision] = estimator.history_[-1]["train_loss"]
        assert {w.dtype for w in weights_of(estimator).values()} == {torch.float32}
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.1)
    assert scores["bfloat16"] > scores["float32"] - 0.5
    assert scores["float32"] > 1


def test_predict_computes_in_the_precision_asked_for(data):
    estimator = Cerberus(**TINY, precision="bfloat16").fit(*data)
    scene = estimator.predict(data[0][:1])[0]
    exact = estimator.set_params(precision="float32").predict(data[0][:1])[0]
    assert {scene.sources.dtype, scene.rolls.dtype} == {np.dtype("float32")}
    assert 0 < np.abs(scene.rolls - exact.rolls).max() < 0.02
    assert 0 < np.abs(scene.sources - exact.sources).max() < 0.02 * np.abs(exact.sources).max()


def test_predict_computes_on_the_device_asked_for(data, monkeypatch):
    estimator, X = Cerberus(**TINY).fit(*data), data[0][:1]
    before, moves, to = estimator.predict(X)[0], [], torch.nn.Module.to

    def moving(module, device):
        moves.append(device)
        return to(module, device)

    monkeypatch.setattr(torch.nn.Module, "to", moving)
    for _ in range(2):  # "cpu:0" is the processor by another name
        after = estimator.set_params(device="cpu:0").predict(X)[0]
    assert moves == ["cpu:0"]
    assert np.array_equal(before.sources, after.sources)
    assert estimator.partial_fit(*data).net_.device == "cpu:0"
    for absent in ("cuda:99", "meta"):  # the last one computes shapes alone
        with pytest.raises(ParameterError, match=f"^device: expected .* got '{absent}'"):
            estimator.set_params(device=absent).predict(X)


@pytest.mark.parametrize(
    ("able", "expected"),
    [({}, "float32"), ({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16")],
)
def test_auto_takes_what_is_faster(monkeypatch, able, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert resolve_precision("auto", "cpu") == expected
    assert resolve_precision("float32", "cpu") == "float32"
    assert resolve_precision("bfloat16", "cpu") == "bfloat16"


@pytest.mark.parametrize("name", ["chapter2", "chapter3", "chapter4"])
def test_presets_train(data, name):
    small = {key: TINY[key] for key in ("hidden_size", "max_epochs", "transformer", "device")}
    estimator = Cerberus.from_preset(name, **small, random_state=0).fit(*data)
    assert estimator.n_iter_ == 2
    assert (estimator.predict(data[0][:1])[0].notes is not None) == (name == "chapter3")


def test_presets_are_those_of_the_paper():
    paper = Cerberus.from_preset("chapter3", hidden_size=8)
    sizes = (paper.n_layers, paper.embedding_size, paper.batch_size, paper.max_epochs)
    assert sizes == (4, 20, 40, 100)
    assert (paper.hidden_size, paper.lr, paper.drum_threshold) == (8, 2e-4, 0.1)
    paper = Cerberus.from_preset("chapter2")
    assert (paper.dc_weight, paper.mi_weight, paper.tr_weight) == (0, 1, 0)
    assert (paper.lr_schedule, paper.max_grad_norm) == ("halve", "autoclip")
    assert paper.sequence_length == 1 + 10 * 16000 // 256
    paper = Cerberus.from_preset("chapter4", mi_weight=0.0, tr_weight=1.0)
    assert (paper.batch_norm, paper.tr_weight, paper.lr_schedule) == (True, 1, "decay")
    assert paper.sequence_length == 1 + 5 * 16000 // 256
    assert paper.max_epochs == round(100_000 / (206_000 / paper.batch_size))


@pytest.mark.parametrize("cls", [Cerberus, Excerpts])
@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("chapter9", {}, r"name\): expected one of .'chapter2', .*'chapter4'.*, got 'chapter9'"),
        (["chapter3"], {}, r"name\): expected one of .'chapter2', .*, got .'chapter3'."),
        ("chapter3", {"instrument": 1}, "got 'instrument'. Did you mean 'instruments'"),
    ],
)
def test_presets_and_changes_that_there_are_not_are_named(cls, name, changes, message):
    with pytest.raises(ParameterError, match=rf"^{cls.__name__}.from_preset\(.*{message}"):
        cls.from_preset(name, **changes)


# ------------------------------------------------------------------- scikit-learn's callbacks


class Epochs:
    """A callback of scikit-learn's kind that scores each epoch, and stops after some."""

    def __init__(self, X, y, n_epochs):
        self.X, self.y, self.n_epochs, self.calls, self.scores = X, y, n_epochs, [], []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.calls.append(f"end {context.task_name}")
        self.scores.append(fitted_estimator.score(self.X, self.y))
        return len(self.scores) == self.n_epochs


@pytest.mark.filterwarnings("ignore:1 of 6 mixtures is a solo")
def test_callbacks_of_scikit_learn_are_told_of_epochs(data):
    pytest.importorskip("sklearn.callback")
    X, y = data
    callback = Epochs(X, y, 3)
    estimator = Cerberus(**{**TINY, "max_epochs": 9, "validation_fraction": 0})
    estimator.set_callbacks(callback).fit(X, y)
    epoch = ["begin epoch", "end epoch"]
    assert callback.calls == ["setup", "begin fit", *epoch * 3, "end fit", "teardown"]
    assert estimator.n_iter_ == 3
    assert callback.scores[-1] == estimator.score(X, y)
    # Looking on changes nothing.
    stopped = Cerberus(**{**TINY, "max_epochs": 9, "validation_fraction": 0})
    stopped.set_params(callbacks=[StopAfter(3)]).fit(X, y)
    assert same(weights_of(stopped), weights_of(estimator))
    assert not hasattr(clone(estimator).set_callbacks(), "_skl_callbacks")


@pytest.mark.parametrize("weights", [(0.1, 1, 1), (1, 0, 0)])  # by masks; by centroids
def test_a_monitor_of_scikit_learn_scores_what_is_trained_on(data, weights):
    monitor_of = pytest.importorskip("sklearn.callback").ScoringMonitor
    (X, y), scorer = data, SceneScorer(["si_sdr", "si_sdri"])
    parameters = {**TINY, "lr_schedule": "constant", "lr": 0.03}
    shorter = Cerberus(*weights, **{**parameters, "max_epochs": 1}, validation_fraction=0)
    once = scorer(shorter.fit(X[:4], y[:4]), X[:4], y[:4])
    monitor = monitor_of(scoring=scorer)
    estimator = Cerberus(*weights, **parameters).set_callbacks(monitor)
    estimator.fit(X[:4], y[:4], X_val=X[4:], y_val=y[4:])
    rows = {(row["task_name"], row["task_id"]): row for row in monitor.get_logs().data}
    assert rows.keys() == {("fit", 0), ("epoch", 0), ("epoch", 1)}
    kept = scorer(estimator, X[:4], y[:4])
    for task, expected in ((("epoch", 0), once), (("fit", 0), kept)):
        assert {name: rows[task][name] for name in expected} == pytest.approx(expected)
    # Looking on changes nothing.
    alone = Cerberus(*weights, **parameters).fit(X[:4], y[:4], X_val=X[4:], y_val=y[4:])
    assert same(weights_of(alone), weights_of(estimator))


@pytest.mark.filterwarnings("ignore:1 of 6 mixtures is a solo")
def test_a_monitor_scores_each_pass(data):
    monitor = pytest.importorskip("sklearn.callback").ScoringMonitor(
        scoring=SceneScorer(["si_sdri"])
    )
    estimator = Cerberus(**TINY).set_callbacks(monitor)
    scores = [estimator.partial_fit(*data).score(*data) for _ in range(2)]
    rows = [log.data for log in monitor.get_logs(select="all")]
    assert [[row["task_name"] for row in pair] for pair in rows] == [["fit", "epoch"]] * 2
    for score, pair in zip(scores, rows, strict=True):
        assert [row["si_sdri"] for row in pair] == pytest.approx([score] * 2)
    alone = Cerberus(**TINY).partial_fit(*data).partial_fit(*data)
    assert same(weights_of(alone), weights_of(estimator))


def test_a_monitor_hears_what_a_sampler_has_drawn(data):
    monitor_of = pytest.importorskip("sklearn.callback").ScoringMonitor
    drawn = []

    def scorer(estimator, X, y):
        drawn.append([mixture.audio for mixture in X])
        return {"loss": estimator.history_[-1]["train_loss"]}

    monitor = monitor_of(scoring=scorer)
    sampler = IncoherentMixing(3)
    estimator = Cerberus(**TINY, validation_fraction=0, sampler=sampler).set_callbacks(monitor)
    history = estimator.fit(*data).history_
    assert [len(epoch) for epoch in drawn] == [3, 3, 3]
    assert not np.array_equal(drawn[0][0], drawn[1][0])
    losses = [row["loss"] for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert losses == [row["train_loss"] for row in history]


@pytest.mark.parametrize(
    "scoring", [None, "accuracy", ["accuracy"], get_scorer("si_sdri"), {"it": "accuracy"}]
)
def test_a_monitor_that_could_keep_no_score_is_refused(data, scoring):
    monitor = pytest.importorskip("sklearn.callback").ScoringMonitor(scoring=scoring)
    with pytest.raises(ParameterError, match=r"^ScoringMonitor.*a dict.*Pass SceneScorer"):
        Cerberus(**TINY).set_callbacks(monitor).fit(*data)
    with pytest.raises(ParameterError, match="scikit-learn's are given by set_callbacks"):
        Cerberus(**TINY, callbacks=[monitor]).fit(*data)


class StopAfter(Callback):
    """Ends training after so many epochs."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.n_epochs:
            net.stopped_ = True


# ------------------------------------------------------------------- what a refusal leaves


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"lr": -1.0}, ParameterError),
        ({"instruments": ["piano", "gitar"]}, InstrumentError),
        ({"checkpoint": ""}, ParameterError),
        ({"callbacks": [EpochScoring("accuracy")]}, ParameterError),
        ({"patience": "soon"}, ParameterError),
        ({"device": "meta"}, ParameterError),
        ({"callbacks": [LRScheduler("StepLr")]}, ParameterError),  # torch knows none
        ({"callbacks": [LRScheduler("StepLR")]}, ParameterError),  # of what size?
        ({"callbacks": [("a", Freezer("x")), ("a", Freezer("y"))]}, ParameterError),
        ({"callbacks": [Freezer("*")]}, ParameterError),
    ],
)
def test_a_fit_that_is_refused_takes_nothing_away(data, change, error):
    parameters = {**TINY, "lr_schedule": "constant", "max_epochs": 1}
    estimator = Cerberus(**parameters, warm_start=True).fit(*data)
    parameters = estimator.get_params()
    before, predicted = weights_of(estimator), estimator.predict(data[0][:1])[0]
    with pytest.raises(error):
        estimator.set_params(**change).fit(*data)
    estimator.set_params(**{name: parameters[name] for name in change})
    again = estimator.predict(data[0][:1])[0]
    assert np.array_equal(predicted.sources, again.sources)
    assert estimator._weights()["module"].keys() == before.keys()  # a warm start begins there


def test_data_that_are_refused_take_nothing_away(data):
    for estimator in (Cerberus(**TINY), NMFSeparator(2, max_iter=2, transformer=STFT(RATE))):
        predicted = estimator.fit(*data).predict(data[0][:1])[0]
        with pytest.raises(InputError):
            estimator.fit(data[0], data[1][:2])
        again = estimator.predict(data[0][:1])[0]
        assert np.array_equal(predicted.sources, again.sources)


def test_the_checkpoints_of_skorch_find_the_best_epoch(data, tmp_path):
    kept = Checkpoint(dirname=tmp_path)
    estimator = Cerberus(**TINY, callbacks=[kept])
    estimator.fit(*data, X_val=data[0][:2], y_val=data[1][:2])
    assert (tmp_path / "params.pt").exists()
    losses = [row["valid_loss"] for row in estimator.history_]
    best = [row["valid_loss_best"] for row in estimator.net_.history]
    assert best == [loss == min(losses[: i + 1]) for i, loss in enumerate(losses)]
    begun = Cerberus(**{**TINY, "max_epochs": 1}, callbacks=[LoadInitState(kept)])
    begun.fit(*data)  # of whose epochs all have been
    assert same(torch.load(tmp_path / "params.pt"), weights_of(begun))
    assert begun.history_ == estimator.history_


def test_the_best_checkpoint_of_skorch_is_loaded(data, tmp_path):
    class Spoil(Callback):
        def on_epoch_begin(self, net, **kwargs):
            if len(net.history) == 2:
                net.optimizer_.param_groups[0]["lr"] = 100.0

    kept = Checkpoint("train_loss_best", dirname=tmp_path, load_best=True)
    parameters = {**TINY, "lr_schedule": "constant", "validation_fraction": 0}
    estimator = Cerberus(**parameters, callbacks=[Spoil(), kept]).fit(*data)
    alone = Cerberus(**{**parameters, "max_epochs": 1}).fit(*data)
    assert same(weights_of(alone), weights_of(estimator))
    assert estimator.n_iter_ == 1  # skorch takes the history of that epoch as well


def test_processes_that_were_not_given_the_same_are_refused(data, monkeypatch):
    def others(mine):
        return [mine, {**mine, "Cerberus(lr=)": 1.0}]

    monkeypatch.setattr(estimator_module, "n_processes", lambda: 2)
    monkeypatch.setattr(parallel, "gathered", others)
    with pytest.raises(InputError, match=r"Cerberus\(lr=\): expected the same .* in process 1"):
        Cerberus(**TINY).fit(*data)
