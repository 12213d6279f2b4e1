"""Whether training survives kill -9: at random moments, also amid the writing of a checkpoint.

One fit writes its checkpoint after every step; its process is killed again and again at a random
moment, and each time a new process calls the same fit. In the end the saved model is compared,
byte for byte, with that of a fit which was never killed.

Claimed and asserted: the two files are the same, and no kill leaves a checkpoint that cannot be
read.

``python -m benchmarks.crash_safety --size tiny|small [--seed 0]``
"""

import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch._dynamo  # which optimizers load: here it is loaded once, for all processes

from benchmarks._report import parse_arguments, write_report
from msa_sk import STFT, Cerberus
from msa_sk.datasets import make_scenes
from msa_sk.persistence import read_document, refusing_made_up


class Size(NamedTuple):
    """How much there is to do."""

    n_kills: int
    n_scenes: int
    max_epochs: int


SIZES = {"tiny": Size(3, 6, 6), "small": Size(20, 20, 12)}


def main() -> None:
    arguments = parse_arguments(__doc__)
    if arguments.size not in SIZES:
        raise SystemExit(f"{arguments.size}: this benchmark has the sizes {', '.join(SIZES)}.")
    size, start = SIZES[arguments.size], time.monotonic()
    data = make_scenes(size.n_scenes, duration=1.0, sample_rate=8000, random_state=arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        rows = kill_again_and_again(size, data, arguments.seed, Path(folder))
    for row in rows:
        print(row)
    note = __doc__.split("\n\n")[1].replace("\n", " ")
    path = write_report(
        "crash_safety", arguments, rows, time.monotonic() - start, packages=("skorch",), note=note
    )
    print(f"Written: {path}")
    assert all(row["identical"] for row in rows), "a resumed training ended with another model"


def kill_again_and_again(size: Size, data: tuple, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Return what each kill met: where training stood, and how it ended."""
    checkpoint = folder / "training.msa"
    cerberus = Cerberus(
        hidden_size=16,
        dropout=0.2,
        max_epochs=size.max_epochs,
        batch_size=2,
        sequence_length=400,
        lr_schedule="halve",
        max_grad_norm="autoclip",
        checkpoint_minutes=0,
        random_state=seed,
        device="cpu",
        transformer=STFT(8000, 256, 128),
    )

    def fit(path: Path, name: str) -> Callable[[], Any]:
        model = cerberus.set_params(checkpoint=path)
        return lambda: model.fit(*data).save(folder / name)

    whole = run(fit(folder / "never-killed.msa", "expected.msa"), folder / "never-killed.msa")
    random = np.random.default_rng(seed)
    rows = []
    for i in range(size.n_kills):
        # On average, all the kills together leave more than half of the work undone.
        seconds = random.uniform(0, 0.7 * whole / size.n_kills)
        run(fit(checkpoint, "model.msa"), checkpoint, seconds)
        left = sorted(folder.glob(".tmp-*"))
        rows.append({"kill": i + 1, **position(checkpoint), "amid writing": bool(left)})
    run(fit(checkpoint, "model.msa"), checkpoint)
    same = (folder / "model.msa").read_bytes() == (folder / "expected.msa").read_bytes()
    return [{**row, "identical": same} for row in rows]


def run(work: Callable[[], Any], checkpoint: Path, kill_after: float | None = None) -> float:
    """Run a training in a process of its own, to its end or some seconds into its steps.

    Nothing of torch has run in this process, so that it may be forked. Returns how long the
    steps took, from the first checkpoint that was written.
    """
    before = written_at(checkpoint)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            torch.set_num_threads(1)
            work()
            status = 0
        finally:
            os._exit(status)
    while written_at(checkpoint) == before:
        time.sleep(0.001)
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
    start = time.monotonic()
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    expected = 0 if kill_after is None else -signal.SIGKILL
    code = os.waitstatus_to_exitcode(status)
    assert code == expected, f"the process ended with {code}, not {expected}"
    return time.monotonic() - start


def written_at(path: Path) -> int | None:
    """Return when a file was put there; None where there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def position(checkpoint: Path) -> dict[str, int]:
    """Return how far a training had come."""
    if not checkpoint.exists():
        return {"epochs": 0, "batches": 0}
    with refusing_made_up(checkpoint):
        document, _ = read_document(checkpoint)
    state = dict(dict(document["checkpoint"]["dict"])["state"]["dict"])
    n_done = dict(state["batches"]["dict"])["n_done"]
    return {"epochs": len(state["history"]) - (n_done > 0), "batches": n_done}


if __name__ == "__main__":
    main()
