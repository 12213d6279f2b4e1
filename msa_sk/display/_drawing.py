"""What all displays share: colours, figures, labels, legends."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, which colour-blind people can tell apart.
BLUE, SKY, ORANGE, VERMILION, GREEN, PURPLE = (
    "#0072B2",
    "#56B4E9",
    "#E69F00",
    "#D55E00",
    "#009E73",
    "#CC79A7",
)


class Display:
    """A display shows itself in a notebook once it is plotted."""

    figure_: "Figure"
    axes_: np.ndarray

    def _repr_png_(self) -> bytes | None:
        if not hasattr(getattr(self, "figure_", None), "savefig"):  # none yet, or a SubFigure
            return None
        stream = io.BytesIO()
        self.figure_.savefig(stream, format="png")
        return stream.getvalue()


def new_figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def name_axes(ax: "Axes", title: str, y: str, x: str = "") -> None:
    ax.set_title(title, loc="left", fontsize=9)
    ax.set_xlabel(x, fontsize=8)
    ax.set_ylabel(y, fontsize=8)
    ax.tick_params(labelsize=8)


def share_time(axes: np.ndarray, duration: float) -> None:
    """Give all panels one time axis, labelled below the last row."""
    for i, row in enumerate(axes):
        for ax in filter(None, row):
            ax.set_xlim(0, duration or 1.0)
            if i == len(axes) - 1:
                ax.set_xlabel("time (s)", fontsize=8)
            else:
                ax.tick_params(labelbottom=False)


def legend_below(ax: "Axes", handles: Sequence[Any] | None = None) -> None:
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
