"""Table 2.4: one network for all levels against one for each, for one path and for all leaves.

SSS separates the path of effected guitars, without the constraint; QBE the 12 leaves that have
relatives, each by an example from another song, with the constraint where levels are separated
together. Data and tests are those of table 2.3. Networks of single levels are fits of their own,
which take as many steps, on the same mixtures, as that of all levels. Besides, pairs of leaves
under different top nodes that are both above -30 dB in an excerpt: it is asked for each of the
two, and each output's SI-SDR to its own target is compared with that to the other's. Intervals
draw songs, of the mixtures and of the examples; tests are over the songs of the mixtures.

The bar, asserted for the size small and above: at the leaf, an output's SI-SDR to its own target
is in the median 5 dB above that to the other's. Whether one network for all levels is better at
the leaf is told by the intervals.

``python -m benchmarks.table_2_4 --size tiny|small|paper [--seed 0]``; what other tables have
trained is not trained again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from benchmarks._chapter2 import LEVELS, Fold, Size, plan
from benchmarks._chapter2_reports import make_table
from benchmarks._fits import bootstrap
from benchmarks._report import rows_table
from msa_sk.datasets import scenes_along
from msa_sk.metrics import si_sdr
from msa_sk.records import Mixture, Scene

PAPER = {
    "SSS, single-level": (1.8, 3.2, 2.7, -0.7),
    "SSS": (3.9, 3.4, 4.0, 4.0),
    "QBE, single-level": (1.0, 3.3, 1.4, -1.9),
    "QBE + HC": (2.3, 3.3, 2.1, 1.6),
}
PAIRS = [("SSS", "SSS, single-level"), ("QBE + HC", "QBE, single-level")]
BAR_DB = 5.0


def main(argv: Sequence[str] | None = None) -> None:
    size, rows = make_table("table_2_4", __doc__, argv, PAPER, PAIRS, cross_query)
    if size != "tiny":
        medians = {row["level"]: row["median"] for row in rows if "median_of" in row}
        assert medians["level_1"] >= BAR_DB, f"own target above the other's: {medians} dB"


def cross_query(
    folds: Sequence[Fold], size: Size, seeds: Sequence[int]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Ask mixtures for two leaves each, and compare outputs with their targets and each other's.

    Returns
    -------
    rows : list of dict
        For each level the median of SI-SDR to the own target less that to the other's, in dB.
    tables : list of str
    """
    found: dict[str, list[float]] = {level: [] for level in LEVELS}
    songs: list[str] = []
    examples_of: list[str] = []
    for fold in folds:
        (training,) = plan("QBE + HC", fold, size, seeds[0])
        asked = training.fit()
        for mixtures, truths, of_songs in pairs_of(fold, size.n_test):
            outputs = asked.predict(mixtures)
            songs += [str(mixture.group) for mixture in mixtures]
            examples_of += of_songs
            for level, values in found.items():
                targets = [truth.source(level) for truth in truths]
                for k, output in enumerate(outputs):
                    own, other = (si_sdr(targets[i], output.source(level)) for i in (k, 1 - k))
                    values.append(own - other)
    rows = []
    for level, values in found.items():
        differences = np.array(values)
        low, high = bootstrap(
            lambda chosen, d=differences: float(np.median(d[chosen])), songs, examples_of
        )
        rows.append(
            {
                "median_of": "SI-SDR to the own target less that to the other's (dB)",
                "level": level,
                "median": float(np.median(differences)),
                "low": low,
                "high": high,
                "above_0": float((differences > 0).mean()),
                "n_songs": len(set(songs)),
                "n_outputs": len(differences),
            }
        )
    text = "Two leaves under different top nodes, asked for in the same mixture (QBE + HC):\n"
    return rows, [text, rows_table(rows)]


def pairs_of(fold: Fold, n_pairs: int) -> Iterator[tuple[list[Mixture], list[Scene], list[str]]]:
    """Give test mixtures twice, with queries of two leaves; the levels of both; their songs."""
    rng, (mixtures, scenes, heard) = np.random.default_rng(0), fold.test
    asked_for = fold.asked
    n_found = 0
    for i in rng.permutation(len(mixtures)):
        examples = {
            leaf: [
                j
                for j, names in enumerate(heard)
                if leaf in names and mixtures[j].group != mixtures[i].group
            ]
            for leaf in asked_for
            if leaf in heard[i]
        }
        pairs = [
            pair
            for pair in combinations([leaf for leaf, places in examples.items() if places], 2)
            if len({fold.tree.path(leaf)[-1] for leaf in pair}) == 2
        ]
        if not pairs:
            continue
        asked, truths, of_songs = [], [], []
        for leaf in pairs[rng.integers(len(pairs))]:
            j = rng.choice(examples[leaf])
            example = scenes[j]
            of_songs.append(str(mixtures[j].group))
            query = example.sources[example.instruments.index(leaf)]
            asked.append(replace(mixtures[i], query=query))
            truths += scenes_along(fold.tree, leaf, [mixtures[i]], [scenes[i]])[1]
        yield asked, truths, of_songs
        n_found += 1
        if n_found == n_pairs:
            return


if __name__ == "__main__":
    main()
