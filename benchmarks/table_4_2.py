"""Table 4.2: transcription that is told the sources, against what hears the mixture alone.

Songs are rendered from the MIDI files and the SoundFont of the folder MSA_SK_DATA and
cross-validated by song. All networks have the same body after a batch normalization, the same
training mixtures and the same training: sources of different songs, mixed at levels up to 6 dB
apart. MI + TR finds masks besides notes and hears the mixture alone; the three variants are told
the true sources, in training and in the test. The test is excerpts of one song in which at least
two of four instruments play 5 notes or more, with nothing else in the mixture. Drums are scored by
the onsets of their notes alone. Intervals and tests are over songs.

Nothing is claimed but that all runs; the table says which of the paper's directions are found.

``python -m benchmarks.table_4_2 --size tiny|small|paper [--seed 0]``; a run that was stopped goes
on from the trainings, and their checkpoints, in ``benchmarks/runs``.
"""

import time
from collections.abc import Sequence

from benchmarks._chapter4 import (
    BAND,
    BASELINE,
    SIZES,
    TRANSCRIBERS,
    VARIANTS,
    instrument_table,
    score_folds,
)
from benchmarks._fits import Direction, verdicts
from benchmarks._report import finish, parse_arguments, rows_table

PAPER = {  # onset and offset F1 of piano, guitar, bass and drums
    BASELINE: (0.30, 0.25, 0.55, 0.09),
    "vanilla": (0.47, 0.41, 0.65, 0.18),
    "processed": (0.49, 0.44, 0.69, 0.21),
    "residual": (0.47, 0.43, 0.66, 0.19),
}
MEANS = {name: sum(values) / len(values) for name, values in PAPER.items()}
_F1 = "note_onset_offset_f1"
TITLES = {
    _F1: "onset and offset F1",
    "note_onset_f1": "onset F1",
    "frame_f1": "frame F1",
}
DIRECTIONS = [
    *(Direction(name, BASELINE, _F1, MEANS[name] - MEANS[BASELINE]) for name in VARIANTS),
    *(Direction(name, "vanilla", _F1, MEANS[name] - MEANS["vanilla"]) for name in VARIANTS[1:]),
]


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(__doc__, argv)
    size, start = SIZES[arguments.size], time.monotonic()
    names = [BASELINE, *VARIANTS]
    comparison = score_folds(
        names, "four instruments", size, arguments.seed, TRANSCRIBERS, tuple(TITLES)
    )
    directions = verdicts(comparison, DIRECTIONS)
    tables = [f"{len(comparison.songs)} excerpts of {len(set(comparison.songs))} songs.\n"]
    for metric, title in TITLES.items():
        paper = PAPER if metric == _F1 else {}
        tables += [f"## {title}\n", instrument_table(comparison, metric, paper, BAND)]
    finish(
        "table_4_2",
        __doc__,
        arguments,
        [*comparison.summary(), *directions],
        start,
        [*tables, rows_table(directions)],
    )


if __name__ == "__main__":
    main()
