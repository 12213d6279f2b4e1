"""Training examples: cut from scenes, computed when asked, padded into batches."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.signal
import torch
from torch.utils.data import Dataset

from msa_sk.audio import rms
from msa_sk.records import Scene
from msa_sk.spectral import Spectrogram, channel_rms

#: Arrays by name, each with time as its last axis, or one number.
Example = dict[str, np.ndarray]


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
        window = scipy.signal.get_window(spectrogram.window, spectrogram.n_fft)
        scale = float(1 / (level * np.linalg.norm(window))) if level > 0 else 1.0
        # Scaled in double precision: the reciprocal of a very quiet level overflows in single.
        spectrum = (spectrogram.analyse(audio) * np.float64(scale)).astype(np.complex64)
        return cls(audio, spectrum, channel_rms(spectrum), scale)


class SceneDataset(Dataset):
    """Windows of scenes as (inputs, targets); nothing is kept in memory.

    Parameters
    ----------
    spectrograms : sequence of Spectrogram
    scenes : sequence of Scene
    make_target : callable
        ``make_target(spectrogram, levelled, scene)`` gives the targets, an `Example`.
    sequence_length : int
        Longest window, in frames: what is longer is cut.
    """

    def __init__(
        self,
        spectrograms: Sequence[Spectrogram],
        scenes: Sequence[Scene],
        make_target: Callable[[Spectrogram, LevelledSTFT, Scene], Example],
        sequence_length: int,
    ):
        self.spectrograms, self.scenes = spectrograms, scenes
        self.make_target = make_target
        self._levels: dict[int, float] = {}
        self.windows = [
            (i, start, duration)
            for i, spectrogram in enumerate(spectrograms)
            for start, duration in cut(spectrogram, sequence_length)
        ]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> tuple[Example, Example]:
        i, start, duration = self.windows[index]
        spectrogram, scene = self.spectrograms[i], self.scenes[i]
        level = None
        if duration is not None:
            level = self._level(i)  # of the whole, as in predict: a quiet passage stays quiet
            mixture = spectrogram.mixture.excerpt(start, duration)
            spectrogram = replace(spectrogram, mixture=mixture)
            scene = scene.excerpt(start, duration)
        levelled = LevelledSTFT.of(spectrogram, level)
        inputs = {"magnitude": levelled.magnitude}
        return inputs, {**inputs, **self.make_target(spectrogram, levelled, scene)}

    def name_of(self, index: int) -> str:
        """Return what a message calls an example."""
        i, start, _ = self.windows[index]
        return f"{self.spectrograms[i].mixture!r} from {start:.1f} s"

    def _level(self, i: int) -> float:
        if i not in self._levels:
            self._levels[i] = rms(self.spectrograms[i].audio)
        return self._levels[i]


def some_examples(
    dataset: SceneDataset, n_examples: int = 64
) -> Iterator[tuple[Example, Example]]:
    """Give so many (inputs, targets), evenly spaced; all, if there are fewer."""
    for index in np.unique(np.linspace(0, len(dataset) - 1, n_examples).astype(int)):
        yield dataset[int(index)]


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
    """Pad examples along time and stack them; ``lengths`` says how many frames are true."""
    lengths = torch.tensor([inputs["magnitude"].shape[-1] for inputs, _ in examples])
    n_frames = int(lengths.max())

    def stack(name: str, side: int) -> torch.Tensor:
        arrays = [np.asarray(example[side][name]) for example in examples]
        if arrays[0].ndim == 0:
            return torch.from_numpy(np.stack(arrays))
        padded = np.zeros((len(arrays), *arrays[0].shape[:-1], n_frames), arrays[0].dtype)
        for row, array in zip(padded, arrays, strict=True):
            row[..., : array.shape[-1]] = array
        return torch.from_numpy(padded)

    inputs, targets = ({name: stack(name, side) for name in examples[0][side]} for side in (0, 1))
    return {**inputs, "lengths": lengths}, {**targets, "lengths": lengths}
