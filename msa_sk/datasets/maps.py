"""MAPS: piano music, recorded from two Disklaviers and rendered by seven synthesizers."""

from pathlib import Path

from msa_sk.clips import Clip
from msa_sk.datasets._reader import PianoReader, Song, Stem

_PIANOS = {
    "train": (
        "AkPnBcht",
        "AkPnBsdf",
        "AkPnCGdD",
        "AkPnStgb",
        "SptkBGAm",
        "SptkBGCl",
        "StbgTGd2",
    ),
    "test": ("ENSTDkAm", "ENSTDkCl"),
}


class MAPS(PianoReader):
    """The pieces of music (MUS) of MAPS (Emiya et al., 2010): a piano, and its notes.

    Parameters
    ----------
    root : path-like
        The folder that holds the pianos' folders, as far as they are there: ``ENSTDkAm`` and
        ``ENSTDkCl``, two real pianos, are the split ``"test"``; the seven synthesizers are
        ``"train"``, as in configuration 2 of Sigtia et al. (2016).
    sustain : bool, default=True
        Whether notes last until the sustain pedal is released, as one hears them, or until
        their keys are.

    Notes
    -----
    Pianos share pieces: of 60 test recordings, some have their piece in the training part. The
    group is the piece, so leave out those training songs whose group a test song has.
    """

    licence = "CC BY-NC-SA 2.0 (France)"
    source = "https://adasp.telecom-paris.fr/resources/2010-07-08-maps-database"
    splits = ("train", "test")
    _layout = "ENSTDkAm/MUS/MAPS_MUS-<piece>_ENSTDkAm.wav and .mid, and so on for each piano"

    def _songs(self, split: str | None) -> list[Path]:
        pianos = _PIANOS[split] if split else (*_PIANOS["train"], *_PIANOS["test"])
        files = [
            path for piano in pianos for path in (Path(self.root) / piano).glob("MUS/MAPS_MUS-*")
        ]
        return sorted({path.with_suffix(".wav") for path in files})

    def _song(self, place: Path) -> Song:
        piano = Clip(place)
        title = place.stem.removeprefix("MAPS_MUS-")
        piece = title.rpartition("_")[0]
        return Song(title, [Stem("piano", piano, place.with_suffix(".mid"))], piano, piece)
