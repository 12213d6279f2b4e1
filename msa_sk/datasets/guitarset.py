"""GuitarSet: solo guitar with the notes of each string."""

import json
import os
from pathlib import Path

import numpy as np

from msa_sk.clips import Clip
from msa_sk.datasets._reader import Reader, Song, Stem, taking_apart
from msa_sk.exceptions import ParameterError
from msa_sk.midi import merge_notes
from msa_sk.notes import Notes

_RECORDINGS = {
    "mic": ("audio_mono-mic", "mic"),
    "pickup": ("audio_mono-pickup_mix", "mix"),
}


class GuitarSet(Reader):
    """GuitarSet (Xi et al., 2018): 360 recordings of acoustic guitar, and their notes.

    The notes of the six strings are put together, and their pitches, measured to a fraction of
    a semitone, are rounded; velocities are unknown. There is no official split.

    Parameters
    ----------
    root : path-like
        The folder with ``annotation`` (JAMS) and the folders of audio.
    recording : {"mic", "pickup"}, default="mic"
        In front of the guitar, or the sum of its strings' pickups.

    Notes
    -----
    The group is the lead sheet ("BN1-129-Eb"): six players play each of 30, as accompaniment
    and as solo. To keep players apart instead, group by the first two characters of the names
    of the files.
    """

    licence = "CC BY 4.0"
    source = "https://zenodo.org/records/3371780"
    instruments = ("guitar",)
    _layout = "annotation/00_BN1-129-Eb_comp.jams, audio_mono-mic/00_BN1-129-Eb_comp_mic.wav, ..."

    def __init__(self, root: str | os.PathLike, recording: str = "mic"):
        super().__init__(root)
        self.recording = recording

    def _songs(self, split: str | None) -> list[Path]:
        if self.recording not in _RECORDINGS:
            known = f"one of {list(_RECORDINGS)}"
            raise ParameterError(
                "GuitarSet(recording=)", known, repr(self.recording), "Choose one."
            )
        annotations = Path(self.root) / "annotation"
        folder, suffix = _RECORDINGS[self.recording]
        titles = {path.stem for path in annotations.glob("*.jams")}
        recorded = (Path(self.root) / folder).glob(f"*_{suffix}.wav")
        titles |= {path.stem.removesuffix(f"_{suffix}") for path in recorded}
        return [annotations / f"{title}.jams" for title in sorted(titles)]

    def _song(self, place: Path) -> Song:
        folder, suffix = _RECORDINGS[self.recording]
        guitar = Clip(Path(self.root) / folder / f"{place.stem}_{suffix}.wav")
        sheet = place.stem.partition("_")[2].rpartition("_")[0]
        return Song(place.stem, [Stem("guitar", guitar, place)], guitar, sheet or place.stem)

    def _notes(self, path: Path, instrument: str) -> Notes:
        with taking_apart(path, "an annotation in JAMS"):
            annotations = json.loads(path.read_text("utf-8"))["annotations"]
            strings = [one["data"] for one in annotations if one["namespace"] == "note_midi"]
            return merge_notes([_string_notes(string) for string in strings])


def _string_notes(events: list[dict[str, float]]) -> Notes:
    onset, duration, pitch = (
        np.array([event[key] for event in events], float) for key in ("time", "duration", "value")
    )
    return Notes(onset, onset + duration, np.rint(pitch))
