"""Non-negative matrix factorisation: spectra per instrument, activations per mixture."""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF, non_negative_factorization
from sklearn.exceptions import ConvergenceWarning

from msa_sk._sklearn import StrOptions, real, whole
from msa_sk._validation import check_random
from msa_sk.audio import rms
from msa_sk.base import has_rest
from msa_sk.exceptions import AudioError
from msa_sk.masking import ratio_masks
from msa_sk.records import Scene, stack_sources
from msa_sk.spectral import STFT, Spectrogram, channel_rms
from msa_sk.windowed import WindowedEstimator
from msa_sk.windows import Heads

_N_MELS, _N_CEPSTRA = 40, 13


def learn_spectra(
    magnitude: np.ndarray,
    n_components: int,
    beta_loss: str = "frobenius",
    max_iter: int = 200,
    tol: float = 1e-4,
    random_state: Any = None,
) -> np.ndarray:
    """Return the spectra of which a magnitude spectrogram is best composed.

    Parameters
    ----------
    magnitude : ndarray of shape (n_bins, n_frames)
    n_components : int
    beta_loss, max_iter, tol, random_state
        As in `sklearn.decomposition.NMF`.

    Returns
    -------
    components : ndarray of shape (n_components, n_bins)
    """
    factorisation = NMF(
        n_components,
        solver=_solver(beta_loss),
        beta_loss=beta_loss,
        tol=tol,
        max_iter=max_iter,
        random_state=random_state,
    )
    with _iterations_as_budget():
        factorisation.fit(magnitude.T)
    return factorisation.components_


def activate(
    magnitude: np.ndarray,
    components: np.ndarray,
    beta_loss: str = "frobenius",
    max_iter: int = 200,
    tol: float = 1e-4,
) -> np.ndarray:
    """Return how strongly each given spectrum sounds in each frame.

    Parameters
    ----------
    magnitude : ndarray of shape (n_bins, n_frames)
    components : ndarray of shape (n_components, n_bins)
        Held fixed.
    beta_loss, max_iter, tol
        As in `sklearn.decomposition.NMF`.

    Returns
    -------
    activations : ndarray of shape (n_components, n_frames)
    """
    with _iterations_as_budget():
        activations, _, _ = non_negative_factorization(
            magnitude.T,
            H=components.astype(magnitude.dtype),
            n_components=len(components),
            update_H=False,
            solver=_solver(beta_loss),
            beta_loss=beta_loss,
            tol=tol,
            max_iter=max_iter,
        )
    return activations.T


# Filters of warnings belong to the whole process: threads that predict at once take turns.
_filters = threading.Lock()


@contextmanager
def _iterations_as_budget() -> Iterator[None]:
    """Let `max_iter` end iterations without a warning: masks settle long before `tol` is met."""
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _solver(beta_loss: str) -> str:
    # Coordinate descent is far faster, but knows the Frobenius norm only.
    return "cd" if beta_loss == "frobenius" else "mu"


def cluster_spectra(
    components: np.ndarray, n_sources: int, sample_rate: int, random_state: Any = None
) -> np.ndarray:
    """Group spectra by timbre: k-means on their mel-frequency cepstra.

    The cepstra without the first describe the envelope and leave loudness out (Spiertz and
    Gnann, "Source-filter based clustering for monaural blind source separation", DAFx 2009).

    Parameters
    ----------
    components : ndarray of shape (n_components, n_bins)
    n_sources : int
    sample_rate : int
        In Hz.
    random_state : int, RandomState instance or None, default=None
        Of k-means.

    Returns
    -------
    labels : ndarray of shape (n_components,)
        0 to n_sources - 1.
    """
    import librosa
    import scipy.fft

    n_fft = 2 * (components.shape[1] - 1)
    mel = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=_N_MELS)
    level = np.linalg.norm(components, axis=1, keepdims=True)
    bands = np.log(components / np.where(level > 0, level, 1) @ mel.T + 1e-5)
    cepstra = scipy.fft.dct(bands, norm="ortho")[:, 1:_N_CEPSTRA]
    return KMeans(n_sources, n_init=10, random_state=random_state).fit_predict(cepstra)


class NMFSeparator(WindowedEstimator):
    """Separate with spectra that were learnt for each instrument.

    Supervised (the default), `fit` learns `n_components` spectra from each instrument's true
    sources; `predict` holds them fixed, finds when each sounds in the mixture, and shares the
    mixture among the instruments by Wiener-like masks. What the training mixtures hold
    besides the wanted instruments gets spectra of its own and stays in the mixture.

    Blind, nothing is learnt before: `predict` learns spectra on each mixture and groups them
    by timbre into `n_sources` unnamed sources.

    Parameters
    ----------
    n_components : int, default=40
        Spectra per instrument, or per source where `blind`.
    beta_loss : {"frobenius", "kullback-leibler"}, default="kullback-leibler"
        The distance between the spectrogram and its model.
    mask_power : float, default=1.0
        The power of the model magnitudes from which masks are made: 2 is Wiener's filter.
    max_iter : int, default=200
        Budget of iterations, in fit and in predict.
    tol : float, default=1e-4
        Iterations end when the distance falls by less than this share.
    max_frames : int, default=20000
        Of each instrument's sounding frames, at most so many, drawn evenly from the scenes,
        take part in learning; and where a blind separation works in windows, of the mixture's.
    window_seconds : float, default=30.0
        Longer mixtures are separated in windows of that length, an eighth of which overlaps
        with the next; None takes them whole. Iterations may then end later or earlier: some
        thousandths of the mixture's level, none with ``tol=0``. Blind, spectra are learnt once
        for all windows.
    blind : bool, default=False
    n_sources : int, default=2
        How many sources a blind separation gives.
    instruments : sequence of str, default=None
        What to look for; None takes all names in y, sorted.
    transformer : STFT, default=None
        None is ``STFT()``.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    components_ : ndarray of shape (n_parts, n_components, n_bins)
        The spectra of each instrument and, where mixtures hold more, of the rest (the last);
        not set where `blind`.
    instruments_ : tuple of str
    sample_rate_ : int

    Notes
    -----
    Smaragdis and Brown, "Non-negative matrix factorization for polyphonic music
    transcription", WASPAA 2003, for the model; spectra fixed per source as in supervised
    separation ever since.

    Examples
    --------
    >>> from msa_sk import NMFSeparator
    >>> from msa_sk.datasets import make_scenes
    >>> mixes, scenes = make_scenes(6, random_state=0)
    >>> separator = NMFSeparator(n_components=10, random_state=0).fit(mixes[:4], scenes[:4])
    >>> separator.predict(mixes[4:])[0].instruments
    ('guitar', 'piano')
    """

    _parameter_constraints = {
        "n_components": [whole(1)],
        "beta_loss": [StrOptions({"frobenius", "kullback-leibler"})],
        "mask_power": [real(0, closed="neither")],
        "max_iter": [whole(1)],
        "tol": [real(0)],
        "max_frames": [whole(1)],
        "window_seconds": [None, real(1)],
        "blind": ["boolean"],
        "n_sources": [whole(1)],
        "instruments": [None, list, tuple],
        "transformer": [None, STFT],
        "random_state": ["random_state"],
    }

    _settled_by_fit = (*WindowedEstimator._settled_by_fit, "blind", "n_sources")

    def __init__(
        self,
        n_components: int = 40,
        *,
        beta_loss: str = "kullback-leibler",
        mask_power: float = 1.0,
        max_iter: int = 200,
        tol: float = 1e-4,
        max_frames: int = 20000,
        window_seconds: float | None = 30.0,
        blind: bool = False,
        n_sources: int = 2,
        instruments: Sequence[str] | None = None,
        transformer: STFT | None = None,
        random_state: Any = None,
    ):
        self.n_components = n_components
        self.beta_loss = beta_loss
        self.mask_power = mask_power
        self.max_iter = max_iter
        self.tol = tol
        self.max_frames = max_frames
        self.window_seconds = window_seconds
        self.blind = blind
        self.n_sources = n_sources
        self.instruments = instruments
        self.transformer = transformer
        self.random_state = random_state

    def _scene_tags(self) -> dict[str, bool]:
        whole = not getattr(self, "has_rest_", False)
        return {**super()._scene_tags(), "blind": bool(self.blind), "additive": whole}

    def _fit(self, items: list[Spectrogram], scenes: list[Scene]) -> None:
        random = check_random(self.random_state)
        if self.blind:
            self._seed = int(random.randint(2**31 - 1))
            self.has_rest_ = False
            return
        self.has_rest_ = has_rest(items, scenes, self.instruments_)
        parts = [*self.instruments_, *(["the rest"] if self.has_rest_ else [])]
        frames: list[list[np.ndarray]] = [[] for _ in parts]
        quota = max(1, self.max_frames // len(items))
        for item, scene in zip(items, scenes, strict=True):
            if scene.sources is None:
                continue
            for kept, magnitude in zip(frames, self._part_magnitudes(item, scene), strict=True):
                sounding = np.flatnonzero(magnitude.any(axis=0))
                chosen = random.permutation(len(sounding))[:quota]
                kept.append(magnitude[:, sounding[np.sort(chosen)]])
        components = []
        for name, kept in zip(parts, frames, strict=True):
            if not sum(one.shape[1] for one in kept):
                raise AudioError(
                    "y",
                    f"a scene in which {name} sounds",
                    "silence in all of them",
                    "Leave it out of instruments, or add scenes.",
                )
            frames_of_part = np.concatenate(kept, axis=1)[:, : self.max_frames]
            components.append(
                learn_spectra(
                    frames_of_part,
                    self.n_components,
                    self.beta_loss,
                    self.max_iter,
                    self.tol,
                    random,
                )
            )
        self.components_ = np.stack(components)

    def _part_magnitudes(self, item: Spectrogram, scene: Scene) -> list[np.ndarray]:
        """Return each instrument's magnitude, and the rest's, at the level of the mixture."""
        audio = item.mixture.read()
        sources = stack_sources(scene, self.instruments_, audio)
        if self.has_rest_:
            sources = np.concatenate([sources, [audio - sources.sum(axis=0)]])
        level = rms(audio) or 1.0
        return [channel_rms(spectrum) / level for spectrum in item.analyse(sources)]

    def _predict_one(self, item: Spectrogram) -> Scene:
        magnitude = item.magnitude / np.float32(rms(item.audio))
        return self._scene_of(magnitude, item)

    def _look(self, magnitude: np.ndarray, survey: Any = None, told: Any = None) -> Heads:
        if self.blind:
            components, labels = survey or self._learn_blindly(magnitude)
        else:
            components = self.components_.reshape(-1, magnitude.shape[0])
            labels = np.repeat(np.arange(len(self.components_)), self.components_.shape[1])
        activations = activate(magnitude, components, self.beta_loss, self.max_iter, self.tol)
        n_parts = labels.max() + 1
        models = np.stack(
            [components[labels == part].T @ activations[labels == part] for part in range(n_parts)]
        )
        return {"mask": ratio_masks(models, self.mask_power)}

    def _survey(self, item: Spectrogram, magnitudes: Iterator[np.ndarray], n_windows: int) -> Any:
        if not self.blind:
            return None
        kept = []
        for magnitude in magnitudes:
            stride = -(-n_windows * magnitude.shape[1] // self.max_frames)
            kept.append(magnitude[:, ::stride])
        return self._learn_blindly(np.concatenate(kept, axis=1))

    def _memory(self, item: Spectrogram) -> float:
        n_frames = min(self.max_frames, item.mixture.duration * item.frame_rate)
        survey = 32 * item.n_bins * n_frames if self.blind else 0.0
        return max(super()._memory(item), survey)

    def _learn_blindly(self, magnitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n_components = self.n_components * self.n_sources
        components = learn_spectra(
            magnitude, n_components, self.beta_loss, self.max_iter, self.tol, self._seed
        )
        labels = cluster_spectra(components, self.n_sources, self.sample_rate_, self._seed)
        return components, labels

    def _get_state(self) -> tuple[dict, dict[str, np.ndarray]]:
        values, arrays = super()._get_state()
        if self.blind:
            return {**values, "seed": self._seed}, arrays
        return {**values, "has_rest_": self.has_rest_}, {"components_": self.components_}

    def _set_state(self, values: dict, arrays: dict[str, np.ndarray]) -> None:
        super()._set_state(values, arrays)
        self.has_rest_ = values.get("has_rest_", False)
        if self.blind:
            self._seed = values["seed"]
        else:
            components = arrays["components_"]
            n_parts = len(self.instruments_) + self.has_rest_
            sizes = (n_parts, self.transformer_.n_bins)
            if components.ndim != 3 or components.shape[::2] != sizes:
                raise ValueError(f"components of shape {components.shape} for {sizes}")
            if components.dtype.kind != "f":
                raise ValueError(f"components of type {components.dtype}")
            self.components_ = components
