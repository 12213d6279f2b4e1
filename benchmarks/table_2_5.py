"""Table 2.5: what is left of the scores when half or nine tenths of the data are removed?

As in table 2.3, by networks that separate all levels at once, with the constraint for queries and
without it for one path. Removed are whole excerpts ("all"), or what is known of the leaf ("leaf"):
the share is then, for each leaf, of the excerpts that list it, which still teach the other levels,
and still serve as queries, so that examples of the leaf are heard though it is not known in
mixtures. What is removed is drawn at random from all songs, and there are as many training steps
whatever it is.

Nothing is claimed but that all runs; the table says which of the paper's directions are found.

``python -m benchmarks.table_2_5 --size tiny|small|paper [--seed 0]``; what tables 2.3 and 2.4
have trained is not trained again.
"""

from collections.abc import Sequence

from benchmarks._chapter2 import SHARES, reduced_name
from benchmarks._chapter2_reports import make_table

PAPER = {
    reduced_name(*system): values
    for system, values in {
        ("SSS", 0.0, ""): (3.8, 3.5, 4.0, 4.0),
        ("SSS", 0.5, "all"): (3.3, 3.1, 3.4, 3.4),
        ("SSS", 0.5, "leaf"): (3.5, 3.3, 3.6, 3.6),
        ("SSS", 0.9, "all"): (0.1, 1.5, -0.7, -0.5),
        ("SSS", 0.9, "leaf"): (3.6, 3.4, 3.7, 3.7),
        ("QBE", 0.0, ""): (2.3, 3.3, 2.1, 1.6),
        ("QBE", 0.5, "all"): (-1.5, -2.1, -1.4, -1.1),
        ("QBE", 0.5, "leaf"): (2.2, 3.4, 2.1, 1.1),
        ("QBE", 0.9, "all"): (-1.8, -2.1, -1.8, -1.5),
        ("QBE", 0.9, "leaf"): (1.9, 3.1, 1.7, 0.8),
    }.items()
}
PAIRS = [
    (reduced_name(strategy, removed, part), reduced_name(strategy, *other))
    for strategy in ("SSS", "QBE")
    for removed in SHARES
    for part, other in (("all", (0.0, "")), ("leaf", (0.0, "")), ("leaf", (removed, "all")))
]


def main(argv: Sequence[str] | None = None) -> None:
    make_table("table_2_5", __doc__, argv, PAPER, PAIRS)


if __name__ == "__main__":
    main()
