"""The short-time Fourier transform, as a transformer and as a record that can undo itself."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from msa_sk._sklearn import Tags, whole
from msa_sk._validation import check_mixtures, check_parameters
from msa_sk.audio import MAX_RATE, MIN_RATE, fit_length, resample
from msa_sk.exceptions import AudioError, ParameterError
from msa_sk.records import Mixture


def stft(audio: np.ndarray, n_fft: int, hop_length: int, window: str = "hann") -> np.ndarray:
    """Return the centred, zero-padded short-time Fourier transform.

    Parameters
    ----------
    audio : ndarray of shape (..., n_samples)
    n_fft, hop_length : int
        In samples.
    window : str, default="hann"

    Returns
    -------
    stft : ndarray of complex64, shape (..., n_bins, n_frames)
        With n_bins = 1 + n_fft // 2 and n_frames = 1 + n_samples // hop_length.
    """
    import librosa

    n_frames = 1 + audio.shape[-1] // hop_length
    padded = fit_length(audio, max(audio.shape[-1], n_fft))
    spectrum = librosa.stft(
        padded, n_fft=n_fft, hop_length=hop_length, window=window, pad_mode="constant"
    )
    return spectrum[..., :n_frames]


def istft(
    spectrum: np.ndarray, n_samples: int, hop_length: int, window: str = "hann"
) -> np.ndarray:
    """Undo `stft`: return float32 audio of shape (..., n_samples)."""
    import librosa

    audio = librosa.istft(
        spectrum, hop_length=hop_length, window=window, length=max(n_samples, hop_length)
    )
    return fit_length(audio, n_samples)


def channel_rms(spectrum: np.ndarray) -> np.ndarray:
    """Return magnitudes (n_bins, n_frames), over channels as their root mean square.

    A downmix would lose what is in opposite phase on two channels.
    """
    magnitude = np.abs(spectrum)
    if magnitude.ndim == 2:
        return magnitude
    peak = magnitude.max(initial=0) or 1.0  # squares of very quiet samples would underflow
    # Channel by channel: as the innermost axis of an STFT's magnitudes they are slow to reduce.
    return peak * np.sqrt(sum(map(np.square, magnitude / peak)) / len(magnitude))


class STFT(BaseEstimator):
    """Turn Mixtures into Spectrograms.

    The rate at which a model works lives here: mixtures at other rates are resampled on
    their way in, and estimates on their way out.

    Parameters
    ----------
    sample_rate : int, default=16000
        In Hz.
    n_fft : int, default=1024
        Window length in samples.
    hop_length : int, default=256
        In samples; at most half of `n_fft`, so that the transform can be undone.
    window : str, default="hann"
        A window that `scipy.signal.get_window` knows.

    Examples
    --------
    >>> import numpy as np
    >>> from msa_sk import STFT
    >>> spectrogram = STFT().fit_transform([np.ones(16000)])[0]
    >>> spectrogram.magnitude.shape
    (513, 63)
    """

    _parameter_constraints = {
        "sample_rate": [whole(MIN_RATE, MAX_RATE)],
        "n_fft": [whole(8)],
        "hop_length": [whole(1)],
        "window": [str],
    }

    def __init__(self, sample_rate=16000, n_fft=1024, hop_length=256, window="hann"):
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.window = window

    @property
    def n_bins(self) -> int:
        """Number of frequency bins."""
        return 1 + self.n_fft // 2

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    def fit(self, X: Any = None, y: Any = None) -> "STFT":
        """Check the parameters; nothing is learnt.

        Raises
        ------
        ParameterError
            If a parameter is out of range, or the transform could not be undone.
        """
        check_parameters(self)
        if self.hop_length > self.n_fft // 2:
            raise ParameterError(
                "STFT(hop_length=)",
                f"at most n_fft // 2 = {self.n_fft // 2}",
                str(self.hop_length),
                "Shorten the hop or lengthen n_fft.",
            )
        import scipy.signal

        try:
            window = scipy.signal.get_window(self.window, self.n_fft)
            invertible = scipy.signal.check_NOLA(window, self.n_fft, self.n_fft - self.hop_length)
        except ValueError as error:
            raise ParameterError(
                "STFT(window=)",
                "a window that scipy.signal.get_window knows",
                repr(self.window),
                str(error),
            ) from error
        if not invertible:
            raise ParameterError(
                "STFT(window=)",
                "a window whose overlap never sums to zero",
                repr(self.window),
                "Choose 'hann', or a shorter hop.",
            )
        if self.n_fft % 2:
            raise ParameterError(
                "STFT(n_fft=)", "an even number", str(self.n_fft), "Add or take away one."
            )
        return self

    def transform(self, X: Any) -> "list[Spectrogram]":
        """Return one Spectrogram per mixture; nothing is computed yet.

        Parameters
        ----------
        X : list or ndarray
            Mixtures, arrays, paths or Clips.
        """
        self.fit()
        return [
            Spectrogram(mixture, **self.get_params())
            for mixture in check_mixtures(X, self.sample_rate)
        ]

    def fit_transform(self, X: Any, y: Any = None) -> "list[Spectrogram]":
        """Check the parameters, then transform."""
        return self.fit().transform(X)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags


@dataclass(frozen=True, eq=False, repr=False)
class Spectrogram:
    """A Mixture seen through an STFT, which can undo itself.

    Nothing is kept: `stft` is computed whenever it is asked for, so that a list of
    Spectrograms is as light as the list of its Mixtures.

    Parameters
    ----------
    mixture : Mixture
        With its `sample_rate`, where it holds an array.
    sample_rate, n_fft, hop_length, window
        As in `STFT`.
    """

    mixture: Mixture
    sample_rate: int = 16000
    n_fft: int = 1024
    hop_length: int = 256
    window: str = "hann"

    def __repr__(self) -> str:
        return (
            f"Spectrogram({self.mixture!r}; n_fft {self.n_fft}, hop {self.hop_length}, "
            f"{self.sample_rate / 1000:g} kHz)"
        )

    @property
    def settings(self) -> dict:
        """The parameters of the `STFT` that made it."""
        return {
            name: getattr(self, name) for name in ("sample_rate", "n_fft", "hop_length", "window")
        }

    @property
    def n_bins(self) -> int:
        """Number of frequency bins."""
        return 1 + self.n_fft // 2

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def audio(self) -> np.ndarray:
        """The mixture at the model's rate, (n_samples,) or (n_channels, n_samples)."""
        return resample(self.mixture.read(), self.mixture.rate, self.sample_rate)

    @property
    def stft(self) -> np.ndarray:
        """Complex spectrum, shape (n_bins, n_frames) or (n_channels, n_bins, n_frames)."""
        return stft(self.audio, self.n_fft, self.hop_length, self.window)

    @property
    def magnitude(self) -> np.ndarray:
        """Magnitude, shape (n_bins, n_frames): the root mean square over the channels'."""
        return channel_rms(self.stft)

    def analyse(self, sources: np.ndarray) -> np.ndarray:
        """Return the spectra of samples that lie at the mixture's own rate.

        Parameters
        ----------
        sources : ndarray of shape (..., n_samples)

        Returns
        -------
        stft : ndarray of complex64, shape (..., n_bins, n_frames)
        """
        sources = resample(sources, self.mixture.rate, self.sample_rate)
        return stft(sources, self.n_fft, self.hop_length, self.window)

    def invert(self, masks: np.ndarray) -> np.ndarray:
        """Return the sources that masks cut out of the mixture, with the mixture's phase.

        Parameters
        ----------
        masks : ndarray of shape (n_sources, n_bins, n_frames)
            Each is applied to every channel.

        Returns
        -------
        sources : ndarray of float32, shape (n_sources, n_samples) or \
(n_sources, n_channels, n_samples)
            At the mixture's own rate and length.

        Raises
        ------
        AudioError
            If the masks' shape does not fit.
        """
        own = self.mixture.read()
        audio = resample(own, self.mixture.rate, self.sample_rate)
        n_samples = audio.shape[-1]
        n_frames = 1 + n_samples // self.hop_length
        if masks.shape[1:] != (self.n_bins, n_frames):
            raise AudioError(
                "masks",
                f"shape (n_sources, {self.n_bins}, {n_frames})",
                f"shape {masks.shape}",
                "Use masks of this very spectrogram.",
            )
        # One frame more: else the last samples lie under a single window that has nearly faded
        # out, and dividing by it would blow up whatever a mask changed there.
        longer = fit_length(audio, n_samples + self.hop_length)
        spectrum = stft(longer, self.n_fft, self.hop_length, self.window)
        masks = np.pad(masks.astype(np.float32), [(0, 0), (0, 0), (0, 1)], mode="edge")
        sources = np.stack(
            [istft(spectrum * mask, n_samples, self.hop_length, self.window) for mask in masks]
        )
        return resample(sources, self.sample_rate, self.mixture.rate, own.shape[-1])
