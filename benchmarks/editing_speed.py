"""How long one waits after an edit of the notes, beside separating the whole anew.

Notes of a composed song are moved from one instrument to the other, one after the other, in an
`EditSession`; beside that, the whole is separated anew with the same notes. What time takes does
not depend on what a network has learnt, so that it is trained for an epoch.

Time is that of the processor, on one thread: so it does not depend on what else the machine does,
and is about what one waits on a machine that does nothing else. What went by is beside it.

Claimed and asserted: after an edit sources are those of the whole to 1e-6; and, from the size
small upwards, with `ScoreInformedSeparator` as it is by default,

- an edit of 30 s takes less than half a second, in one window and in short ones;
- an edit of 5 minutes, ten windows and a bit, takes at most a quarter of the time of the whole.

``python -m benchmarks.editing_speed --size tiny|small [--seed 0]``
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks._report import conclude, parse_arguments, write_report
from msa_sk import EditSession, Mixture, NMFSeparator, Scene, ScoreInformedSeparator
from msa_sk.datasets import make_scenes

INSTRUMENTS = ("piano", "guitar")
TOLERANCE, MOST_SECONDS, LEAST_RATIO = 1e-6, 0.5, 4


class Size(NamedTuple):
    """How large the network is, how long a window and a short one, and how many edits to do."""

    hidden_size: int
    window: float
    short: float
    n_edits: int


SIZES = {"tiny": Size(8, 2.0, 1.0, 2), "small": Size(128, 30.0, 5.0, 8)}
N_WINDOWS = 10  # of the long song


def main(argv: list[str] | None = None) -> None:
    """Measure, write the report, then fail if a claim does not hold."""
    arguments = parse_arguments(__doc__.splitlines()[0], argv)
    if arguments.size not in SIZES:
        raise SystemExit(f"{arguments.size}: this benchmark has the sizes {', '.join(SIZES)}.")
    size, start = SIZES[arguments.size], time.perf_counter()
    fast = arguments.size != "tiny"  # what takes no time is no race
    network = ScoreInformedSeparator(
        hidden_size=size.hidden_size, max_epochs=1, device="cpu", random_state=0, verbose=0
    )
    nmf = NMFSeparator(score_informed=True)
    with threadpool_limits(1):
        data = make_scenes(2, INSTRUMENTS, duration=2.0, random_state=arguments.seed)
        for system in (network, nmf):
            system.fit(*data)
        song, long = (
            compose(seconds, arguments.seed) for seconds in (size.window, N_WINDOWS * size.window)
        )
        half, many = {"most_seconds": MOST_SECONDS}, {"least_ratio": LEAST_RATIO}
        rows = [
            *measure(network, size.window, song, size.n_edits, **half if fast else {}),
            *measure(network, size.short, song, size.n_edits, **half if fast else {}),
            *measure(network, size.window, long, size.n_edits, **many if fast else {}),
            *measure(nmf, size.short, song, size.n_edits),
        ]
    path = write_report(
        "editing_speed",
        arguments,
        rows,
        time.perf_counter() - start,
        packages=("librosa",),
        note="Median seconds of one thread: ours is the edit, peer the whole separated anew (of "
        "an undoing, the edit that is undone); ratio: the median of peer / ours; passed: the "
        "seconds that went by, on a machine that did other work as well.",
    )
    conclude(path, rows)


def compose(seconds: float, seed: int) -> tuple[Mixture, Scene]:
    """Return a song, and what is in it."""
    mixtures, scenes = make_scenes(1, INSTRUMENTS, duration=seconds, random_state=seed)
    return mixtures[0], scenes[0]


class Seconds(NamedTuple):
    """For how long the processor was busy, and how much time passed."""

    busy: float
    passed: float


def measure(
    system: Any, window: float, song: tuple[Mixture, Scene], n_edits: int, **limits: float | None
) -> list[dict[str, Any]]:
    """Time edits beside the whole, and their undoing beside them."""
    mixture, truth = song
    session = EditSession(system.set_params(window_seconds=window), mixture, truth)
    edits, wholes, undos, difference = [], [], [], 0.0
    for i in range(n_edits):
        source, target = INSTRUMENTS if i % 2 else INSTRUMENTS[::-1]
        note = (7 * i) % len(session.scene.notes_of(source))  # another one each time
        edit, scene = timed(partial(session.move, source, target, indices=[note]))
        notes = dict(zip(scene.instruments, scene.notes, strict=True))
        whole, (fresh,) = timed(partial(system.predict, [replace(mixture, notes=notes)]))
        undo, _ = timed(session.undo)
        session.redo()
        difference = max(difference, float(np.abs(scene.sources - fresh.sources).max()))
        edits.append(edit)
        wholes.append(whole)
        undos.append(undo)
    work = f"{type(system).__name__}, {mixture.duration:g} s in windows of {window:g} s"
    return [
        row_of(f"an edit: {work}", edits, wholes, difference, **limits),
        row_of(f"its undoing: {work}", undos, edits, None),
    ]


def row_of(
    work: str,
    ours: list[Seconds],
    peer: list[Seconds],
    difference: float | None,
    most_seconds: float | None = None,
    least_ratio: float | None = None,
) -> dict[str, Any]:
    """Return a row; what is None is not claimed."""
    row = {
        "work": work,
        "ours": statistics.median(one.busy for one in ours),
        "peer": statistics.median(one.busy for one in peer),
        "ratio": statistics.median(b.busy / a.busy for a, b in zip(ours, peer, strict=True)),
        "passed": statistics.median(one.passed for one in ours),
        "difference": difference,
        "n_runs": len(ours),
    }
    claims = {}
    if difference is not None:
        claims[f"difference <= {TOLERANCE:g}"] = difference <= TOLERANCE
    if most_seconds is not None:
        claims[f"ours < {most_seconds:g}"] = row["ours"] < most_seconds
    if least_ratio is not None:
        claims[f"ratio >= {least_ratio:g}"] = row["ratio"] >= least_ratio
    holds = all(claims.values()) if claims else None
    return {**row, "claim": ", ".join(claims) or None, "holds": holds}


def timed(action: Callable[[], Any]) -> tuple[Seconds, Any]:
    """Return how long an action took, and what came of it."""
    busy, passed = time.process_time(), time.perf_counter()
    result = action()
    return Seconds(time.process_time() - busy, time.perf_counter() - passed), result


if __name__ == "__main__":
    main()
