"""From which posterior on Cerberus should call a pitch a note, instrument by instrument.

Cerberus learns composed songs of piano, guitar, bass and drums; on songs that it has not heard,
its piano rolls are decoded with thresholds from 0.1 to 0.8, and notes are scored.

Claimed and asserted, from the size small upwards: the default thresholds reach an onset F1 within
0.03 of what the best threshold reaches, averaged over pitched instruments, and for drums.

``python -m benchmarks.thresholds --size tiny|small [--seed 0]``
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks._report import parse_arguments, write_report
from msa_sk import Cerberus, Notes, Scene
from msa_sk.datasets import make_scenes
from msa_sk.metrics import frame_scores, note_onset_scores
from msa_sk.neural.allocator import keep_large_buffers
from msa_sk.rolls import roll_to_notes

INSTRUMENTS = ("piano", "guitar", "bass", "drums")
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
MEASURES = {"note_onset_f1": note_onset_scores, "frame_f1": frame_scores}


class Size(NamedTuple):
    """How much there is to do."""

    n_train: int
    n_test: int
    max_epochs: int
    hidden_size: int


SIZES = {"tiny": Size(12, 4, 1, 16), "small": Size(400, 40, 9, 128)}


def main() -> None:
    arguments = parse_arguments(__doc__)
    if arguments.size not in SIZES:
        raise SystemExit(f"{arguments.size}: this benchmark has the sizes {', '.join(SIZES)}.")
    size, start = SIZES[arguments.size], time.monotonic()
    keep_large_buffers()
    X, y = make_scenes(size.n_train + size.n_test, INSTRUMENTS, random_state=arguments.seed)
    cerberus = Cerberus(
        hidden_size=size.hidden_size, max_epochs=size.max_epochs, random_state=arguments.seed
    ).fit(X[: size.n_train], y[: size.n_train])
    truths, scenes = y[size.n_train :], cerberus.predict(X[size.n_train :])
    rows = [
        {
            "system": f"Cerberus, threshold {threshold}",
            "instrument": name,
            "metric": metric,
            **summary(truths, scenes, name, metric, threshold, cerberus),
        }
        for metric in MEASURES
        for name in INSTRUMENTS
        for threshold in THRESHOLDS
    ]
    for metric in MEASURES:
        print(f"{metric}, by threshold: {'  '.join(map(str, THRESHOLDS))}")
        for name in INSTRUMENTS:
            means = [r["mean"] for r in rows if (r["metric"], r["instrument"]) == (metric, name)]
            print(f"  {name:8s} {'  '.join(f'{mean:.3f}' for mean in means)}")
    note = __doc__.split("\n\n")[1].replace("\n", " ")
    path = write_report(
        "thresholds", arguments, rows, time.monotonic() - start, packages=("skorch",), note=note
    )
    print(f"Written: {path}")
    if arguments.size != "tiny":
        check(rows)


def summary(
    truths: Sequence[Scene],
    scenes: Sequence[Scene],
    name: str,
    metric: str,
    threshold: float,
    cerberus: Cerberus,
) -> dict[str, Any]:
    """Return an instrument's mean F1 with its 95 % interval; each scene is a song of its own."""
    values = []
    for truth, scene in zip(truths, scenes, strict=True):
        roll = scene.rolls[scene.instruments.index(name)]
        notes: Notes = roll_to_notes(
            roll, scene.frame_rate, threshold, cerberus.min_note, cerberus.max_gap
        )
        values.append(MEASURES[metric](truth.notes_of(name), notes).f1)
    random = np.random.default_rng(0)
    means = random.choice(values, (10_000, len(values))).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "mean": float(np.mean(values)),
        "low": float(low),
        "high": float(high),
        "n_songs": len(values),
        "n_excerpts": len(values),
    }


def check(rows: Sequence[dict[str, Any]]) -> None:
    """Assert what the benchmark claims."""
    defaults = Cerberus()
    for names, default in (
        (INSTRUMENTS[:3], defaults.threshold),
        (INSTRUMENTS[3:], defaults.drum_threshold),
    ):
        means = {
            threshold: np.mean(
                [
                    row["mean"]
                    for row in rows
                    if row["metric"] == "note_onset_f1"
                    and row["instrument"] in names
                    and row["system"].endswith(f" {threshold}")
                ]
            )
            for threshold in THRESHOLDS
        }
        best = max(means.values())
        assert means[default] >= best - 0.03, f"{names}: {means}, default {default}"


if __name__ == "__main__":
    main()
