"""From estimated notes to the true ones, a share at a time."""

import numpy as np
import pytest

from msa_sk import Notes, Scene
from msa_sk.exceptions import InputError, ParameterError
from msa_sk.metrics import interpolate_notes, note_onset_scores, roll_distance


def rows(notes):
    return list(
        zip(notes.onset.tolist(), notes.offset.tolist(), notes.pitch.tolist(), strict=True)
    )


def scale(n_notes, pitch=40):
    onset = np.arange(n_notes) / 2
    return Notes(onset, onset + 0.4, pitch + np.arange(n_notes))


TRUTH = {"piano": scale(7), "guitar": scale(4, 60), "bass": Notes()}


def test_from_nothing_each_step_adds_its_share():
    steps = interpolate_notes(TRUTH, n_steps=5, random_state=0)
    assert [sum(map(len, step.values())) for step in steps] == [0, 3, 5, 7, 9, 11]
    assert all(set(step) == set(TRUTH) for step in steps)
    for before, after in zip(steps, steps[1:], strict=False):
        for name in TRUTH:
            assert set(rows(before[name])) <= set(rows(after[name]))
    assert {name: rows(notes) for name, notes in steps[-1].items()} == {
        name: rows(notes) for name, notes in TRUTH.items()
    }
    distances = [roll_distance(TRUTH, step).normalised for step in steps]
    assert distances == sorted(distances, reverse=True)
    assert (distances[0], distances[-1]) == (1, 0)


def test_from_an_estimate_wrong_notes_go_as_right_ones_come():
    true = TRUTH["piano"]
    late = true.select(np.arange(4)).shifted(0.03)  # found, though not quite
    estimate = {"piano": late.joined(scale(6, 80)), "flute": scale(2)}
    steps = interpolate_notes(TRUTH, estimate, 4, random_state=0)
    first, *_, last = steps
    assert {name: rows(notes) for name, notes in first.items() if len(notes)} == {
        name: rows(notes) for name, notes in estimate.items()
    }
    assert {name: rows(notes) for name, notes in last.items() if len(notes)} == {
        name: rows(notes) for name, notes in TRUTH.items() if len(notes)
    }
    n_wrong = [np.sum(step["piano"].pitch >= 80) + len(step["flute"]) for step in steps]
    n_late = [np.sum(np.isin(step["piano"].onset, late.onset)) for step in steps]
    assert n_wrong == [8, 6, 4, 2, 0]
    assert n_late == [4, 3, 2, 1, 0]
    f1 = [note_onset_scores(TRUTH, step).f1 for step in steps]
    assert f1 == sorted(f1)


def test_the_seed_decides_and_the_global_generator_is_left_alone():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    one, same, other, _ = (
        interpolate_notes(TRUTH, random_state=seed)[2] for seed in (0, 0, 1, None)
    )
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    assert rows(one["piano"]) == rows(same["piano"])
    assert rows(one["piano"]) != rows(other["piano"])


def test_scenes_and_no_notes_at_all():
    scene = Scene(tuple(TRUTH), 16000, notes=tuple(TRUTH.values()))
    assert len(interpolate_notes(scene, scene, 3)[1]["piano"]) == 7
    assert interpolate_notes({}, n_steps=2) == [{}, {}, {}]
    few = interpolate_notes({"piano": scale(2)}, n_steps=4, random_state=0)
    assert [len(step["piano"]) for step in few] == [0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"n_steps": 0}, ParameterError, "n_steps: expected an int"),
        ({"estimate": Notes()}, InputError, "both of one instrument, or both of named ones"),
        ({"estimate": Scene(("piano",), 8000)}, InputError, "expected notes, got None"),
        ({"onset_tolerance": -1}, ParameterError, "onset_tolerance: expected"),
    ],
)
def test_what_is_no_way_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        interpolate_notes(TRUTH, **given)
