"""What a search found: the scores of its candidates over one or two of their parameters."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msa_sk._arguments import check_value, is_finite
from msa_sk.display._drawing import BLUE, VERMILION, Display, name_axes, new_figure
from msa_sk.exceptions import InputError
from msa_sk.metrics.scenes import is_in_db, metric_label, split_name
from msa_sk.metrics.scorers import SceneScorer
from msa_sk.records import unknown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_PLACES = 12  # more numbers than that are drawn to scale
_LONGEST_LABEL = 32
_ROW_INCHES = 10.0  # panels that are wider together stand below each other
# Cells.
_FAILED: dict[str, Any] = {
    "label": "no score",
    "facecolor": "0.93",
    "edgecolor": "0.6",
    "hatch": "////",
    "linewidth": 0,
}
_BEST: dict[str, Any] = {
    "label": "best",
    "fill": False,
    "edgecolor": VERMILION,
    "linewidth": 2.5,
    "zorder": 3,
}

#: A row and a column.
Cell = tuple[int, int]


class SearchAxis(NamedTuple):
    """A searched parameter: its values, numbers in order, all others as they came.

    `numbers` are values that are drawn to scale, as those of a random search are; None gives
    each value a place of its own.
    """

    name: str
    labels: tuple[str, ...]
    numbers: np.ndarray | None = None

    @property
    def positions(self) -> np.ndarray:
        """Where the values are drawn, of shape (n_values,)."""
        return np.arange(len(self.labels)) if self.numbers is None else self.numbers


class SearchScores(NamedTuple):
    """A metric's scores of shape (n_y, n_x, n_folds), NaN where there is none; the best cell."""

    folds: np.ndarray
    best: Cell | None

    @property
    def mean(self) -> np.ndarray:
        """The mean over folds, of shape (n_y, n_x); NaN where one has no score."""
        return self.folds.mean(axis=2)


class SearchDisplay(Display):
    """The scores of a search over one or two of its parameters: a panel for each metric.

    Two parameters make a heat map, with each cell's mean over folds and its standard deviation;
    colours span twice the largest of these, or more. One makes a line, with a thin line for each
    fold. A cell has the best candidate, by the panel's own metric, that differs in nothing but
    other parameters. Cells whose candidate has no score in a fold are hatched, those that were
    not tried are empty. More than 12 numbers, as in a random search, are drawn to scale, as
    points. Use `from_estimator`.

    Parameters
    ----------
    x : SearchAxis
    y : SearchAxis or None
    scores : dict of str to SearchScores
        By metric; higher is better.
    tried : ndarray of bool, shape (n_y, n_x)
        Where the search had candidates; n_y is 1 where `y` is None.
    refitted : tuple of int, default=None
        The row and column of the candidate that the search fitted again, if it did.
    best_over : sequence of str, default=()
        Other parameters that the search varied.
    halving : bool, default=False
        Whether the search gave candidates up on the way.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of shape (n_rows, n_columns)
        The panels; None where there is none.
    """

    def __init__(
        self,
        x: SearchAxis,
        y: SearchAxis | None,
        scores: dict[str, SearchScores],
        tried: np.ndarray,
        refitted: Cell | None = None,
        best_over: Sequence[str] = (),
        halving: bool = False,
    ):
        self.x = x
        self.y = y
        self.scores = scores
        self.tried = tried
        self.refitted = refitted
        self.best_over = tuple(best_over)
        self.halving = halving

    @classmethod
    def from_estimator(
        cls,
        search: Any,
        x: str | None = None,
        y: str | None = None,
        metrics: str | Sequence[str] | None = None,
    ) -> "SearchDisplay":
        """Read the ``cv_results_`` of a search.

        Parameters
        ----------
        search : GridSearchCV, RandomizedSearchCV, HalvingGridSearchCV, ...
            Fitted; with ``refit=False`` as well. Of a search by halving, each candidate has the
            scores of the last round that it took part in, and the best is one of the last round.
        x, y : str, default=None
            Names of searched parameters; x alone makes a line. Without both, the one or two
            that the search varied are drawn.
        metrics : str or sequence of str, default=None
            None draws all that the search was scored by.

        Raises
        ------
        InputError
            If the search is not fitted, or has no such parameter or metric.

        Examples
        --------
        >>> from sklearn.model_selection import GridSearchCV
        >>> from msa_sk import NMFSeparator
        >>> from msa_sk.datasets import make_scenes
        >>> from msa_sk.display import SearchDisplay
        >>> mixes, scenes = make_scenes(4, duration=1.0, random_state=0)
        >>> grid = {"n_components": [2, 4], "max_iter": [5, 10]}
        >>> search = GridSearchCV(NMFSeparator(random_state=0), grid, cv=2).fit(mixes, scenes)
        >>> display = SearchDisplay.from_estimator(search, "n_components", "max_iter").plot()
        >>> display.axes_[0, 0].get_xlabel(), display.axes_[0, 0].get_ylabel()
        ('n_components', 'max_iter')
        """
        results = getattr(search, "cv_results_", None)
        if results is None:
            raise InputError(
                "search",
                "a fitted search, with cv_results_",
                type(search).__name__,
                "Fit a GridSearchCV, or one like it, first.",
            )
        candidates, halving = results["params"], "iter" in results
        axes = _axes(candidates)
        varied = [name for name, (axis, _) in axes.items() if len(axis.labels) > 1]
        if halving and getattr(search, "resource", None) in varied:
            varied.remove(search.resource)  # of which all candidates get more and more
        x, y = _choose(x, y, list(axes), varied)
        axis_x, columns = axes[x]
        axis_y, rows = (None, np.zeros_like(columns)) if y is None else axes[y]

        tried = np.zeros((rows.max() + 1, columns.max() + 1), dtype=bool)
        tried[rows, columns] = True
        rounds = np.asarray(results["iter"] if halving else np.zeros(len(candidates)))
        scores = {
            metric: _sort_into(tried.shape, rows, columns, rounds, _folds(results, key))
            for metric, key in _choose_metrics(search, metrics).items()
        }
        refitted = None
        if getattr(search, "refit", False):
            refitted = int(rows[search.best_index_]), int(columns[search.best_index_])
        best_over = [name for name in varied if name not in (x, y)]
        return cls(axis_x, axis_y, scores, tried, refitted, best_over, halving)

    def plot(self, figure: "Figure | None" = None) -> "SearchDisplay":
        """Draw the panels into a figure.

        Parameters
        ----------
        figure : Figure or SubFigure, default=None
            None makes one of a fitting size.

        Returns
        -------
        self
        """
        n_y, n_x = self.tried.shape
        if self.y and not self._is_to_scale:
            draw = self._draw_cells
            width = 0.9 + 0.62 * n_x + 0.07 * _longest(self.y)
            height = 0.8 + 0.48 * n_y + (0.04 * _longest(self.x) if _is_slanted(self.x) else 0)
        else:
            draw = self._draw_points if self.y else self._draw_line
            width, height = 4.8, 3.0
        n_columns = max(1, min(len(self.scores), int(_ROW_INCHES / width)))
        n_rows = -(-len(self.scores) // n_columns)
        if figure is None:
            figure = new_figure(max(4.0, n_columns * width), 0.8 + n_rows * height)
        self.figure_ = figure
        self.axes_ = figure.subplots(n_rows, n_columns, squeeze=False)
        for i in range(len(self.scores), self.axes_.size):
            self.axes_.flat[i].remove()
            self.axes_.flat[i] = None

        panels = [ax for ax in self.axes_.flat if ax is not None]
        for ax, metric in zip(panels, self.scores, strict=True):
            draw(ax, metric)
            name_axes(ax, metric_label(metric), self.y.name if self.y else "", self.x.name)
            _set_ticks(ax, "x", self.x)
            if self.y:
                _set_ticks(ax, "y", self.y)
        self._add_title()
        marks = {
            label: handle
            for ax in panels
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles=list(marks.values()),
            loc="outside lower center",
            ncols=len(marks),
            frameon=False,
            fontsize=8,
        )
        return self

    def _draw_cells(self, ax: "Axes", metric: str) -> None:
        from matplotlib.patches import Rectangle

        scores, digits = self.scores[metric], _digits(metric)
        mean, spread = scores.mean, scores.folds.std(axis=2)
        y_edges, x_edges = (np.arange(n + 1) - 0.5 for n in mean.shape)
        values = np.ma.masked_invalid(mean)
        low, high = _colour_range(mean, spread)
        mesh = ax.pcolormesh(
            x_edges, y_edges, values, cmap="viridis", edgecolors="white", vmin=low, vmax=high
        )
        has_spread = scores.folds.shape[2] > 1
        for i, j in np.argwhere(~np.isnan(mean)):
            brightness = np.dot(mesh.cmap(mesh.norm(mean[i, j]))[:3], [0.3, 0.59, 0.11])
            style: dict[str, Any] = {"color": "black" if brightness > 0.5 else "white"}
            style["ha"] = "center"
            weight = "bold" if (i, j) == scores.best else "normal"
            above = "bottom" if has_spread else "center"
            ax.text(j, i, f"{mean[i, j]:{digits}}", va=above, weight=weight, fontsize=9, **style)
            if has_spread:
                ax.text(j, i, f"±{spread[i, j]:{digits}}", va="top", fontsize=6.5, **style)
        for i, j in np.argwhere(self._failed(mean)):
            ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **_FAILED))
        if scores.best:
            i, j = scores.best
            ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **_BEST))
        if self.refitted:
            i, j = self.refitted
            _mark_refitted(ax, j + 0.37, i + 0.33)
        ax.tick_params(length=0)

    def _draw_points(self, ax: "Axes", metric: str) -> None:
        scores, mean = self.scores[metric], self.scores[metric].mean
        x, y = np.meshgrid(self.x.positions, self.y.positions if self.y else 0)
        known, failed = ~np.isnan(mean), self._failed(mean)
        points = ax.scatter(x[known], y[known], s=70, c=mean[known], cmap="viridis")
        bar = ax.figure.colorbar(points, ax=ax)
        bar.ax.tick_params(labelsize=8)
        ax.plot(x[failed], y[failed], "x", color="0.5", label="no score" if failed.any() else "")
        if scores.best:
            _mark_best(ax, x[scores.best], y[scores.best])
        if self.refitted:
            _mark_refitted(ax, x[self.refitted], y[self.refitted])
        ax.grid(alpha=0.25)
        ax.set_axisbelow(True)

    def _draw_line(self, ax: "Axes", metric: str) -> None:
        scores, x = self.scores[metric], self.x.positions
        mean, failed = scores.mean[0], self._failed(scores.mean)[0]
        if scores.folds.shape[2] > 1:
            each = ax.plot(x, scores.folds[0], color=BLUE, alpha=0.35, linewidth=0.8)
            each[0].set_label("each fold")
        ax.plot(x, mean, color=BLUE, marker="o", markersize=4, label="mean")
        if failed.any():
            bottom = ax.get_xaxis_transform()
            ax.plot(x[failed], 0 * x[failed], "x", color="0.5", label="no score", transform=bottom)
        if scores.best:
            _mark_best(ax, x[scores.best[1]], mean[scores.best[1]])
        if self.refitted and not failed[self.refitted[1]]:
            _mark_refitted(ax, x[self.refitted[1]], mean[self.refitted[1]])
        ax.grid(alpha=0.25)

    @property
    def _is_to_scale(self) -> bool:
        return any(axis.numbers is not None for axis in (self.x, self.y) if axis)

    def _failed(self, mean: np.ndarray) -> np.ndarray:
        return self.tried & np.isnan(mean)

    def _add_title(self) -> None:
        """Say what the numbers are, in lines that are no longer than the figure is wide."""
        n_folds = next(iter(self.scores.values())).folds.shape[2]
        has_spread = self.y and not self._is_to_scale
        text = f"Mean{' ± standard deviation' if has_spread else ''} of {n_folds} folds"
        if n_folds == 1:
            text = "Scores of one split"
        if self.best_over:
            text += f"; best over {', '.join(self.best_over)}"
        if self.halving:
            text += "; of each candidate's last round of halving"
        box = self.figure_.bbox
        lines = textwrap.wrap(text, int(box.width / self.figure_.dpi * 13))
        self.figure_.suptitle("\n".join(lines), fontsize=9)


# --------------------------------------------------------------------------------- the data


def _axes(candidates: Sequence[Mapping[str, Any]]) -> dict[str, tuple[SearchAxis, np.ndarray]]:
    """Return each parameter's axis, and each candidate's place on it."""
    return {
        name: _axis(name, [candidate.get(name, "not set") for candidate in candidates])
        for name in sorted({name for candidate in candidates for name in candidate})
    }


def _axis(name: str, values: Sequence[Any]) -> tuple[SearchAxis, np.ndarray]:
    if all(is_finite(value) and not isinstance(value, bool) for value in values):
        numbers, places = np.unique(np.array(values, float), return_inverse=True)
        labels = tuple(f"{number:.5g}" for number in numbers)
        return SearchAxis(name, labels, numbers if len(labels) > _MOST_PLACES else None), places
    texts = [value if isinstance(value, str) else repr(value) for value in values]
    different = list(dict.fromkeys(texts))
    places = np.array([different.index(text) for text in texts])
    return SearchAxis(name, tuple(map(_shorten, different))), places


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 1]}…"


def _choose(
    x: str | None, y: str | None, known: Sequence[str], varied: Sequence[str]
) -> tuple[str, str | None]:
    """Return the parameters to draw: those asked for, or the one or two that vary."""
    if x is None and y is None and len(varied) in (1, 2):
        x, y = [*varied, None][:2]
    if x is None:
        raise InputError(
            "x",
            f"one of {list(known)}",
            "None",
            f"Choose x, and y for a heat map; the search varied {list(varied)}.",
        )
    for item, name in (("x", x), ("y", y)):
        if name is not None and name not in known:
            raise unknown_name(item, name, known, InputError)
    if x == y:
        raise InputError("y", "another parameter than x", repr(y), "Leave y out for a line.")
    return x, y


def _choose_metrics(search: Any, metrics: str | Sequence[str] | None) -> dict[str, str]:
    """Return what cv_results_ calls each metric: it does not know the name of a single one."""
    start = "mean_test_"
    keys = [key.removeprefix(start) for key in search.cv_results_ if key.startswith(start)]
    scorer = getattr(search, "scorer_", None)
    if keys == ["score"] and isinstance(scorer, SceneScorer) and isinstance(scorer.metrics, str):
        found = {scorer.metrics: "score"}
    else:
        found = dict(zip(keys, keys, strict=True))
    check_value(metrics, "metrics", str, "array-like", None)
    chosen = list(found) if metrics is None else [metrics] if isinstance(metrics, str) else metrics
    for metric in chosen:
        if metric not in list(found):
            raise unknown_name("metrics", metric, list(found), InputError)
    if not len(chosen):
        raise InputError("metrics", f"some of {list(found)}", "none", "None draws them all.")
    return {metric: found[metric] for metric in chosen}


def _folds(results: Mapping[str, Any], key: str) -> np.ndarray:
    """Return the scores of all candidates, of shape (n_candidates, n_folds)."""
    folds: list[np.ndarray] = []
    while f"split{len(folds)}_test_{key}" in results:
        folds.append(results[f"split{len(folds)}_test_{key}"])
    return np.stack(folds, axis=1)


def _sort_into(
    shape: Cell, rows: np.ndarray, columns: np.ndarray, rounds: np.ndarray, folds: np.ndarray
) -> SearchScores:
    """Give each cell its best candidate: of those in the latest round, the highest mean."""
    mean = folds.mean(axis=1)
    rank = np.where(np.isnan(mean), -np.inf, mean)
    order = np.lexsort((-np.arange(len(mean)), rank, rounds))  # of equals, the first wins
    table = np.full((*shape, folds.shape[1]), np.nan)
    table[rows[order], columns[order]] = folds[order]
    last = order[-1]
    known = mean[~np.isnan(mean)]
    nothing_differs = len(known) > 1 and np.ptp(known) == 0
    is_known = not np.isnan(mean[last]) and not nothing_differs
    return SearchScores(table, (rows[last], columns[last]) if is_known else None)


# ------------------------------------------------------------------------------ the drawing


def _digits(metric: str) -> str:
    ours, _ = split_name(metric)
    return ".3g" if not ours else ".2f" if is_in_db(ours) else ".3f"


def _colour_range(mean: np.ndarray, spread: np.ndarray) -> tuple[float, float]:
    """Return the scores of the ends of the colour scale.

    They are apart by twice the largest deviation of folds, or more, so that what differs less than
    folds do looks much alike.
    """
    if np.isnan(mean).all():
        return 0.0, 1.0
    low, high = float(np.nanmin(mean)), float(np.nanmax(mean))
    more = max(0.0, 2 * float(np.nanmax(spread)) - (high - low)) / 2
    return low - more, high + more


def _set_ticks(ax: "Axes", which: str, axis: SearchAxis) -> None:
    """Name the values, or let numbers have a scale: a logarithmic one if they span decades."""
    if axis.numbers is None:
        ax.set(**{f"{which}ticks": axis.positions, f"{which}ticklabels": axis.labels})
        if which == "x" and _is_slanted(axis):
            ax.tick_params("x", labelrotation=30)
            for label in ax.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
    elif axis.numbers[0] > 0 and axis.numbers[-1] >= 30 * axis.numbers[0]:
        ax.set(**{f"{which}scale": "log"})


def _longest(axis: SearchAxis) -> int:
    return max(map(len, axis.labels))


def _is_slanted(axis: SearchAxis) -> bool:
    """Tell whether labels below each other's cells would touch."""
    return _longest(axis) > 8


def _mark_best(ax: "Axes", x: float, y: float) -> None:
    ax.plot(x, y, "o", mfc="none", color=VERMILION, ms=12, mew=2, linestyle="", label="best")


def _mark_refitted(ax: "Axes", x: float, y: float) -> None:
    ax.plot(x, y, "o", mfc="white", color="black", ms=5, linestyle="", label="refitted")
