"""MUSDB18-HQ: 150 studio recordings as mixtures and four stems."""

from pathlib import Path

from msa_sk.clips import Clip
from msa_sk.datasets._reader import Reader, Song, Stem

# What the data set's own tool takes out of the folder `train`.
_VALIDATION = frozenset(
    {
        "ANiMAL - Rockshow",
        "Actions - One Minute Smile",
        "Alexander Ross - Goodbye Bolero",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Fergessen - Nos Palpitants",
        "James May - On The Line",
        "Johnny Lokke - Promises & Lies",
        "Leaf - Summerghost",
        "Meaxic - Take A Step",
        "Patrick Talbot - A Reason To Leave",
        "Skelpolu - Human Mistakes",
        "Traffic Experiment - Sirens",
        "Triviul - Angelsaint",
        "Young Griffo - Pennies",
    }
)


class MUSDB18(Reader):
    """MUSDB18-HQ (Rafii et al., 2019): stereo WAV at 44.1 kHz, without notes.

    Parameters
    ----------
    root : path-like
        The folder ``musdb18hq``, with ``train`` and ``test``. The splits are ``"train"``
        (86 songs), ``"validation"`` (14 songs of the folder ``train``) and ``"test"`` (50).

    Examples
    --------
    Voice and bass in the whole recordings::

        X, y = MUSDB18("musdb18hq").load("train", ["vocals", "bass"])
    """

    licence = "for education only; 48 songs CC BY-NC-SA"
    source = "https://zenodo.org/records/3338373"
    splits = ("train", "validation", "test")
    instruments = ("vocals", "drums", "bass", "other")
    _layout = "train/<song>/mixture.wav, vocals.wav, drums.wav, bass.wav, other.wav and test/..."

    def _songs(self, split: str | None) -> list[Path]:
        root = Path(self.root)
        test = sorted((root / "test").glob("*/"))
        train = sorted((root / "train").glob("*/"))
        if split == "test":
            return test
        if split is None:
            return train + test
        return [place for place in train if (place.name in _VALIDATION) == (split == "validation")]

    def _song(self, place: Path) -> Song:
        stems = [Stem(name, Clip(place / f"{name}.wav")) for name in self.instruments]
        return Song(place.name, stems, Clip(place / "mixture.wav"))
