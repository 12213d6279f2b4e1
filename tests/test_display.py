"""Pictures: what is drawn, where, and in which colours."""

import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.pipeline import Pipeline

from msa_sk import Mixture, Notes, Scene
from msa_sk.display import (
    LearningCurveDisplay,
    RollDisplay,
    SceneDisplay,
    compare_notes,
    log_spectrogram,
)
from msa_sk.exceptions import AudioError, InputError

RATE = 16000


def sine(hz, seconds=1.0, rate=RATE, amplitude=0.5):
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def scene_of(names, seconds=1.0, seed=0, n_notes=6):
    """A scene with one sine and some notes per instrument."""
    rng = np.random.default_rng(seed)
    sources = np.stack([sine(220 * (i + 1), seconds) for i in range(len(names))])
    notes = []
    for i in range(len(names)):
        onset = np.sort(rng.uniform(0, 0.8 * seconds, n_notes))
        notes.append(
            Notes(onset, onset + 0.1 * seconds, rng.integers(40 + 5 * i, 60 + 5 * i, n_notes))
        )
    return Scene(names, RATE, sources, notes)


def mixture_of(scene):
    return Mixture(scene.sources.sum(axis=0), scene.sample_rate)


def drawn_notes(ax):
    """Count the boxes of each group of notes in a panel."""
    return {c.get_label(): len(c.get_paths()) for c in ax.collections}


def titles(axes):
    return [[ax and ax.get_title("left") for ax in row] for row in axes]


class Oracle:
    """An estimator that predicts what it was given."""

    def __init__(self, scene):
        self.scene = scene

    def predict(self, X):
        assert len(X) == 1
        return [self.scene]


TRUE_NOTES = Notes([0.0, 0.2, 0.4, 0.6], [0.1, 0.3, 0.5, 0.7], [60, 62, 64, 65])
# The first is 20 ms late, the second has another pitch, the third is 100 ms late, the fourth
# is missing.
FOUND_NOTES = Notes([0.02, 0.2, 0.5], [0.1, 0.3, 0.6], [60, 63, 64])


# --------------------------------------------------------------------------- spectrograms


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("hz", [100, 440, 3000])
def test_a_sine_is_brightest_at_its_frequency(rate, hz):
    image = log_spectrogram(sine(hz, rate=rate), rate)
    column = image.db[:, image.db.shape[1] // 2]
    brightest = np.flatnonzero(column == column.max())  # bands narrower than a bin share it
    resolution = rate / 2 ** round(np.log2(0.128 * rate))
    assert image.hz[brightest[0]] - resolution <= hz <= image.hz[brightest[-1] + 1] + resolution


@pytest.mark.parametrize("n_samples", [1, 100, 16000, 16001, 60 * 16000])
def test_a_spectrogram_covers_all_of_its_audio(n_samples):
    image = log_spectrogram(np.ones(n_samples, np.float32), RATE)
    assert image.db.shape == (len(image.hz) - 1, len(image.seconds) - 1)
    assert image.seconds[0] == 0
    assert image.seconds[-1] == n_samples / RATE
    assert (np.diff(image.seconds) > 0).all()
    assert (image.hz[0], image.hz[-1]) == (pytest.approx(40), pytest.approx(8000))
    assert image.db.shape[1] <= 600


def test_a_short_sound_is_seen_in_a_long_spectrogram():
    audio = np.zeros(60 * RATE, np.float32)
    audio[30 * RATE : 30 * RATE + 800] = sine(1000, 0.05)
    image = log_spectrogram(audio, RATE)
    _, column = np.unravel_index(image.db.argmax(), image.db.shape)
    assert image.seconds[column] - 0.1 <= 30.025 <= image.seconds[column + 1] + 0.1


def test_levels_are_decibels():
    once, twice = (log_spectrogram(sine(440, amplitude=a), RATE).db for a in (0.25, 0.5))
    assert twice.max() - once.max() == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert (log_spectrogram(np.zeros(RATE, np.float32), RATE).db == -np.inf).all()


def test_stereo_in_opposite_phase_is_as_loud_as_mono():
    mono = sine(440)
    stereo = log_spectrogram(np.stack([mono, -mono]), RATE)
    np.testing.assert_allclose(stereo.db.max(), log_spectrogram(mono, RATE).db.max(), atol=1e-3)


# ---------------------------------------------------------------------------------- notes


def test_notes_are_sorted_by_what_became_of_them():
    groups = compare_notes(TRUE_NOTES, FOUND_NOTES)
    assert {name: notes.pitch.tolist() for name, notes in groups.items()} == {
        "correct": [60],
        "extra": [63, 64],
        "true": [60],
        "missed": [62, 64, 65],
    }
    assert groups["correct"].onset.tolist() == [0.02]
    assert groups["true"].onset.tolist() == [0.0]


def test_every_note_is_in_one_group(rng):
    truth, found = (
        Notes(onset, onset + 0.1, rng.integers(60, 64, 40))
        for onset in (rng.uniform(0, 2, 40), rng.uniform(0, 2, 40))
    )
    groups = compare_notes(truth, found)
    assert len(groups["correct"]) == len(groups["true"]) > 0
    assert len(groups["correct"]) + len(groups["extra"]) == 40
    assert len(groups["true"]) + len(groups["missed"]) == 40


def test_an_unknown_side_is_not_compared():
    assert [*compare_notes(TRUE_NOTES, None)] == ["true"]
    assert [*compare_notes(None, FOUND_NOTES)] == ["estimated"]
    assert compare_notes(None, None) == {}
    groups = compare_notes(TRUE_NOTES, Notes())  # known to be none, which is not unknown
    assert {name: len(notes) for name, notes in groups.items()} == {
        "correct": 0,
        "extra": 0,
        "true": 0,
        "missed": 4,
    }


# --------------------------------------------------------------------------- SceneDisplay


def test_a_scene_beside_its_truth():
    truth, estimate = scene_of(["piano", "guitar"]), scene_of(["piano", "guitar"], seed=1)
    display = SceneDisplay.from_predictions(truth, estimate, mixture_of(truth)).plot()
    counts = {
        name: {group: len(notes) for group, notes in display.notes[name].items()}
        for name in display.instruments
    }
    rolls = [
        f"{name}: {c['correct']} correct, {c['extra']} extra, {c['missed']} missed"
        for name, c in counts.items()
    ]
    assert titles(display.axes_) == [
        ["mixture", None, None],
        ["piano, true", "piano, estimated", rolls[0]],
        ["guitar, true", "guitar, estimated", rolls[1]],
    ]
    for i, name in enumerate(display.instruments):
        assert drawn_notes(display.axes_[i + 1, 2]) == counts[name]
    assert [text.get_text() for text in display.axes_[-1, -1].get_legend().get_texts()] == [
        "correct",
        "extra",
        "true",
        "missed",
    ]


def test_all_spectrograms_share_one_scale():
    loud = scene_of(["piano", "guitar"])
    quiet = replace(loud, sources=loud.sources * np.float32(0.1))
    display = SceneDisplay.from_predictions(loud, quiet, mixture_of(loud)).plot(db_range=50)
    meshes = [ax.collections[0] for ax in display.axes_[:, :2].flat if ax]
    assert len(meshes) == 5
    assert {mesh.get_clim() for mesh in meshes} == {(-50, 0)}
    assert max(mesh.get_array().max() for mesh in meshes) == 0
    true, estimated = (display.axes_[1, j].collections[0].get_array().max() for j in (0, 1))
    assert true - estimated == pytest.approx(20, abs=1e-3)
    (bar,) = [ax for ax in display.figure_.axes if "dB" in ax.get_xlabel()]
    assert bar.get_xlabel() == "dB below the loudest bin of all panels"
    assert bar.get_xlim() == (-50, 0)


def test_all_panels_share_the_time_axis():
    truth = scene_of(["piano", "guitar"], seconds=2.0)
    display = SceneDisplay.from_predictions(truth, truth, mixture_of(truth)).plot()
    panels = [ax for ax in display.axes_.flat if ax]
    assert {ax.get_xlim() for ax in panels} == {(0, 2)}
    assert {ax.get_xlabel() for ax in display.axes_[-1]} == {"time (s)"}
    assert {ax.get_ylim() for ax in display.axes_[1:, :2].flat} == {(40, 8000)}


def test_without_truth():
    estimate = scene_of(["piano", "guitar", "bass"])
    display = SceneDisplay.from_predictions(None, estimate).plot()
    assert titles(display.axes_) == [
        [f"{name}, estimated", f"{name}: 6 estimated"] for name in ("piano", "guitar", "bass")
    ]
    assert drawn_notes(display.axes_[0, 1]) == {"estimated": 6}


@pytest.mark.parametrize(
    ("truth_lacks", "estimate_lacks", "columns"),
    [
        ("notes", "notes", ["true", "estimated"]),
        ("sources", "sources", ["notes"]),
        ("sources", "notes", ["estimated", "notes"]),
        ("notes", "sources", ["true", "notes"]),
    ],
)
@pytest.mark.parametrize("with_mixture", [False, True])
def test_what_is_unknown_has_no_column(truth_lacks, estimate_lacks, columns, with_mixture):
    whole = scene_of(["piano"])
    truth, estimate = (
        replace(whole, **{truth_lacks: None}),
        replace(whole, **{estimate_lacks: None}),
    )
    mixture = mixture_of(whole) if with_mixture else None
    display = SceneDisplay.from_predictions(truth, estimate, mixture).plot()
    display.figure_.draw_without_rendering()
    assert display.axes_.shape == (1 + with_mixture, len(columns))
    for column, ax in zip(columns, display.axes_[-1], strict=True):
        assert ax.get_title("left").startswith(
            "piano:" if column == "notes" else f"piano, {column}"
        )


def test_an_instrument_that_one_side_does_not_list_is_silence():
    truth, estimate = scene_of(["piano", "guitar"]), scene_of(["piano"])
    display = SceneDisplay.from_predictions(truth, estimate).plot()
    assert display.instruments == ("piano", "guitar")
    assert (display.axes_[1, 1].collections[0].get_array() == -70).all()
    assert drawn_notes(display.axes_[1, 2]) == {"correct": 0, "extra": 0, "true": 0, "missed": 6}


def test_silence_without_notes_can_be_drawn():
    scene = Scene(["piano"], RATE, np.zeros((1, RATE)), [Notes()])
    display = SceneDisplay.from_predictions(scene, scene, Mixture(np.zeros(RATE), RATE)).plot()
    display.figure_.draw_without_rendering()
    assert display.axes_[1, 0].collections[0].get_array().max() == -70
    assert drawn_notes(display.axes_[1, 2]) == {"correct": 0, "extra": 0, "true": 0, "missed": 0}


def test_one_sample_and_stereo_can_be_drawn():
    for sources in (np.ones((1, 1), np.float32), np.ones((1, 2, 500), np.float32)):
        display = SceneDisplay.from_predictions(None, Scene(["piano"], RATE, sources)).plot()
        display.figure_.draw_without_rendering()
        assert display.axes_[0, 0].get_xlim() == (0, sources.shape[-1] / RATE)


def test_a_blind_estimate_gets_the_names_that_fit():
    truth = scene_of(["piano", "guitar"])
    blind = Scene(["source_0", "source_1"], RATE, truth.sources[::-1].copy(), truth.notes[::-1])
    for display in (
        SceneDisplay.from_predictions(truth, blind),
        SceneDisplay.from_predictions(truth, replace(blind, sources=None)),
        RollDisplay.from_predictions(truth, blind),
    ):
        assert [*display.notes] == ["piano", "guitar"]
        assert all(len(groups["correct"]) == 6 for groups in display.notes.values())


def test_replotting_computes_nothing(monkeypatch):
    scene = scene_of(["piano", "guitar"])
    display = SceneDisplay.from_predictions(scene, scene).plot()
    first = display.figure_
    for name in ("scenes.log_spectrogram", "matching.compare_notes"):
        monkeypatch.setattr(f"msa_sk.display.{name}", None)
    mine = Figure(figsize=(12, 5))
    assert display.plot(figure=mine) is display
    assert display.figure_ is mine
    assert first is not mine
    assert all(ax.figure is mine for ax in display.axes_.flat)


def test_a_display_fits_into_a_subfigure():
    left, right = Figure(figsize=(16, 4), layout="constrained").subfigures(1, 2)
    scene = scene_of(["piano", "guitar"])
    scenes = SceneDisplay.from_predictions(scene, scene).plot(left)
    rolls = RollDisplay.from_predictions(scene, scene).plot(right)
    left.figure.draw_without_rendering()
    assert {ax.get_window_extent().x1 <= 800 for ax in scenes.axes_.flat} == {True}
    assert {ax.get_window_extent().x0 >= 800 for ax in rolls.axes_.flat} == {True}
    assert scenes._repr_png_() is None  # only a whole figure is a picture


def test_scene_plot_draws_a_display(tmp_path):
    truth, estimate = scene_of(["piano", "guitar"]), scene_of(["piano", "guitar"], seed=1)
    alone = estimate.plot()
    assert isinstance(alone, SceneDisplay)
    assert alone.axes_.shape == (2, 2)
    assert estimate.plot(truth).axes_.shape == (2, 3)
    alone.figure_.savefig(tmp_path / "scene.png")
    assert (tmp_path / "scene.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("display_class", [SceneDisplay, RollDisplay])
def test_from_estimator_predicts_one_mixture(display_class):
    truth = scene_of(["piano", "guitar"])
    estimator = Oracle(scene_of(["piano", "guitar"], seed=1))
    samples = truth.sources.sum(axis=0)
    for mixture in (samples, Mixture(samples, RATE)):
        drawn = display_class.from_estimator(estimator, mixture, truth).plot()
        expected = display_class.from_predictions(truth, estimator.scene).plot()
        assert titles(drawn.axes_)[-2:] == titles(expected.axes_)
        assert drawn_notes(drawn.axes_[-1, -1]) == drawn_notes(expected.axes_[-1, -1])


def test_inputs_stay_as_they_are():
    scene = scene_of(["piano", "guitar"])
    before = scene.sources.copy()
    scene.sources.flags.writeable = False
    SceneDisplay.from_predictions(scene, scene, mixture_of(scene)).plot()
    np.testing.assert_array_equal(scene.sources, before)


@pytest.mark.parametrize(
    ("n_instruments", "seconds", "with_truth"),
    [(2, 1.0, True), (2, 60.0, False), (5, 60.0, True), (5, 1.0, False)],
)
def test_nothing_overlaps_and_the_picture_has_a_sensible_size(n_instruments, seconds, with_truth):
    names = ["piano", "electric guitar", "bass", "drums", "flute"][:n_instruments]
    truth, estimate = (scene_of(names, seconds, seed, n_notes=50) for seed in (0, 1))
    truth = truth if with_truth else None
    mixture = mixture_of(estimate) if seconds > 1 else None
    for display in (
        SceneDisplay.from_predictions(truth, estimate, mixture).plot(),
        RollDisplay.from_predictions(truth, estimate).plot(),
    ):
        figure = display.figure_
        assert figure.dpi == 100
        assert 6 <= figure.get_figwidth() <= 15
        assert 2 <= figure.get_figheight() <= 12
        figure.draw_without_rendering()
        inside = figure.bbox.padded(1)
        boxes = [ax.get_tightbbox() for ax in figure.axes]
        for box in boxes:
            assert inside.containsx(box.x0)
            assert inside.containsx(box.x1)
            assert inside.containsy(box.y0)
            assert inside.containsy(box.y1)
        for one, other in itertools.combinations(boxes, 2):
            assert not one.padded(-1).overlaps(other.padded(-1))
        for ax in figure.axes:
            for axis in (ax.xaxis, ax.yaxis):
                labels = [t.label1 for t in axis.get_major_ticks() if t.label1.get_text()]
                extents = [t.get_window_extent() for t in labels if t.get_visible()]
                for one, other in itertools.pairwise(extents):
                    assert not one.padded(-1).overlaps(other.padded(-1))


@pytest.mark.parametrize(
    ("arguments", "item", "expected"),
    [
        ((None, "piano"), "estimate", "a Scene"),
        (({"piano": 1}, scene_of(["piano"])), "truth", "a Scene"),
        ((None, Scene(["piano"], RATE)), "estimate", "a scene with sources or notes"),
        ((None, Scene([], RATE, np.zeros((0, 5)), [])), "estimate", "a scene with sources or"),
        ((None, scene_of(["piano"]), {}), "mixture[0]", "a Mixture, an array, a path or a Clip"),
    ],
)
def test_what_is_no_scene_is_refused(arguments, item, expected):
    with pytest.raises(InputError) as caught:
        SceneDisplay.from_predictions(*arguments)
    assert caught.value.item == item
    assert caught.value.expected.startswith(expected)
    assert caught.value.remedy


@pytest.mark.parametrize("db_range", [0, -70, np.nan])
def test_a_scale_without_range_is_refused(db_range):
    with pytest.raises(InputError, match="db_range: expected decibels above 0"):
        SceneDisplay.from_predictions(None, scene_of(["piano"])).plot(db_range=db_range)


def test_a_mixture_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(AudioError, match="nothing there"):
        SceneDisplay.from_predictions(None, scene_of(["piano"]), Mixture(tmp_path / "no.wav"))


# ---------------------------------------------------------------------------- RollDisplay


def test_rolls_alone():
    truth = Scene(["piano", "drums"], RATE, notes=[TRUE_NOTES, Notes([0.1], [0.2], [38])])
    estimate = Scene(["piano", "drums"], RATE, notes=[FOUND_NOTES, Notes([0.1], [0.2], [38])])
    display = RollDisplay.from_predictions(truth, estimate).plot()
    assert titles(display.axes_) == [
        ["piano: 1 correct, 2 extra, 3 missed"],
        ["drums: 1 correct, 0 extra, 0 missed"],
    ]
    piano, drums = display.axes_[:, 0]
    assert drawn_notes(piano) == {"correct": 1, "extra": 2, "true": 1, "missed": 3}
    (box,) = piano.collections[0].get_paths()
    assert box.get_extents().extents == pytest.approx([0.02, 59.6, 0.1, 60.4])
    low, high = piano.get_ylim()
    assert low < 60 < 65 < high
    assert [tick.get_text() for tick in piano.get_yticklabels()] == ["C4", "F♯4"]
    assert [tick.get_text() for tick in drums.get_yticklabels()] == ["36", "42"]
    assert {ax.get_xlim() for ax in (piano, drums)} == {(0, 0.7)}


def test_correct_missed_and_extra_notes_look_different():
    estimate = Scene(["piano"], RATE, notes=[FOUND_NOTES])
    truth = Scene(["piano"], RATE, notes=[TRUE_NOTES])
    (ax,) = RollDisplay.from_predictions(truth, estimate).plot().axes_.flat
    looks = {
        c.get_label(): (tuple(c.get_facecolor().ravel()), tuple(c.get_edgecolor().ravel()))
        for c in ax.collections
    }
    assert len(set(looks.values())) == 4
    filled = {label for label, (face, _) in looks.items() if face}
    assert filled == {"correct", "extra"}  # true notes are outlines


def test_the_c_of_every_octave_is_named():
    notes = Notes(np.arange(88) * 0.1, np.arange(88) * 0.1 + 0.1, np.arange(21, 109))
    (ax,) = (
        RollDisplay.from_predictions(None, Scene(["piano"], RATE, notes=[notes])).plot().axes_.flat
    )
    named = dict(zip(ax.get_yticks(), (t.get_text() for t in ax.get_yticklabels()), strict=True))
    assert named == {12 * (octave + 1): f"C{octave}" for octave in range(1, 9)}


def test_a_scene_without_notes_has_no_rolls():
    with pytest.raises(InputError, match="expected a scene with notes, got Scene"):
        RollDisplay.from_predictions(None, replace(scene_of(["piano"]), notes=None))


# ------------------------------------------------------------------- LearningCurveDisplay

HISTORY = [
    {"epoch": 1, "train_loss": 3.0, "valid_loss": 3.5, "train_mi": 2.0, "train_tr": 1.0},
    {"epoch": 2, "train_loss": 2.0, "valid_loss": 2.5, "train_mi": 1.5, "train_tr": 0.5},
    {"epoch": 3, "train_loss": 1.5, "valid_loss": 2.75, "train_mi": 1.25, "train_tr": 0.25},
]


class Trained:
    """What has a history."""

    def __init__(self, history):
        self.history_ = history


def lines(ax):
    return {
        line.get_label(): np.asarray(line.get_xydata()).tolist()
        for line in ax.lines
        if not line.get_label().startswith("_")
    }


def test_a_learning_curve_shows_the_history():
    display = LearningCurveDisplay.from_estimator(Trained(HISTORY)).plot()
    loss, terms = display.axes_[0]
    assert lines(loss) == {
        "training": [[1, 3], [2, 2], [3, 1.5]],
        "validation": [[1, 3.5], [2, 2.5], [3, 2.75]],
        "lowest: epoch 2": [[2, 2.5]],
    }
    assert lines(terms) == {
        "mask inference": [[1, 2], [2, 1.5], [3, 1.25]],
        "transcription": [[1, 1], [2, 0.5], [3, 0.25]],
    }
    assert {ax.get_xlabel() for ax in (loss, terms)} == {"epoch"}
    assert [ax.get_title("left") for ax in (loss, terms)] == [
        "loss",
        "weighted terms; dashed: validation",
    ]


def test_validation_terms_are_dashed():
    history = [{**row, "valid_mi": row["train_mi"] + 1} for row in HISTORY]
    terms = LearningCurveDisplay.from_estimator(Trained(history)).plot().axes_[0, 1]
    solid, dashed = [
        line for line in terms.lines if line.get_color() == terms.lines[0].get_color()
    ]
    assert (solid.get_linestyle(), dashed.get_linestyle()) == ("-", "--")
    assert dashed.get_ydata().tolist() == [3, 2.5, 2.25]


def test_without_validation_and_terms_there_is_one_curve():
    history = [{"epoch": row["epoch"], "train_loss": row["train_loss"]} for row in HISTORY]
    display = LearningCurveDisplay.from_estimator(Trained(history)).plot()
    assert display.axes_.shape == (1, 1)
    assert [*lines(display.axes_[0, 0])] == ["training"]


def test_one_epoch_can_be_drawn():
    display = LearningCurveDisplay.from_estimator(Trained(HISTORY[:1])).plot()
    display.figure_.draw_without_rendering()
    assert lines(display.axes_[0, 0])["training"] == [[1, 3]]
    assert display.axes_[0, 0].lines[0].get_marker() == "."


def test_a_term_that_is_zero_can_be_drawn():
    history = [{**row, "train_dc": 0.0} for row in HISTORY]
    display = LearningCurveDisplay.from_estimator(Trained(history)).plot()
    display.figure_.draw_without_rendering()
    assert lines(display.axes_[0, 1])["deep clustering"] == [[1, 0], [2, 0], [3, 0]]


def test_legends_hide_no_curve():
    display = LearningCurveDisplay.from_estimator(Trained(HISTORY)).plot()
    display.figure_.draw_without_rendering()
    for ax in display.axes_.flat:
        assert not ax.get_legend().get_window_extent().overlaps(ax.bbox)


def test_the_history_is_found_in_pipelines_and_searches():
    class Search:
        best_estimator_ = Pipeline([("first", "passthrough"), ("last", Trained(HISTORY))])

    assert LearningCurveDisplay.from_estimator(Search()).history == HISTORY


@pytest.mark.parametrize("estimator", [object(), Trained([]), Trained([{"epoch": 1}])])
def test_what_was_not_trained_has_no_learning_curve(estimator):
    with pytest.raises(InputError) as caught:
        LearningCurveDisplay.from_estimator(estimator)
    assert caught.value.item == "estimator"
    assert type(estimator).__name__ in caught.value.got


# ----------------------------------------------------------------------------------- both


def test_a_display_shows_itself_once_it_is_plotted():
    display = RollDisplay.from_predictions(None, scene_of(["piano"]))
    assert display._repr_png_() is None
    assert display.plot()._repr_png_().startswith(b"\x89PNG")


def test_pyplot_is_left_alone():
    code = """
import sys
import msa_sk.display
assert "matplotlib" not in sys.modules
import numpy as np
from msa_sk import Notes, Scene
scene = Scene(["piano"], 16000, np.ones((1, 4000)), [Notes([0], [0.2], [60])])
scene.plot(scene)._repr_png_()
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
