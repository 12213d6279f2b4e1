"""Your own songs: a folder each, with a file for each instrument."""

from pathlib import Path

from msa_sk.clips import Clip
from msa_sk.datasets._reader import Reader, Song, Stem
from msa_sk.exceptions import InputError
from msa_sk.midi import read_midi
from msa_sk.notes import Notes
from msa_sk.records import are_levels

_AUDIO = (".wav", ".flac", ".ogg", ".mp3")
_MIDI = (".mid", ".midi")


class Folder(Reader):
    """Songs of your own, or what `predict_to_files` wrote.

    ::

        root/
          first song/
            mixture.wav     the recording; without it, the sum of the others is the mixture,
                            unless these are levels of a hierarchy
            piano.wav       what one instrument plays; its name is yours to choose
            piano.mid       its notes
            guitar.wav
            guitar.mid
          second song/
            ...

    Audio may be WAV, FLAC, OGG or MP3. Without MIDI files, or without audio of the instruments,
    notes or sources are unknown. Instead of one MIDI file for each instrument there may be one
    ``scene.mid`` with a track named after each, as `Scene.write` writes it.

    Parameters
    ----------
    root : path-like
        A folder of songs. It has no splits: keep a folder for each, or split by groups.

    Examples
    --------
    >>> import tempfile
    >>> from msa_sk.datasets import Folder, make_scenes
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for i, scene in enumerate(make_scenes(2, random_state=0)[1]):
    ...         files = scene.write(f"{root}/song {i}")
    ...     X, y = Folder(root).load()
    >>> X[0]
    Mixture(Clip(guitar.wav; 0.0-5.0 s) + Clip(piano.wav; 0.0-5.0 s) at 16 kHz; group 'song 0')
    >>> y[0].instruments
    ('guitar', 'piano')
    """

    licence = "your own"
    source = "you"
    _layout = "<song>/<instrument>.wav and, if there are, <song>/mixture.wav and <instrument>.mid"

    def _songs(self, split: str | None) -> list[Path]:
        places = sorted(Path(self.root).glob("*/"))
        return [place for place in places if _files(place, _AUDIO) or _files(place, _MIDI)]

    def _song(self, place: Path) -> Song:
        audio = {name: Clip(path) for name, path in _files(place, _AUDIO).items()}
        notes = _files(place, _MIDI)
        mixture, all_notes = audio.pop("mixture", None), notes.pop("scene", None)
        if mixture is None and len(audio) > 1 and are_levels(audio):
            raise InputError(
                str(place),
                "mixture.wav beside levels, which are parts of each other and do not add up to it",
                ", ".join(audio),
                "Copy the recording there.",
            )
        names = {*audio, *notes} or set(read_midi(all_notes) if all_notes else ())
        stems = [Stem(name, audio.get(name), notes.get(name, all_notes)) for name in sorted(names)]
        return Song(place.name, stems, mixture)

    def _notes(self, path: Path, instrument: str) -> Notes:
        if path.stem == "scene":
            return read_midi(path, [instrument])[instrument]
        return super()._notes(path, instrument)


def _files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return the files of one kind by their names without suffix."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in found:
            both = f"{found[path.stem].name} and {path.name}"
            raise InputError(str(folder), "one file of a name", both, "Remove one of them.")
        found[path.stem] = path
    return found
