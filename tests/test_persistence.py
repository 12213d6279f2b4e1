"""Saved models: the same bytes come back, and nothing else is ever loaded."""

import copy
import hashlib
import json
import pickle
import re
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import joblib
import numpy as np
import pytest
from safetensors.numpy import save as save_tensors
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

import msa_sk
from msa_sk import (
    STFT,
    Cerberus,
    IdealMaskSeparator,
    Mixture,
    MixtureBaseline,
    NMFSeparator,
    attach_truth,
    load,
    persistence,
    save,
)
from msa_sk.exceptions import (
    ModelFileError,
    MsaWarning,
    NotFittedError,
    ParameterError,
)

SAVED_BEFORE = sorted(Path(__file__).parent.glob("fixtures/*/*.msa"))
TINY_NMF = {"n_components": 3, "max_iter": 5, "random_state": 0}
TINY_NET = {
    "hidden_size": 4,
    "n_layers": 1,
    "embedding_size": 3,
    "max_epochs": 1,
    "random_state": 0,
    "verbose": 0,
    "device": "cpu",
    "transformer": STFT(8000, 256, 128),
}
ESTIMATORS = {
    "floor": MixtureBaseline(),
    "ceiling": IdealMaskSeparator(),
    "nmf": NMFSeparator(**TINY_NMF),
    "nmf with a transformer": NMFSeparator(**TINY_NMF, transformer=STFT(8000, 512, 128)),
    "blind nmf": NMFSeparator(**TINY_NMF, blind=True),
    "one instrument": NMFSeparator(**TINY_NMF, instruments=("piano",)),
    "cerberus": Cerberus(**TINY_NET),
    "deep clustering": Cerberus(1.0, 0.0, 0.0, **TINY_NET),
    "pipeline": Pipeline([("stft", STFT(8000, 512, 128)), ("nmf", NMFSeparator(**TINY_NMF))]),
}


@pytest.fixture(scope="module")
def fitted(tiny_scenes):
    X, y = tiny_scenes
    X = attach_truth(X, y)
    return {name: clone(estimator).fit(X, y) for name, estimator in ESTIMATORS.items()}


def parts_of(scene):
    """Everything in a scene, as bytes."""
    arrays = [scene.sources, scene.rolls]
    for notes in scene.notes or ():
        arrays += [notes.onset, notes.offset, notes.pitch, notes.velocity]
    return [None if array is None else np.asarray(array).tobytes() for array in arrays]


def craft(path, document, tensors=None, fmt=1):
    """Write a file whose sha256 is right, as only an attacker would."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    body = text + b"\n" + (save_tensors({}) if tensors is None else tensors)
    first = f"msa_sk {fmt}"
    sha = hashlib.sha256(f"{first}\n".encode() + body).hexdigest()
    path.write_bytes(f"{first} {sha}\n".encode() + body)
    return path


def document_of(path):
    return json.loads(path.read_bytes().split(b"\n")[1])


# -------------------------------------------------------------------------- there and back


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_loaded_estimator_predicts_the_same_bytes(tmp_path, fitted, tiny_scenes, name):
    X = attach_truth(*tiny_scenes)[:2]
    path = save(fitted[name], tmp_path / "model.msa")
    assert path == tmp_path / "model.msa"
    back = load(path)
    assert type(back) is type(fitted[name])
    assert repr(back) == repr(fitted[name])
    for one, other in zip(back.predict(X), fitted[name].predict(X), strict=True):
        assert one.instruments == other.instruments
        assert parts_of(one) == parts_of(other)


def test_a_pipeline_comes_back_fitted(tmp_path, fitted, tiny_scenes):
    X, y = tiny_scenes
    back = load(save(fitted["pipeline"], tmp_path / "pipeline.msa"))
    assert [*back.named_steps] == ["stft", "nmf"]
    assert back.score(X, y) == fitted["pipeline"].score(X, y)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("nmf", {"blind": True}),
        ("blind nmf", {"n_sources": 3}),
        ("one instrument", {"instruments": ("guitar",)}),
        ("floor", {"sample_rate": 8000}),
        ("ceiling", {"transformer": STFT(8000)}),
    ],
)
def test_what_was_settled_by_fit_and_has_changed_is_named(tmp_path, fitted, name, changes):
    changed = copy.deepcopy(fitted[name]).set_params(**changes)
    message = rf"\({next(iter(changes))}=\): expected .*, as it was fitted with, got .* a clone"
    for use in (lambda: save(changed, tmp_path / "x.msa"), lambda: changed.predict([np.ones(9)])):
        with pytest.raises(ParameterError, match=message):
            use()
    assert not (tmp_path / "x.msa").exists()


@pytest.mark.filterwarnings("ignore:.* was saved with:msa_sk.exceptions.MsaWarning")
@pytest.mark.parametrize("path", SAVED_BEFORE, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_was_saved_before_predicts_as_it_did(path):
    """By what ``fixtures/make.py`` made, of each format there ever was."""
    with np.load(path.with_suffix(".npz")) as before:
        mixture = Mixture(before["mixture"], int(before["rate"]))
        (scene,) = load(path).predict([mixture])
        assert scene.instruments == tuple(before["instruments"])
        np.testing.assert_allclose(scene.sources, before["sources"], atol=1e-4)
        assert np.abs(before["sources"]).max() > 0.1
        assert (scene.rolls is not None) == ("rolls" in before)
        if "rolls" in before:
            np.testing.assert_allclose(scene.rolls, before["rolls"], atol=1e-3)


@pytest.mark.filterwarnings("ignore:.* was saved with:msa_sk.exceptions.MsaWarning")
def test_what_older_files_do_not_have_is_as_it_was():
    (path,) = (path for path in SAVED_BEFORE if path.stem == "clusters")
    assert "bin_weights" not in persistence.read_document(path)[0]["estimator"]["parameters"]
    assert load(path).bin_weights == "equal"  # not the default, which came later


def test_every_format_has_its_files():
    formats = {path.parent.name for path in SAVED_BEFORE}
    assert formats == {f"format-{n}" for n in range(1, persistence.FORMAT + 1)}


@pytest.mark.parametrize("name", ["msa_sk", "numpy", "sklearn", "torch"])
def test_another_version_is_told_and_loads(tmp_path, fitted, tiny_scenes, name):
    path = save(fitted["cerberus"], tmp_path / "model.msa")
    document, arrays = persistence.read_document(path)
    now = document["versions"][name]
    document["versions"][name] = now.partition("+")[0] + "+another.build"
    load(persistence.write_document(path, document, arrays))
    document["versions"] |= {name: "0.0.7", "antigravity": "1.0"}
    persistence.write_document(path, document, arrays)
    message = rf"model.msa was saved with {name} 0\.0\.7 \(now {re.escape(now)}\): predictions may"
    with pytest.warns(MsaWarning, match=message) as caught:
        back = load(path)
    assert [Path(one.filename).name for one in caught] == [Path(__file__).name]
    X = tiny_scenes[0][:1]
    assert parts_of(back.predict(X)[0]) == parts_of(fitted["cerberus"].predict(X)[0])


def test_only_versions_that_matter_are_kept(fitted):
    assert [*persistence.versions_of(fitted["nmf"])] == ["msa_sk", "numpy", "sklearn"]
    steps = Pipeline([("nmf", fitted["nmf"]), ("cerberus", fitted["cerberus"])])
    assert [*persistence.versions_of(steps)] == ["msa_sk", "numpy", "sklearn", "torch"]


def test_a_model_of_another_device_is_loaded_onto_what_is_there(tmp_path, fitted, tiny_scenes):
    document, arrays = persistence.read_document(fitted["cerberus"].save(tmp_path / "x.msa"))
    document["estimator"]["parameters"]["device"] = "cuda:99"
    back = load(persistence.write_document(tmp_path / "y.msa", document, arrays))
    assert back.device == "auto"
    expected = fitted["cerberus"].predict(tiny_scenes[0][:1])[0]
    found = back.predict(tiny_scenes[0][:1])[0]
    np.testing.assert_allclose(found.sources, expected.sources, atol=1e-5)
    np.testing.assert_allclose(found.rolls, expected.rolls, atol=1e-5)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_pickle_predicts_the_same_bytes(fitted, tiny_scenes, name):
    X = attach_truth(*tiny_scenes)[:1]
    back = pickle.loads(pickle.dumps(fitted[name]))
    assert parts_of(back.predict(X)[0]) == parts_of(fitted[name].predict(X)[0])


def test_what_was_learnt_comes_back(tmp_path, fitted):
    nmf = load(fitted["nmf"].save(tmp_path / "nmf.msa"))
    np.testing.assert_array_equal(nmf.components_, fitted["nmf"].components_)
    assert nmf.components_.dtype == fitted["nmf"].components_.dtype
    cerberus = load(fitted["cerberus"].save(tmp_path / "cerberus.msa"))
    for name in ("instruments_", "sample_rate_", "history_", "n_iter_"):
        assert getattr(cerberus, name) == getattr(fitted["cerberus"], name)


def test_the_same_model_gives_the_same_file(tmp_path, fitted):
    one = save(fitted["cerberus"], tmp_path / "one.msa").read_bytes()
    assert save(fitted["cerberus"], tmp_path / "two.msa").read_bytes() == one
    assert save(load(tmp_path / "one.msa"), tmp_path / "three.msa").read_bytes() == one


def test_another_process_predicts_the_same_bytes(tmp_path, fitted, tiny_scenes):
    X = tiny_scenes[0][:1]
    code = """
import hashlib, sys
from msa_sk import load
from msa_sk.datasets import make_scenes
X, _ = make_scenes(4, duration=1.0, scenes_per_song=2, random_state=0)
for path in sys.argv[1:]:
    print(hashlib.sha256(load(path).predict(X[:1])[0].sources.tobytes()).hexdigest())
"""
    names = ["nmf", "cerberus"]
    paths = [save(fitted[name], tmp_path / f"{name}.msa") for name in names]
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [
        hashlib.sha256(fitted[name].predict(X)[0].sources.tobytes()).hexdigest() for name in names
    ]


def test_what_is_not_fitted_comes_back_so(tmp_path):
    back = load(save(NMFSeparator(7, transformer=STFT(n_fft=512)), tmp_path / "x.msa"))
    assert (back.n_components, back.transformer.n_fft) == (7, 512)
    with pytest.raises(NotFittedError):
        back.predict([np.zeros(9)])
    with pytest.raises(NotFittedError, match="This NMFSeparator is not fitted yet"):
        NMFSeparator().save(tmp_path / "y.msa")
    assert not (tmp_path / "y.msa").exists()


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 0.1, float("inf"), "text", np.float32(0.5), np.int64(3), (1, 2), [1, (2, [])]],
)
def test_parameters_keep_their_value_and_kind(tmp_path, value):
    back = load(save(NMFSeparator(instruments=value), tmp_path / "x.msa")).instruments
    assert back == value
    assert isinstance(back, type(value) if not isinstance(value, np.generic) else int | float)


@pytest.mark.parametrize("value", [{}, {"a": 1, "b": (2, {})}])
def test_dicts_keep_their_value(tmp_path, value):
    assert load(save(NMFSeparator(instruments=value), tmp_path / "x.msa")).instruments == value


class Halver(BaseEstimator):
    """A user's own system."""

    def __init__(self, by=2):
        self.by = by

    def __sklearn_is_fitted__(self):
        return hasattr(self, "weights_")

    def _get_state(self):
        return {"name": "halver"}, {"weights": self.weights_}

    def _set_state(self, values, arrays):
        self.name_, self.weights_ = values["name"], arrays["weights"]


def test_a_registered_class_can_be_saved(tmp_path, monkeypatch):
    halver = Halver(by=4)
    halver.weights_ = np.arange(6.0).reshape(2, 3).T  # not contiguous
    with pytest.raises(ParameterError) as caught:
        save(halver, tmp_path / "x.msa")
    assert caught.value.got.endswith(".Halver")
    assert "register" in caught.value.remedy
    monkeypatch.setattr(persistence, "_registered", dict(persistence._registered))
    assert persistence.register(Halver) is Halver
    back = load(save(halver, tmp_path / "x.msa"))
    assert (back.by, back.name_) == (4, "halver")
    np.testing.assert_array_equal(back.weights_, halver.weights_)


def test_a_generator_goes_on_where_it_was(tmp_path):
    random = np.random.RandomState(0)
    random.normal(size=3)  # of which the next one is known already
    saved = NMFSeparator(random_state=random)
    back = load(save(saved, tmp_path / "x.msa")).random_state
    np.testing.assert_array_equal(back.normal(size=700), random.normal(size=700))


@pytest.mark.parametrize(
    "change",
    [
        {"pos": 625},
        {"pos": -1},
        {"pos": "1"},
        {"key": [0] * 623},
        {"key": [2**32] * 624},
        {"key": None},
        {"key": [[0]] * 624},
    ],
)
def test_a_generator_that_was_made_up_is_refused(tmp_path, change):
    path = save(NMFSeparator(random_state=np.random.RandomState(0)), tmp_path / "x.msa")
    document, arrays = persistence.read_document(path)
    state = document["estimator"]["parameters"]["random_state"]["generator"]["state"]
    state.update(change)
    persistence.write_document(path, document, arrays)
    with pytest.raises(ModelFileError, match="x.msa: expected a file that msa_sk saved"):
        load(path)


def test_a_parameter_that_json_cannot_hold_is_named(tmp_path):
    strange = np.random.RandomState(np.random.PCG64(0))
    with pytest.raises(ParameterError, match=r"NMFSeparator\(random_state=\).*RandomState"):
        save(NMFSeparator(random_state=strange), tmp_path / "x.msa")
    with pytest.raises(ParameterError, match=r"NMFSeparator\(instruments=\)"):
        save(NMFSeparator(instruments={1: 2}), tmp_path / "x.msa")
    assert [*tmp_path.iterdir()] == []


# --------------------------------------------------------------------------------- damage


@pytest.fixture(scope="module")
def small(tmp_path_factory, tiny_scenes):
    """The bytes of a small fitted model."""
    path = tmp_path_factory.mktemp("small") / "model.msa"
    return save(NMFSeparator(1, max_iter=1, transformer=STFT(8000, 8, 4)).fit(*tiny_scenes), path)


def test_every_altered_byte_is_refused(tmp_path, small):
    path, whole = tmp_path / "model.msa", small.read_bytes()
    assert len(whole) < 2000
    n_head = whole.index(b"\n") + 1
    flips = [(i, bit) for i in range(n_head) for bit in range(8)]
    flips += [(i, i % 8) for i in range(n_head, len(whole))]
    loaded = []
    for i, bit in flips:
        damaged = bytearray(whole)
        damaged[i] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            load(path)
        except ModelFileError:
            continue
        loaded.append((i, bytes(damaged[max(0, i - 7) : i + 8])))
    assert loaded == []


def test_every_cut_is_refused(tmp_path, small):
    path, whole = tmp_path / "model.msa", small.read_bytes()
    cuts = [whole[:i] for i in range(0, len(whole), 7)]
    for damaged in [*cuts, whole[:-1], whole + b"\0", b"\n" + whole]:
        path.write_bytes(damaged)
        with pytest.raises(ModelFileError):
            load(path)


def test_damage_is_told_from_other_files(tmp_path, small):
    path = tmp_path / "model.msa"
    path.write_bytes(small.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert caught.value.item == str(path)
    assert caught.value.expected == "contents that match their sha256"
    path.write_text("dear reader")
    with pytest.raises(ModelFileError, match="expected a model that msa_sk saved, got another"):
        load(path)
    path.write_bytes(b"")
    with pytest.raises(ModelFileError, match="got another kind of file"):
        load(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("../escaped", bytes(10**8))
    with pytest.raises(ModelFileError, match="got another kind of file"):
        load(path)
    assert [*tmp_path.parent.glob("escaped")] == []
    with pytest.raises(ModelFileError, match="expected a model file, got nothing there"):
        load(tmp_path / "missing.msa")
    with pytest.raises(ModelFileError, match="expected a model file, got a folder"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("document", "version"),
    [
        (b'{"versions": {"msa_sk": "9.1"}}', "9.1"),
        (b'{"versions": {"msa_sk": 9}}', f"later than {msa_sk.__version__}"),
        (b"[" * 100_000, f"later than {msa_sk.__version__}"),
        (b"\xff", f"later than {msa_sk.__version__}"),
    ],
)
def test_a_newer_format_is_told(tmp_path, small, document, version):
    head = small.read_bytes().partition(b"\n")[0]
    newer = head.replace(b"msa_sk 1 ", b"msa_sk 2 ")
    (tmp_path / "x.msa").write_bytes(newer + b"\n" + document + b"\n")
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path / "x.msa")
    assert caught.value.expected == "format 1 or older"
    assert caught.value.got == "format 2"
    assert caught.value.remedy == f"It needs msa_sk {version} or newer."


def test_a_huge_file_is_refused_before_it_is_read(tmp_path, small, monkeypatch):
    monkeypatch.setattr(persistence, "MAX_BYTES", 100)
    with pytest.raises(ModelFileError, match="expected at most 100 bytes"):
        load(small)


# --------------------------------------------------------------------------------- attacks


class Payload:
    """What does harm as soon as it is unpickled."""

    def __init__(self, victim):
        self.victim = str(victim)

    def __reduce__(self):
        return open, (self.victim, "w")


@pytest.mark.parametrize("suffix", [".msa", ".pt", ".pkl", ".joblib", ".npz", ".npy", ".json"])
def test_a_pickle_is_never_run(tmp_path, suffix):
    victim = tmp_path / "victim"
    paths = [tmp_path / f"{kind}{suffix}" for kind in ("pickle", "joblib", "inside")]
    paths[0].write_bytes(pickle.dumps(Payload(victim)))
    joblib.dump(Payload(victim), paths[1])
    craft(paths[2], pickle.dumps(Payload(victim), protocol=0).replace(b"\n", b" "))
    for path in paths:
        with pytest.raises(ModelFileError):
            load(path)
    assert not victim.exists()
    pickle.loads(paths[0].read_bytes()).close()
    assert victim.exists()  # the payload works where pickles are run


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "system",
        "subprocess.Popen",
        "msa_sk.models.nmf.NMFSeparator",
        "sklearn.svm.SVC",
        "SVC",
        "Scene",  # of this package, and no estimator
        "load",
        "save",
        "__version__",
        "_registered",
        "",
        None,
        5,
        ["NMFSeparator"],
        {"NMFSeparator": 1},
    ],
)
def test_only_registered_classes_are_made(tmp_path, name):
    parameters = {"command": "true"}
    document = {
        "version": "0",
        "estimator": {"class": name, "parameters": parameters, "state": None},
    }
    with pytest.raises(ModelFileError):
        load(craft(tmp_path / "x.msa", document))
    nested = document_of(save(NMFSeparator(), tmp_path / "y.msa"))
    nested["estimator"]["parameters"]["transformer"] = {"estimator": document["estimator"]}
    with pytest.raises(ModelFileError):
        load(craft(tmp_path / "x.msa", nested))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.clear(),
        lambda d: d.update(estimator=None),
        lambda d: d.update(estimator=[]),
        lambda d: d["estimator"].pop("parameters"),
        lambda d: d["estimator"].pop("state"),
        lambda d: d["estimator"]["parameters"].update(surprise=1),
        lambda d: d["estimator"]["parameters"].update(n_components={}),
        lambda d: d["estimator"]["parameters"].update(n_components={"unknown": 1}),
        lambda d: d["estimator"]["state"].pop("instruments_"),
        lambda d: d["estimator"]["state"].update(transformer_={"surprise": 1}),
        lambda d: d["estimator"]["state"].update(transformer_=5),
        lambda d: d["estimator"].update(state=5),
    ],
    ids=[
        "empty",
        "no estimator",
        "a list",
        "no parameters",
        "no state",
        "an unknown parameter",
        "an empty dict",
        "an unknown kind of dict",
        "no instruments",
        "an unknown setting",
        "settings that are a number",
        "a state that is a number",
    ],
)
def test_a_document_that_save_never_wrote_is_refused(tmp_path, small, change):
    whole = small.read_bytes().split(b"\n", 2)
    document = json.loads(whole[1])
    change(document)
    with pytest.raises(ModelFileError):
        load(craft(tmp_path / "x.msa", document, whole[2]))


@pytest.mark.parametrize(
    "text",
    [b"", b"[", b"5", b"null", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000],
    ids=["empty", "half", "number", "null", "string", "no text", "nested lists", "nested dicts"],
)
def test_what_is_no_document_is_refused(tmp_path, text):
    with pytest.raises(ModelFileError):
        load(craft(tmp_path / "x.msa", text))


def header(tensors):
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "tensors",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 100 * 2**20) + b"{}",
        header({"components_": {**TENSOR, "shape": [2**40]}}) + b"\0" * 8,
        header({"components_": {**TENSOR, "data_offsets": [0, 2**40]}}) + b"\0" * 8,
        header({"components_": {**TENSOR, "dtype": "object"}}) + b"\0" * 8,
        header({"components_": TENSOR, "other": TENSOR}) + b"\0" * 8,
        header({str(i): {**TENSOR, "shape": [0], "data_offsets": [0, 0]} for i in range(10**5)}),
        save_tensors({}),
        save_tensors({"components_": np.zeros((3, 3, 3))}),
        save_tensors({"components_": np.zeros((2, 1, 5), np.int64)}),
    ],
    ids=[
        "nothing",
        "half a length",
        "a header of 2**63 bytes",
        "a header of 100 MB",
        "a huge shape",
        "huge offsets",
        "objects",
        "overlapping",
        "100,000 tensors",
        "no tensors",
        "another shape",
        "another dtype",
    ],
)
def test_tensors_that_save_never_wrote_are_refused_at_once(tmp_path, small, tensors):
    craft(tmp_path / "x.msa", small.read_bytes().split(b"\n")[1], tensors)
    start = time.process_time()
    with pytest.raises(ModelFileError):
        load(tmp_path / "x.msa")
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.pop(next(name for name in w if name.startswith("module."))),
        lambda w: w.update({name: value[..., :1] for name, value in w.items()}),
        lambda w: w.update({"module.surprise": np.zeros(3)}),
    ],
    ids=["one is missing", "another shape", "one too many"],
)
def test_a_network_with_other_weights_is_refused(tmp_path, fitted, change):
    estimator = fitted["cerberus"]
    description = document_of(save(estimator, tmp_path / "x.msa"))
    _, weights = estimator._get_state()
    change(weights)
    tensors = save_tensors({name: np.ascontiguousarray(value) for name, value in weights.items()})
    with pytest.raises(ModelFileError):
        load(craft(tmp_path / "x.msa", description, tensors))


@pytest.mark.parametrize(
    ("name", "size"), [("n_layers", 10**8), ("hidden_size", 10**9), ("n_fft", 2**30)]
)
def test_a_network_is_not_made_before_its_sizes_are_those_of_its_weights(
    tmp_path, fitted, monkeypatch, name, size
):
    path = save(fitted["cerberus"], tmp_path / "x.msa")
    description, tensors = document_of(path), path.read_bytes().split(b"\n", 2)[2]
    own = description["estimator"]
    (own["state"]["transformer_"] if name == "n_fft" else own["parameters"])[name] = size
    monkeypatch.setattr(Cerberus, "_make_net", lambda *_: pytest.fail("it was made"))
    item = "the number of bins" if name == "n_fft" else name
    with pytest.raises(ModelFileError, match=f"{item}: expected at most .*, got "):
        load(craft(tmp_path / "y.msa", description, tensors))


@pytest.mark.parametrize("head", [b"msa_sk 0 ", b"msa_sk " + b"9" * 5000 + b" ", b"msa_sk -1 "])
def test_a_format_that_never_was_is_refused(tmp_path, small, head):
    first, _, body = small.read_bytes().partition(b"\n")
    (tmp_path / "x.msa").write_bytes(head + first.split()[2] + b"\n" + body)
    with pytest.raises(ModelFileError):
        load(tmp_path / "x.msa")


# ------------------------------------------------------------------------------ the write


def test_saving_replaces_the_old_file(tmp_path):
    path = tmp_path / "model.msa"
    save(NMFSeparator(3), path)
    save(NMFSeparator(5), path)
    assert load(path).n_components == 5
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("where", ["os.replace", "os.fsync", "pathlib.Path.write_bytes"])
def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch, where):
    path = save(NMFSeparator(3), tmp_path / "model.msa")

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(where, fail)
        with pytest.raises(OSError, match="No space"):
            save(NMFSeparator(5), path)
    assert load(path).n_components == 3
    assert [*tmp_path.iterdir()] == [path]
