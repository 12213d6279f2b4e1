"""The curves of a training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msa_sk.display._drawing import (
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Display,
    legend_below,
    name_axes,
    new_figure,
)
from msa_sk.exceptions import InputError
from msa_sk.metrics.scorers import final_estimator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TERM_NAMES = {"dc": "deep clustering", "mi": "mask inference", "tr": "transcription"}


class LearningCurveDisplay(Display):
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
            figure = new_figure(1 + 4 * n_panels, 3.4)
        self.figure_ = figure
        self.axes_ = figure.subplots(1, n_panels, squeeze=False)
        loss_panel, term_panel = self.axes_[0, 0], self.axes_[0, -1]

        self._draw(loss_panel, "train_loss", color=BLUE, label="training")
        self._draw(loss_panel, "valid_loss", color=VERMILION, label="validation")
        valid = [(row["valid_loss"], row["epoch"]) for row in self.history if "valid_loss" in row]
        if valid:
            lowest, epoch = min(valid)
            loss_panel.plot(
                epoch, lowest, "o", mfc="none", color=VERMILION, label=f"lowest: epoch {epoch}"
            )
        name_axes(loss_panel, "loss", "", "epoch")
        if terms:
            colours = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
            for i, term in enumerate(terms):
                colour, label = colours[i % len(colours)], _TERM_NAMES.get(term, term)
                self._draw(term_panel, f"train_{term}", color=colour, label=label)
                self._draw(term_panel, f"valid_{term}", color=colour, linestyle="--")
            dashed = "; dashed: validation" if valid else ""
            name_axes(term_panel, f"weighted terms{dashed}", "", "epoch")
            term_panel.set_yscale("log")
            term_panel.tick_params(which="both", labelsize=8)
        for ax in self.axes_.flat:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
            ax.grid(alpha=0.25)
            legend_below(ax)
        return self

    def _draw(self, ax: "Axes", key: str, **style: Any) -> None:
        points = [(row["epoch"], row[key]) for row in self.history if key in row]
        if points:
            ax.plot(*zip(*points, strict=True), marker=".", markersize=4, **style)
