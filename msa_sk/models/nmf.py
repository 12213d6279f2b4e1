"""Non-negative matrix factorisation: learnt from sources, blind, or told the score."""

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
from msa_sk.exceptions import AudioError, ParameterError
from msa_sk.masking import ratio_masks
from msa_sk.records import Scene, stack_sources
from msa_sk.score import score_of
from msa_sk.spectral import STFT, Spectrogram, channel_rms
from msa_sk.templates import model_parts, note_supports
from msa_sk.windowed import WindowedEstimator
from msa_sk.windows import Heads

_N_MELS, _N_CEPSTRA = 40, 13
# What no note explains is shared by how loud each instrument is, and at last by who plays at all.
_SHARE_OF_LOUDNESS, _SHARE_OF_PLAYERS = 1e-3, 1e-6


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

    Told the score (`score_informed`), nothing is learnt before either: each mixture brings its
    notes along, as `Mixture.notes`, and `predict` fits two spectra for each pitch of each
    instrument, that of its tone with energy around the harmonics alone, and lets them sound
    where the score has the pitch. Drums have one spectrum per pitch, of any shape. What an
    instrument of the score plays that is not in `instruments` stays in the mixture; what no note
    explains is shared by those who play.

    Parameters
    ----------
    n_components : int, default=40
        Spectra per instrument, or per source where `blind`; told the score, notes say how many.
    beta_loss : {"frobenius", "kullback-leibler"}, default="kullback-leibler"
        The distance between the spectrogram and its model.
    mask_power : float, default=1.0
        The power of the model magnitudes from which masks are made: 2 is Wiener's filter.
    max_iter : int, default=200
        Budget of iterations, in fit and in predict. Told the score, a tenth of it is used
        whatever `tol`: spectra of few notes soon fit what others play as well.
    tol : float, default=1e-4
        Iterations end when the distance falls by less than this share.
    max_frames : int, default=20000
        Of each instrument's sounding frames, at most so many, drawn evenly from the scenes,
        take part in learning; and where a blind separation works in windows, of the mixture's.
    window_seconds : float, default=30.0
        Longer mixtures are separated in windows of at most that length, an eighth of which, or
        more, overlaps with the next; None takes them whole. Iterations may then end later or
        earlier: some thousandths of the mixture's level, none with ``tol=0``. Blind, spectra are
        learnt once for all windows; told the score, anew in each.
    blind : bool, default=False
    n_sources : int, default=2
        How many sources a blind separation gives.
    score_informed : bool, default=False
        `fit` then settles the names of the instruments, and no more.
    score_tolerance : float, default=0.05
        In seconds: by so much a note may begin earlier, and end later, than the score says.
    instruments : sequence of str, default=None
        What to look for; None takes all names in y, sorted.
    transformer : STFT, default=None
        None is ``STFT()``; behind an STFT in a Pipeline, it is that one.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    components_ : ndarray of shape (n_parts, n_components, n_bins)
        The spectra of each instrument and, where mixtures hold more, of the rest (the last);
        not set where `blind` or `score_informed`.
    instruments_ : tuple of str
    sample_rate_ : int

    Notes
    -----
    Smaragdis and Brown, "Non-negative matrix factorization for polyphonic music
    transcription", WASPAA 2003, for the model; spectra fixed per source as in supervised
    separation ever since. Told the score, after Ewert and Müller: see `msa_sk.templates`.

    Examples
    --------
    >>> from msa_sk import NMFSeparator
    >>> from msa_sk.datasets import make_scenes
    >>> mixes, scenes = make_scenes(6, random_state=0)
    >>> separator = NMFSeparator(n_components=10, random_state=0).fit(mixes[:4], scenes[:4])
    >>> separator.predict(mixes[4:])[0].instruments
    ('guitar', 'piano')

    Without training, but with the score:

    >>> from dataclasses import replace
    >>> score = dict(zip(scenes[4].instruments, scenes[4].notes))
    >>> informed = NMFSeparator(score_informed=True).fit(mixes[:1], scenes[:1])
    >>> informed.predict([replace(mixes[4], notes=score)])[0].notes_of("piano") is score["piano"]
    True
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
        "score_informed": ["boolean"],
        "score_tolerance": [real(0)],
        "instruments": [None, list, tuple],
        "transformer": [None, STFT],
        "random_state": ["random_state"],
    }

    _settled_by_fit = (*WindowedEstimator._settled_by_fit, "blind", "n_sources", "score_informed")

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
        score_informed: bool = False,
        score_tolerance: float = 0.05,
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
        self.score_informed = score_informed
        self.score_tolerance = score_tolerance
        self.instruments = instruments
        self.transformer = transformer
        self.random_state = random_state

    def _scene_tags(self) -> dict[str, bool]:
        whole = not getattr(self, "has_rest_", False)
        return {
            **super()._scene_tags(),
            "blind": bool(self.blind),
            "additive": whole,
            "score_informed": bool(self.score_informed),
        }

    def _fit(self, items: list[Spectrogram], scenes: list[Scene]) -> None:
        random = check_random(self.random_state)
        if self.blind and self.score_informed:
            raise ParameterError(
                "NMFSeparator(blind=, score_informed=)",
                "one of them at most",
                "both",
                "A score names its instruments: set blind=False.",
            )
        if self.blind:
            self._seed = int(random.randint(2**31 - 1))
            self.has_rest_ = False
            return
        self.has_rest_ = has_rest(items, scenes, self.instruments_)
        if self.score_informed:
            return
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

    def _whole_magnitude(self, item: Spectrogram) -> np.ndarray:
        return item.magnitude / np.float32(rms(item.audio))

    def _told(self, item: Spectrogram, first: int, last: int) -> Any:
        """Return where notes of each part may sound, who is percussive, and who plays at all."""
        if not self.score_informed:
            return None
        others = sorted(set(item.mixture.notes or ()) - set(self.instruments_))
        names = [*self.instruments_, *others]
        score, strikes = score_of(item.mixture, names), [name == "drums" for name in names]
        supports = [
            note_supports(notes, first, last, item.frame_rate, self.score_tolerance, percussive)
            for notes, percussive in zip(score, strikes, strict=True)
        ]
        return np.stack(supports), strikes, np.array([len(notes) > 0 for notes in score], "f4")

    def _look(self, magnitude: np.ndarray, survey: Any = None, told: Any = None) -> Heads:
        if self.score_informed:
            return {"mask": ratio_masks(self._informed_models(magnitude, *told), self.mask_power)}
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

    def _informed_models(
        self, magnitude: np.ndarray, supports: np.ndarray, strikes: list[bool], plays: np.ndarray
    ) -> np.ndarray:
        stft, n_iter = self.transformer_, max(1, self.max_iter // 10)
        sizes = stft.sample_rate, stft.n_fft
        models = model_parts(magnitude, supports, strikes, *sizes, self.beta_loss, n_iter)
        models += _SHARE_OF_LOUDNESS * models.mean(axis=1, keepdims=True)
        return models + _SHARE_OF_PLAYERS * plays[:, None, None]

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
        if not self.score_informed:
            arrays["components_"] = self.components_
        return {**values, "has_rest_": self.has_rest_}, arrays

    def _set_state(self, values: dict, arrays: dict[str, np.ndarray]) -> None:
        super()._set_state(values, arrays)
        self.has_rest_ = values.get("has_rest_", False)
        if self.blind:
            self._seed = values["seed"]
        elif not self.score_informed:
            components = arrays["components_"]
            n_parts = len(self.instruments_) + self.has_rest_
            sizes = (n_parts, self.transformer_.n_bins)
            if components.ndim != 3 or components.shape[::2] != sizes:
                raise ValueError(f"components of shape {components.shape} for {sizes}")
            if components.dtype.kind != "f":
                raise ValueError(f"components of type {components.dtype}")
            self.components_ = components
