"""Several processes that torchrun starts train as one does."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = """
import json, os, signal, sys
import skorch
import torch
from msa_sk import STFT, Cerberus, Scene
from msa_sk.datasets import make_scenes



class Killed(skorch.callbacks.Callback):
    def on_epoch_end(self, net, **given):
        if os.environ.get("RANK") == "1" and len(net.history) == 2:
            os.kill(os.getpid(), signal.SIGKILL)


torch.set_num_threads(1)
X, y = make_scenes(7, duration=0.5, sample_rate=8000, random_state=0)
seeded = sys.argv[2] == "seeded"
if not seeded:  # and some sources are unknown, so that a process may have nothing to learn them by
    y[2:5] = [Scene(scene.instruments, 8000, notes=scene.notes) for scene in y[2:5]]
cerberus = Cerberus(
    hidden_size=6, n_layers=1, embedding_size=3, max_epochs=3, batch_size=3, sequence_length=400,
    validation_fraction=0.3, lr_schedule="halve", batch_norm=seeded,
    max_grad_norm="autoclip", checkpoint=sys.argv[1] + "/training.msa", device="cpu",
    random_state=0 if seeded else None, transformer=STFT(8000, 256, 128),
    callbacks=[("killed", Killed())] if sys.argv[3:] else (),
)
cerberus.fit(X, y)
weights = {name: value.tolist() for name, value in cerberus.net_.module_.state_dict().items()}
with open(f"{sys.argv[1]}/{os.environ.get('RANK', 'alone')}.json", "w") as file:
    json.dump([weights, cerberus.history_], file)
"""


def run(folder, n_processes, *arguments):
    """Run the script in some processes, and tell how it ended."""
    folder.mkdir(exist_ok=True)
    script = folder / "script.py"
    script.write_text(SCRIPT)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    return subprocess.run(
        [sys.executable, *(torchrun if n_processes > 1 else []), script, folder, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def trained(folder, n_processes, seeded):
    """Return (weights, history) of each process."""
    run(folder, n_processes, seeded).check_returncode()
    names = [str(rank) for rank in range(n_processes)] if n_processes > 1 else ["alone"]
    return [json.loads((folder / f"{name}.json").read_text()) for name in names]


def test_two_processes_train_as_one(tmp_path):
    pytest.importorskip("torch.distributed")
    ((alone, history),) = trained(tmp_path / "one", 1, "seeded")
    first, second = trained(tmp_path / "two", 2, "seeded")
    assert first == second
    for name, value in first[0].items():
        np.testing.assert_allclose(value, alone[name], atol=1e-4, err_msg=name)
    for ours, theirs in zip(first[1], history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [
        "0.json",
        "1.json",
        "script.py",
        "training.msa",
    ]


def test_two_processes_agree_without_a_seed_and_with_less_to_know(tmp_path):
    first, second = trained(tmp_path / "two", 2, "unseeded")
    assert first == second


def test_one_process_that_is_killed_ends_all_and_they_go_on_where_they_were(tmp_path):
    pytest.importorskip("torch.distributed")
    ended = run(tmp_path / "killed", 2, "seeded", "killed")
    assert ended.returncode != 0
    assert "SIGKILL" in ended.stderr
    assert not [*(tmp_path / "killed").glob("*.json")]
    assert (tmp_path / "killed" / "training.msa").exists()
    assert trained(tmp_path / "killed", 2, "seeded") == trained(tmp_path / "never", 2, "seeded")
