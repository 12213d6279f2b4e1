"""Pictures of scenes and of training.

A display keeps what it computed, so that `plot` can draw it again without computing anything.
Figures are made apart from pyplot: no window opens, and no global state changes.
"""

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msa_sk._validation import check_mixtures
from msa_sk.exceptions import InputError
from msa_sk.metrics.scenes import name_sources
from msa_sk.metrics.scorers import final_estimator
from msa_sk.metrics.transcription import match_notes
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene
from msa_sk.spectral import channel_rms, stft

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOWEST_HZ, HIGHEST_HZ = 40.0, 8000.0
_WINDOW_S = 0.128
_N_BANDS, _N_COLUMNS = 160, 600  # about as many as a panel has pixels

# The palette of Okabe and Ito, which colour-blind people can tell apart; missed notes are
# hollow besides, so that grey prints show them too.
_BLUE, _SKY, _ORANGE, _VERMILION, _GREEN, _PURPLE = (
    "#0072B2",
    "#56B4E9",
    "#E69F00",
    "#D55E00",
    "#009E73",
    "#CC79A7",
)
_NOTE_STYLES: dict[str, dict[str, Any]] = {
    "correct": {"facecolor": _SKY, "edgecolor": "none"},
    "extra": {"facecolor": _ORANGE, "edgecolor": _ORANGE, "linewidth": 0.4},
    "estimated": {"facecolor": _BLUE, "edgecolor": _BLUE, "linewidth": 0.4},
    "true": {"facecolor": "none", "edgecolor": _BLUE, "linewidth": 0.8},
    "missed": {"facecolor": "none", "edgecolor": _VERMILION, "linewidth": 1.1},
}
_PITCH_NAMES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")
_TERM_NAMES = {"dc": "deep clustering", "mi": "mask inference", "tr": "transcription"}


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


def compare_notes(truth: Notes | None, estimate: Notes | None) -> dict[str, Notes]:
    """Sort notes into groups by what became of them.

    A true and an estimated note match where their pitch is the same and their onsets are at
    most 50 ms apart; each takes part in one match, and there are as many matches as possible.

    Parameters
    ----------
    truth, estimate : Notes or None
        None means unknown.

    Returns
    -------
    groups : dict of str to Notes
        ``correct`` and ``extra`` (estimated notes), ``true`` and ``missed`` (true notes that
        were found and not found); only ``true`` or ``estimated`` where the other is unknown.
    """
    if truth is None or estimate is None:
        known = {"true": truth, "estimated": estimate}
        return {name: notes for name, notes in known.items() if notes is not None}
    matches = match_notes(truth, estimate, offset_ratio=None)
    found = np.isin(np.arange(len(truth)), matches[:, 0])
    right = np.isin(np.arange(len(estimate)), matches[:, 1])
    return {
        "correct": estimate.select(right),
        "extra": estimate.select(~right),
        "true": truth.select(found),
        "missed": truth.select(~found),
    }


class _Display:
    """What all displays share: they show themselves in a notebook once they are plotted."""

    figure_: "Figure"
    axes_: np.ndarray

    def _repr_png_(self) -> bytes | None:
        if not hasattr(getattr(self, "figure_", None), "savefig"):  # none yet, or a SubFigure
            return None
        stream = io.BytesIO()
        self.figure_.savefig(stream, format="png")
        return stream.getvalue()


class SceneDisplay(_Display):
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
        scenes = _check_scenes(truth, estimate)
        instruments = _union(scene.instruments for scene in scenes.values())
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
        notes = _compare_scenes(scenes, instruments)
        if not instruments or not (spectrograms or notes):
            raise InputError(
                "estimate",
                "a scene with sources or notes",
                repr(estimate),
                "Draw what an estimator predicted.",
            )
        duration = max(durations, default=_last_offset(scenes.values()))
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
            figure = _new_figure(1 + 4.2 * shape[1], 0.8 + 1.65 * shape[0])
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
            _name_axes(ax, "mixture", "Hz")
        for i, name in enumerate(self.instruments, start=top):
            for j, column in enumerate(columns):
                self.axes_[i, j] = ax = figure.add_subplot(grid[i, j])
                if column == "notes":
                    _draw_roll(ax, name, self.notes[name])
                else:
                    image = self.spectrograms[column][name]
                    mesh = _draw_spectrogram(ax, image, loudest, db_range)
                    _name_axes(ax, f"{name}, {column}", "Hz" if j == 0 else "")
        _share_time(self.axes_, self.duration)

        if mesh is not None:
            _add_colorbar(figure, mesh, grid, self.axes_)
        if self.notes:
            _add_legend(self.axes_[-1, -1], self.notes)
        return self


class RollDisplay(_Display):
    """Piano rolls, estimated against true: one panel per instrument.

    Use `from_predictions` or `from_estimator`.

    Parameters
    ----------
    notes : dict of str to dict of str to Notes
        What `compare_notes` returned, by instrument.
    duration : float
        In seconds.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of shape (n_instruments, 1)
    """

    def __init__(self, notes: dict[str, dict[str, Notes]], duration: float):
        self.notes = notes
        self.duration = duration

    @classmethod
    def from_predictions(cls, truth: Scene | None, estimate: Scene) -> "RollDisplay":
        """Match the notes of an estimate with those of the truth, where it is known.

        Parameters
        ----------
        truth : Scene or None
        estimate : Scene

        Raises
        ------
        InputError
            If something is no Scene, or no notes are known.
        """
        scenes = _check_scenes(truth, estimate)
        notes = _compare_scenes(scenes, _union(scene.instruments for scene in scenes.values()))
        if not notes:
            raise InputError(
                "estimate", "a scene with notes", repr(estimate), "Use a system that transcribes."
            )
        return cls(notes, _last_offset(scenes.values()))

    @classmethod
    def from_estimator(
        cls, estimator: Any, mixture: Any, truth: Scene | None = None
    ) -> "RollDisplay":
        """Predict one mixture with a fitted estimator; then as `from_predictions`.

        Parameters
        ----------
        estimator : estimator or Pipeline
        mixture : Mixture, array, path or Clip
        truth : Scene, default=None
        """
        return cls.from_predictions(truth, estimator.predict([mixture])[0])

    def plot(self, figure: "Figure | None" = None) -> "RollDisplay":
        """Draw the rolls into a figure.

        Parameters
        ----------
        figure : Figure or SubFigure, default=None
            None makes one of a fitting size.

        Returns
        -------
        self
        """
        n_rows = len(self.notes)
        if figure is None:
            figure = _new_figure(9, 0.7 + 1.9 * n_rows)
        self.figure_, self.axes_ = figure, figure.subplots(n_rows, 1, squeeze=False)
        for ax, (name, groups) in zip(self.axes_.flat, self.notes.items(), strict=True):
            _draw_roll(ax, name, groups)
        _share_time(self.axes_, self.duration)
        _add_legend(self.axes_[-1, 0], self.notes)
        return self


class LearningCurveDisplay(_Display):
    """The loss of every epoch, and the terms that it is the sum of.

    Use `from_estimator`.

    Parameters
    ----------
    history : sequence of dict
        One per epoch: ``epoch``, ``train_loss`` and, as far as there are, ``valid_loss`` and
        ``train_<term>``, ``valid_<term>``.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of shape (1, n_panels)
        The loss and, where the history has them, the terms.
    """

    def __init__(self, history: Sequence[dict[str, float]]):
        self.history = list(history)

    @classmethod
    def from_estimator(cls, estimator: Any) -> "LearningCurveDisplay":
        """Read the ``history_`` of an estimator, a Pipeline that ends in one, or a search.

        Raises
        ------
        InputError
            If there is no history.
        """
        final = final_estimator(estimator)
        history = getattr(final, "history_", None)
        if not history or any(not {"epoch", "train_loss"} <= set(row) for row in history):
            raise InputError(
                "estimator",
                "a fitted estimator whose history_ tells the train_loss of every epoch",
                type(final).__name__ + ("" if history is None else f" with {history!r:.60}"),
                "Fit it first; a system that is not trained by epochs has no learning curve.",
            )
        return cls(history)

    def plot(self, figure: "Figure | None" = None) -> "LearningCurveDisplay":
        """Draw the curves into a figure.

        Parameters
        ----------
        figure : Figure or SubFigure, default=None
            None makes one of a fitting size.

        Returns
        -------
        self
        """
        from matplotlib.ticker import MaxNLocator

        keys = dict.fromkeys(key for row in self.history for key in row)
        terms = [key[6:] for key in keys if key.startswith("train_") and key != "train_loss"]
        n_panels = 1 + bool(terms)
        if figure is None:
            figure = _new_figure(1 + 4 * n_panels, 3.4)
        self.figure_ = figure
        self.axes_ = figure.subplots(1, n_panels, squeeze=False)
        loss_panel, term_panel = self.axes_[0, 0], self.axes_[0, -1]

        self._draw(loss_panel, "train_loss", color=_BLUE, label="training")
        self._draw(loss_panel, "valid_loss", color=_VERMILION, label="validation")
        valid = [(row["valid_loss"], row["epoch"]) for row in self.history if "valid_loss" in row]
        if valid:
            lowest, epoch = min(valid)
            loss_panel.plot(
                epoch, lowest, "o", mfc="none", color=_VERMILION, label=f"lowest: epoch {epoch}"
            )
        _name_axes(loss_panel, "loss", "", "epoch")
        if terms:
            colours = (_BLUE, _VERMILION, _GREEN, _ORANGE, _PURPLE, _SKY)
            for i, term in enumerate(terms):
                colour, label = colours[i % len(colours)], _TERM_NAMES.get(term, term)
                self._draw(term_panel, f"train_{term}", color=colour, label=label)
                self._draw(term_panel, f"valid_{term}", color=colour, linestyle="--")
            dashed = "; dashed: validation" if valid else ""
            _name_axes(term_panel, f"weighted terms{dashed}", "", "epoch")
            term_panel.set_yscale("log")
            term_panel.tick_params(which="both", labelsize=8)
        for ax in self.axes_.flat:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.grid(alpha=0.25)
            _legend_below(ax)
        return self

    def _draw(self, ax: "Axes", key: str, **style: Any) -> None:
        points = [(row["epoch"], row[key]) for row in self.history if key in row]
        if points:
            ax.plot(*zip(*points, strict=True), marker=".", markersize=4, **style)


# --------------------------------------------------------------------------------- the data


def _check_scenes(truth: Any, estimate: Any) -> dict[str, Scene]:
    """Return the scenes by column; a blind estimate gets the names that fit best."""
    scenes = {"true": truth, "estimated": estimate}
    if truth is None:
        del scenes["true"]
    for name, scene in scenes.items():
        if not isinstance(scene, Scene):
            raise InputError(
                "truth" if name == "true" else "estimate",
                "a Scene",
                type(scene).__name__,
                "Pass one element of y, and one of what predict returned.",
            )
    if truth is not None and not set(truth.instruments) & set(estimate.instruments):
        parts = [(scene.sources is not None, scene.notes is not None) for scene in scenes.values()]
        if estimate.instruments and any(map(all, zip(*parts, strict=True))):
            scenes["estimated"] = name_sources(truth, estimate)
    return scenes


def _union(names: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return each name once: the estimate's last, unless the truth has them."""
    return tuple(dict.fromkeys(name for some in names for name in some))


def _compare_scenes(
    scenes: dict[str, Scene], instruments: Sequence[str]
) -> dict[str, dict[str, Notes]]:
    """Compare the notes of each instrument; empty where no scene knows notes."""
    known = {
        column: dict(zip(scene.instruments, scene.notes, strict=True))
        for column, scene in scenes.items()
        if scene.notes is not None
    }
    if not known:
        return {}

    def notes_of(column: str, name: str) -> Notes | None:
        return known[column].get(name, Notes()) if column in known else None

    return {
        name: compare_notes(notes_of("true", name), notes_of("estimated", name))
        for name in instruments
    }


def _last_offset(scenes: Iterable[Scene]) -> float:
    notes = [one for scene in scenes for one in scene.notes or ()]
    return float(max((one.offset.max() for one in notes if len(one)), default=0.0))


# ------------------------------------------------------------------------------ the drawing


def _new_figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def _name_axes(ax: "Axes", title: str, y: str, x: str = "") -> None:
    ax.set_title(title, loc="left", fontsize=9)
    ax.set_xlabel(x, fontsize=8)
    ax.set_ylabel(y, fontsize=8)
    ax.tick_params(labelsize=8)


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


def _draw_roll(ax: "Axes", name: str, groups: dict[str, Notes]) -> None:
    from matplotlib.collections import PolyCollection

    for group in _NOTE_STYLES:
        if group in groups:
            notes = groups[group]
            x = np.stack([notes.onset, notes.onset, notes.offset, notes.offset], axis=1)
            y = notes.pitch[:, None] + np.array([-0.4, 0.4, 0.4, -0.4])
            boxes = [*np.stack([x, y], axis=2)]
            collection = PolyCollection(boxes, label=group, **_NOTE_STYLES[group])
            ax.add_collection(collection, autolim=False)
    counts = [f"{len(notes)} {group}" for group, notes in groups.items() if group != "true"]
    counts = counts or [f"{len(notes)} {group}" for group, notes in groups.items()]
    _name_axes(ax, f"{name}: {', '.join(counts)}", "")

    pitches = np.concatenate([notes.pitch for notes in groups.values()])
    lowest, highest = (pitches.min(), pitches.max()) if len(pitches) else (60, 72)
    margin = max(1.5, (13 - (highest - lowest)) / 2)
    ax.set_ylim(lowest - margin, highest + margin)
    step = 12 if highest - lowest > 16 else 6
    first, last = np.ceil((lowest - margin) / step), (highest + margin) / step
    ticks = step * np.arange(first, last, dtype=int)
    ax.set_yticks(ticks, [str(p) if name == "drums" else _note_name(p) for p in ticks])
    ax.grid(axis="y", alpha=0.25)
    ax.set_axisbelow(True)


def _note_name(pitch: int) -> str:
    return f"{_PITCH_NAMES[pitch % 12]}{pitch // 12 - 1}"


def _share_time(axes: np.ndarray, duration: float) -> None:
    """Give all panels one time axis, labelled below the last row."""
    for i, row in enumerate(axes):
        for ax in filter(None, row):
            ax.set_xlim(0, duration or 1.0)
            if i == len(axes) - 1:
                ax.set_xlabel("time (s)", fontsize=8)
            else:
                ax.tick_params(labelbottom=False)


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


def _add_legend(ax: "Axes", notes: dict[str, dict[str, Notes]]) -> None:
    """Explain the notes below the lowest roll."""
    from matplotlib.patches import Patch

    groups = _union(list(groups) for groups in notes.values())
    _legend_below(ax, [Patch(label=group, **_NOTE_STYLES[group]) for group in groups])


def _legend_below(ax: "Axes", handles: Sequence[Any] | None = None) -> None:
    """Put a legend below a panel, where it hides nothing."""
    handles = ax.get_legend_handles_labels()[0] if handles is None else handles
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=4,  # font sizes: the axis and its label are between
        ncols=len(handles),
        frameon=False,
        fontsize=8,
    )
