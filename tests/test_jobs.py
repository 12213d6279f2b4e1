"""Work that is shared out: in order, whoever does it."""

import numpy as np
import pytest

from msa_sk._jobs import share_out
from msa_sk.datasets import Folder, cache_resampled, make_scenes
from msa_sk.exceptions import ParameterError

HOW = {"label": "squaring", "unit": "number", "verbose": 0}


@pytest.mark.parametrize("n_jobs", [1, 2, -1, None, np.int64(2)])
def test_results_come_in_order(n_jobs):
    assert list(share_out(pow, [3, 1, 2], 2, n_jobs=n_jobs, **HOW)) == [9, 1, 4]
    assert list(share_out(pow, [], 2, n_jobs=n_jobs, **HOW)) == []


@pytest.mark.parametrize("n_jobs", [0, "2", True, 1.5, [2]])
def test_what_is_no_number_of_jobs_is_refused_before_work(tmp_path, n_jobs):
    X, y = make_scenes(1, duration=0.5, random_state=0)
    y[0].write(tmp_path / "song")
    before = sorted(tmp_path.rglob("*"))
    uses = [
        lambda: share_out(pow, [], 2, n_jobs=n_jobs, **HOW),
        lambda: cache_resampled(X, y, tmp_path / "cache", n_jobs=n_jobs),
        lambda: Folder(tmp_path).load(n_jobs=n_jobs),
    ]
    for use in uses:
        with pytest.raises(ParameterError, match="^n_jobs: expected None, .*-1 takes all cores"):
            use()
    assert sorted(tmp_path.rglob("*")) == before
