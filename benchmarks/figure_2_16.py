"""Figure 2.16: the scores of leaves over the share of training data that is removed.

The systems of table 2.5 at level 1: of whole excerpts removed, and of what is known of the leaf
alone. Intervals draw songs, of the mixtures and of the examples.

Nothing is claimed but that all runs.

``python -m benchmarks.figure_2_16 --size tiny|small|paper [--seed 0]``; what table 2.5 has trained
is not trained again.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from benchmarks._chapter2 import (
    SHARES,
    SIZES,
    WHOLE,
    make_folds,
    reduced_name,
    score_systems,
)
from benchmarks._chapter2_reports import COLUMNS
from benchmarks._report import finish, parse_arguments
from benchmarks.table_2_5 import PAPER

PARTS = {"all": "all levels removed", "leaf": "leaf removed"}
STYLES = {"all": "-", "leaf": "--"}


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(__doc__, argv)
    size, start = SIZES[arguments.size], time.monotonic()
    seeds = range(arguments.seed, arguments.seed + size.n_seeds)
    found = {
        row["system"]: row
        for scored in score_systems(PAPER, make_folds(size), size, seeds).values()
        for row in scored.compare().summary()
        if row["instrument"] == "level_1"
    }
    rows = [
        {"strategy": strategy, "removed": removed, "part": part}
        | {
            key: found[reduced_name(strategy, removed, part)][key]
            for key in ("mean", "low", "high", "n_songs", "n_excerpts")
        }
        | {"paper": PAPER[reduced_name(strategy, removed, part)][list(COLUMNS).index("level_1")]}
        for strategy in WHOLE
        for part in PARTS
        for removed in (0.0, *SHARES)
    ]
    path = finish("figure_2_16", __doc__, arguments, rows, start, seeds=seeds)
    draw(rows, path.with_suffix(".png"))


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the leaf's score over what is removed, one panel for each strategy."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, strategy in zip(axes, WHOLE, strict=True):
        for i, (part, label) in enumerate(PARTS.items()):
            of_part = [r for r in rows if (r["strategy"], r["part"]) == (strategy, part)]
            removed, mean, low, high, paper = (
                np.array([row[key] for row in of_part])
                for key in ("removed", "mean", "low", "high", "paper")
            )
            x = 100 * removed + (2 * i - 1)  # so that intervals lie side by side
            bars = mean - low, high - mean
            axis.errorbar(x, mean, bars, ls=STYLES[part], color=f"C{i}", capsize=3, label=label)
            axis.plot(100 * removed, paper, ":.", color=f"C{i}", alpha=0.6)
        axis.set(title=strategy, xlabel="training data removed (%)", xticks=100 * removed)
    axes[0].set_ylabel("SI-SDRi at level 1 (dB)")
    axes[0].plot([], [], ":.", color="gray", label="the paper, Slakh")
    axes[0].legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
