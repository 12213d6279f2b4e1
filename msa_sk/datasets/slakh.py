"""Slakh2100: songs rendered from MIDI by sampled instruments, stem by stem."""

import math
import warnings
from pathlib import Path
from typing import Any

from msa_sk._general_midi import FAMILIES, INSTRUMENTS, family_of
from msa_sk.clips import Clip
from msa_sk.datasets._reader import Reader, Song, Stem, taking_apart
from msa_sk.exceptions import MsaWarning

# One of the tracks that the redux edition leaves out, since another track plays the same MIDI.
_OMITTED = "Track00049"


class Slakh(Reader):
    """Slakh2100 (Manilow et al., 2019), in its redux edition, and BabySlakh.

    Instruments are named by the General MIDI program that the metadata gives a stem:
    ``instruments=None`` takes families (`msa_sk.midi.FAMILIES`) and ``"drums"``; single ones
    (``"violin"``, `msa_sk.midi.INSTRUMENTS`) can be asked for. Stems that were not rendered,
    or are silent, are left out.

    Parameters
    ----------
    root : path-like
        The folder ``slakh2100_flac_redux``, with the splits ``train`` (1289 songs),
        ``validation`` (270) and ``test`` (151); or ``babyslakh_16k``, with 20 songs and no
        splits. Audio may be FLAC or WAV. ``split=None`` leaves ``omitted`` out.

    Warns
    -----
    MsaWarning
        If it is the first edition, whose splits share songs.

    Notes
    -----
    The notes are those of the stems' own MIDI files; ``all_src.mid`` holds other ones. Known
    faults are left as they are: most basses are written an octave above what sounds, since
    their sampler plays them an octave lower, and some stems have wrong pitches or noise (issues
    17 and 18 of slakh-utils list them).

    Examples
    --------
    The mixtures of the dissertation's chapter 3::

        slakh = Slakh("slakh2100_flac_redux")
        X, y = slakh.load("train", ["piano", "guitar"], remix=True)
        X, y = Excerpts.from_preset("chapter3").apply(X, y)
    """

    licence = "CC BY 4.0"
    source = "http://www.slakh.com"
    splits = ("train", "validation", "test", "omitted")
    instruments = (*FAMILIES, *INSTRUMENTS, "drums")
    _layout = "train/Track00001/metadata.yaml, ... or, without splits, Track00001/metadata.yaml"

    def _songs(self, split: str | None) -> list[Path]:
        root = Path(self.root)
        if (root / "train" / _OMITTED).is_dir():
            warnings.warn(
                f"{root} is the first edition of Slakh2100, whose splits share songs: what is "
                "learnt in one is known in the other. Use the redux edition.",
                MsaWarning,
                stacklevel=4,
            )
        parts = [split] if split else [part for part in self.splits if part != "omitted"]
        places = [place for part in parts for place in sorted((root / part).glob("Track*/"))]
        return places or ([] if split else sorted(root.glob("Track*/")))

    def _song(self, place: Path) -> Song:
        import yaml

        path = place / "metadata.yaml"
        with taking_apart(path, "metadata of a Slakh song", yaml.YAMLError):
            entries = yaml.safe_load(path.read_text("utf-8"))["stems"]
            stems = [
                _stem(place, name, entry)
                for name, entry in sorted(entries.items())
                if _sounds(entry)
            ]
        return Song(place.name, stems, _audio(place, "mix"))


def _sounds(entry: dict[str, Any]) -> bool:
    """Tell whether a stem was rendered, and is not silent.

    BabySlakh's metadata says of all stems that they were not; their loudness tells the truth.
    """
    is_rendered = entry["audio_rendered"] or "integrated_loudness" in entry
    return is_rendered and math.isfinite(float(entry.get("integrated_loudness", 0.0)))


def _stem(place: Path, name: str, entry: dict[str, Any]) -> Stem:
    program = None if entry["is_drum"] else int(entry["program_num"])
    family = "drums" if program is None else family_of(program)
    notes = place / "MIDI" / f"{name}.mid"
    return Stem(family, _audio(place / "stems", name), notes, program)


def _audio(folder: Path, name: str) -> Clip:
    wav = folder / f"{name}.wav"
    return Clip(wav if wav.is_file() else wav.with_suffix(".flac"))
