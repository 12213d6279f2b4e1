"""The bodies of Cerberus after equal training times, on mixtures of piano and guitar.

Songs, excerpts and mixtures are made by the rules of ``table_3_1``, cross-validated by song. Every
body learns for as long, counted in processor time of one thread, from mixtures that are drawn anew
as long as it lasts; the learning rate falls along half a cosine of that time. Cerberus has two
heads, masks and rolls, and the default parameters but for `body`; steps are of one training.
Intervals draw the songs of the piano and those of the guitar, and hold no chance of training.

Claimed and asserted, from the size small upwards: with each body, the 95 % interval of the
improvement over the unprocessed mixture (SI-SDRi) lies above 0.

``python -m benchmarks.bodies --size tiny|small [--seed 0]``
"""

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed
from skorch.callbacks import Callback

from benchmarks._chapter3 import INSTRUMENTS, Fold, lessons, make_folds
from benchmarks._fits import compare_scores
from benchmarks._report import finish, parse_arguments, rows_table
from benchmarks._songs import Songs, songs_in
from benchmarks.table_3_1 import test_set
from msa_sk import Cerberus, MixtureBaseline
from msa_sk.datasets import IncoherentMixing
from msa_sk.metrics import SceneScorer
from msa_sk.neural.allocator import keep_large_buffers

BODIES = ("blstm", "unet", "band_split")
FLOOR = "unprocessed mixture"
METRICS = ("si_sdri", "frame_f1", "note_onset_f1")
N_JOBS = 2


class Size(NamedTuple):
    """How much there is to do, and with what."""

    n_songs: int | None  # MIDI files; None takes all
    n_folds: int
    n_versions: int  # of each training song, in other keys and with other programs
    n_casts: int  # of all songs but those to test on, recast as the instruments
    seconds: float  # of training, of each body in each fold
    n_mixtures: int  # drawn at a time
    n_test: int  # in each fold
    hidden_size: int


SIZES = {
    "tiny": Size(24, 2, 1, 0, 1.0, 8, 6, 16),
    "small": Size(None, 2, 8, 2, 300.0, 128, 100, 128),
}


class Result(NamedTuple):
    """What one training gave."""

    scores: tuple  # of each test mixture
    steps: int
    parameters: int


class EqualTime(Callback):
    """Train for so many seconds of processor time, and let the learning rate fall meanwhile.

    Parameters
    ----------
    seconds : float
    lr : float
        To begin with.
    """

    def __init__(self, seconds: float, lr: float):
        self.seconds, self.lr = seconds, lr

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.start_, self.n_steps_ = time.process_time(), 0

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        share = min(1.0, (time.process_time() - self.start_) / self.seconds)
        self.n_steps_ += share < 1  # what comes after, in the same epoch, changes nothing
        net.stopped_ = share == 1
        for group in net.optimizer_.param_groups:
            group["lr"] = self.lr * (1 + math.cos(math.pi * share)) / 2


def main(argv: Sequence[str] | None = None) -> None:
    """Train, test, write the report, then fail if a claim does not hold."""
    arguments = parse_arguments(__doc__, argv)
    if arguments.size not in SIZES:
        raise SystemExit(f"{arguments.size}: this benchmark has the sizes {', '.join(SIZES)}.")
    size, start = SIZES[arguments.size], time.monotonic()
    folds = list(make_folds(size))
    tests = [test_set(fold, size.n_test) for fold in folds]
    names = (FLOOR, *BODIES)
    jobs = [
        (name, fold, test, size, arguments.seed)
        for name in names
        for fold, test in zip(folds, tests, strict=True)
    ]
    results = Parallel(n_jobs=N_JOBS)(delayed(run)(*job) for job in jobs)
    of = {
        name: [r for (n, *_), r in zip(jobs, results, strict=True) if n == name] for name in names
    }
    scores = {name: [sum((one.scores for one in of[name]), ())] for name in names}
    comparison = compare_scores(scores, *songs_in(tests))
    sizes = {name: sizes_of(of[name]) for name in names}
    rows = [{**row, **sizes[row["system"]]} for row in comparison.summary()]
    tables = [
        f"Here each trained for {size.seconds:g} s.\n",
        comparison.to_markdown(),
        rows_table([{"system": name, **sizes[name]} for name in BODIES]),
    ]
    finish("bodies", __doc__, arguments, rows, start, tables)
    if arguments.size != "tiny":
        check(rows)


def run(name: str, fold: Fold, test: Songs, size: Size, seed: int) -> Result:
    """Train Cerberus with one body on a fold's songs, and test it; so many at a time as cores."""
    keep_large_buffers()
    torch.set_num_threads(1)
    steps = parameters = 0
    if name == FLOOR:
        system: Any = MixtureBaseline().fit(*test)
    else:
        system = Cerberus(
            dc_weight=0,
            body=name,
            hidden_size=size.hidden_size,
            sampler=IncoherentMixing(size.n_mixtures, instruments=INSTRUMENTS, balance="excerpt"),
            max_epochs=1_000_000,
            lr_schedule="constant",
            validation_fraction=0,
            precision="auto",
            random_state=seed,
            verbose=0,
        )
        clock = EqualTime(size.seconds, system.lr)
        system.set_params(callbacks=[clock]).fit(*lessons(fold))
        steps, module = clock.n_steps_, system.net_.module_
        parameters = sum(one.numel() for one in module.parameters())
    found = SceneScorer(METRICS).evaluate(system, *test, skip_unknown=True)
    print(f"fold {fold.number}, {name}: {steps} steps, {found.mean('si_sdri'):.2f} dB", flush=True)
    return Result(found.scores, steps, parameters)


def sizes_of(results: Sequence[Result]) -> dict[str, Any]:
    """Return the mean number of steps, and the number of parameters, of trainings of a system."""
    return {
        "steps": round(np.mean([one.steps for one in results])) or None,
        "parameters": results[0].parameters or None,
    }


def check(rows: Sequence[dict[str, Any]]) -> None:
    """Assert what the benchmark claims."""
    low = {
        row["system"]: row["low"]
        for row in rows
        if row["metric"] == "si_sdri" and row["instrument"] == "all"
    }
    below = [f"{body}: {low[body]:.2f} dB" for body in BODIES if low[body] <= 0]
    assert not below, f"the lower bound of SI-SDRi is not above 0 with {', '.join(below)}"


if __name__ == "__main__":
    main()
