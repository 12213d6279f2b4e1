"""Checks of what goes in: every form of input means the same, wrong input is refused."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from msa_sk.audio import write_audio
from msa_sk.clips import Clip
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene
from msa_sk.testing.asserting import assert_same, refuses
from msa_sk.testing.scenes import INSTRUMENTS, as_mixture, toy_sources
from msa_sk.testing.subject import Subject

_TOLERANCE = 1e-5


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def _equal_lengths(subject: Subject) -> np.ndarray:
    """Return the sources of three scenes, (3, 2, n_samples)."""
    return np.stack([toy_sources(subject.rate, subject.rate, seed)[0] for seed in (1, 2, 3)])


def _write(path: Path, audio: np.ndarray, rate: int) -> str:
    return str(write_audio(path, audio, rate, subtype="FLOAT"))


def _refused_by_predict(subject: Subject, mixture: object, action: str, *words: str) -> None:
    with refuses(f"predict with {action}", *words):
        subject.fitted.predict([subject.mixes[0], mixture])


def _refused_by_fit(subject: Subject, mixture: object, action: str, *words: str) -> None:
    with refuses(f"fit with {action}", *words):
        subject.fresh().fit([subject.mixes[0], mixture], subject.scenes[:2])


def _refused(subject: Subject, mixture: object, action: str, *words: str) -> None:
    """Assert that a mixture is refused as the second of two, by fit and by predict."""
    _refused_by_predict(subject, mixture, action, *words)
    _refused_by_fit(subject, mixture, action, *words)


def _refused_truth(subject: Subject, truth: object, action: str, *words: str) -> None:
    """Assert that fit refuses a truth as the second of some."""
    with refuses(f"fit with {action}", *words):
        subject.fresh().fit(subject.mixes[:2], [subject.scenes[0], truth])


def check_arrays_and_paths_equal_mixtures(subject: Subject) -> None:
    """`predict` gives the same for Mixtures, an array, a list of arrays and a list of paths."""
    sources = _equal_lengths(subject)
    mixes = [as_mixture(one, subject.rate) for one in sources]
    arrays = [mixture.audio for mixture in mixes]
    expected = subject.fitted.predict(mixes)
    with _folder() as folder:
        paths = [
            _write(folder / f"{i}.wav", audio, subject.rate) for i, audio in enumerate(arrays)
        ]
        forms = {
            "an array of shape (n_mixes, n_samples)": np.stack(arrays),
            "a list of arrays": arrays,
            "a list of paths": paths,
            "a list of path objects": [Path(path) for path in paths],
        }
        for form, X in forms.items():
            assert_same(subject.fitted.predict(X), expected, f"predict of {form}", _TOLERANCE)
    stereo = np.stack([np.stack([audio, 0.5 * audio]) for audio in arrays])
    expected = subject.fitted.predict([Mixture(audio, subject.rate) for audio in stereo])
    what = "predict of an array of shape (n_mixes, n_channels, n_samples)"
    assert_same(subject.fitted.predict(stereo), expected, what, _TOLERANCE)


def check_fit_takes_arrays_and_files(subject: Subject) -> None:
    """`fit` learns the same from records, arrays and files.

    What transcribes needs notes, which arrays do not hold: for it, records are of files.
    """
    sources, rate = _equal_lengths(subject), subject.rate
    mixes = sources.sum(axis=1)
    unnamed = tuple(f"source_{i}" for i in range(2))
    note = Notes(np.zeros(1), np.array([0.1]), np.array([60]))
    notes = (note, note) if subject.tags.transcribes else None
    records = [Mixture(audio, rate) for audio in mixes]
    truth = [Scene(unnamed, rate, one, notes) for one in sources]
    expected = subject.fresh().fit(records, truth).predict(records)
    if notes is None:
        from_arrays = subject.fresh().fit(mixes, sources)
        assert_same(from_arrays.predict(records), expected, "fitted to arrays", _TOLERANCE)
    with _folder() as folder:
        X = [_write(folder / f"{i}.wav", audio, rate) for i, audio in enumerate(mixes)]
        y: list = [
            {
                name: _write(folder / f"{i} {name}.wav", audio, rate)
                for name, audio in zip(unnamed, one, strict=True)
            }
            for i, one in enumerate(sources)
        ]
        if notes is not None:
            y = [Scene(unnamed, rate, tuple(map(Clip, one.values())), notes) for one in y]
        from_files = subject.fresh().fit(X, y)
    assert_same(from_files.predict(records), expected, "fitted to files", _TOLERANCE)


def check_batch_equals_single(subject: Subject) -> None:
    """Mixtures of different lengths give the same together, in any order, and alone."""
    alone = [subject.fitted.predict([mixture])[0] for mixture in subject.mixes]
    assert_same(subject.predicted, alone, "predicted together, not alone", _TOLERANCE)
    backwards = subject.fitted.predict(subject.mixes[::-1])[::-1]
    assert_same(backwards, alone, "predicted in reversed order", _TOLERANCE)


def check_read_only_inputs(subject: Subject) -> None:
    """`fit` and `predict` take memory maps that cannot be written to, as workers get them."""
    with _folder() as folder:

        def read_only(array: np.ndarray, name: str) -> np.ndarray:
            np.save(folder / f"{name}.npy", array)
            return np.load(folder / f"{name}.npy", mmap_mode="r")

        X, y = subject.mixes, subject.scenes
        for i in range(len(X)):
            sources = read_only(y[i].sources, f"sources {i}")
            y[i] = replace(y[i], sources=sources)
            X[i] = replace(X[i], audio=read_only(X[i].audio, f"mixture {i}"))
            if X[i].sources is not None:
                X[i] = replace(X[i], sources=dict(zip(INSTRUMENTS, sources, strict=True)))
        try:
            predicted = subject.fresh().fit(X, y).predict(X)
        except ValueError as error:
            raise AssertionError(f"read-only inputs are refused: {error}") from error
        assert_same(predicted, subject.predicted, "with read-only inputs")


def check_inputs_are_unmodified(subject: Subject) -> None:
    """`fit` and `predict` leave lists and arrays as they were."""
    X, y = subject.mixes, subject.scenes
    X[0] = replace(X[0], audio=np.stack([X[0].audio, X[0].audio]))
    y[0] = replace(y[0], sources=np.stack([y[0].sources, y[0].sources], axis=1))
    lists: dict[str, tuple[list, list]] = {"X": (X, list(X)), "y": (y, list(y))}
    arrays = {
        "the mixtures' samples": [mixture.audio for mixture in X],
        "the sources in X": [one for m in X for one in (m.sources or {}).values()],
        "the sources in y": [scene.sources for scene in y],
        "the queries in X": [mixture.query for mixture in X if mixture.query is not None],
    }
    before = {what: [array.copy() for array in those] for what, those in arrays.items()}
    estimator = subject.fresh()
    for action, arguments in (("fit", (X, y)), ("predict", (X,))):
        getattr(estimator, action)(*arguments)
        for what, those in arrays.items():
            same = all(map(np.array_equal, those, before[what]))
            assert same, f"{action} writes into {what}"
        for name, (now, then) in lists.items():
            same = list(map(id, now)) == list(map(id, then))
            assert same, f"{action} changes the list {name}"


def check_object_arrays(subject: Subject) -> None:
    """Object arrays of records, as `cross_val_predict` returns them, are like lists."""
    X, y = np.empty(4, object), np.empty(4, object)
    X[:], y[:] = subject.mixes, subject.scenes
    predicted = subject.fresh().fit(X, y).predict(X)
    assert_same(predicted, subject.predicted, "with object arrays")


def check_integers_equal_floats(subject: Subject) -> None:
    """Integer samples mean the same as floats, once divided by their type's range."""
    steps = np.round(toy_sources(subject.rate, subject.rate)[0] * 2**7)
    floats = subject.mixture((steps / 2**7).astype(np.float32))
    expected = subject.fitted.predict([floats])
    total = steps.sum(axis=0)
    integers = {
        "uint8": (total + 2**7).astype(np.uint8),
        "int16": (total * 2**8).astype(np.int16),
        "int32": (total * 2**24).astype(np.int32),
    }
    for kind, audio in integers.items():
        predicted = subject.fitted.predict([replace(floats, audio=audio)])
        assert_same(predicted, expected, f"predict of {kind} samples", _TOLERANCE)


def check_kinds_of_arrays(subject: Subject) -> None:
    """It does not matter how the numbers of an array lie in memory, or in a torch tensor."""
    import torch

    sources = toy_sources(subject.rate, subject.rate)[0]
    mixture = subject.mixture(np.stack([sources, 0.5 * sources], axis=1))
    expected = subject.fitted.predict([mixture])
    audio = mixture.audio
    kinds = {
        "float64": audio.astype(np.float64),
        "big-endian": audio.astype(">f4"),
        "in Fortran order": np.asfortranarray(audio),
        "a view of every second sample": np.repeat(audio, 2, axis=1)[:, ::2],
        "a view that runs backwards": audio[:, ::-1].copy()[:, ::-1],
        "a torch tensor that requires grad": torch.tensor(audio, requires_grad=True),
    }
    for kind, samples in kinds.items():
        predicted = subject.fitted.predict([replace(mixture, audio=samples)])
        assert_same(predicted, expected, f"predict of samples, {kind}", _TOLERANCE)


def check_one_instead_of_many_is_refused(subject: Subject) -> None:
    """One mixture where a collection is expected: the error says to pass [x]."""
    mixture = subject.mixes[0]
    for one in (mixture, "song.wav", Path("song.wav"), mixture.audio):
        with refuses(f"predict of a lone {type(one).__name__}", "[x]"):
            subject.fitted.predict(one)
        with refuses(f"fit to a lone {type(one).__name__}", "[x]"):
            subject.fresh().fit(one, subject.scenes[:1])


def check_lone_scene_is_refused(subject: Subject) -> None:
    """One truth where a collection is expected: the error says to pass [y]."""
    with refuses("fit to a lone Scene", "[y]"):
        subject.fresh().fit(subject.mixes[:1], subject.scenes[0])


def check_unequal_lengths_are_refused(subject: Subject) -> None:
    """X and y of different lengths: the error tells both."""
    for X, y in (
        (subject.mixes, subject.scenes[:3]),
        (subject.mixes[:3], subject.scenes),
    ):
        words = (f"expected {len(X)}", f"got {len(y)}")
        with refuses(f"fit to {len(X)} mixtures and {len(y)} scenes", *words):
            subject.fresh().fit(X, y)


def check_missing_truth_is_refused(subject: Subject) -> None:
    """`fit` without y: the error says that it is needed."""
    with refuses("fit without y", "y: expected", "None"):
        subject.fresh().fit(subject.mixes)


def check_wrong_number_of_sources_is_refused(subject: Subject) -> None:
    """Samples that are no sources of one mixture, or fewer than were asked for."""
    sources = _equal_lengths(subject)
    X = [subject.mixture(one) for one in sources]
    with refuses("fit with a y that holds one source per mixture", "y[0]", "n_sources"):
        subject.fresh().fit(X, list(sources[:, 0]))
    names = tuple(f"source_{i}" for i in range(3))
    with refuses("fit with two sources where three were asked for", "source_2"):
        subject.fresh(instruments=names).fit(X, list(sources))


def check_wrong_length_of_sources_is_refused(subject: Subject) -> None:
    """Sources that are shorter than their mixture: the error says which and how long."""
    scene = subject.scenes[1]
    n_samples = scene.sources.shape[-1]
    short = replace(scene, sources=scene.sources[:, : n_samples // 2])
    words = ("y[1]", str(n_samples), str(n_samples // 2))
    _refused_truth(subject, short, "sources of half the length", *words)


def check_wrong_rate_is_refused(subject: Subject) -> None:
    """Sources at another rate than their mixture's: the error tells both."""
    scene = replace(subject.scenes[1], sample_rate=2 * subject.rate)
    words = ("y[1]", f"{subject.rate} Hz", f"{2 * subject.rate} Hz")
    _refused_truth(subject, scene, "sources at another rate", *words)


def check_missing_file_is_refused(subject: Subject) -> None:
    """A path where nothing is: the error names it."""
    with _folder() as folder:
        words = ("X[1]", "no such song.wav")
        _refused(subject, folder / "no such song.wav", "a missing file", *words)


def check_text_file_is_refused_by_predict(subject: Subject) -> None:
    """A text file whose name ends in .wav: the error names it."""
    with _lyrics(subject) as mixture:
        _refused_by_predict(subject, mixture, "a text file named .wav", "lyrics.wav")


def check_text_file_is_refused_by_fit(subject: Subject) -> None:
    """A text file whose name ends in .wav: the error names it."""
    with _lyrics(subject) as mixture:
        _refused_by_fit(subject, mixture, "a text file named .wav", "lyrics.wav")


@contextmanager
def _lyrics(subject: Subject) -> Iterator[Mixture]:
    with _folder() as folder:
        path = folder / "lyrics.wav"
        path.write_text("la la la\n" * 100)
        yield replace(subject.mixes[1], audio=path, sample_rate=None)


def check_nonfinite_samples_are_refused(subject: Subject) -> None:
    """NaN or infinity anywhere: the error tells which mixture and which sample."""
    for value in (np.nan, np.inf, -np.inf):
        audio = subject.mixes[1].read().copy()
        audio[777] = value
        words = ("X[1]", "finite", "777")
        _refused(subject, audio, f"an array with {value}", *words)
        mixture = replace(subject.mixes[1], audio=audio)
        _refused(subject, mixture, f"a Mixture with {value}", *words)


def check_empty_audio_is_refused(subject: Subject) -> None:
    """No samples, or no mixtures to learn from."""
    empty = replace(subject.mixes[1], audio=np.zeros(0, np.float32))
    _refused(subject, empty, "a mixture without samples", "X[1]", "one sample")
    with refuses("fit to no mixtures", "X: expected at least one"):
        subject.fresh().fit([], [])


def check_transposed_audio_is_refused(subject: Subject) -> None:
    """Shape (n_samples, n_channels): the error suggests to transpose it."""
    audio = np.stack([subject.mixes[1].read()] * 2, axis=1)
    mixture = replace(subject.mixes[1], audio=audio)
    _refused(subject, mixture, "transposed audio", "X[1]", "transposed")


def check_unknown_instrument_is_refused(subject: Subject) -> None:
    """An instrument that no scene has: the error suggests the closest one."""
    with refuses("fit with instruments=['pianno']", "pianno", "did you mean 'piano'"):
        subject.fresh(instruments=["pianno"]).fit(subject.mixes, subject.scenes)


def check_unasked_instrument_stays_in_mixture(subject: Subject) -> None:
    """With `instruments` given there are these alone, and no claim that they are the whole."""
    estimator = subject.fresh(instruments=["piano"]).fit(subject.mixes, subject.scenes)
    scene = estimator.predict(subject.mixes[:1])[0]
    assert scene.instruments == ("piano",), f"asked for piano, got {scene.instruments}"
    if scene.sources is not None and estimator.__sklearn_tags__().additive:
        rest = np.abs(scene.residual(subject.mixes[0])).max()
        assert rest < 1e-4, f"its tag says additive, but {rest:.3g} of the mixture is left over"
