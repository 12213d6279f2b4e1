"""Pictures of searches: which score stands where, what is marked, and that it can be read."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from sklearn.base import BaseEstimator
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
)

from msa_sk import NMFSeparator
from msa_sk.display import SearchDisplay
from msa_sk.exceptions import InputError
from msa_sk.metrics import get_scorer
from msa_sk.metrics.scenes import metric_label

X = np.arange(12)[:, None]
GRID = {"dc_weight": [0, 0.1, 1], "tr_weight": [0.5, 2]}
# Of scikit-learn, where a candidate fails.
IGNORED = ("ignore:One or more of the test scores", "ignore::sklearn.exceptions.FitFailedWarning")


class Weighed(BaseEstimator):
    """What scores as its parameters say, and fails where its weights are 1 and 2."""

    def __init__(self, dc_weight=0.1, tr_weight=1.0, lr=1.0, max_epochs=1, fragile=False):
        self.dc_weight = dc_weight
        self.tr_weight = tr_weight
        self.lr = lr
        self.max_epochs = max_epochs
        self.fragile = fragile

    def fit(self, X, y=None):
        if self.fragile and (self.dc_weight, self.tr_weight) == (1, 2):
            raise ValueError("too heavy")
        self.fitted_ = True
        return self


def scores_of(estimator, X, y=None):
    """Return two metrics that disagree; the three folds differ by 0, 1 and 2."""
    fold = X[0, 0] // 4
    quality = -abs(estimator.dc_weight - 0.1) + estimator.tr_weight + estimator.max_epochs
    return {
        "si_sdri": quality * estimator.lr + fold,
        "note_onset_f1": 0.5 - 0.1 * estimator.tr_weight * estimator.lr + 0.001 * fold,
    }


def si_sdri_of(estimator, X, y=None):
    return scores_of(estimator, X)["si_sdri"]


def search_by(search_class, grid, *, scoring=scores_of, refit="si_sdri", fragile=False, **options):
    estimator = Weighed(fragile=fragile)
    options = {"cv": KFold(3), "scoring": scoring, "refit": refit, **options}
    return search_class(estimator, grid, **options).fit(X, np.zeros(12))


@pytest.fixture(scope="module")
def fitted():
    return search_by(GridSearchCV, GRID)


def cells(ax):
    """Return what is written in a heat map: column and row to the mean, as it is written."""
    return {
        tuple(map(round, text.get_position())): text.get_text()
        for text in ax.texts
        if not text.get_text().startswith("±")
    }


def patches(ax, label):
    """Return the columns and rows of cells that are marked."""
    marked = [patch.get_xy() for patch in ax.patches if patch.get_label() == label]
    return sorted((round(x + 0.5), round(y + 0.5)) for x, y in marked)


def marks(ax, label):
    return [line.get_xydata().ravel().tolist() for line in ax.lines if line.get_label() == label]


# -------------------------------------------------------------------------------- heat maps


def test_each_cell_has_its_mean_and_its_spread(fitted):
    display = SearchDisplay.from_estimator(fitted).plot()
    separation, transcription = display.axes_[0]
    assert cells(separation) == {
        (0, 0): "2.40",
        (1, 0): "2.50",
        (2, 0): "1.60",
        (0, 1): "3.90",
        (1, 1): "4.00",
        (2, 1): "3.10",
    }
    assert {text.get_text() for text in separation.texts} >= {"±0.82"}  # of 0, 1 and 2
    assert cells(transcription)[0, 0] == "0.451"
    for ax in display.axes_[0]:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("dc_weight", "tr_weight")
        assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "0.1", "1"]
        assert [tick.get_text() for tick in ax.get_yticklabels()] == ["0.5", "2"]
    titles = [ax.get_title("left") for ax in display.axes_[0]]
    assert titles == ["SI-SDRi (dB)", "note-onset F1"]
    assert display.figure_.get_suptitle() == "Mean ± standard deviation of 3 folds"


def test_colours_follow_the_means(fitted):
    ax = SearchDisplay.from_estimator(fitted, metrics="si_sdri").plot().axes_[0, 0]
    np.testing.assert_allclose(
        ax.collections[0].get_array(), [[2.4, 2.5, 1.6], [3.9, 4.0, 3.1]], rtol=1e-12
    )
    colours = {
        tuple(map(round, text.get_position())): to_hex(text.get_color()) for text in ax.texts
    }
    assert colours[1, 1] == "#000000"  # on the brightest
    assert colours[2, 0] == "#ffffff"  # on the darkest


def test_the_best_cell_of_each_metric_is_marked(fitted):
    separation, transcription = SearchDisplay.from_estimator(fitted).plot().axes_[0]
    assert patches(separation, "best") == [(1, 1)]
    assert patches(transcription, "best") == [(0, 0)]  # the first of equals, as in scikit-learn
    for ax in (separation, transcription):  # refit="si_sdri" took the same in both
        ((x, y),) = marks(ax, "refitted")
        assert (round(x), round(y)) == (1, 1)
    (bold,) = [text for text in separation.texts if text.get_weight() == "bold"]
    assert bold.get_text() == "4.00"


def alike(estimator, X, y=None):
    return {"si_sdri": 1.0 + X[0, 0] // 4, "note_onset_f1": 0.0}


def test_nothing_is_the_best_of_what_is_alike():
    display = SearchDisplay.from_estimator(search_by(GridSearchCV, GRID, scoring=alike)).plot()
    for ax in display.axes_[0]:
        assert patches(ax, "best") == []
        assert "bold" not in {text.get_weight() for text in ax.texts}


def test_colours_make_no_more_of_differences_than_folds_do(fitted):
    separation, transcription = SearchDisplay.from_estimator(fitted).plot().axes_[0]
    assert separation.collections[0].get_clim() == pytest.approx((1.6, 4.0))  # folds differ less

    def close(estimator, X, y=None):
        return estimator.dc_weight / 10 + X[0, 0] // 4  # by 0.1; folds by 0, 1 and 2

    ax = SearchDisplay.from_estimator(search_by(GridSearchCV, GRID, scoring=close, refit=True))
    low, high = ax.plot().axes_[0, 0].collections[0].get_clim()
    assert (high - low, (low + high) / 2) == pytest.approx((2 * np.std([0, 1, 2]), 1.05))
    assert transcription.collections[0].get_clim()[0] < 0.5


def test_axes_can_be_chosen(fitted):
    display = SearchDisplay.from_estimator(fitted, "tr_weight", "dc_weight", ["note_onset_f1"])
    (ax,) = display.plot().axes_.flat
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("tr_weight", "dc_weight")
    assert ax.get_title("left") == "note-onset F1"
    assert patches(ax, "best") == [(0, 0)]


def test_other_parameters_are_at_their_best():
    search = search_by(GridSearchCV, {**GRID, "lr": [1.0, -1.0], "max_epochs": [3]})
    display = SearchDisplay.from_estimator(search, "dc_weight", "tr_weight").plot()
    assert display.figure_.get_suptitle().endswith("folds; best over lr")  # max_epochs is one
    separation, transcription = display.axes_[0]
    assert cells(separation)[1, 1] == "6.00"  # with lr=1
    assert cells(transcription)[1, 1] == "0.701"  # with lr=-1


@pytest.mark.filterwarnings(*IGNORED)
def test_failed_candidates_are_hatched():
    search = search_by(GridSearchCV, GRID, fragile=True)
    for ax in SearchDisplay.from_estimator(search).plot().axes_[0]:
        assert patches(ax, "no score") == [(2, 1)]
        assert (2, 1) not in cells(ax)
        assert ax.patches[0].get_hatch()


def test_what_was_not_tried_is_empty():
    search = search_by(RandomizedSearchCV, GRID, n_iter=3, random_state=0)
    (ax, _) = SearchDisplay.from_estimator(search).plot().axes_[0]
    assert len(cells(ax)) == 3
    assert (~ax.collections[0].get_array().mask).sum() == 3
    assert patches(ax, "no score") == []


def test_values_may_be_anything():
    values = [None, True, "a long name of something that goes on and on", Weighed(lr=2.0)]
    search = search_by(GridSearchCV, {"max_epochs": [1, 2], "fragile": values})
    ax = SearchDisplay.from_estimator(search, "fragile", "max_epochs").plot().axes_[0, 0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [
        "None",
        "True",
        "a long name of something that g…",
        "Weighed(lr=2.0)",
    ]


def test_a_parameter_that_some_candidates_lack_is_not_set():
    search = search_by(GridSearchCV, [{"dc_weight": [0, 1]}, {"tr_weight": [2.0]}])
    ax = SearchDisplay.from_estimator(search).plot().axes_[0, 0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "1", "not set"]
    assert len(cells(ax)) == 3


def test_halving_shows_each_candidate_in_its_last_round():
    search = search_by(
        HalvingGridSearchCV,
        GRID,
        scoring=si_sdri_of,
        refit=True,
        resource="max_epochs",
        max_resources=9,
        random_state=0,
    )
    rounds = search.cv_results_["iter"]
    assert max(rounds) == 1
    display = SearchDisplay.from_estimator(search).plot()
    (ax,) = display.axes_.flat
    last = {}
    for candidate, mean in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        last[candidate["dc_weight"], candidate["tr_weight"]] = mean
    for (column, row), text in cells(ax).items():
        weights = GRID["dc_weight"][column], GRID["tr_weight"][row]
        assert float(text) == pytest.approx(last[weights], rel=5e-3)
    assert patches(ax, "best") == [(1, 1)]
    assert display.figure_.get_suptitle().replace("\n", " ") == (
        "Mean ± standard deviation of 3 folds; of each candidate's last round of halving"
    )


# ------------------------------------------------------------------------- lines and points


def test_one_parameter_makes_a_line():
    search = search_by(GridSearchCV, {"dc_weight": [1, 0, 0.1]})
    (ax, _) = SearchDisplay.from_estimator(search).plot().axes_[0]
    lines = [line.get_xydata().tolist() for line in ax.lines[:4]]
    *folds, mean = lines
    assert mean == [[0, pytest.approx(2.9)], [1, 3.0], [2, pytest.approx(2.1)]]
    assert [fold[1] for fold in folds] == [[1, 2.0], [1, 3.0], [1, 4.0]]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "0.1", "1"]
    assert marks(ax, "best") == marks(ax, "refitted") == [[1, 3.0]]


def test_a_line_is_the_best_over_the_others(fitted):
    display = SearchDisplay.from_estimator(fitted, "dc_weight").plot()
    assert display.figure_.get_suptitle() == "Mean of 3 folds; best over tr_weight"
    (mean,) = [line for line in display.axes_[0, 0].lines if line.get_label() == "mean"]
    np.testing.assert_allclose(mean.get_ydata(), [3.9, 4.0, 3.1])


@pytest.mark.filterwarnings(*IGNORED)
def test_a_line_says_where_it_failed():
    search = search_by(GridSearchCV, {**GRID, "tr_weight": [2]}, fragile=True)
    (ax, _) = SearchDisplay.from_estimator(search).plot().axes_[0]
    assert marks(ax, "no score") == [[2, 0]]


def test_many_numbers_are_drawn_to_scale():
    grid = {"dc_weight": np.geomspace(0.01, 10, 20), "tr_weight": np.linspace(1, 2, 20)}
    search = search_by(RandomizedSearchCV, grid, n_iter=30, random_state=0)
    (ax, _) = SearchDisplay.from_estimator(search).plot().axes_[0]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    (points,) = ax.collections
    drawn = {tuple(place): value for place, value in zip(
        points.get_offsets().tolist(), points.get_array().tolist(), strict=True)}  # fmt: skip
    results = search.cv_results_
    assert drawn == {
        (candidate["dc_weight"], candidate["tr_weight"]): pytest.approx(mean)
        for candidate, mean in zip(results["params"], results["mean_test_si_sdri"], strict=True)
    }
    best = search.best_params_
    assert marks(ax, "best") == [[best["dc_weight"], best["tr_weight"]]]


# ------------------------------------------------------------------------------ which search


@pytest.mark.parametrize("refit", [False, "note_onset_f1", lambda results: 2])
def test_the_refitted_candidate_is_marked_if_there_is_one(refit):
    search = search_by(GridSearchCV, GRID, refit=refit)
    display = SearchDisplay.from_estimator(search).plot()
    for ax in display.axes_[0]:
        found = [tuple(map(round, place)) for place in marks(ax, "refitted")]
        if refit is False:
            assert found == []
        else:
            expected = search.cv_results_["params"][search.best_index_]
            ((column, row),) = found
            assert GRID["dc_weight"][column] == expected["dc_weight"]
            assert GRID["tr_weight"][row] == expected["tr_weight"]


def test_a_single_metric_is_named_by_its_scorer(tiny_scenes):
    grid = {"n_components": [1, 2]}
    search = GridSearchCV(
        NMFSeparator(max_iter=2, random_state=0), grid, scoring=get_scorer("si_sdri"), cv=2
    )
    display = SearchDisplay.from_estimator(search.fit(*tiny_scenes)).plot()
    assert [*display.scores] == ["si_sdri"]
    assert display.axes_[0, 0].get_title("left") == "SI-SDRi (dB)"
    anonymous = search_by(GridSearchCV, GRID, scoring=si_sdri_of, refit=True)
    assert [*SearchDisplay.from_estimator(anonymous).scores] == ["score"]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("si_sdri", "SI-SDRi (dB)"),
        ("sdr", "SDR (dB)"),
        ("bss_sir", "BSS SIR (dB)"),
        ("frame_precision", "frame precision"),
        ("note_onset_offset_f1", "note-onset-offset F1"),
        ("si_sdri_bass guitar", "SI-SDRi (dB), bass guitar"),
        ("note_onset_f1_piano", "note-onset F1, piano"),
        ("score", "score"),
        ("sdr2", "sdr2"),
    ],
)
def test_metrics_have_names_that_people_write(name, label):
    assert metric_label(name) == label


@pytest.mark.parametrize(
    ("arguments", "item", "got", "remedy"),
    [
        ({"x": "dc_wait"}, "x", "'dc_wait'", "Did you mean 'dc_weight'?"),
        ({"x": "dc_weight", "y": "lr"}, "y", "'lr'", "Check the spelling."),
        ({"x": "dc_weight", "y": "dc_weight"}, "y", "'dc_weight'", "Leave y out for a line."),
        ({"y": "dc_weight"}, "x", "None", "Choose x, and y for a heat map; the search varied"),
        ({"x": ["dc_weight"]}, "x", "['dc_weight']", "Did you mean 'dc_weight'?"),
        ({"metrics": "si_sdr"}, "metrics", "'si_sdr'", "Did you mean 'si_sdri'?"),
        ({"metrics": []}, "metrics", "none", "None draws them all."),
        ({"metrics": 3}, "metrics", "3", "Change it."),
    ],
)
def test_what_is_not_in_the_search_is_refused(fitted, arguments, item, got, remedy):
    with pytest.raises(InputError) as caught:
        SearchDisplay.from_estimator(fitted, **arguments)
    assert (caught.value.item, caught.value.got) == (item, got)
    assert caught.value.remedy.startswith(remedy)


@pytest.mark.parametrize("search", [GridSearchCV(Weighed(), GRID), Weighed(), None])
def test_what_is_no_fitted_search_is_refused(search):
    with pytest.raises(InputError) as caught:
        SearchDisplay.from_estimator(search)
    assert caught.value.item == "search"
    assert caught.value.got == type(search).__name__


def test_three_parameters_are_too_many():
    search = search_by(GridSearchCV, {**GRID, "lr": [1, 2]})
    with pytest.raises(InputError, match="'dc_weight', 'lr', 'tr_weight'"):
        SearchDisplay.from_estimator(search)


# ------------------------------------------------------------------------------- the figure


def assert_readable(figure):
    """Nothing is cut off, no panel overlaps another, and texts stay in their cells."""
    figure.draw_without_rendering()
    inside = figure.bbox.padded(1)
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    boxes += [figure.legends[0].get_window_extent(), figure._suptitle.get_window_extent()]
    for box in boxes:
        assert inside.containsx(box.x0)
        assert inside.containsx(box.x1)
        assert inside.containsy(box.y0)
        assert inside.containsy(box.y1)
    for one, other in itertools.combinations(boxes, 2):
        assert not one.padded(-1).overlaps(other.padded(-1))
    for ax in figure.axes:
        texts = [text.get_window_extent() for text in ax.texts]
        for one, other in itertools.combinations(texts, 2):
            assert not one.padded(-1).overlaps(other.padded(-1))
        for ticks in (ax.get_xticklabels(), ax.get_yticklabels()):
            if not any(tick.get_rotation() for tick in ticks):
                extents = [tick.get_window_extent() for tick in ticks if tick.get_text()]
                for one, other in itertools.pairwise(extents):
                    assert not one.overlaps(other)
        width = ax.bbox.width / max(1, len(ax.get_xticks()))
        assert all(extent.width < width for extent in texts)


@pytest.mark.parametrize(
    "grid",
    [
        {"dc_weight": [0, 1], "tr_weight": [1]},
        {"dc_weight": [0, 0.1, 0.3, 1], "tr_weight": [0.1, 0.3, 1, 3]},
        {"dc_weight": [0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10], "tr_weight": [0.1, 1, 10]},
        {"dc_weight": np.geomspace(0.01, 1, 12), "tr_weight": np.geomspace(1, 100, 12)},
        {"dc_weight": np.geomspace(0.01, 1, 30)},
        {"fragile": [Weighed(2.5), Weighed(lr=3.5), None], "max_epochs": [1, 2]},
    ],
    ids=["2x1", "4x4", "8x3", "12x12", "line", "names"],
)
def test_pictures_can_be_read(grid):
    search = search_by(GridSearchCV, {**grid, "lr": [1, 12.3]}, cv=KFold(2), refit=False)
    figure = SearchDisplay.from_estimator(search, *grid).plot().figure_
    assert 4 <= figure.get_figwidth() <= 10.5
    assert 2 <= figure.get_figheight() <= 15
    assert_readable(figure)


def test_five_metrics_make_rows_of_panels():
    def many(estimator, X, y=None):
        return {f"si_sdri_{name}": si_sdri_of(estimator, X) for name in "abcde"}

    search = search_by(GridSearchCV, GRID, scoring=many, refit=False)
    display = SearchDisplay.from_estimator(search).plot()
    assert display.axes_.shape == (2, 3)
    assert [ax and ax.get_title("left")[-1] for ax in display.axes_.flat] == [*"abcde", None]
    assert_readable(display.figure_)


def test_a_search_can_be_drawn_again_and_into_a_part_of_a_figure(fitted):
    display = SearchDisplay.from_estimator(fitted).plot()
    assert display._repr_png_().startswith(b"\x89PNG")
    left, _ = Figure(figsize=(16, 4), layout="constrained").subfigures(1, 2)
    assert display.plot(left) is display
    assert display.figure_ is left
    left.figure.draw_without_rendering()
    assert all(ax.get_window_extent().x1 <= 800 for ax in display.axes_.flat)


def test_one_split_has_no_spread():
    search = search_by(GridSearchCV, GRID, cv=[(np.arange(8), np.arange(8, 12))])
    display = SearchDisplay.from_estimator(search).plot()
    assert not [t for t in display.axes_[0, 0].texts if t.get_text().startswith("±")]
    assert display.figure_.get_suptitle() == "Scores of one split"
