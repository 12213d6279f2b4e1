"""Figure 4.6: as figure 4.5, of a network that takes its score as it is.

The vanilla variant of table 4.1; all else is as in figure 4.5.

Nothing is claimed but that all runs.

``python -m benchmarks.figure_4_6 --size tiny|small|paper [--seed 0]``; what the tables have
trained is not trained again.
"""

from collections.abc import Sequence

from benchmarks.figure_4_5 import make_figure


def main(argv: Sequence[str] | None = None) -> None:
    make_figure("figure_4_6", "vanilla", __doc__, argv)


if __name__ == "__main__":
    main()
