"""What documents show: their Python runs, in order, and their tables hold."""

import functools
import re
from itertools import compress
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.model_selection import GridSearchCV
from trees import in_folder, jams, write_noise, write_notes, write_sum

import msa_sk
from msa_sk import Cerberus
from msa_sk.audio import write_audio
from msa_sk.datasets import make_scenes
from msa_sk.editing import OPERATIONS
from msa_sk.midi import write_midi
from msa_sk.testing import CHECKS

ROOT = Path(__file__).parents[1]
OWN_DATA = ROOT / "docs" / "own_data.md"
CERBERUS = ROOT / "docs" / "cerberus.md"
EDITING = ROOT / "docs" / "editing.md"
FAULTS = ROOT / "docs" / "faults.md"
TRAINING = ROOT / "docs" / "training.md"
LOSS_WEIGHTS = ROOT / "docs" / "loss_weights.md"
HIERARCHICAL = ROOT / "docs" / "hierarchical.md"
SCORE_INFORMED = ROOT / "docs" / "score_informed.md"
RATE = 8000
TINY = {"hidden_size": 8, "n_layers": 1, "max_epochs": 1, "verbose": 0}
PROGRAMS = {"piano": 0, "guitar": 25}


def snippets_of(page):
    """Return the blocks of Python of a page, with the lines they begin at."""
    text = page.read_text("utf-8")
    blocks = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, block.start(1)), block.group(1)) for block in blocks]


def run(page):
    """Run the blocks of a page, and give what they have named after each."""
    names = {}
    for line, code in snippets_of(page):
        # Blank lines make a traceback name the page's own lines.
        exec(compile("\n" * line + code, str(page), "exec"), names)
        yield names


def make_songs(instruments):
    """Return two scenes of 7.5 s, in 5 s of which all instruments begin ten notes or more."""
    _, scenes = make_scenes(6, instruments, duration=7.5, sample_rate=RATE, random_state=0)
    is_busy = [min((notes.onset < 5).sum() for notes in scene.notes) >= 10 for scene in scenes]
    return list(compress(scenes, is_busy))[:2]


def write_part(audio_path, midi_path, scene, name):
    write_audio(in_folder(audio_path), scene.source(name), RATE)
    write_midi(in_folder(midi_path), {name: scene.notes_of(name)})


def make_slakh(root):
    for i, scene in enumerate(make_songs(tuple(PROGRAMS))):
        place, stems = root / "train" / f"Track{i + 1:05d}", {}
        for j, name in enumerate(scene.instruments):
            stem = f"S{j:02d}"
            write_part(
                place / "stems" / f"{stem}.flac", place / "MIDI" / f"{stem}.mid", scene, name
            )
            stems[stem] = {
                "audio_rendered": True,
                "is_drum": False,
                "midi_saved": True,
                "integrated_loudness": -20.0,
                "program_num": PROGRAMS[name],
            }
        write_audio(place / "mix.flac", scene.sources.sum(axis=0), RATE)
        (place / "metadata.yaml").write_text(yaml.safe_dump({"stems": stems}))


def make_guitarset(root):
    for i, scene in enumerate(make_songs(("guitar",))):
        title = f"0{i}_BN1-129-Eb_comp"
        place = in_folder(root / "audio_mono-mic" / f"{title}_mic.wav")
        write_audio(place, scene.sources[0], RATE)
        notes = zip(scene.notes[0].onset, scene.notes[0].pitch, strict=True)
        string = [(float(onset), float(pitch)) for onset, pitch in notes]
        in_folder(root / "annotation" / f"{title}.jams").write_text(jams([string]))


def make_folder(root, instruments=("piano", "guitar"), names=None):
    for i, scene in enumerate(make_songs(instruments)):
        for name, its_name in zip(instruments, names or instruments, strict=True):
            part = root / f"song {i}" / its_name
            write_part(part.with_suffix(".wav"), part.with_suffix(".mid"), scene, name)
        if i == 0:
            write_audio(root / f"song {i}" / "mixture.wav", scene.sources.sum(axis=0), RATE)


def with_few_mixtures(make, *args, n_mixes, **kwargs):
    return make(*args, n_mixes=min(n_mixes, 4), **kwargs)


def test_snippets_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A\n```python\na = 1\n```\n\n```python\nb\n```\n")
    assert snippets_of(page) == [(2, "a = 1\n"), (6, "b\n")]


@pytest.mark.filterwarnings("ignore:Nothing is held out")  # some of these trees are one song
def test_own_data_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_slakh(tmp_path / "slakh2100_flac_redux")
    make_guitarset(tmp_path / "guitarset")
    make_folder(tmp_path / "my songs")
    make_folder(tmp_path / "other songs")
    make_folder(tmp_path / "with theremin", ("piano", "flute"), ("piano", "theremin"))
    # As on the page, but small: networks of the page's size take minutes.
    monkeypatch.setattr(msa_sk, "Cerberus", functools.partial(msa_sk.Cerberus, **TINY), False)
    for name in ("IncoherentMixing", "mix_incoherent"):
        make = functools.partial(with_few_mixtures, getattr(msa_sk.datasets, name))
        monkeypatch.setattr(msa_sk.datasets, name, make, False)
    fitted = []
    for names in run(OWN_DATA):
        fitted.append(names.get("cerberus"))
    slakh, _, own, mixed = fitted[:4]
    assert slakh.instruments_ == ("guitar", "piano")
    assert names["transcriber"].instruments_ == ("guitar",)
    assert own.instruments_ == ("guitar", "piano")
    assert own.n_iter_ == 1
    assert "valid_loss" in mixed.history_[0]
    assert set(names["search"].best_params_) == {"sampler__gain_db"}
    assert (len(names["train"]), len(names["test"])) == (1, 1)
    printed = capsys.readouterr().out
    assert printed == "('piano', 'theremin')\n"  # and no problems


def readers():
    """Return all readers that the package offers."""
    found = {name: getattr(msa_sk.datasets, name) for name in msa_sk.datasets.__all__}
    return {name: one for name, one in found.items() if hasattr(one, "licence")}


def test_own_data_lists_every_reader():
    text = OWN_DATA.read_text("utf-8")
    rows = [re.split(r" *\| *", row.strip("| ")) for row in re.findall(r"^\| `.*", text, re.M)]
    table = {row[0].strip("`"): row[1:] for row in rows}
    assert set(table) == set(readers())
    for name, reader in readers().items():
        splits, instruments, *_, licence = table[name]
        assert splits == (", ".join(reader.splits) or "none")
        assert licence == reader.licence
        if reader.instruments is not None and name != "Slakh":
            assert instruments == ", ".join(reader.instruments)
    assert len(readers()) == 7


def test_the_template_of_a_reader_works(tmp_path):
    (_, code), names = *snippets_of(ROOT / "CONTRIBUTING.md"), {}
    exec(code, names)
    for place in (tmp_path / "train" / "song", tmp_path / "test" / "other"):
        parts = [
            write_noise(place / f"{name}.wav", i) for i, name in enumerate(("violin", "cello"))
        ]
        write_sum(place / "mix.wav", parts)
        write_notes(place / "violin.mid", 70, 72)
        write_notes(place / "cello.mid", 40)
    reader = names["Duets"](tmp_path)
    X, y = reader.load("train")
    assert [mixture.group for mixture in X] == ["song"]
    assert y[0].instruments == ("violin", "cello")
    assert [len(notes) for notes in y[0].notes] == [2, 1]
    assert reader.validate() == []


@pytest.mark.filterwarnings("ignore:.* mixtures (is a solo|are solos)")  # of half a second
def test_loss_weights_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = LOSS_WEIGHTS.read_text("utf-8")
    for name in re.findall(r"^!\[.*\]\((.*)\)$", page, re.MULTILINE):
        assert (LOSS_WEIGHTS.parent / name).is_file()
    data = make_scenes(6, duration=0.5, sample_rate=RATE, random_state=0)
    monkeypatch.setattr(msa_sk.datasets, "make_scenes", lambda *args, **kwargs: data)
    monkeypatch.setattr(
        "sklearn.model_selection.GridSearchCV",
        lambda model, grid, **options: GridSearchCV(
            model, {name: values[:2] for name, values in grid.items()}, **options
        ),
    )
    monkeypatch.setattr(msa_sk, "Cerberus", functools.partial(msa_sk.Cerberus, **TINY), False)
    *_, names = run(LOSS_WEIGHTS)
    assert (tmp_path / "search.png").is_file()
    assert names["behind"].shape == (3, 4)
    assert (names["behind"].mean(axis=0) >= 0).all()
    assert set(names["search"].best_params_) == {"dc_weight", "tr_weight"}
    assert names["cerberus"].max_epochs == 30
    *of_candidates, best = capsys.readouterr().out.splitlines()
    assert len(of_candidates) == 4
    assert best == str(names["search"].best_params_)


def test_every_fault_is_shown_by_what_exists():
    rows = re.findall(r"^\| ([A-Z]\d+) \|.*\| (.*) \|$", FAULTS.read_text("utf-8"), re.M)
    parts = {"D": 14, "E": 11, "F": 5, "G": 6}
    assert [name for name, _ in rows] == [
        f"{part}{i + 1}" for part in parts for i in range(parts[part])
    ]
    known = set(CHECKS)
    for path in (ROOT / "tests").glob("test_*.py"):
        tests = re.findall(r"^def (test_\w+)", path.read_text("utf-8"), re.M)
        known.update(f"{path.name}::{name}" for name in tests)
    for path in (ROOT / "benchmarks" / "results").glob("*.md"):
        name, _, size = path.stem.rpartition("-")
        known.add(f"python -m benchmarks.{name} --size {size}")
    for name, shown_by in rows:
        evidence = set(re.findall("`(.*?)`", shown_by))
        assert evidence, name
        assert evidence <= known, name


def test_the_page_of_cerberus_runs(monkeypatch):
    tiny = TINY | {"transformer": msa_sk.STFT(sample_rate=RATE, n_fft=256, hop_length=128)}
    monkeypatch.setattr(msa_sk, "Chimera", functools.partial(msa_sk.Chimera, **tiny), False)
    short = functools.partial(make_scenes, duration=0.5, sample_rate=RATE)
    monkeypatch.setattr(msa_sk.datasets, "make_scenes", short, False)
    (names,) = run(CERBERUS)
    assert {"train_dc", "train_mi"} < set(names["chimera"].history_[-1])
    assert len(names["by_masks"]) == 8
    for masks, clusters in zip(names["by_masks"], names["by_clusters"], strict=True):
        assert not np.array_equal(masks.sources, clusters.sources)


def test_the_table_of_the_family_holds():
    rows = re.findall(
        r"^\| `(\w+)` \| ([\d., ]+) \| ([\d., ]+) \| (.*) \| (.*) \|$",
        CERBERUS.read_text("utf-8"),
        re.MULTILINE,
    )
    assert len(rows) == 7
    for name, weights, in_table, sources, notes in rows:
        cls = getattr(msa_sk, name)
        for text, one in ((weights, cls()), (in_table, cls.from_preset("chapter3"))):
            expected = [float(weight) for weight in text.split(", ")]
            assert [one.dc_weight, one.mi_weight, one.tr_weight] == expected, name
        tags = cls().__sklearn_tags__()
        assert (tags.separates, tags.transcribes) == (sources != "–", notes == "yes")
        assert ("separate_by" in cls().get_params()) == (sources == "masks or clusters")


def test_the_page_on_hierarchies_runs(monkeypatch):
    tiny = TINY | {"transformer": msa_sk.STFT(n_fft=256, hop_length=128)}
    for name in ("HierarchicalQBE", "SourceSpecificSeparator"):
        small = functools.partial(getattr(msa_sk, name), **tiny)
        monkeypatch.setattr(msa_sk, name, small, False)
    mixing = functools.partial(with_few_mixtures, msa_sk.QueryMixing)
    monkeypatch.setattr(msa_sk, "QueryMixing", mixing, False)
    names = ("guitar", "piano", "organ", "flute", "brass")
    X, y = make_scenes(10, names, duration=0.5, random_state=0)
    monkeypatch.setattr(msa_sk.datasets, "make_scenes", lambda *args, **kwargs: (10 * X, 10 * y))
    *_, names = run(HIERARCHICAL)
    levels = ("level_1", "level_2", "level_3")
    assert names["estimate"].instruments == names["pianos"].instruments_ == levels
    assert names["anchors"].shape == (2, 20)
    assert names["y"][0].instruments == levels[1:]
    assert set(names["search"].best_params_) == {"constraint"}
    top, rest = names["estimate"].source("level_3"), names["estimate"].residual(names["song"])
    np.testing.assert_allclose(top + rest, names["song"].audio, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.* mixtures (is a solo|are solos)")  # of half a second
def test_the_page_on_scores_runs(monkeypatch):
    tiny = TINY | {"transformer": msa_sk.STFT(sample_rate=RATE, n_fft=256, hop_length=128)}
    for name in (
        *("ScoreInformedSeparator", "SourceInformedTranscriber"),
        *("Transcriber", "MaskInference"),
    ):
        small = functools.partial(getattr(msa_sk, name), **tiny)
        monkeypatch.setattr(msa_sk, name, small, False)
    short = functools.partial(make_scenes, duration=0.5, sample_rate=RATE)
    monkeypatch.setattr(msa_sk.datasets, "make_scenes", short, False)
    _, measured, *_, chained = run(SCORE_INFORMED)
    assert measured["distance"] == 0  # of the last step, which is the truth
    assert measured["delta"].shape == (2,)
    assert len(chained["notes"]) == 2


@pytest.mark.parametrize(
    "page", [CERBERUS, HIERARCHICAL, SCORE_INFORMED], ids=lambda page: page.stem
)
def test_what_pages_cite_exists(page):
    text = page.read_text("utf-8")
    tests = re.findall(r"`(test_\w+\.py)::(test_\w+)`", text)
    assert tests
    for file, name in tests:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8")
    for result in re.findall(r"`(\w+-(?:tiny|small|paper)\.md)`", text):
        assert (ROOT / "benchmarks" / "results" / result).exists()


def test_the_page_of_training_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = make_scenes(8, duration=0.3, sample_rate=8000, random_state=0)
    monkeypatch.setattr(msa_sk.datasets, "make_scenes", lambda *args, **kwargs: (X, y))
    steps = [(names["network"], names.get("tuned")) for names in run(TRAINING)]
    (validated, _), (preset, _), (further, _), (_, tuned), (longer, _) = steps
    assert validated.history_[-1].keys() >= {"train_loss", "valid_loss", "valid_mi"}
    assert preset.get_params() == Cerberus.from_preset("chapter3", max_epochs=10).get_params()
    assert further.n_iter_ == 3  # of the second fit, and one pass
    assert tuned.instruments_ == ("piano",)
    assert (longer.sequence_length, longer.n_iter_) == (128, 1)  # of the second fit


def test_the_presets_are_as_the_page_of_training_has_them():
    rows = re.findall(r'^\| `"(chapter\w+)"` .*$', TRAINING.read_text("utf-8"), re.M)
    assert rows == list(Cerberus._presets)
    two, three, four = (Cerberus.from_preset(name) for name in rows)
    assert (two.hidden_size, two.n_layers, two.dropout, two.batch_size) == (600, 4, 0.3, 25)
    assert (two.lr, two.lr_schedule, two.max_grad_norm) == (1e-4, "halve", "autoclip")
    assert (three.hidden_size, three.n_layers, three.batch_size, three.lr) == (300, 4, 40, 2e-4)
    assert (four.hidden_size, four.n_layers, four.batch_norm) == (600, 4, True)
    assert (four.batch_size, four.lr, four.lr_schedule, four.max_epochs) == (64, 3e-4, "decay", 31)


def test_the_page_of_editing_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def make_few(n_scenes, *args, **kwargs):
        return make_scenes(min(n_scenes, 4), *args, **kwargs)

    monkeypatch.setattr(msa_sk.datasets, "make_scenes", make_few, False)
    make = functools.partial(msa_sk.Transcriber, **TINY)
    monkeypatch.setattr(msa_sk, "Transcriber", make, False)
    *_, names = run(EDITING)
    printed, text = capsys.readouterr().out, EDITING.read_text("utf-8")
    *levels, edit = printed.splitlines()
    assert len(levels) == 2
    for line in levels:
        instrument = line.split(":")[0]
        expected = re.search(rf"^    {instrument}: from ([\d.]+) to ([\d.]+) dB$", text, re.M)
        found = re.findall(r"[\d.]+", line)
        for value, on_page in zip(found, expected.groups(), strict=True):
            assert float(value) == pytest.approx(float(on_page), abs=0.2)
    assert edit in re.sub(r"\s+", " ", text)
    operations = re.findall(r"^\| `(\w+)\(instrument", text, re.M)
    assert operations == list(OPERATIONS)
    assert [path.name for path in (tmp_path / "stems").glob("*.wav")] != []
    linked = [EDITING.parent / link for link in re.findall(r"\]\((.*?)\)", text)]
    assert {path.suffix for path in linked} == {".png", ".ogg"}
    assert all(path.is_file() for path in linked)
    np.testing.assert_array_equal(names["told"].scene.sources, names["before"].sources)
    assert [one["operation"] for one in names["session"].log] == ["move", "delete", "add"]
