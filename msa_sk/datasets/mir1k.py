"""MIR-1K: karaoke, with the accompaniment left and the voice right."""

import os
from pathlib import Path

from msa_sk.clips import Clip
from msa_sk.datasets._reader import Reader, Song, Stem

_TRAINING_SINGERS = ("abjones", "amy")


class MIR1K(Reader):
    """MIR-1K (Hsu and Jang, 2010): 1000 clips of 110 Chinese songs at 16 kHz, without notes.

    A file's left channel is the accompaniment and its right one the voice; a mixture is their
    sum, in mono.

    Parameters
    ----------
    root : path-like
        The folder ``MIR-1K``. The splits are those of Huang et al. (2014): ``"train"`` has the
        singers abjones and amy (175 clips), ``"test"`` the others (825 clips).
    undivided : bool, default=False
        Whether to read the 110 whole songs instead of the clips.
    """

    licence = "for research; no licence is named"
    source = "http://mirlab.org/dataset/public"
    splits = ("train", "test")
    instruments = ("accompaniment", "vocals")
    _layout = "Wavfile/<singer>_<song>_<clip>.wav and UndividedWavfile/<singer>_<song>.wav"

    def __init__(self, root: str | os.PathLike, undivided: bool = False):
        super().__init__(root)
        self.undivided = undivided

    def _songs(self, split: str | None) -> list[Path]:
        folder = Path(self.root) / ("UndividedWavfile" if self.undivided else "Wavfile")
        places = sorted(folder.glob("*.wav"))
        if split is None:
            return places
        is_training = split == "train"
        return [
            place
            for place in places
            if (place.stem.partition("_")[0] in _TRAINING_SINGERS) == is_training
        ]

    def _song(self, place: Path) -> Song:
        stems = [Stem(name, Clip(place, channel=i)) for i, name in enumerate(self.instruments)]
        return Song(place.stem, stems, group="_".join(place.stem.split("_")[:2]))
