"""Figure 2.14: the scores of single leaves, of one network for all levels and of one for the leaf.

The systems of table 2.4 that are asked by example, at level 1. Boxes are over excerpts, as in
the paper: from the first quartile to the third, the median as a line. The Mann-Whitney U test, and
the paired test of Wilcoxon beside it, are over the means of songs, as excerpts of one song are
alike; of p each leaf's own is given, and that corrected for all leaves by Holm's method.

Nothing is claimed but that all runs.

``python -m benchmarks.figure_2_14 --size tiny|small|paper [--seed 0]``; what table 2.4 has trained
is not trained again.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from benchmarks._chapter2 import METRIC, SIZES, Scored, make_folds, score_systems
from benchmarks._report import finish, parse_arguments, rows_table
from msa_sk.metrics import Comparison
from msa_sk.metrics.statistics import holm

MULTI, SINGLE = "QBE + HC", "QBE, single-level"
COLOURS = {SINGLE: "#E69F00", MULTI: "#56B4E9"}  # orange and blue, as the paper's


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(__doc__, argv)
    size, start = SIZES[arguments.size], time.monotonic()
    seeds = range(arguments.seed, arguments.seed + size.n_seeds)
    folds = make_folds(size)
    scored = score_systems([MULTI, SINGLE], folds, size, seeds)["QBE"]
    comparison = scored.compare_leaves()
    leaves = [leaf for leaf in folds[0].tree.leaves if leaf in scored.leaves]
    rows = rows_of(comparison, leaves)
    higher = [row for row in rows if row[MULTI] > row[SINGLE]]
    text = (
        f"The median of one network for all levels is the higher one for {len(higher)} of "
        f"{len(rows)} leaves; in the paper, for 16 of 18.\n"
    )
    means = differences(scored, rows)
    tables = [
        text,
        rows_table(rows),
        "Means over excerpts of what one network for all levels is above one for the leaf, in dB, "
        "with intervals over the songs of mixtures and of examples:\n",
        rows_table(means),
    ]
    path = finish("figure_2_14", __doc__, arguments, [*rows, *means], start, tables, seeds)
    draw(comparison, rows, path.with_suffix(".png"))


def rows_of(comparison: Comparison, leaves: Sequence[str]) -> list[dict[str, Any]]:
    """Return leaves' medians, and the tests of the differences."""
    medians = {(row["system"], row["instrument"]): row["median"] for row in comparison.summary()}
    rank, signed = (
        {row["instrument"]: row for row in comparison.tests(paired)} for paired in (False, True)
    )
    corrected, signed_corrected = (  # the mean of all leaves is no test
        holm([of_leaf[leaf]["p"] for leaf in leaves]) for of_leaf in (rank, signed)
    )
    return [
        {
            "leaf": leaf,
            **{name: medians[name, leaf] for name in (MULTI, SINGLE)},
            "n_songs": rank[leaf]["n_songs"],
            "n_excerpts": sum(map(len, _values(comparison, leaf).values())) // 2,
            "mann_whitney_p": rank[leaf]["p"],
            "mann_whitney_p_holm": float(p_holm),
            "wilcoxon_p": signed[leaf]["p"],
            "wilcoxon_p_holm": float(signed_p_holm),
        }
        for leaf, p_holm, signed_p_holm in zip(leaves, corrected, signed_corrected, strict=True)
    ]


def differences(scored: Scored, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mean differences: of all tests, of each fold, and without the leaf that differs most.

    One leaf can make a mean; and a fold by which parameters were chosen is not one to judge by.
    """
    furthest = max(rows, key=lambda row: abs(row[MULTI] - row[SINGLE]))["leaf"]
    leaves, folds = np.array(scored.leaves), np.array(scored.folds)
    tests = {
        "all": np.ones(len(leaves), bool),
        **{f"fold {fold}": folds == fold for fold in np.unique(folds)},
        f"all but {furthest}": leaves != furthest,
        furthest: leaves == furthest,
    }
    found = []
    for name, chosen in tests.items():
        comparison = scored.where(list(chosen)).compare()
        ours, others = (comparison.values(each, METRIC, "level_1") for each in (MULTI, SINGLE))
        low, high = comparison.interval((ours - others)[:, None])[:, 0]
        found.append(
            {
                "tests": name,
                "difference": float(np.mean(ours - others)),
                "low": float(low),
                "high": float(high),
                "n_songs": len(set(comparison.songs)),
                "n_excerpts": len(ours),
            }
        )
    return found


def _values(comparison: Comparison, leaf: str) -> dict[str, Any]:
    found = {name: comparison.values(name, METRIC, leaf) for name in (SINGLE, MULTI)}
    return {name: values[values == values] for name, values in found.items()}


def draw(comparison: Comparison, rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw two boxes for each leaf; a star where the Mann-Whitney U test says p < 0.05."""
    figure, axis = plt.subplots(figsize=(7, 0.45 * len(rows) + 1.4), layout="constrained")
    for k, name in enumerate((MULTI, SINGLE)):
        boxes = axis.boxplot(
            [_values(comparison, row["leaf"])[name] for row in rows],
            positions=[i + 0.4 * (k - 0.5) for i in range(len(rows))],
            widths=0.34,
            orientation="horizontal",
            patch_artist=True,
            manage_ticks=False,
            showfliers=False,
            medianprops={"color": "black"},
        )
        for box in boxes["boxes"]:
            box.set(facecolor=COLOURS[name], linewidth=0.8)
        axis.plot([], [], "s", color=COLOURS[name], label=name)
    axis.axvline(0, color="0.7", lw=0.8, zorder=0)
    names = [
        row["leaf"].replace("_", " ") + ("*" if row["mann_whitney_p"] < 0.05 else "")
        for row in rows
    ]
    axis.set_yticks(range(len(rows)), names)
    axis.set(xlabel="SI-SDRi at level 1 (dB)", ylim=(len(rows) - 0.4, -0.6))
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
