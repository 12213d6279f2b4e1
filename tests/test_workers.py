"""Other processes: searches spread over them, forks, threads, and what cannot be sent to them."""

import os
import subprocess
import sys
import textwrap
import threading

import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback
from threadpoolctl import threadpool_limits

from msa_sk import STFT, Cerberus
from msa_sk.datasets import make_scenes

TINY = {
    "hidden_size": 4,
    "n_layers": 1,
    "embedding_size": 3,
    "max_epochs": 1,
    "random_state": 0,
    "device": "cpu",
    "transformer": STFT(8000, 256, 128),
}


@pytest.fixture(scope="module", autouse=True)
def own_pool():
    """Let no test use workers of other modules' tests.

    Theirs may not have loaded torch yet: loky takes it for a leak when they do, and replaces
    them, in which a worker once waited for a lock for ever.
    """
    get_reusable_executor().shutdown(wait=True)


@pytest.fixture(scope="module")
def data():
    return make_scenes(4, duration=0.5, sample_rate=8000, random_state=0)


def scores_of(data, n_jobs=None, **changes):
    """Return the scores of a small search, by candidate and fold."""
    search = GridSearchCV(
        Cerberus(**TINY, **changes),
        {"lr": [1e-3, 1e-2]},
        cv=2,
        n_jobs=n_jobs,
        error_score="raise",
        refit=False,
    )
    results = search.fit(*data).cv_results_
    return np.stack([results[f"split{i}_test_score"] for i in range(2)])


@pytest.fixture(scope="module")
def serial(data):
    with threadpool_limits(1):
        return scores_of(data)


def run(code, *arguments, **environment):
    """Run code in a process of its own, with as many threads as it likes; return what it says."""
    kept = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


# ------------------------------------------------------------------------------- searches


def test_a_search_in_two_processes_is_the_serial_one(data, serial):
    with joblib.parallel_backend("loky", inner_max_num_threads=1):
        np.testing.assert_array_equal(scores_of(data, n_jobs=2), serial)
    assert len(np.unique(serial)) == 4


def test_a_search_in_two_threads_is_the_serial_one(data, serial):
    """They share one generator of torch's."""
    with joblib.parallel_backend("threading"), threadpool_limits(1):
        np.testing.assert_array_equal(scores_of(data, n_jobs=2), serial)


def test_a_search_over_dask_is_the_serial_one(data, serial):
    distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    local = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**local) as cluster,
        distributed.Client(cluster),
        joblib.parallel_backend("dask"),
    ):
        np.testing.assert_array_equal(scores_of(data), serial)


def test_threads_of_two_processes_are_no_more_than_cores():
    """With nothing said of threads, by variables or by the user."""
    said = run(
        """
        import joblib
        from sklearn.model_selection import cross_val_score
        from threadpoolctl import threadpool_info
        from msa_sk import MixtureBaseline
        from msa_sk.datasets import make_scenes

        def n_threads(estimator, X, y):
            import torch
            pools = threadpool_info()
            assert pools
            return max(torch.get_num_threads(), *(pool["num_threads"] for pool in pools))

        data = make_scenes(2, duration=0.5, random_state=0)
        how = {"scoring": n_threads, "cv": 2, "n_jobs": 2, "error_score": "raise"}
        print(joblib.cpu_count(), *cross_val_score(MixtureBaseline(), *data, **how))
        """
    )
    n_cores, *n_threads = map(float, said.split())
    assert len(n_threads) == 2
    assert sum(n_threads) <= max(2, n_cores)


# ---------------------------------------------------------------------------------- forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing is forked here")
def test_a_forked_process_does_not_wait_for_threads_that_are_not_there():
    """OpenMP's threads are not forked along; torch alone would wait for them for ever."""
    said = run(
        """
        import os, sys
        import numpy as np, torch
        from msa_sk import STFT, Cerberus
        from msa_sk.datasets import make_scenes

        torch.set_num_threads(2)
        X, y = make_scenes(2, duration=2.0, sample_rate=8000, random_state=0)
        cerberus = Cerberus(hidden_size=64, max_epochs=1, random_state=0, device="cpu")
        cerberus.set_params(transformer=STFT(8000, 256, 128), validation_fraction=0).fit(X, y)
        before = cerberus.predict(X)[0].sources
        if os.fork() == 0:
            same = np.allclose(cerberus.predict(X)[0].sources, before, atol=1e-5)
            cerberus.fit(X, y)
            print("predicted", same, "and fitted", flush=True)
            os._exit(0)
        assert os.wait()[1] == 0
        assert torch.get_num_threads() == 2
        """
    )
    assert said == "predicted True and fitted\n"


# ---------------------------------------------------------------- what is sent to processes


def test_what_is_defined_on_the_spot_reaches_the_workers(data):
    class Changed(Callback):
        def __init__(self, change):
            self.change = change

        def on_train_begin(self, net, **kwargs):
            for group in net.optimizer_.param_groups:
                group["lr"] = self.change(group["lr"])

    callbacks = [Changed(lambda rate: 0.5 * rate)]
    with threadpool_limits(1):
        expected = scores_of(data, callbacks=callbacks)
    with joblib.parallel_backend("loky", inner_max_num_threads=1):
        np.testing.assert_array_equal(scores_of(data, n_jobs=2, callbacks=callbacks), expected)


def test_what_cannot_be_sent_is_refused_before_work(data, monkeypatch):
    class Locked(Callback):
        def __init__(self):
            self.lock = threading.Lock()

    monkeypatch.setattr(Cerberus, "fit", lambda *_: pytest.fail("work began"))
    with pytest.raises(TypeError, match="cannot pickle '_thread.lock' object"):
        scores_of(data, n_jobs=2, callbacks=[Locked()])
