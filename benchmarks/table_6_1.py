"""Table 6.1: the transcriber of chapter 4, whose notes are where edits begin.

Songs are rendered from the MIDI files and the SoundFont of the folder MSA_SK_DATA and
cross-validated by song. The network finds the notes of four instruments and separates nothing;
it learns from sources of different songs, mixed at levels up to 6 dB apart. The test is excerpts
of one song in which at least two of the instruments play 5 notes or more, with nothing else in
the mixture. Drums are scored by the onsets of their notes alone. Intervals are over songs.

Nothing is claimed but that all runs.

``python -m benchmarks.table_6_1 --size tiny|small|paper [--seed 0]``; a run that was stopped goes
on from the trainings, and their checkpoints, in ``benchmarks/runs``.
"""

import time
from collections.abc import Sequence

from benchmarks._chapter4 import BAND, SIZES, TRANSCRIBERS, instrument_table, score_folds
from benchmarks._report import finish, parse_arguments

TRANSCRIBER = "Transcription"
TITLES = {
    "note_onset_offset_f1": "onset and offset F1",
    "frame_f1": "frame F1",
    "note_onset_f1": "onset F1",
}
PAPER = {  # of piano, guitar, bass and drums
    "note_onset_offset_f1": (0.03, 0.03, 0.05, 0.00),
    "frame_f1": (0.30, 0.29, 0.49, 0.06),
}


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(__doc__, argv)
    size, start = SIZES[arguments.size], time.monotonic()
    comparison = score_folds(
        [TRANSCRIBER], "four instruments", size, arguments.seed, TRANSCRIBERS, tuple(TITLES)
    )
    tables = [f"{len(comparison.songs)} excerpts of {len(set(comparison.songs))} songs.\n"]
    for metric, title in TITLES.items():
        paper = {TRANSCRIBER: PAPER[metric]} if metric in PAPER else {}
        tables += [f"## {title}\n", instrument_table(comparison, metric, paper, BAND)]
    finish("table_6_1", __doc__, arguments, comparison.summary(), start, tables)


if __name__ == "__main__":
    main()
