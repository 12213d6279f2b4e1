"""The door: every form of X and y that is taken, and every refusal."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV

from msa_sk import (
    STFT,
    Clip,
    MaskInference,
    Mixture,
    MixtureBaseline,
    NMFSeparator,
    Notes,
    Scene,
    Transcriber,
    save,
)
from msa_sk._validation import (
    check_instruments,
    check_mixtures,
    check_parameters,
    check_scenes,
    check_truth,
    check_weights,
    names_in,
)
from msa_sk.audio import write_audio
from msa_sk.exceptions import (
    AudioError,
    InputError,
    InstrumentError,
    NotesError,
    NotesWarning,
    ParameterError,
)

RATE = 16000


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def objects(*items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


@pytest.fixture
def paths(tmp_path):
    return [write_audio(tmp_path / f"{i}.wav", noise(800, seed=i), 8000, "FLOAT") for i in (0, 1)]


# -------------------------------------------------------------------------------------- X

ROWS = noise(2, 100)
STEREO = noise(2, 2, 100)


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (ROWS, ROWS),
        (STEREO, STEREO),
        ([*ROWS], ROWS),
        ((ROWS[0], ROWS[1]), ROWS),
        ([ROWS[0], ROWS[1, :40]], [ROWS[0], ROWS[1, :40]]),
        ([ROWS[0], STEREO[1]], [ROWS[0], STEREO[1]]),
        (objects(*ROWS), ROWS),
        (torch.tensor(ROWS), ROWS),
        (torch.tensor(ROWS, requires_grad=True), ROWS),
        ([*torch.tensor(ROWS)], ROWS),
        (ROWS.tolist(), ROWS),
        (np.asfortranarray(ROWS), ROWS),
        ([(ROWS[0] * 2**15).astype(np.int16)], [(ROWS[0] * 2**15).astype(np.int16) / 2**15]),
        ([Mixture(ROWS[0]), ROWS[1]], ROWS),
        (STFT(RATE).transform([*ROWS]), ROWS),
    ],
    ids=[
        "2-D",
        "3-D",
        "list",
        "tuple",
        "ragged",
        "mono and stereo",
        "objects",
        "torch",
        "torch with grad",
        "list of torch",
        "nested lists",
        "fortran",
        "integers",
        "with a Mixture",
        "Spectrograms",
    ],
)
def test_every_form_of_samples_becomes_mixtures(X, expected):
    mixtures = check_mixtures(X, RATE)
    assert all(isinstance(mixture, Mixture) for mixture in mixtures)
    assert [mixture.rate for mixture in mixtures] == [RATE] * len(expected)
    for mixture, samples in zip(mixtures, expected, strict=True):
        np.testing.assert_array_equal(mixture.read(), samples)


def test_every_form_of_a_file_becomes_a_mixture(paths):
    X = [paths[0], str(paths[0]), Clip(paths[0]), (Clip(paths[0]),), Mixture(paths[0])]
    mixtures = check_mixtures(X, RATE)
    assert [mixture.rate for mixture in mixtures] == [8000] * 5  # the file's, not the default
    for mixture in mixtures:
        np.testing.assert_array_equal(mixture.read(), noise(800, seed=0))
    total = check_mixtures([tuple(map(Clip, paths))])[0]
    np.testing.assert_allclose(total.read(), noise(800, seed=0) + noise(800, seed=1), atol=1e-7)


def test_records_pass_the_door_untouched():
    mixtures = [Mixture(ROWS[0], 8000, group=3), Mixture(ROWS[1], 44100)]
    for collection in (mixtures, tuple(mixtures), objects(*mixtures)):
        checked = check_mixtures(collection, RATE)
        assert all(one is other for one, other in zip(checked, mixtures, strict=True))


def test_a_mixture_without_a_rate_gets_the_estimators():
    given = Mixture(ROWS[0], group=3, notes={"piano": Notes()})
    (checked,) = check_mixtures([given], RATE)
    assert (checked.rate, checked.group, [*checked.notes]) == (RATE, 3, ["piano"])
    assert given.sample_rate is None


def test_no_mixtures_are_no_mixtures():
    assert check_mixtures([]) == []
    assert check_mixtures(np.zeros((0, 100))) == []


@pytest.mark.parametrize(
    ("X", "got"),
    [
        ("song.wav", "one str"),
        (Clip("song.wav"), "one Clip"),
        (Mixture(np.zeros(9), RATE), "one Mixture"),
        (Scene(["piano"], RATE), "one Scene"),
        ({"piano": "song.wav"}, "one dict"),
        (STFT(RATE).transform([np.zeros(9)])[0], "one Spectrogram"),
        (np.zeros(9), "shape (9,)"),
        (np.zeros(9, np.int16), "shape (9,)"),
        (np.float32(1), "one float32"),
        (np.array(1.0), "shape ()"),
        (torch.zeros(9), "shape (9,)"),
        ([0.0, 0.5], "a list of numbers"),
        ((0, 1), "a list of numbers"),
    ],
)
def test_one_mixture_is_no_collection(X, got):
    with pytest.raises(InputError) as caught:
        check_mixtures(X, RATE)
    error = caught.value
    assert error.item == "X"
    assert error.got == got
    if got != "one float32":
        assert "a collection" in error.expected
        assert "To pass a single one: [" in error.remedy


@pytest.mark.parametrize("X", [None, 5, {1, 2}, (x for x in ROWS), map(abs, ROWS)])
def test_what_cannot_be_counted_is_refused(X):
    with pytest.raises(InputError, match="X: expected a list or an array, got one .*Make it a"):
        check_mixtures(X)


NAN = np.where(np.arange(100) == 42, np.nan, ROWS[0])


@pytest.mark.parametrize(
    ("item", "error", "expected", "got"),
    [
        (None, InputError, "a Mixture, an array, a path or a Clip", "NoneType"),
        (Notes(), InputError, "a Mixture, an array, a path or a Clip", "Notes"),
        (Scene(["piano"], RATE), InputError, "a Mixture, an array, a path or a Clip", "Scene"),
        ({"piano": ROWS[0]}, InputError, "a Mixture, an array, a path or a Clip", "dict"),
        (np.zeros((1, 2, 9)), AudioError, "shape (n_samples,) or", "shape (1, 2, 9)"),
        (np.zeros((100, 2)), AudioError, "at most 32 channels", "shape (100, 2)"),
        (np.zeros(0), AudioError, "at least one sample", "shape (0,)"),
        (NAN, AudioError, "finite samples", "nan at sample 42"),
        (-np.inf * ROWS[0], AudioError, "finite samples", "inf at sample 0"),
        (Mixture(NAN, RATE), AudioError, "finite samples", "nan at sample 42"),
        (np.array(["a", "b"]), AudioError, "an array of real numbers", "dtype <U1"),
        (["a", "b"], AudioError, "an array of real numbers", "dtype <U1"),
        (("a.wav", "b.wav"), AudioError, "a tuple of Clips", "('a.wav', 'b.wav')"),
    ],
)
def test_the_item_that_is_no_mixture_is_named(item, error, expected, got):
    with pytest.raises(error) as caught:
        check_mixtures([ROWS[0], item], RATE, "mixes")
    assert caught.value.item in ("mixes[1]", "Mixture(audio=)")
    assert expected in caught.value.expected
    assert got in caught.value.got
    assert caught.value.remedy


@pytest.mark.parametrize("wrap", [str, lambda p: p, Clip, lambda p: (Clip(p),), Mixture])
def test_a_missing_file_is_named_before_any_work(tmp_path, paths, wrap):
    missing = tmp_path / "missing.wav"
    with pytest.raises(AudioError) as caught:
        check_mixtures([paths[0], wrap(missing)])
    assert caught.value.item == f"X[1] ({missing})"
    assert caught.value.got == "nothing there"
    with pytest.raises(AudioError) as caught:
        check_mixtures([wrap(tmp_path)])
    assert caught.value.got == "a directory"


# -------------------------------------------------------------------------------------- y

MIXES = [Mixture(ROWS[0], RATE), Mixture(ROWS[1], RATE)]
TRUTH = noise(2, 3, 100, seed=9)  # of two mixtures, three sources each


@pytest.mark.parametrize(
    "y",
    [
        TRUTH,
        [*TRUTH],
        objects(*TRUTH),
        TRUTH.tolist(),
        torch.tensor(TRUTH),
        [*torch.tensor(TRUTH)],
        torch.tensor(TRUTH, requires_grad=True),
        [*torch.tensor(TRUTH, requires_grad=True)],
    ],
    ids=["3-D", "list", "objects", "nested", "torch", "list of torch", "grad", "list with grad"],
)
def test_every_form_of_sources_becomes_scenes(y):
    scenes = check_scenes(y, MIXES)
    for scene, sources in zip(scenes, TRUTH, strict=True):
        assert scene.instruments == ("source_0", "source_1", "source_2")
        assert scene.sample_rate == RATE
        np.testing.assert_array_equal([scene.source(name) for name in scene.instruments], sources)


def test_stereo_sources_have_four_axes():
    y = noise(2, 3, 2, 100)
    scenes = check_scenes(y, [Mixture(samples, RATE) for samples in STEREO])
    assert scenes[1].source("source_2").shape == (2, 100)
    np.testing.assert_array_equal(scenes[1].source("source_2"), y[1, 2])


def test_dicts_name_the_sources(paths):
    y = [{"piano": TRUTH[0, 0], "guitar": TRUTH[0, 1]}, {"bass": TRUTH[1, 0]}]
    one, other = check_scenes(y, MIXES)
    assert (one.instruments, other.instruments) == (("piano", "guitar"), ("bass",))
    np.testing.assert_array_equal(one.source("guitar"), TRUTH[0, 1])
    (in_files,) = check_scenes([{"piano": paths[1]}], [Mixture(paths[0])])
    assert in_files.sample_rate == 8000
    np.testing.assert_array_equal(in_files.source("piano"), noise(800, seed=1))


def test_scenes_pass_the_door_untouched():
    y = [Scene(["piano"], RATE), Scene(["piano"], 44100, notes=[Notes()])]
    for collection in (y, objects(*y)):
        checked = check_scenes(collection, MIXES)
        assert all(one is other for one, other in zip(checked, y, strict=True))


@pytest.mark.parametrize(
    ("y", "error", "item", "expected", "got"),
    [
        (None, InputError, "y", "the true scenes, one for each mixture", "None"),
        (TRUTH[:1], InputError, "y", "2 scenes, one for each mixture", "1"),
        ([*TRUTH, TRUTH[0]], InputError, "y", "2 scenes, one for each mixture", "3"),
        (Scene(["piano"], RATE), InputError, "y", "a collection", "one Scene"),
        ({"piano": "a.wav"}, InputError, "y", "a collection", "one dict"),
        ([TRUTH[0], None], InputError, "y[1]", "a Scene, a dict of audio, or an", "None"),
        (
            [TRUTH[0], Scene(["a"], RATE, noise(1, 2, 100))],
            AudioError,
            "y[1], source 'a'",
            "samples of shape (100,), as its mixture has, or mono",
            "shape (2, 100)",
        ),
        ([TRUTH[0], "b.wav"], InputError, "y[1]", "a Scene, a dict of audio, or an", "str"),
        ([TRUTH[0], ROWS[0]], InputError, "y[1]", "a Scene, a dict of", "shape (100,)"),
        ([TRUTH[0], TRUTH[1, :, :99]], AudioError, "y[1], source 'source_0'", "100 sam", "99"),
        ([{"a": NAN}, TRUTH[1]], AudioError, "y[0], source 'a'", "finite samples", "sample 42"),
        ([{"a": [1.0]}, TRUTH[1]], AudioError, "y[0], Scene(sources=)['a']", "an array,", "list"),
        ([TRUTH[0], {3: ROWS[0]}], InputError, "y[1], Scene(instruments=)", "a sequence", "3"),
        ([{"a": "b.wav"}, TRUTH[1]], AudioError, "y[0], source 'a' (b.wav)", "an audio", "noth"),
        (
            [TRUTH[0], Scene(["a"], RATE, (Clip("."),))],
            AudioError,
            "y[1], source 'a' (.)",
            "an audio file",
            "a directory",
        ),
        (
            [TRUTH[0], Scene(["a"], 8000, ROWS[:1])],
            AudioError,
            "y[1]",
            "16000 Hz, the rate of its mixture",
            "8000 Hz",
        ),
    ],
)
def test_what_is_no_truth_is_refused(y, error, item, expected, got):
    with pytest.raises(error) as caught:
        check_scenes(y, MIXES)
    assert caught.value.item == item
    assert expected in caught.value.expected
    assert got in caught.value.got
    assert caught.value.remedy


def test_transposed_sources_are_refused():
    with pytest.raises(AudioError, match="Is it transposed|100 samples"):
        check_scenes([TRUTH[0].T, TRUTH[1]], MIXES)


@pytest.mark.parametrize("excerpt", [False, True])
def test_notes_after_the_end_are_told(excerpt):
    late, some, fine = (Notes(o, np.add(o, 1), [60] * len(o)) for o in ([5, 6], [0, 6], [0, 4.05]))
    mixtures = [Mixture(np.zeros(RATE * 4), RATE)] * 2

    def check(*notes):
        scenes = [Scene(["guitar", "piano"], RATE, notes=[fine, one]) for one in notes]
        if excerpt:  # of a song that is longer than the mixture
            scenes = [scene.excerpt(0, 100) for scene in scenes]
        check_truth(scenes, mixtures)

    check(fine, Notes())
    with pytest.raises(NotesError, match=r"y\[1\], notes of 'piano': .* 4.00 s, got 2 that begin"):
        check(fine, late)
    with pytest.warns(
        NotesWarning, match=r"^2 notes .* y\[0\], notes of 'piano': 1 of 2 .* 1 more like it"
    ):
        check(some, some)


def test_excerpts_that_end_with_the_mixture_are_not_picked():
    notes = Notes([0, 6], [1, 7], [60, 60]).excerpt(0, 4)
    notes._stretch[0].__dict__.clear()  # nothing is there to pick from
    check_truth([Scene(["a"], RATE, notes=[notes])], [Mixture(np.zeros(RATE * 4), RATE)])


# ------------------------------------------------------------------- instruments, weights


def scenes_of(*lists):
    return [Scene(names, RATE) for names in lists]


def test_instruments_are_the_sorted_union():
    scenes = scenes_of(["piano", "bass"], ["guitar"], [])
    assert check_instruments(None, names_in(scenes)) == ("bass", "guitar", "piano")
    assert check_instruments(["piano", "guitar"], names_in(scenes)) == ("piano", "guitar")


@pytest.mark.parametrize(
    ("instruments", "message"),
    [
        ("piano", r"a sequence of names, got 'piano'. Pass \['piano'\]"),
        (["pianoo"], "one of .*'bass', 'piano'.*, got 'pianoo'. Did you mean 'piano'?"),
        (["sitar"], "got 'sitar'. Check the spelling"),
        ([], "at least one name"),
        (["piano", "piano"], "each name once"),
        (3, "a sequence of names, got 3"),
        ([3], "a sequence of names, got .3."),
    ],
)
def test_unknown_instruments_are_refused(instruments, message):
    with pytest.raises(InstrumentError, match=message):
        check_instruments(instruments, ["bass", "piano"])


def test_scenes_without_any_instrument_are_refused():
    with pytest.raises(InstrumentError, match="^y: expected scenes with instruments"):
        check_instruments(None, names_in(scenes_of([], [])))


def test_weights_are_ones_by_default():
    assert check_weights(None, 3).tolist() == [1, 1, 1]
    assert check_weights([0, 2, 0.5], 3).tolist() == [0, 2, 0.5]


@pytest.mark.parametrize("weights", [[1, 2], [1, -1, 1], [1, np.nan, 1], [1, np.inf, 1], 1.0])
def test_weights_that_cannot_weigh_are_refused(weights):
    with pytest.raises(InputError, match="sample_weight: expected 3 finite weights from 0, got"):
        check_weights(weights, 3)


@pytest.mark.parametrize(
    ("parameters", "item", "got"),
    [
        ({"n_components": 0}, "NMFSeparator(n_components=)", "0"),
        ({"n_components": 2.5}, "NMFSeparator(n_components=)", "2.5"),
        ({"beta_loss": "cosine"}, "NMFSeparator(beta_loss=)", "'cosine'"),
        ({"n_components": True}, "NMFSeparator(n_components=)", "True"),
        ({"mask_power": np.nan}, "NMFSeparator(mask_power=)", "nan"),
        ({"mask_power": True}, "NMFSeparator(mask_power=)", "True"),
        ({"random_state": "seed"}, "NMFSeparator(random_state=)", "'seed'"),
    ],
)
def test_a_parameter_out_of_range_is_named(parameters, item, got):
    estimator = NMFSeparator(**parameters)  # which stores, and checks nothing
    with pytest.raises(ParameterError) as caught:
        check_parameters(estimator)
    assert (caught.value.item, caught.value.got) == (item, got)
    assert caught.value.expected
    assert "set_params" in caught.value.remedy
    check_parameters(NMFSeparator())


def test_every_error_is_the_packages_and_a_value_error():
    error = InputError("X[3]", "an array", "None", "Pass one.")
    assert str(error) == "X[3]: expected an array, got None. Pass one."
    assert isinstance(error, ValueError)
    assert str(InputError("X", "a", "b")) == "X: expected a, got b."


def test_fit_and_score_look_at_the_end_of_notes(paths):
    notes = [Notes([0.0, 7.0], [0.05, 8.0], [60, 60])]
    mixtures, scenes = [Mixture(paths[0])], [Scene(["a"], 8000, (str(paths[1]),), notes)]
    with pytest.warns(NotesWarning, match=r"y\[0\], notes of 'a': 1 of 2 .it lasts 0.10 s"):
        baseline = MixtureBaseline().fit(mixtures, scenes)
    with pytest.warns(NotesWarning, match="scores count them as missed"):
        baseline.score(mixtures, scenes)
    gone = [Scene(["a"], 8000, notes=[Notes([7.0], [8.0], [60])])]
    transcriber = Transcriber(max_epochs=1)
    with pytest.raises(NotesError, match=r"^y\[0\], notes of 'a'"):
        transcriber.fit(mixtures, gone)
    with pytest.raises(NotesError, match=r"^y_val\[0\], notes of 'a'"):
        transcriber.fit(
            mixtures, [Scene(["a"], 8000, notes=[Notes()])], X_val=mixtures, y_val=gone
        )


def test_remedies_are_the_next_step(tmp_path):
    with pytest.raises(InputError, match=r"^y\[0\]: .* got None\. "):
        check_scenes([None], MIXES[:1])
    with pytest.raises(AudioError, match=r"say which rate samples have: Mixture\(audio, 8000\)\."):
        check_scenes([Scene(["a"], 8000, ROWS[:1])], MIXES[:1])
    for cls in (MixtureBaseline, MaskInference):
        with pytest.raises(InstrumentError, match=r"got 'piano'\. Arrays .* pass dicts or Scenes"):
            cls(instruments=["piano", "guitar"]).fit(ROWS, TRUTH)
        with pytest.raises(ParameterError, match=r"instruments=\): .* Pass \['piano'\]\."):
            cls(instruments="piano").fit(ROWS, TRUTH)
    check_scenes([{"a": noise(2, 100), "b": ROWS[0]}], [Mixture(noise(2, 100), RATE)])
    search = GridSearchCV(MixtureBaseline(), {}, cv=2).fit(MIXES, TRUTH)
    with pytest.raises(ParameterError, match=r"^save: .* Save what it found: search\.best_esti"):
        save(search, tmp_path / "search.msa")
