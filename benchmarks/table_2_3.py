"""Table 2.3: does the hierarchical constraint help networks that separate all levels at once?

SSS separates one path, that of effected guitars, QBE the 12 leaves that have relatives, each by an
example from another song; both with the constraint of eq. 2.4 (HC) and without it. Songs are
rendered from the MIDI files and the SoundFont of the folder MSA_SK_DATA; training mixtures are
excerpts of them in which leaves are moved by up to 3 dB, anew in each epoch. Networks learn from
the training songs as they are, and recast, where parts are played by instruments drawn at random.
Cross-validated by song: tests are drawn, each leaf as often as another, from songs as they are
that have excerpts with leaves under two top nodes, for networks that have not heard them.
Intervals draw songs, of the mixtures and of the examples; tests of significance are over the songs
of the mixtures.

Nothing is claimed but that all runs; the table says which of the paper's directions are found.

``python -m benchmarks.table_2_3 --size tiny|small|paper [--seed 0]``; a run that was stopped goes
on from the trainings, and their checkpoints, in ``benchmarks/runs``.
"""

from collections.abc import Sequence

from benchmarks._chapter2_reports import make_table

NAN = float("nan")
PAPER = {
    "SSS": (NAN, 3.5, 4.0, 4.0),
    "SSS + HC": (NAN, 3.2, 3.6, 3.8),
    "QBE": (NAN, 3.2, 2.4, 0.2),
    "QBE + HC": (NAN, 3.3, 2.1, 1.6),
}
PAIRS = [("SSS + HC", "SSS"), ("QBE + HC", "QBE")]


def main(argv: Sequence[str] | None = None) -> None:
    make_table("table_2_3", __doc__, argv, PAPER, PAIRS)


if __name__ == "__main__":
    main()
