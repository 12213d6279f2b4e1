"""Piano rolls, estimated against true."""

from typing import TYPE_CHECKING, Any

import numpy as np

from msa_sk.display._drawing import (
    BLUE,
    ORANGE,
    SKY,
    VERMILION,
    Display,
    legend_below,
    name_axes,
    new_figure,
    share_time,
)
from msa_sk.display.matching import check_scenes, compare_scenes, last_offset, union
from msa_sk.exceptions import InputError
from msa_sk.notes import Notes
from msa_sk.records import Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Missed notes are hollow, so that grey prints show them too.
_NOTE_STYLES: dict[str, dict[str, Any]] = {
    "correct": {"facecolor": SKY, "edgecolor": "none"},
    "extra": {"facecolor": ORANGE, "edgecolor": ORANGE, "linewidth": 0.4},
    "estimated": {"facecolor": BLUE, "edgecolor": BLUE, "linewidth": 0.4},
    "true": {"facecolor": "none", "edgecolor": BLUE, "linewidth": 0.8},
    "missed": {"facecolor": "none", "edgecolor": VERMILION, "linewidth": 1.1},
}
_PITCH_NAMES = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")


class RollDisplay(Display):
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
        scenes = check_scenes(truth, estimate)
        notes = compare_scenes(scenes, union(scene.instruments for scene in scenes.values()))
        if not notes:
            raise InputError(
                "estimate", "a scene with notes", repr(estimate), "Use a system that transcribes."
            )
        return cls(notes, last_offset(scenes.values()))

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
            figure = new_figure(9, 0.7 + 1.9 * n_rows)
        self.figure_, self.axes_ = figure, figure.subplots(n_rows, 1, squeeze=False)
        for ax, (name, groups) in zip(self.axes_.flat, self.notes.items(), strict=True):
            draw_roll(ax, name, groups)
        share_time(self.axes_, self.duration)
        add_legend(self.axes_[-1, 0], self.notes)
        return self


def draw_roll(ax: "Axes", name: str, groups: dict[str, Notes]) -> None:
    """Draw what `compare_notes` returned; the title counts it."""
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
    name_axes(ax, f"{name}: {', '.join(counts)}", "")

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


def add_legend(ax: "Axes", notes: dict[str, dict[str, Notes]]) -> None:
    """Explain the notes below the lowest roll."""
    from matplotlib.patches import Patch

    groups = union(list(groups) for groups in notes.values())
    legend_below(ax, [Patch(label=group, **_NOTE_STYLES[group]) for group in groups])
