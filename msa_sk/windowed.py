"""Systems that find masks and piano rolls in magnitudes, and so may work window by window."""

import itertools
import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import numpy as np

from msa_sk._progress import progress
from msa_sk._validation import check_parameters
from msa_sk.base import SpectralEstimator, only, warn_of_silence
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene
from msa_sk.rolls import roll_to_notes
from msa_sk.spectral import Spectrogram, channel_rms
from msa_sk.streams import ResampleStream, read_blocks
from msa_sk.windows import Heads, Inverse, Windows, crossfade

_AT_ONCE = 4  # windows; of more, a network is hardly faster


class WindowedEstimator(SpectralEstimator):
    """Base class of systems that look at magnitudes and find masks or rolls.

    A subclass has the parameter ``window_seconds`` and looks, in ``_look(magnitude, survey)``,
    at what ``_magnitude`` makes of a spectrum. A mixture that is longer than a window it sees in
    windows, all of them divided by the level of the whole; what all must share, as the centres
    of clusters, ``_survey`` finds beforehand. How rolls become notes is in ``_threshold`` and
    ``_decode_notes``.
    """

    @abstractmethod
    def _look(self, magnitude: np.ndarray, survey: Any = None) -> Heads:
        """Return masks as ``"mask"``, or posteriors of notes as ``"roll"``, or both.

        Their first axis is that of `instruments_`. More masks are of what stays in the mixture.
        `survey` is None where the magnitude is that of a whole mixture.
        """

    def _look_at(self, magnitudes: Sequence[np.ndarray], survey: Any = None) -> list[Heads]:
        """Look at several windows of one length; together, where that is faster."""
        return [self._look(magnitude, survey) for magnitude in magnitudes]

    def _magnitude(self, spectrum: np.ndarray, level: float) -> np.ndarray:
        """Return what `_look` takes, of the spectrum of a mixture with this RMS."""
        return channel_rms((spectrum / np.float64(level)).astype(np.complex64))

    def _survey(
        self, item: Spectrogram, magnitudes: Iterator[np.ndarray], n_windows: int
    ) -> Any:
        """Learn from all windows of a mixture what each has to know; nothing, as a rule."""
        return None

    def _threshold(self, name: str) -> float:
        """Return from where on an instrument's posteriors are notes."""
        return 0.5

    def _decode_notes(self, roll: np.ndarray, name: str) -> Notes:
        """Return the notes of an instrument's posteriors, or of 0 and 1 for below and above."""
        return roll_to_notes(roll, self.transformer_.frame_rate, self._threshold(name))

    def _scene_of(self, heads: Heads, item: Spectrogram) -> Scene:
        """Return the scene of a mixture in one piece."""
        sources = notes = rolls = rate = None
        if "mask" in heads:
            sources = item.invert(heads["mask"][: len(self.instruments_)])
        if "roll" in heads:
            rolls, rate = heads["roll"], item.frame_rate
            notes = tuple(map(self._decode_notes, rolls, self.instruments_))
        return Scene(self.instruments_, item.mixture.rate, sources, notes, rolls, rate)

    def _at_once(self, mixture: Mixture) -> tuple[float, int]:
        seconds, _ = whole = super()._at_once(mixture)
        if self.window_seconds is None or seconds <= self.window_seconds:
            return whole
        n_windows = min(_AT_ONCE, math.ceil(seconds / self.window_seconds))
        return float(self.window_seconds), n_windows

    def _stream(self, item: Spectrogram, wanted: tuple[str, ...]) -> Iterator[Scene]:
        check_parameters(self)
        if self.window_seconds is None or item.mixture.duration <= self.window_seconds:
            yield from super()._stream(item, wanted)
            return
        windows = Windows(item, self.window_seconds)
        level = windows.level()
        if level > 0:
            yield from self._stream_windows(windows, level, wanted)
        else:
            warn_of_silence()
            yield from self._stream_silence(item.mixture, wanted)

    def _stream_windows(
        self, windows: Windows, level: float, wanted: tuple[str, ...]
    ) -> Iterator[Scene]:
        item, bounds = windows.spectrogram, windows.bounds
        mixture = item.mixture
        magnitudes = (self._magnitude(spectrum, level) for spectrum in windows.spectra())
        survey = self._survey(item, magnitudes, len(bounds))

        def looks() -> Iterator[tuple[np.ndarray, Heads]]:
            lengths = [last - first for first, last in bounds]
            pairs = zip(windows.spectra(), lengths, strict=True)
            for length, alike in itertools.groupby(pairs, itemgetter(1)):
                while spectra := [one for one, _ in itertools.islice(alike, _AT_ONCE)]:
                    magnitudes = [self._magnitude(one[..., :length], level) for one in spectra]
                    yield from zip(spectra, self._look_at(magnitudes, survey), strict=True)

        verbose = bool(getattr(self, "verbose", False))
        pieces = progress(crossfade(looks(), bounds), len(bounds), "predict", "window", verbose)
        rows = [self.instruments_.index(name) for name in wanted]
        inverse = Inverse(windows)
        outwards = ResampleStream(item.sample_rate, mixture.rate, mixture.n_samples)
        transcribed = wanted if self._scene_tags()["transcribes"] else ()
        sounding = _Sounding([self._threshold(name) for name in transcribed])
        for k, (spectrum, heads) in enumerate(pieces, start=1):
            is_last = k == len(bounds)
            sources = notes = rolls = rate = None
            if "mask" in heads:
                sources = outwards.push(inverse.push(spectrum, heads["mask"][rows]), is_last)
            if "roll" in heads:
                rolls, rate = heads["roll"][rows], item.frame_rate
                sounding.append(rolls)
                if is_last:
                    notes = tuple(map(self._decode_notes, sounding.rolls(), wanted))
            scene = Scene(wanted, mixture.rate, sources, notes, rolls, rate)
            yield self._check_finite(scene, mixture)

    def _stream_silence(self, mixture: Mixture, wanted: tuple[str, ...]) -> Iterator[Scene]:
        n_left = mixture.n_samples
        for block in read_blocks(mixture):
            n_left -= block.shape[-1]
            scene = only(self._silent_scene(mixture, block), wanted)
            yield scene if n_left == 0 else replace(scene, notes=None)


class _Sounding:
    """Where posteriors reach their thresholds: a bit for each, as an hour of them is long."""

    def __init__(self, thresholds: list[float]):
        self.thresholds = thresholds
        self.pieces: list[tuple[list[np.ndarray], int]] = []

    def append(self, rolls: np.ndarray) -> None:
        bits = [
            np.packbits(roll >= threshold, axis=-1)
            for roll, threshold in zip(rolls, self.thresholds, strict=True)
        ]
        self.pieces.append((bits, rolls.shape[-1]))

    def rolls(self) -> Iterator[np.ndarray]:
        """Give each instrument's roll of 0 and 1."""
        for i in range(len(self.thresholds)):
            pieces = [np.unpackbits(bits[i], axis=-1, count=n) for bits, n in self.pieces]
            yield np.concatenate(pieces, axis=-1)
