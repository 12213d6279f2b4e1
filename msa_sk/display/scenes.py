"""Scenes: spectrograms and piano rolls of an estimate, beside the truth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msa_sk._validation import check_mixtures
from msa_sk.display._drawing import Display, name_axes, new_figure, share_time
from msa_sk.display.matching import check_scenes, compare_scenes, last_offset, union
from msa_sk.display.rolls import add_legend, draw_roll
from msa_sk.exceptions import InputError
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene
from msa_sk.spectral import channel_rms, stft

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOWEST_HZ, HIGHEST_HZ = 40.0, 8000.0
_WINDOW_S = 0.128
_N_BANDS, _N_COLUMNS = 160, 600  # about as many as a panel has pixels


class LogSpectrogram(NamedTuple):
    """Levels on logarithmic bands: what one panel shows."""

    seconds: np.ndarray
    hz: np.ndarray
    db: np.ndarray


def log_spectrogram(audio: np.ndarray, sample_rate: int) -> LogSpectrogram:
    """Return a spectrogram of a picture's size, with a logarithmic frequency axis.

    Each of its cells shows the loudest bin that it covers. Meant for excerpts: it holds the
    whole transform in memory.

    Parameters
    ----------
    audio : ndarray of shape (n_samples,) or (n_channels, n_samples)
        Channels are shown by their root mean square.
    sample_rate : int
        In Hz.

    Returns
    -------
    seconds : ndarray of shape (n_columns + 1,)
        Edges, at most 601.
    hz : ndarray of shape (161,)
        Edges, from 40 Hz to 8000 Hz or, if that is lower, half the sampling rate.
    db : ndarray of shape (160, n_columns)
        20 log10 of the magnitude; -inf in silence.
    """
    n_fft = 2 ** round(np.log2(_WINDOW_S * sample_rate))
    hop = int(np.clip(audio.shape[-1] // _N_COLUMNS, n_fft // 8, n_fft // 2))
    magnitude = channel_rms(stft(audio, n_fft, hop))

    hz = np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, sample_rate / 2), _N_BANDS + 1)
    first_bins = np.round(hz * n_fft / sample_rate).astype(int)
    bands = np.maximum.reduceat(magnitude[: first_bins[-1] + 1], first_bins[:-1], axis=0)
    n_frames = magnitude.shape[1]
    frames = np.linspace(0, n_frames, min(n_frames, _N_COLUMNS) + 1).astype(int)
    cells = np.maximum.reduceat(bands, frames[:-1], axis=1)

    edges = (frames - 0.5) * hop  # frames are centred
    edges[[0, -1]] = 0, audio.shape[-1]
    with np.errstate(divide="ignore"):
        return LogSpectrogram(edges / sample_rate, hz, 20 * np.log10(cells))


class SceneDisplay(Display):
    """An estimated scene beside the truth: spectrograms, and piano rolls.

    A row per instrument: its true and its estimated spectrogram and its notes, as far as they
    are known. Instruments are matched by name; one that a scene does not list is silence. An
    estimate that shares no name with the truth is a blind one: its sources get the names that
    fit them best. Use `from_predictions` or `from_estimator`.

    Parameters
    ----------
    instruments : sequence of str
        One row each.
    spectrograms : dict of str to dict of str to LogSpectrogram
        The columns ``"true"`` and ``"estimated"``, as far as they are known, by instrument.
    notes : dict of str to dict of str to Notes
        What `compare_notes` returned, by instrument; empty where no notes are known.
    duration : float
        In seconds.
    mixture : LogSpectrogram, default=None
        Drawn above the rows.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of shape (n_rows, n_columns)
        The panels; None where there is none.
    """

    def __init__(
        self,
        instruments: Sequence[str],
        spectrograms: dict[str, dict[str, LogSpectrogram]],
        notes: dict[str, dict[str, Notes]],
        duration: float,
        mixture: LogSpectrogram | None = None,
    ):
        self.instruments = tuple(instruments)
        self.spectrograms = spectrograms
        self.notes = notes
        self.duration = duration
        self.mixture = mixture

    @classmethod
    def from_predictions(
        cls, truth: Scene | None, estimate: Scene, mixture: Mixture | None = None
    ) -> "SceneDisplay":
        """Compute what there is to see of an estimate and, where it is known, of the truth.

        Parameters
        ----------
        truth : Scene or None
        estimate : Scene
        mixture : Mixture, default=None

        Raises
        ------
        InputError
            If something is no Scene or Mixture, or there is nothing to draw.
        """
        scenes = check_scenes(truth, estimate)
        instruments = union(scene.instruments for scene in scenes.values())
        spectrograms, durations = {}, []
        for column, scene in scenes.items():
            if scene.sources is not None:
                audio = {name: scene.source(name) for name in scene.instruments}
                durations += [one.shape[-1] / scene.sample_rate for one in audio.values()]
                silence = np.zeros_like(next(iter(audio.values()), np.zeros(1)))
                spectrograms[column] = {
                    name: log_spectrogram(audio.get(name, silence), scene.sample_rate)
                    for name in instruments
                }
        above = None
        if mixture is not None:
            mixture = check_mixtures([mixture], estimate.sample_rate, "mixture")[0]
            above = log_spectrogram(mixture.read(), mixture.rate)
            durations.append(mixture.duration)
        notes = compare_scenes(scenes, instruments)
        if not instruments or not (spectrograms or notes):
            raise InputError(
                "estimate",
                "a scene with sources or notes",
                repr(estimate),
                "Draw what an estimator predicted.",
            )
        duration = max(durations, default=last_offset(scenes.values()))
        return cls(instruments, spectrograms, notes, duration, above)

    @classmethod
    def from_estimator(
        cls, estimator: Any, mixture: Any, truth: Scene | None = None
    ) -> "SceneDisplay":
        """Predict one mixture with a fitted estimator; then as `from_predictions`.

        Parameters
        ----------
        estimator : estimator or Pipeline
        mixture : Mixture, array, path or Clip
        truth : Scene, default=None
        """
        estimate = estimator.predict([mixture])[0]
        return cls.from_predictions(truth, estimate, mixture)

    def plot(self, figure: "Figure | None" = None, db_range: float = 70.0) -> "SceneDisplay":
        """Draw everything into a figure.

        Parameters
        ----------
        figure : Figure or SubFigure, default=None
            None makes one of a fitting size.
        db_range : float, default=70.0
            Colours reach from the loudest bin of all panels down by so many dB.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If `db_range` is not above 0.
        """
        if not db_range > 0:
            raise InputError("db_range", "decibels above 0", repr(db_range), "Pass db_range=70.")
        columns = [*self.spectrograms, *(["notes"] if self.notes else [])]
        top = int(self.mixture is not None)
        shape = (top + len(self.instruments), len(columns))
        if figure is None:
            figure = new_figure(1 + 4.2 * shape[1], 0.8 + 1.65 * shape[0])
        grid = figure.add_gridspec(*shape)
        self.figure_, self.axes_ = figure, np.full(shape, None, object)

        drawn = [one for column in self.spectrograms.values() for one in column.values()]
        drawn += [self.mixture] if self.mixture else []
        loudest = max((one.db.max() for one in drawn), default=0.0)
        loudest = loudest if np.isfinite(loudest) else 0.0
        mesh = None
        if self.mixture:
            self.axes_[0, 0] = ax = figure.add_subplot(grid[0, 0])
            mesh = _draw_spectrogram(ax, self.mixture, loudest, db_range)
            name_axes(ax, "mixture", "Hz")
        for i, name in enumerate(self.instruments, start=top):
            for j, column in enumerate(columns):
                self.axes_[i, j] = ax = figure.add_subplot(grid[i, j])
                if column == "notes":
                    draw_roll(ax, name, self.notes[name])
                else:
                    image = self.spectrograms[column][name]
                    mesh = _draw_spectrogram(ax, image, loudest, db_range)
                    name_axes(ax, f"{name}, {column}", "Hz" if j == 0 else "")
        share_time(self.axes_, self.duration)

        if mesh is not None:
            _add_colorbar(figure, mesh, grid, self.axes_)
        if self.notes:
            add_legend(self.axes_[-1, -1], self.notes)
        return self


def _draw_spectrogram(ax: "Axes", image: LogSpectrogram, loudest: float, db_range: float) -> Any:
    from matplotlib import colormaps

    relative = np.maximum(image.db - loudest, -db_range)
    mesh = ax.pcolormesh(
        image.seconds, image.hz, relative, vmin=-db_range, vmax=0, cmap="magma", rasterized=True
    )
    ax.set_facecolor(colormaps["magma"](0.0))
    ax.set_yscale("log")
    ax.set_ylim(LOWEST_HZ, HIGHEST_HZ)
    ax.set_yticks([100, 1000, 8000], ["100", "1k", "8k"])
    return mesh


def _add_colorbar(figure: "Figure", mesh: Any, grid: Any, axes: np.ndarray) -> None:
    """Explain the colours: beside the mixture where there is room, else below."""
    if axes[0, -1] is None:
        cells = grid[0, 1:].subgridspec(3, 1, height_ratios=[1, 0.15, 1])
        place: dict[str, Any] = {"cax": figure.add_subplot(cells[1])}
    else:
        n_columns = max(1, sum(ax.get_yscale() == "log" for ax in axes[-1]))
        images = [ax for ax in axes[:, :n_columns].flat if ax.get_yscale() == "log"]
        place = {"ax": images, "aspect": 28 * n_columns, "pad": 0.03 / len(images) * n_columns}
    bar = figure.colorbar(mesh, orientation="horizontal", **place)
    bar.set_label("dB below the loudest bin of all panels", fontsize=8)
    bar.ax.tick_params(labelsize=8)
