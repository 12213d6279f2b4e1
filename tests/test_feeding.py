"""Data sets of many records: cheap to cut, to send and to read, and the benchmark that says so."""

import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from msa_sk import Clip, Mixture, Notes, Scene
from msa_sk.audio import write_audio
from msa_sk.datasets import CoherentMixing, Excerpts

# librosa's reader of other formats loads modules that Python 3.13 drops; goes with librosa 1.0.
OLD_MODULES = pytest.mark.filterwarnings("ignore:.* is deprecated and slated for removal")
ROOT = Path(__file__).parents[1]
RATE = 8000
NAMES = ("bass", "drums", "guitar", "piano")


@pytest.fixture
def song(tmp_path, rng):
    """Return a mixture and a scene of a minute: four stems in files, 300 notes each."""
    stems = tuple(
        Clip(write_audio(tmp_path / f"{name}.wav", rng.normal(0, 0.1, 60 * RATE), RATE, "FLOAT"))
        for name in NAMES
    )
    onset = np.sort(rng.uniform(0, 59, 300))
    notes = tuple(Notes(onset, onset + 0.5, rng.integers(30, 90, 300)) for _ in NAMES)
    return Mixture(stems, RATE, group="song"), Scene(NAMES, RATE, stems, notes)


@pytest.fixture
def excerpts(song):
    return Excerpts(duration=5.0, hop=0.05, min_notes=1).apply([song[0]], [song[1]])


def test_records_weigh_little_and_arrive_whole(excerpts):
    X, y = excerpts
    assert len(X) == 1101
    sent = pickle.dumps((X, y), pickle.HIGHEST_PROTOCOL)
    assert len(sent) < 700 * len(X)
    X_there, y_there = pickle.loads(sent)
    for k in (0, 555, 1100):
        assert np.array_equal(X_there[k].read(), X[k].read())
        for name in NAMES:
            here, there = y[k].notes_of(name), y_there[k].notes_of(name)
            assert np.array_equal(here.onset, there.onset)
            assert np.array_equal(here.pitch, there.pitch)


def test_records_share_what_is_the_same(excerpts):
    X, y = excerpts
    for mixture, scene in zip(X, y, strict=True):
        assert all(own is one for own, (one,) in zip(mixture.audio, scene.sources, strict=True))


def test_notes_are_picked_when_asked_for(song):
    whole = song[1].notes_of("piano")
    part = whole.excerpt(10.0, 5.0)
    assert isinstance(part, Notes)
    assert set(vars(part)) == {"_stretch"}
    sounding = (whole.onset < 15) & (whole.offset > 10)
    assert len(part) == sounding.sum()
    assert sorted(part.pitch) == sorted(whole.pitch[sounding])
    assert part.onset.min() >= 0
    assert part.offset.max() <= 5
    assert not part.onset.flags.writeable
    assert set(vars(part)) == {"_stretch"}  # nothing is kept
    low = part.select(part.pitch < 60)
    assert len(low) == (part.pitch < 60).sum()
    assert len(part.excerpt(1.0, 1.0)) == len(whole.excerpt(11.0, 1.0))


def test_reading_needs_no_more_memory_for_more_scenes(excerpts):
    peaks = []
    for n in (20, 400):
        draws = CoherentMixing(n).prepare(*excerpts)
        tracemalloc.start()
        for index in range(n):
            mixture, scene = draws.draw(0, index)
            audio = [mixture.read(), *(scene.source(name) for name in NAMES)]
            assert len(audio) == 5
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


@pytest.fixture
def benchmark(monkeypatch):
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks are not installed with the package")
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import feeding

    monkeypatch.setitem(feeding.SIZES, "tiny", feeding.Size(4, 6.0, 2, 4, 100, 1))
    monkeypatch.setattr(feeding, "N_JOBS", 1)
    return feeding


@OLD_MODULES
def test_report(benchmark, tmp_path):
    benchmark.main(["--size", "tiny", "--seed", "3", "--results", str(tmp_path)])
    report = json.loads((tmp_path / "feeding-tiny.json").read_text())
    reading, feeding, memory, records = report["rows"]
    assert reading["ratio"] == pytest.approx(reading["peer"] / reading["ours"])
    assert reading["difference"] < 1e-3
    assert "incoherent mixtures" in feeding["work"]
    assert memory["holds"] is records["holds"] is True


@OLD_MODULES
def test_a_claim_that_does_not_hold_fails(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(
        benchmark, "mix", lambda sources: np.random.default_rng().random((5, 80000))
    )
    with pytest.raises(AssertionError, match="do not hold: 2 scenes of 4 x 5 s .*: difference"):
        benchmark.main(["--results", str(tmp_path)])
