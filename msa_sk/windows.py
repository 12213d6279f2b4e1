"""Long mixtures in overlapping windows: spectra in, masked sources out, a bounded piece at a time.

What models find in two windows is crossfaded where these overlap. The masks then cut through
the same spectra as they would in one piece, so that only the masks themselves can differ.
"""

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from msa_sk.audio import fit_length
from msa_sk.records import Scene
from msa_sk.spectral import Spectrogram, istft
from msa_sk.streams import read_blocks

#: The share of a window that the next one also sees.
OVERLAP = 1 / 8

Heads = dict[str, np.ndarray]


def plan_windows(n_frames: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Return the first frame of each window, and the one after its last.

    There are as few as windows of at most `size` frames that overlap by at least `overlap` can
    be. All have the same length, so that a network can look at several at a time.
    """
    n_windows = max(1, math.ceil((n_frames - overlap) / (size - overlap)))
    length = math.ceil((n_frames + (n_windows - 1) * overlap) / n_windows)
    starts = [k * (n_frames - length) // max(n_windows - 1, 1) for k in range(n_windows)]
    return [(first, first + length) for first in starts]


def crossfade(
    windows: Iterable[tuple[np.ndarray, Heads]], bounds: list[tuple[int, int]]
) -> Iterator[tuple[np.ndarray, Heads]]:
    """Give spectra and what was found in them without overlap.

    Near the edge of a window a model knows too little: within the outer quarters of an overlap
    the other window has all the say, and in between one fades into the other.

    Parameters
    ----------
    windows : iterable of (spectrum, heads)
        Time is the last axis of all; a spectrum may have frames that its heads lack.
    bounds : list of (int, int)
        From `plan_windows`.
    """
    held: Heads = {}
    n_held = 0
    starts = [first for first, _ in bounds] + [None]
    for (spectrum, heads), (first, last), following in zip(
        windows, bounds, starts[1:], strict=True
    ):
        rise = np.clip(2 * (np.arange(n_held) + 0.5) / max(n_held, 1) - 0.5, 0, 1)
        for name, before in held.items():
            overlap = heads[name][..., :n_held]
            overlap += (1 - rise.astype(np.float32)) * (before - overlap)
        n_out = None if following is None else following - first
        n_held = 0 if following is None else last - following
        held = {name: head[..., n_out:].copy() for name, head in heads.items()} if n_held else {}
        yield spectrum[..., :n_out], {name: head[..., :n_out] for name, head in heads.items()}


@dataclass(frozen=True, eq=False)
class Windows:
    """A Spectrogram in windows.

    Parameters
    ----------
    spectrogram : Spectrogram
    seconds : float
        Length of a window.
    """

    spectrogram: Spectrogram
    seconds: float

    @property
    def n_samples(self) -> int:
        """The mixture's length at the model's rate."""
        mixture, rate = self.spectrogram.mixture, self.spectrogram.sample_rate
        return max(1, round(mixture.n_samples * rate / mixture.rate))

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First frame, and the one after the last, of each window."""
        seen = self.spectrogram
        least = 4 * math.ceil(seen.n_fft / seen.hop_length)
        size = max(least, round(self.seconds * seen.frame_rate))
        n_frames = 1 + self.n_samples // seen.hop_length
        return plan_windows(n_frames, size, math.ceil(OVERLAP * size))

    def level(self) -> float:
        """Return the mixture's root mean square at the model's rate."""
        total, n = 0.0, 0
        for block in read_blocks(self.spectrogram.mixture, self.spectrogram.sample_rate):
            total += float(np.sum(np.square(block, dtype=np.float64)))
            n += block.size
        return math.sqrt(total / n)

    def spectra(self) -> Iterator[np.ndarray]:
        """Give each window's complex spectrum, (n_bins, n_frames) or (n_channels, ...).

        The last has one frame more than its bounds say, for `Inverse`.
        """
        import librosa

        seen = self.spectrogram
        hop, n_fft, bounds = seen.hop_length, seen.n_fft, self.bounds
        blocks = read_blocks(seen.mixture, seen.sample_rate)
        held = next(blocks)
        held = np.concatenate([np.zeros((*held.shape[:-1], n_fft // 2), np.float32), held], -1)
        at = 0  # where `held` begins, in samples from the first frame's
        for i, (first, last) in enumerate(bounds):
            held, at = held[..., first * hop - at :], first * hop
            n_frames = last - first + (i == len(bounds) - 1)
            size = (n_frames - 1) * hop + n_fft
            parts = [held]
            n_missing = size - held.shape[-1]
            while n_missing > 0 and (block := next(blocks, None)) is not None:
                parts.append(block)
                n_missing -= block.shape[-1]
            held = np.concatenate(parts, axis=-1)
            yield librosa.stft(
                fit_length(held, size),
                n_fft=n_fft,
                hop_length=hop,
                window=seen.window,
                center=False,
            )


class Inverse:
    """Undo an STFT piece by piece, through masks: together as `Spectrogram.invert` has it.

    Parameters
    ----------
    windows : Windows
        Of what the pieces are.
    first : int, default=0
        The frame that the first piece begins with; what comes out begins at its centre.
    """

    def __init__(self, windows: Windows, first: int = 0):
        self.spectrogram = windows.spectrogram
        self.n_samples = windows.n_samples
        self.n_frames = windows.bounds[-1][1] + 1
        self._first = first  # of the frames that are held
        self._n_done = first * self.spectrogram.hop_length  # samples that are out
        self._held: tuple[np.ndarray, np.ndarray] | None = None

    def push(self, spectrum: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Return the samples at the model's rate that are ready.

        Parameters
        ----------
        spectrum : ndarray of shape (n_bins, n_frames) or (n_channels, n_bins, n_frames)
        masks : ndarray of shape (n_sources, n_bins, n_frames)
            Where the spectrum is longer, the last frame's go on.

        Returns
        -------
        sources : ndarray of float32, shape (n_sources, n_samples) or \
(n_sources, n_channels, n_samples)
        """
        hop, n_fft = self.spectrogram.hop_length, self.spectrogram.n_fft
        n_more = spectrum.shape[-1] - masks.shape[-1]
        # Unlike np.pad this keeps the order in memory: frames as a rule, as the spectrum's.
        more = np.repeat(masks[..., -1:], n_more, axis=-1)
        masks = np.concatenate([masks, more], axis=-1, dtype=np.float32)
        if self._held is not None:
            spectrum = np.concatenate([self._held[0], spectrum], axis=-1)
            masks = np.concatenate([self._held[1], masks], axis=-1)
        end = self._first + spectrum.shape[-1]
        # Later frames reach back by half a window.
        stop = self.n_samples if end == self.n_frames else end * hop - n_fft // 2
        stop, start = max(stop, self._n_done), self._first * hop
        ready = np.stack(
            [istft(spectrum * mask, stop - start, hop, self.spectrogram.window) for mask in masks]
        )[..., self._n_done - start :]
        first = max(self._first, end - math.ceil(n_fft / hop))
        kept = slice(first - self._first, None)
        self._held = spectrum[..., kept].copy(), masks[..., kept].copy()
        self._first, self._n_done = first, stop
        return ready


def join_scenes(scenes: Iterable[Scene], n_samples: int) -> Scene:
    """Return one Scene of those that `SceneEstimator.stream` gives.

    Parameters
    ----------
    scenes : iterable of Scene
        Stretches that follow each other; the last has the notes of all.
    n_samples : int
        Of the whole.
    """
    scenes = iter(scenes)
    first, second = next(scenes), next(scenes, None)
    if second is None:
        return first
    sources, rolls, n_done = None, [], 0
    for scene in itertools.chain((first, second), scenes):
        if scene.sources is not None:
            if sources is None:
                sources = np.empty((*scene.sources.shape[:-1], n_samples), np.float32)
            stop = n_done + scene.sources.shape[-1]
            sources[..., n_done:stop] = scene.sources
            n_done = stop
        if scene.rolls is not None:
            rolls.append(scene.rolls)
    whole = np.concatenate(rolls, axis=-1) if rolls else None
    return replace(scene, sources=sources, rolls=whole)
