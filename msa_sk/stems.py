"""Scenes as folders of files, written stretch by stretch: complete, or not at all."""

import itertools
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from msa_sk._arguments import check_folder
from msa_sk._files import atomic_path, complete_folder
from msa_sk.audio import sample_bytes, write_blocks
from msa_sk.clips import Clip, clips_of
from msa_sk.exceptions import AudioError, ClippingWarning, InputError, InstrumentError
from msa_sk.midi import write_midi
from msa_sk.records import Mixture, Scene, examples_of

_ABOUT, _NOTES = "scene.json", "scene.mid"
_BLOCK = 2**18  # samples


def write_scenes(
    directory: str | os.PathLike,
    scenes: Iterable[Scene],
    subtype: str = "PCM_24",
    n_samples: int | None = None,
    overwrite: bool = True,
) -> list[Path]:
    """Write what `Scene.write` writes, of scenes that follow each other.

    How loud a source gets is known at its end: until then samples wait as float32 in a
    temporary folder in `directory`, or beside it where it is new.

    Parameters
    ----------
    directory : path-like
        Made if needed. Of an earlier scene in it, what ``scene.json`` lists goes.
    scenes : iterable of Scene
        Stretches of one scene; the notes are those of the last.
    subtype : str, default="PCM_24"
        libsndfile's name of the sample format.
    n_samples : int, default=None
        Of the whole: a disk without room for it is then refused before work begins.
    overwrite : bool, default=True
        Whether files may go into a folder that another process has made meanwhile.

    Returns
    -------
    paths : list of Path

    Raises
    ------
    InstrumentError
        If an instrument cannot name a file.
    InputError
        If the directory is a file, or in one, or is there and must not be.
    AudioError
        If WAV files do not have the sample format, or the disk is full.
    """
    import soundfile

    if subtype not in soundfile.available_subtypes("WAV"):
        known = sorted(soundfile.available_subtypes("WAV"))
        raise AudioError("subtype", f"one of {known}", repr(subtype), "Choose one of them.")
    directory = check_folder(directory)
    scenes = iter(scenes)
    first = next(scenes)
    for name in first.instruments:
        if not is_file_name(name):
            raise InstrumentError(
                repr(first), "names that can name a file", repr(name), "Rename the instrument."
            )
    with complete_folder(directory, _earlier_files, overwrite) as temporary:
        stems = [_Stem(temporary / _stem_file(name)) for name in first.instruments]
        for scene in itertools.chain([first], scenes):
            if scene.sources is not None:
                stretch = [scene.source(name) for name in scene.instruments]
                if scene is first:
                    _check_room(directory, temporary, stretch, n_samples, subtype)
                for stem, audio in zip(stems, stretch, strict=True):
                    stem.add(audio)
        written = []
        gain = _common_gain(scene, stems, subtype)
        if scene.sources is not None:
            written += [stem.finish(scene.sample_rate, subtype, gain) for stem in stems]
        if scene.notes is not None:
            notes = dict(zip(scene.instruments, scene.notes, strict=True))
            written.append(write_midi(temporary / _NOTES, notes))
        about = {
            "instruments": list(scene.instruments),
            "sample_rate": scene.sample_rate,
            "gain": gain,
            "files": [path.name for path in written],
        }
        with atomic_path(temporary / _ABOUT) as path:
            path.write_text(json.dumps(about, indent=2) + "\n")
    return [directory / path.name for path in (*written, temporary / _ABOUT)]


def _earlier_files(directory: Path) -> list[str]:
    """Return what an earlier scene wrote there: no stem of it shall stay beside new ones."""
    try:
        names = json.loads((directory / _ABOUT).read_bytes())["files"]
        return [name for name in names if is_file_name(name) and (directory / name).is_file()]
    except (OSError, ValueError, LookupError, TypeError):  # none, or nothing of ours
        return []


def is_file_name(name: str) -> bool:
    """Tell whether a file or folder can have this name."""
    return Path(name).name == name and name not in ("", ".", "..") and "\0" not in name


def _stem_file(instrument: str) -> str:
    """Return the name of an instrument's file."""
    return f"{instrument}.wav"


def check_kept(mixtures: Iterable[Mixture], folders: Iterable[Path], names: Iterable[str]) -> None:
    """Refuse to write where any of the mixtures, or what it brings along, is read from.

    Parameters
    ----------
    mixtures : iterable of Mixture
    folders : iterable of Path
        Into which scenes are to be written; what earlier ones left there will go.
    names : iterable of str
        Of instruments.

    Raises
    ------
    InputError
    """
    stems = [_stem_file(name) for name in names]
    places = {
        (folder / file).resolve()
        for folder in folders
        for file in (*stems, _NOTES, *_earlier_files(folder))
    }
    for mixture in mixtures:
        for clip in _clips_in(mixture):
            if Path(clip.path).resolve() in places:
                raise InputError(
                    repr(mixture),
                    "recordings that no stem will overwrite",
                    f"{os.fspath(clip.path)}, where one goes",
                    "Choose another directory.",
                )


def _clips_in(mixture: Mixture) -> Iterator[Clip]:
    """Give the files that a mixture is read from, its sources and its examples too."""
    for audio in (mixture.audio, *(mixture.sources or {}).values()):
        yield from clips_of(audio) or ()
    if mixture.query is not None:
        for example in examples_of(mixture.query, mixture.sample_rate, "Mixture(query=)"):
            if isinstance(example, Mixture):
                yield from clips_of(example.audio) or ()


class _Stem:
    """A source on its way to a file: float32 samples until all have come."""

    def __init__(self, path: Path):
        self.path, self.waiting = path, path.with_suffix(".f32")
        self.n_samples, self.n_channels, self.peak = 0, 1, 0.0

    def add(self, audio: np.ndarray) -> None:
        self.n_channels = 1 if audio.ndim == 1 else len(audio)
        self.n_samples += audio.shape[-1]
        self.peak = max(self.peak, float(np.abs(audio).max()))
        try:
            with open(self.waiting, "ab") as file:
                file.write(np.ascontiguousarray(audio.T).data)
        except OSError as error:
            raise AudioError(
                str(self.path),
                f"room for {self.n_samples} samples",
                str(error),
                "See whether the disk is full; nothing of it was kept.",
            ) from error

    def finish(self, sample_rate: int, subtype: str, gain: float) -> Path:
        blocks = self._blocks(np.float32(gain))
        write_blocks(self.path, blocks, sample_rate, self.n_channels, self.n_samples, subtype)
        self.waiting.unlink()
        return self.path

    def _blocks(self, gain: np.float32) -> Iterator[np.ndarray]:
        with open(self.waiting, "rb") as file:
            while len(samples := np.fromfile(file, np.float32, _BLOCK * self.n_channels)):
                yield samples.reshape(-1, self.n_channels).T * gain


def _common_gain(scene: Scene, stems: list[_Stem], subtype: str) -> float:
    peak = max((stem.peak for stem in stems), default=0)
    if peak <= 1 or not subtype.startswith("PCM"):
        return 1.0
    gain = float(0.999 / peak)
    warnings.warn(
        f"{scene!r} would clip: all sources were scaled by {gain:.4f}; "
        "subtype='FLOAT' avoids that.",
        ClippingWarning,
        stacklevel=4,
    )
    return gain


def _check_room(
    directory: Path,
    temporary: Path,
    stretch: list[np.ndarray],
    n_samples: int | None,
    subtype: str,
) -> None:
    """Refuse a disk that cannot hold the stems: all as float32, and one more as it is turned."""
    longest = n_samples or stretch[0].shape[-1]
    channels = [1 if audio.ndim == 1 else len(audio) for audio in stretch]
    needed = longest * (4 * sum(channels) + sample_bytes(subtype) * max(channels, default=0))
    free = shutil.disk_usage(temporary).free
    if needed > free:
        raise AudioError(
            str(directory),
            f"{needed / 1e9:.2g} GB of free disk",
            f"{free / 1e9:.2g} GB",
            "Free some, or choose another folder; nothing was written.",
        )
