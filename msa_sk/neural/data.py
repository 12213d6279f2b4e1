"""Training examples: cut from scenes, computed when asked, padded into batches."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.signal
import torch
from torch.utils.data import Dataset

from msa_sk.audio import rms
from msa_sk.exceptions import AudioError, SilenceWarning, ValidationWarning
from msa_sk.records import Scene
from msa_sk.spectral import STFT, Spectrogram, channel_rms

# Frames that are analysed at a time; windows are cut from them.
_CHUNK = 400

#: Arrays by name, each with time as its last axis, or one number.
Example = dict[str, np.ndarray]

#: Inputs with a time of their own, which come whole with each window. All others have the frames
#: of the mixture, and are cut as its magnitude is.
OWN_TIME = frozenset({"query"})


@dataclass(frozen=True, eq=False)
class LevelledSTFT:
    """The spectrum of a mixture that was divided by its RMS: what networks see.

    It is also divided by the window's norm, so that white noise has magnitudes around 1
    whatever the window.
    """

    audio: np.ndarray  # the samples, at the mixture's own rate and level
    spectrum: np.ndarray  # (n_bins, n_frames) or (n_channels, n_bins, n_frames)
    magnitude: np.ndarray  # (n_bins, n_frames)
    scale: float  # by which spectra of the samples are multiplied

    @classmethod
    def of(cls, spectrogram: Spectrogram, level: float | None = None) -> "LevelledSTFT":
        """Compute it; `level` is the RMS to divide by, by default that of the mixture."""
        audio = spectrogram.mixture.read()
        if level is None:
            level = rms(spectrogram.audio)
        scale = 1 / (level * window_norm(spectrogram)) if level > 0 else 1.0
        # Scaled in double precision: the reciprocal of a very quiet level overflows in single.
        spectrum = (spectrogram.analyse(audio) * np.float64(scale)).astype(np.complex64)
        return cls(audio, spectrum, channel_rms(spectrum), scale)


def window_norm(seen: Spectrogram | STFT) -> float:
    """Return the norm of an STFT's window."""
    return float(np.linalg.norm(scipy.signal.get_window(seen.window, seen.n_fft)))


class Unreadable(NamedTuple):
    """What stands for an example whose files could not be read."""

    error: AudioError


class SceneDataset(Dataset):
    """Windows of scenes as (inputs, targets).

    Scenes are analysed in chunks of some seconds and windows cut from them. The chunks last
    used are kept: whoever asks for the windows of `KEPT` chunks before those of others, as
    `ShuffledBatches` does, has each chunk analysed once. Memory does not grow with the data.

    Parameters
    ----------
    spectrograms : sequence of Spectrogram
    scenes : sequence of Scene
    make_target : callable
        ``make_target(spectrogram, levelled, scene)`` gives the targets, an `Example`.
    sequence_length : int
        In frames: what is longer is cut into the fewest windows of that length that cover it.
    make_inputs : callable, default=None
        ``make_inputs(spectrogram, levelled, scene)`` gives an `Example` of what the network is
        told besides magnitudes.
    """

    #: How many chunks are kept: of fewer, too many steps in a row would hear the same mixtures.
    KEPT = 128

    def __init__(
        self,
        spectrograms: Sequence[Spectrogram],
        scenes: Sequence[Scene],
        make_target: Callable[[Spectrogram, LevelledSTFT, Scene], Example],
        sequence_length: int,
        make_inputs: Callable[[Spectrogram, LevelledSTFT, Scene], Example] | None = None,
    ):
        self.make_target, self.make_inputs = make_target, make_inputs
        self.sequence_length = sequence_length
        self._take(spectrograms, scenes)

    def begin_epoch(self, epoch: int) -> None:
        """Get ready for an epoch, counted from 0; what is always the same is ready."""

    def _take(self, spectrograms: Sequence[Spectrogram], scenes: Sequence[Scene]) -> None:
        self.spectrograms, self.scenes = spectrograms, scenes
        self._levels: dict[int, float] = {}
        self._examples: dict[int, tuple[Example, Example]] = {}
        self.chunks = [
            (i, start, duration)
            for i, spectrogram in enumerate(spectrograms)
            for start, duration in cut(spectrogram, max(self.sequence_length, _CHUNK))
        ]
        counts = [self._n_windows(i, duration) for i, _, duration in self.chunks]
        self._first = np.concatenate([[0], np.cumsum(counts)])

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, index: int) -> tuple[Example, Example]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        chunk = self._chunk_of(index)
        inputs, target = self._analysed(chunk)
        n_frames = inputs["magnitude"].shape[-1]
        length = min(self.sequence_length, n_frames)
        place = (index - self._first[chunk]) / max(1, len(self.windows_of(chunk)) - 1)
        start = round(place * (n_frames - length))
        window = np.s_[..., start : start + length]
        return {
            name: array if name in OWN_TIME else array[window] for name, array in inputs.items()
        }, {
            name: array if np.ndim(array) == 0 else array[window] for name, array in target.items()
        }

    def windows_of(self, chunk: int) -> range:
        """Return the indices of the windows that a chunk is cut into."""
        return range(int(self._first[chunk]), int(self._first[chunk + 1]))

    def name_of(self, index: int) -> str:
        """Return what a message calls an example."""
        i, start, _ = self.chunks[self._chunk_of(index)]
        return f"{self.spectrograms[i].mixture!r} from {start:.1f} s"

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_examples": {}}

    def _chunk_of(self, index: int) -> int:
        return int(np.searchsorted(self._first, index, side="right")) - 1

    def _n_windows(self, i: int, duration: float | None) -> int:
        spectrogram = self.spectrograms[i]
        seconds = spectrogram.mixture.duration if duration is None else duration
        return max(1, math.ceil(seconds * spectrogram.frame_rate / self.sequence_length))

    def _analysed(self, chunk: int) -> tuple[Example, Example]:
        example = self._examples.pop(chunk, None) or self._analyse(*self.chunks[chunk])
        self._examples[chunk] = example  # the last in the dict is the last used
        while len(self._examples) > self.KEPT:
            del self._examples[next(iter(self._examples))]
        return example

    def _analyse(self, i: int, start: float, duration: float | None) -> tuple[Example, Example]:
        spectrogram, scene = self.spectrograms[i], self.scenes[i]
        level = None
        if duration is not None:
            level = self._level(i)  # of the whole, as in predict: a quiet passage stays quiet
            mixture = spectrogram.mixture.excerpt(start, duration)
            spectrogram = replace(spectrogram, mixture=mixture)
            scene = scene.excerpt(start, duration)
        levelled = LevelledSTFT.of(spectrogram, level)
        heard = {"magnitude": levelled.magnitude}
        told = self.make_inputs(spectrogram, levelled, scene) if self.make_inputs else {}
        return {**heard, **told}, {**heard, **self.make_target(spectrogram, levelled, scene)}

    def _level(self, i: int) -> float:
        if i not in self._levels:
            self._levels[i] = rms(self.spectrograms[i].audio)
        return self._levels[i]


@dataclass(frozen=True)
class Redraw:
    """What a sampler draws for an epoch, seen through the STFT of one spectrogram."""

    draws: Any  # as `SceneSampler.prepare` returns them
    pattern: Spectrogram

    def __call__(self, epoch: int) -> tuple[list[Spectrogram], list[Scene]]:
        mixtures, scenes = self.draws.epoch(epoch)
        return [replace(self.pattern, mixture=mixture) for mixture in mixtures], scenes


class SampledDataset(SceneDataset):
    """Windows of scenes that a sampler draws anew for each epoch.

    Parameters
    ----------
    draw : callable
        ``draw(epoch)`` gives an epoch's Spectrograms and Scenes, always the same ones.
    make_target, sequence_length, make_inputs
        As in `SceneDataset`.
    """

    def __init__(
        self,
        draw: Callable[[int], tuple[Sequence[Spectrogram], Sequence[Scene]]],
        make_target: Callable[[Spectrogram, LevelledSTFT, Scene], Example],
        sequence_length: int,
        make_inputs: Callable[[Spectrogram, LevelledSTFT, Scene], Example] | None = None,
    ):
        self.draw, self.epoch = draw, 0
        super().__init__(*draw(0), make_target, sequence_length, make_inputs)

    def begin_epoch(self, epoch: int) -> None:
        """Draw what the epoch learns from, unless it is there."""
        if epoch != self.epoch:
            self.epoch = epoch
            self._take(*self.draw(epoch))


def some_examples(
    dataset: SceneDataset, n_examples: int = 64
) -> Iterator[tuple[Example, Example]]:
    """Give so many (inputs, targets), evenly spaced; all, if there are fewer.

    What a dataset gives as `Unreadable` is left out; where nothing else is, its error is raised.
    """
    n_given = 0
    for index in np.unique(np.linspace(0, len(dataset) - 1, n_examples).astype(int)):
        example: Any = dataset[int(index)]
        if not isinstance(example, Unreadable):
            n_given += 1
            yield example
    if not n_given:
        raise example.error


def split_by_group(
    items: Sequence[Spectrogram], fraction: float, random: np.random.RandomState
) -> tuple[list[int], list[int]]:
    """Return indices for training and validation that share no song.

    Mixtures without a group are songs of their own. With fewer than two songs, or a fraction
    of 0, nothing is held out.
    """
    songs: dict[Any, list[int]] = {}
    for i, item in enumerate(items):
        group = item.mixture.group
        songs.setdefault(("mixture", i) if group is None else group, []).append(i)
    order = random.permutation(len(songs))
    n_held_out = round(fraction * len(songs)) if len(songs) > 1 else 0
    if fraction > 0 and len(songs) > 1:
        n_held_out = min(max(1, n_held_out), len(songs) - 1)
    members = list(songs.values())
    held_out = sorted(i for k in order[:n_held_out] for i in members[k])
    kept = sorted(i for k in order[n_held_out:] for i in members[k])
    return kept, held_out


def warn_of_no_validation(fraction: float, patience: int | None) -> None:
    """Warn of parameters of an estimator that do not do what they say, as nothing is held out."""
    idle = []
    if fraction > 0:
        idle.append(f"validation_fraction={fraction:g} can hold nothing out of one song")
    if patience is not None:
        idle.append(f"patience={patience} never ends training")
    if idle:
        warnings.warn(
            f"Nothing is held out for validation: {', '.join(idle)}, and the last epoch's weights "
            "are kept. Give fit X_val and y_val, or several songs (Mixture.group) and a "
            "validation_fraction.",
            ValidationWarning,
            stacklevel=2,
        )


def warn_of_unheard(scenes: Sequence[Scene], instruments: Sequence[str], part: str) -> None:
    """Warn of instruments that are silent, or play no note, in all scenes that know.

    Parameters
    ----------
    scenes : sequence of Scene
        Their sources are read until each instrument has sounded.
    instruments : sequence of str
    part : {"sources", "notes"}
        Of what the scenes have to know.
    """
    known = [scene for scene in scenes if getattr(scene, part) is not None]

    def is_heard(scene: Scene, name: str) -> bool:
        if name not in scene.instruments:
            return False
        return bool(scene.source(name).any() if part == "sources" else len(scene.notes_of(name)))

    unheard = [name for name in instruments if not any(is_heard(one, name) for one in known)]
    if known and unheard:
        what = {"sources": "a sound", "notes": "a note"}[part]
        warnings.warn(
            f"No training scene has {what} of {', '.join(unheard)}: silence is what is learnt.",
            SilenceWarning,
            stacklevel=2,
        )


def cut(spectrogram: Spectrogram, sequence_length: int) -> list[tuple[float, float | None]]:
    """Return the (start, duration) in seconds of the fewest equal windows of so many hops.

    One window that is the whole has the duration None.
    """
    duration = spectrogram.mixture.duration
    n_windows = math.ceil(duration * spectrogram.frame_rate / sequence_length)
    if n_windows <= 1:
        return [(0.0, None)]
    return [(k * duration / n_windows, duration / n_windows) for k in range(n_windows)]


def collate(
    examples: Sequence[tuple[Example, Example]],
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Pad examples along time and stack them.

    ``lengths`` says how many frames of the mixtures, of what is aligned with them and of all
    targets are true, and ``query_lengths`` how many of an input ``query`` (see `OWN_TIME`).
    """

    def stack(side: int, name: str, n_frames: int) -> torch.Tensor:
        arrays = [np.asarray(example[side][name]) for example in examples]
        if arrays[0].ndim == 0:
            return torch.from_numpy(np.stack(arrays))
        padded = np.zeros((len(arrays), *arrays[0].shape[:-1], n_frames), arrays[0].dtype)
        for row, array in zip(padded, arrays, strict=True):
            row[..., : array.shape[-1]] = array
        return torch.from_numpy(padded)

    inputs = {}
    for name in examples[0][0]:
        key = f"{name}_lengths" if name in OWN_TIME else "lengths"
        counts = np.array([example[0][name].shape[-1] for example in examples])
        inputs[key] = torch.from_numpy(counts)  # on the processor, whatever torch's default is
        inputs[name] = stack(0, name, counts.max())
    lengths = inputs["lengths"]
    targets = {name: stack(1, name, int(lengths.max())) for name in examples[0][1]}
    return inputs, {**targets, "lengths": lengths}
