"""Systems that find masks and piano rolls in magnitudes, and so may work window by window."""

import itertools
import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from msa_sk._progress import progress
from msa_sk._validation import check_parameters
from msa_sk.alignment import warn_of_misfit
from msa_sk.base import SpectralEstimator, only, warn_of_silence
from msa_sk.decoding import NoteDecoder
from msa_sk.exceptions import InputError
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene
from msa_sk.rolls import warn_of_left_out
from msa_sk.spectral import Spectrogram, channel_rms
from msa_sk.streams import ResampleStream, read_blocks
from msa_sk.windows import Heads, Inverse, Windows, crossfade


class WindowedEstimator(SpectralEstimator):
    """Base class of systems that look at magnitudes and find masks or rolls.

    A subclass has the parameter ``window_seconds`` and looks, in ``_look(magnitude, survey)``,
    at what ``_magnitude`` makes of a spectrum. A mixture that is longer than a window it sees in
    windows, all of them divided by the level of the whole; what all must share, as the centres
    of clusters, ``_survey`` finds beforehand, and what is known of a window besides, as its
    piece of a score, ``_told`` says. ``_decoder`` makes notes of rolls. Where the tag
    ``score_informed`` says so, mixtures must have notes that fit (`msa_sk.score`,
    `msa_sk.alignment`), and scenes have them too. ``_whole_magnitude`` is that of a mixture in
    one piece.
    """

    @abstractmethod
    def _look(self, magnitude: np.ndarray, survey: Any = None, told: Any = None) -> Heads:
        """Return masks as ``"mask"``, or posteriors of notes as ``"roll"``, or both.

        Their first axis is that of `instruments_`. More masks are of what stays in the mixture.
        ``"shares"`` are masks that notes alone are decoded by.
        `survey` is None where the magnitude is that of a whole mixture.
        """

    def _look_at(self, magnitudes: Sequence[np.ndarray], survey: Any, told: Any) -> list[Heads]:
        """Look at several windows of one length, told of each; together, where that is faster."""
        return [
            self._look(magnitude, survey, of_it)
            for magnitude, of_it in zip(magnitudes, told, strict=True)
        ]

    def _n_together(self) -> int:
        """Return how many windows to look at together: one, unless several are faster."""
        return 1

    def _accept(self, X: Any) -> list[Spectrogram]:
        items = super()._accept(X)
        for i, item in enumerate(items):
            try:
                self._notes_given(item.mixture)
            except InputError as error:
                raise error.within(f"X[{i}]") from error
        return items

    def _accept_training(self, X: Any) -> list[Spectrogram]:
        return super()._accept(X)  # the truth has the notes

    def _told(self, item: Spectrogram, first: int, last: int) -> Any:
        """Return what is known of these frames of a mixture besides their sound; None, as a rule.

        The frames are `first` up to, not including, `last`.
        """
        return None

    def _magnitude(self, spectrum: np.ndarray, level: float) -> np.ndarray:
        """Return what `_look` takes, of the spectrum of a mixture with this RMS."""
        # In double precision: a very quiet level is 0 in single.
        return (channel_rms(spectrum) / np.float64(level)).astype(np.float32)

    def _survey(self, item: Spectrogram, magnitudes: Iterator[np.ndarray], n_windows: int) -> Any:
        """Learn from all windows of a mixture what each has to know; nothing, as a rule."""
        return None

    def _decoder(self, name: str) -> NoteDecoder:
        """Return what makes notes of an instrument's posteriors."""
        return NoteDecoder(self.transformer_, percussive=name == "drums")

    @abstractmethod
    def _whole_magnitude(self, item: Spectrogram) -> np.ndarray: ...

    def _predict_one(self, item: Spectrogram) -> Scene:
        magnitude = self._whole_magnitude(item)
        self._warn_of_score(item, [(0, magnitude)])
        return self._scene_of(magnitude, item)

    def _warn_of_score(self, item: Spectrogram, windows: Iterable[tuple[int, np.ndarray]]) -> None:
        """Warn of a score that does not fit, and of notes that are left out."""
        if not self._scene_tags().get("score_informed"):
            return
        mixture = item.mixture
        score = mixture.notes or {}
        complete = score.keys() >= {*self.instruments_} and not getattr(self, "has_rest_", False)
        warn_of_misfit(mixture, score, windows, self.transformer_, complete)
        if n_left_out := self._n_left_out(mixture):
            warn_of_left_out(n_left_out)

    def _n_left_out(self, mixture: Mixture) -> int:
        """Return how many notes of a score the system cannot be told; none, as a rule."""
        return 0

    def _scene_of(self, magnitude: np.ndarray, item: Spectrogram, survey: Any = None) -> Scene:
        """Return the scene of a mixture in one piece, from what `_look` takes."""
        told = self._told(item, 0, magnitude.shape[-1])
        return self._compose(self._look(magnitude, survey, told), magnitude, item)

    def _compose(self, heads: Heads, magnitude: np.ndarray, item: Spectrogram) -> Scene:
        """Return the scene of a mixture in one piece, from what was found in it."""
        masks, rolls = heads.get("mask"), heads.get("roll")
        sources = None if masks is None else item.invert(masks[: len(self.instruments_)])
        rate = None if rolls is None else item.frame_rate
        given = self._notes_given(item.mixture)
        scene = Scene(self.instruments_, item.mixture.rate, sources, given, rolls, rate)
        if rolls is None:
            return scene
        self._check_finite(scene, item.mixture)
        transcript = _Transcript(map(self._decoder, self.instruments_))
        transcript.push(rolls, heads.get("shares", masks), magnitude)
        return replace(scene, notes=transcript.notes(item.mixture.duration))

    def _at_once(self, mixture: Mixture) -> tuple[float, int]:
        seconds, _ = whole = super()._at_once(mixture)
        if self.window_seconds is None or seconds <= self.window_seconds:
            return whole
        n_windows = math.ceil(seconds / self.window_seconds)
        return float(self.window_seconds), min(self._n_together(), n_windows)

    def _memory(self, item: Spectrogram) -> float:
        looked_at = super()._memory(item)
        seconds, _ = self._at_once(item.mixture)
        if seconds >= item.mixture.duration:
            return looked_at
        # Meanwhile sources are cut out of the window before.
        n_bins = item.n_bins * item.frame_rate * seconds
        return looked_at + 4 * n_bins * super()._values_per_bin(item.mixture.n_channels)

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

        def magnitudes() -> Iterator[np.ndarray]:
            return (self._magnitude(spectrum, level) for spectrum in windows.spectra())

        starts = [first for first, _ in bounds]
        self._warn_of_score(item, zip(starts, magnitudes(), strict=True))
        survey = self._survey(item, magnitudes(), len(bounds))

        def looks() -> Iterator[tuple[np.ndarray, Heads]]:
            pairs = zip(windows.spectra(), bounds, strict=True)
            while several := list(itertools.islice(pairs, self._n_together())):
                spectra = [spectrum for spectrum, _ in several]
                magnitudes = [  # the last spectrum has a frame more
                    self._magnitude(spectrum[..., : last - first], level)
                    for spectrum, (first, last) in several
                ]
                told = [self._told(item, *frames) for _, frames in several]
                yield from zip(spectra, self._look_at(magnitudes, survey, told), strict=True)

        verbose = bool(getattr(self, "verbose", False))
        pieces = progress(crossfade(looks(), bounds), len(bounds), "predict", "window", verbose)
        rows = [self.instruments_.index(name) for name in wanted]
        inverse = Inverse(windows)
        outwards = ResampleStream(item.sample_rate, mixture.rate, mixture.n_samples)
        transcript = _Transcript(map(self._decoder, wanted))
        for k, (spectrum, heads) in enumerate(pieces, start=1):
            is_last = k == len(bounds)
            heads = {name: head[rows] for name, head in heads.items()}
            masks, rolls = heads.get("mask"), heads.get("roll")
            sources = None
            if masks is not None:
                sources = outwards.push(inverse.push(spectrum, masks), is_last)
            rate = None if rolls is None else item.frame_rate
            scene = Scene(wanted, mixture.rate, sources, None, rolls, rate)
            self._check_finite(scene, mixture)
            if is_last and (given := self._notes_given(mixture)) is not None:
                scene = replace(scene, notes=tuple(given[row] for row in rows))
            if rolls is not None:
                magnitude = self._magnitude(spectrum[..., : rolls.shape[-1]], level)
                transcript.push(rolls, heads.get("shares", masks), magnitude)
                notes = transcript.notes(mixture.duration) if is_last else None
                scene = replace(scene, notes=notes)
            yield scene

    def _stream_silence(self, mixture: Mixture, wanted: tuple[str, ...]) -> Iterator[Scene]:
        n_left = mixture.n_samples
        for block in read_blocks(mixture):
            n_left -= block.shape[-1]
            scene = only(self._silent_scene(mixture, block), wanted)
            yield scene if n_left == 0 else replace(scene, notes=None)


class _Transcript:
    """The notes of some instruments, decoded as their rolls come."""

    def __init__(self, decoders: Iterable[NoteDecoder]):
        self.decoders = list(decoders)

    def push(self, rolls: np.ndarray, masks: np.ndarray | None, magnitude: np.ndarray) -> None:
        """Take a stretch; masks of further sources are left aside."""
        for i, decoder in enumerate(self.decoders):
            decoder.push(rolls[i], magnitude, None if masks is None else masks[i])

    def notes(self, duration: float) -> tuple[Notes, ...]:
        return tuple(decoder.notes(duration) for decoder in self.decoders)
