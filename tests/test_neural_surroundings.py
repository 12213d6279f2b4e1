"""What a caller has set in torch changes nothing of what a network learns and finds."""

import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import msa_sk
from msa_sk import STFT, Cerberus
from msa_sk.datasets import make_scenes
from msa_sk.neural.surroundings import usual_torch

TINY = {
    "hidden_size": 4,
    "n_layers": 1,
    "embedding_size": 3,
    "max_epochs": 1,
    "batch_size": 3,
    "sequence_length": 400,
    "random_state": 0,
    "device": "cpu",
    "transformer": STFT(8000, 256, 128),
}


@contextmanager
def default(setter, value, usual):
    setter(value)
    try:
        yield
    finally:
        setter(usual)


SURROUNDINGS = {
    "double": lambda: default(torch.set_default_dtype, torch.float64, torch.float32),
    "meta": lambda: default(torch.set_default_device, "meta", None),
    "with meta": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
}


def settings():
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_autocast_enabled("cpu"),
        torch.is_inference_mode_enabled(),
        torch.is_grad_enabled(),
    )


def results(X, y, path):
    """Return what a fit, a pass, a warm start, and what was loaded, have learnt and find."""
    estimator, found = Cerberus(**TINY, body="band_split", warm_start=True), []
    for learn in (estimator.fit, estimator.partial_fit, estimator.fit):
        learn(X, y)
        found += [value.numpy().copy() for value in estimator.net_.module_.state_dict().values()]
    for one in (estimator, msa_sk.load(estimator.save(path))):
        (scene,) = one.predict(X[:1])
        found += [scene.sources, scene.rolls]
    return found


@pytest.fixture(scope="module")
def data():
    return make_scenes(4, duration=0.5, sample_rate=8000, random_state=0)


@pytest.fixture(scope="module")
def expected(data, tmp_path_factory):
    return results(*data, tmp_path_factory.mktemp("usual") / "model.msa")


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_surroundings_change_no_bit(data, expected, tmp_path, name):
    usual = settings()
    with SURROUNDINGS[name]():
        before = settings()
        found = results(*data, tmp_path / "model.msa")
        assert settings() == before != usual
    assert [one.tobytes() for one in found] == [one.tobytes() for one in expected]
    assert {one.dtype for one in found if one.dtype.kind == "f"} == {np.dtype("float32")}


def test_threads_leave_single_precision_together():
    """The default is that of all threads: none takes it from another."""
    inside, go_on = threading.Event(), threading.Event()

    def stay():
        with usual_torch():
            inside.set()
            go_on.wait(10)

    other = threading.Thread(target=stay)
    with default(torch.set_default_dtype, torch.float64, torch.float32):
        with usual_torch():
            other.start()
            assert inside.wait(10)
        assert torch.get_default_dtype() == torch.float32
        go_on.set()
        other.join()
        assert torch.get_default_dtype() == torch.float64
