"""Folders and files that several write at once: each is one writer's, and whole."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from msa_sk import MixtureBaseline, Scene
from msa_sk.audio import write_audio
from msa_sk.datasets import cache_resampled, make_scenes
from msa_sk.exceptions import InputError
from msa_sk.stems import write_scenes

RATE = 8000


def scene(level, *names):
    return Scene(names, RATE, np.full((len(names), 1000), level, np.float32))


def levels(folder):
    """Return how loud each file of a folder is; they are constant."""
    files = {path.stem: soundfile.read(path)[0] for path in folder.glob("*.wav")}
    assert all(len(np.unique(audio)) == 1 for audio in files.values())
    return {name: round(float(audio[0]), 3) for name, audio in files.items()}


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be locked")
@pytest.mark.parametrize("existed", [False, True])
def test_two_writers_of_a_folder_do_not_mix(tmp_path, monkeypatch, existed):
    """The second begins, and would end, while the first moves its files into place."""
    folder, replace = tmp_path / "out", os.replace
    if existed:
        scene(0.1, "bass").write(folder)
    second = threading.Thread(target=scene(0.3, "piano", "guitar").write, args=[folder])

    def slow(source, target):
        replace(source, target)
        into_place = folder in (Path(target), Path(target).parent)
        if into_place and not second.ident:
            second.start()
            second.join(0.3)

    monkeypatch.setattr("msa_sk._files.os.replace", slow)
    scene(0.2, "drums", "guitar", "piano").write(folder)
    second.join()
    assert levels(folder) == {"guitar": 0.3, "piano": 0.3}
    assert [*tmp_path.iterdir()] == [folder]
    assert sorted(path.name for path in folder.iterdir()) == [
        "guitar.wav",
        "piano.wav",
        "scene.json",
    ]


def test_who_must_not_overwrite_loses(tmp_path):
    """Another process has made the folder since it was looked for."""
    folder = tmp_path / "out"

    def stretches():
        yield scene(0.2, "bass")
        scene(0.3, "bass").write(folder)

    with pytest.raises(
        InputError, match="out: expected a folder that does not exist yet, got one"
    ):
        write_scenes(folder, stretches(), overwrite=False)
    assert levels(folder) == {"bass": 0.3}
    assert [*tmp_path.iterdir()] == [folder]


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be locked")
@pytest.mark.parametrize("existed", [False, True])
def test_what_a_killed_writer_has_left_goes(tmp_path, existed):
    folder = tmp_path / "out"
    if existed:
        scene(0.1, "bass").write(folder)
    code = """
        import os, signal
        import numpy as np
        from msa_sk import Scene
        from msa_sk.stems import write_scenes

        def stretches():
            yield Scene(("bass",), 8000, np.full((1, 1000), 0.2, np.float32))
            os.kill(os.getpid(), signal.SIGKILL)

        write_scenes("out", stretches())
    """
    killed = [sys.executable, "-c", textwrap.dedent(code)]
    assert subprocess.run(killed, cwd=tmp_path, timeout=180).returncode == -signal.SIGKILL
    (left,) = tmp_path.rglob(".tmp-*")
    assert left.parent == (folder if existed else tmp_path)
    scene(0.3, "piano").write(tmp_path / "other")
    assert left.is_dir()
    scene(0.3, "piano").write(folder)
    assert not [*tmp_path.rglob(".tmp-*")]
    assert levels(folder) == {"piano": 0.3}


@pytest.mark.parametrize("existed", [False, True])
def test_who_is_at_work_is_left_alone(tmp_path, existed):
    folder = tmp_path / "out"
    if existed:
        scene(0.1, "bass").write(folder)

    def stretches():
        yield scene(0.2, "bass")
        scene(0.3, "bass").write(folder)

    write_scenes(folder, stretches())
    assert levels(folder) == {"bass": 0.2}


def test_predictions_overwrite_only_if_asked(tmp_path, monkeypatch):
    X, y = make_scenes(1, duration=0.5, sample_rate=RATE, random_state=0)
    baseline = MixtureBaseline().fit(X, y)
    seen = []
    monkeypatch.setattr(
        "msa_sk.base.write_scenes", lambda folder, *_, overwrite, **__: seen.append(overwrite)
    )
    for overwrite in (False, True):
        baseline.predict_to_files(X, tmp_path / "out", overwrite=overwrite)
    assert seen == [False, True]


def test_two_processes_write_one_folder_and_one_cache(tmp_path):
    """Over and over again, each its own scene, and the same copies of the same files."""
    X, y = [], []
    (tmp_path / "data").mkdir()
    for i in range(3):
        audio = np.random.default_rng(i).uniform(-0.5, 0.5, 44100)
        X.append(write_audio(tmp_path / "data" / f"{i}.wav", audio, 44100))
        y.append({"piano": X[-1]})
    code = """
        import sys, time
        from pathlib import Path
        import numpy as np
        from msa_sk import Scene
        from msa_sk.datasets import cache_resampled

        level = float(sys.argv[1])
        paths = sorted(map(str, Path("data").iterdir()))
        Path(sys.argv[1]).touch()
        while not all(map(Path.exists, map(Path, ("0.2", "0.3")))):
            time.sleep(0.001)
        for i in range(20):
            names = ("bass", f"only {level:g}", "piano")
            Scene(names, 8000, np.full((3, 1000), level, np.float32)).write("out")
        cache_resampled(paths, [{"piano": path} for path in paths], "cache")
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), level],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        for level in ("0.2", "0.3")
    ]
    for process in processes:
        _, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors[-2000:]
    found = levels(tmp_path / "out")
    (level,) = set(found.values())
    assert found.keys() == {"bass", f"only {level:g}", "piano"}
    assert not [*tmp_path.rglob(".tmp-*")]
    cache_resampled(X, y, tmp_path / "alone")
    both, alone = (
        {path.name: path.read_bytes() for path in Path(tmp_path, name).iterdir()}
        for name in ("cache", "alone")
    )
    assert both == alone
    assert len(alone) == 3
