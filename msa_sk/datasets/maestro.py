"""MAESTRO: piano competitions, recorded with the notes that were played."""

import csv
from pathlib import Path

from msa_sk.clips import Clip
from msa_sk.datasets._reader import PianoReader, Song, Stem, taking_apart


class MAESTRO(PianoReader):
    """MAESTRO (Hawthorne et al., 2019), of any version: a piano, and its notes.

    Parameters
    ----------
    root : path-like
        The folder with ``maestro-v3.0.0.csv`` and a folder for each year.
    sustain : bool, default=True
        Whether notes last until the sustain pedal is released, as one hears them, or until
        their keys are.

    Notes
    -----
    The group is the composition: several pianists play the same.
    """

    licence = "CC BY-NC-SA 4.0"
    source = "https://magenta.tensorflow.org/datasets/maestro"
    splits = ("train", "validation", "test")
    _layout = "maestro-v3.0.0.csv and the files it lists, 2018/....wav and 2018/....midi"

    def _songs(self, split: str | None) -> list[Song]:
        root = Path(self.root)
        tables = sorted(root.glob("maestro-v*.csv"))
        if not tables:
            return []
        with taking_apart(tables[-1], "a table with the columns of MAESTRO", csv.Error):
            with open(tables[-1], newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            return [_listed(root, row) for row in rows if split in (None, row["split"])]

    def _song(self, place: Song) -> Song:
        return place


def _listed(root: Path, row: dict[str, str]) -> Song:
    piano, notes = Clip(root / row["audio_filename"]), root / row["midi_filename"]
    piece = f"{row['canonical_composer']}: {row['canonical_title']}"
    return Song(notes.stem, [Stem("piano", piano, notes)], piano, piece)
