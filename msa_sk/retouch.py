"""Separate one mixture again and again, each time told another score."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import joblib
import numpy as np

from msa_sk._validation import check_parameters
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene
from msa_sk.rolls import warn_of_left_out
from msa_sk.spectral import Spectrogram
from msa_sk.streams import ResampleStream
from msa_sk.windowed import WindowedEstimator
from msa_sk.windows import Heads, Inverse, Windows, crossfade

_SPARE = 16  # windows, told what they are no longer told, of which the masks are kept too


class Retouch:
    """A mixture, and what a system found in it when it was told one score or another.

    A window is looked at again where something else is told of it, and only there. What comes of
    the others stays as it is, to the bit, at the model's rate. Windows are looked at one by one,
    so that what is found depends on the score alone, and not on those before it. On a GPU
    `predict` looks at some windows of a long mixture together, and a network's masks may differ
    from that by rounding; all else is as there.

    Spectra, masks and samples are kept: at 16 kHz about 15 MB for each minute of each channel, and
    12 MB of each source.

    Parameters
    ----------
    system : WindowedEstimator
        Fitted, informed by a score, and left as it is as long as this is used.
    mixture : Mixture
        With notes that fit; others follow.

    Raises
    ------
    ParameterError
        If a parameter of the system is out of range.
    InputError
        If the system cannot take the mixture, or its notes.

    Warns
    -----
    ScoreWarning
        If the notes seem not to be those of the sound, to be shifted in time, or to be those of a
        part of it only.
    NotesWarning
        If the system leaves notes out; from `separate` too, if they are more than before.
    """

    def __init__(self, system: WindowedEstimator, mixture: Mixture):
        check_parameters(system)
        (self._item,) = system._accept([mixture])
        self._system = system
        seconds = system.window_seconds or math.inf
        is_long = self._item.mixture.duration > seconds
        windows = Windows(self._item, seconds)
        self._parts: _Whole | _InWindows | None = None
        if (level := windows.level()) > 0:
            self._parts = (
                _InWindows(system, windows, level) if is_long else _Whole(system, windows)
            )
            system._warn_of_score(self._item, self._parts.heard())
        self._n_left_out = system._n_left_out(self._item.mixture)
        self._item = _held(self._item, is_long)

    def separate(self, notes: Mapping[str, Notes]) -> Scene:
        """Return what `predict` gives for the mixture with these notes.

        Raises
        ------
        InputError
            If the notes do not fit.
        """
        item = replace(self._item, mixture=replace(self._item.mixture, notes=notes))
        self._system._notes_given(item.mixture)  # fit
        n_left_out = self._system._n_left_out(item.mixture)
        if n_left_out > self._n_left_out:
            warn_of_left_out(n_left_out)
        self._n_left_out = n_left_out
        if self._parts is None:  # silence
            return self._system._predict_item(item)
        return self._system._check_finite(self._parts.separate(item), item.mixture)


def _held(item: Spectrogram, is_long: bool) -> Spectrogram:
    """Return the same of samples that nobody else can change.

    Of a long mixture spectra are kept, and its samples are not asked for again, but how many.
    """
    mixture = item.mixture
    if is_long:
        channels = () if mixture.n_channels == 1 else (mixture.n_channels,)
        samples = np.broadcast_to(np.float32(0), (*channels, mixture.n_samples))
    else:
        samples = mixture.read().copy()
    return replace(item, mixture=replace(mixture, audio=samples, sample_rate=mixture.rate))


class _Looks:
    """What was found in each window, by what was told of it; the last ones are kept."""

    def __init__(self, system: WindowedEstimator, n_windows: int, survey: Any = None):
        self.system, self.survey = system, survey
        self.found: OrderedDict[tuple[int, str], Heads] = OrderedDict()
        self._n_kept = n_windows + _SPARE  # those of the score that is looked at are the last

    def look(self, k: int, magnitude: Callable[[], np.ndarray], told: Any) -> tuple[int, str]:
        """Look at a window, unless that has been done; return the key of what was found."""
        key = k, joblib.hash(told)
        if key not in self.found:
            (self.found[key],) = self.system._look_at([magnitude()], self.survey, [told])
            if len(self.found) > self._n_kept:
                self.found.popitem(last=False)
        self.found.move_to_end(key)
        return key


class _Whole:
    """A mixture in one piece."""

    def __init__(self, system: WindowedEstimator, windows: Windows):
        self._magnitude = system._whole_magnitude(windows.spectrogram)
        self._looks = _Looks(system, 1)

    def heard(self) -> Iterator[tuple[int, np.ndarray]]:
        """Give what is heard, and the frame that it begins with."""
        yield 0, self._magnitude

    def separate(self, item: Spectrogram) -> Scene:
        system = self._looks.system
        told = system._told(item, 0, self._magnitude.shape[-1])
        key = self._looks.look(0, lambda: self._magnitude, told)
        return system._compose(self._looks.found[key], self._magnitude, item)


class _InWindows:
    """A mixture that is longer than a window."""

    def __init__(self, system: WindowedEstimator, windows: Windows, level: float):
        self._level = level
        self._bounds = windows.bounds
        self._spectra = list(windows.spectra())
        n_windows = len(self._bounds)
        magnitudes = (system._magnitude(spectrum, level) for spectrum in self._spectra)
        survey = system._survey(windows.spectrogram, magnitudes, n_windows)
        self._windows = replace(windows, spectrogram=_held(windows.spectrogram, is_long=True))
        self._looks = _Looks(system, n_windows, survey)
        # What came out at each window, and of what.
        self._ready: list[tuple[tuple, np.ndarray] | None] = [None] * n_windows

    def heard(self) -> Iterator[tuple[int, np.ndarray]]:
        """Give what is heard in each window, and the frame that it begins with."""
        for k, (first, _) in enumerate(self._bounds):
            yield first, self._magnitude(k)

    def separate(self, item: Spectrogram) -> Scene:
        system, mixture = self._looks.system, item.mixture
        keys = [
            self._looks.look(k, partial(self._magnitude, k), system._told(item, *frames))
            for k, frames in enumerate(self._bounds)
        ]
        outwards = ResampleStream(item.sample_rate, mixture.rate, mixture.n_samples)
        pieces = [
            outwards.push(self._samples(k, keys), last=k == len(keys) - 1)
            for k in range(len(keys))
        ]
        sources, given = np.concatenate(pieces, axis=-1), system._notes_given(mixture)
        return Scene(system.instruments_, mixture.rate, sources, given)

    def _magnitude(self, k: int) -> np.ndarray:
        first, last = self._bounds[k]
        return self._looks.system._magnitude(self._spectra[k][..., : last - first], self._level)

    def _samples(self, k: int, keys: Sequence[tuple[int, str]]) -> np.ndarray:
        """Return what comes out at a window: it depends on that and on the one before."""
        start = max(k - 1, 0)
        made_of = tuple(keys[start : k + 1])
        ready = self._ready[k]
        if ready is None or ready[0] != made_of:
            pairs = zip(self._spectra[start:], map(self._masks, keys[start:]), strict=True)
            inverse = Inverse(self._windows, self._bounds[start][0])
            pieces = crossfade(pairs, self._bounds[start:])
            for spectrum, heads in islice(pieces, len(made_of)):
                samples = inverse.push(spectrum, heads["mask"])
            ready = self._ready[k] = made_of, samples
        return ready[1]

    def _masks(self, key: tuple[int, str]) -> Heads:
        """Return a copy of masks, for the crossfade writes into them."""
        n_sources = len(self._looks.system.instruments_)
        return {"mask": self._looks.found[key]["mask"][:n_sources].copy()}
