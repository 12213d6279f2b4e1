"""The benchmarks of training and inference: their peers do the same work, and claims can fail."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks are not installed with the package")
    monkeypatch.syspath_prepend(ROOT)


@pytest.fixture
def training():
    from benchmarks import training_speed

    return training_speed


@pytest.fixture
def inference(monkeypatch):
    from benchmarks import inference_speed

    tiny = inference_speed.Size(4, 1, 4, 0.3, 1)
    monkeypatch.setitem(inference_speed.SIZES, "tiny", tiny)
    return inference_speed


@pytest.fixture
def size(training, monkeypatch):
    tiny = training.Size(4, 1, 5, 2, 1, 1, 1, 1)
    monkeypatch.setitem(training.SIZES, "tiny", tiny)
    return tiny


class Here:
    """Stands in for a pool of processes, in this one."""

    def submit(self, function, *arguments):
        self.value = function(*arguments)
        return self

    def result(self):
        return self.value


@pytest.fixture
def at_home(training, monkeypatch):
    @contextmanager
    def worker(allocator):
        yield Here()

    monkeypatch.setattr(training, "keep_large_buffers", lambda: True)
    monkeypatch.setattr(training, "worker", worker)


def test_the_plain_loop_does_the_same_work(training, size):
    net = training.fitted(size, 3).net_.initialize()
    inputs, target = training.make_batch(size, 3)
    terms = net.criterion_(net.module_.train()(**inputs), target)
    assert set(terms) == {"dc", "mi", "tr"}
    plain = training.PlainNetwork(net.module_)
    expected = sum(p.numel() for p in net.module_.parameters())
    assert sum(p.numel() for p in plain.parameters()) == expected
    net.module_.zero_grad()  # those of its fit
    sum(terms.values()).backward()
    loss = training.plain_loop(plain, (inputs, target))()
    assert loss == pytest.approx(sum(terms.values()).item(), rel=1e-5)
    ours = dict(net.module_.named_parameters())
    for name, parameter in plain.named_parameters():
        head, _, which = name.partition(".")
        same = f"body.{name}" if head == "lstm" else f"heads.{head}.linear.{which}"
        torch.testing.assert_close(parameter.grad, ours[same].grad, rtol=1e-3, atol=1e-8)


def test_ways_to_train_start_alike_in_processes_of_their_own(training, size):
    way = training.Way("plain", "environment")
    seconds, losses, n_parameters = training.take_turns([way], size, 0)
    assert len(seconds[way]) == len(losses[way]) == 1
    assert training.prepare(training.Way("ours", "default"), size, 0) == n_parameters
    training.one_step()  # the first warms up
    assert losses[way][0] == pytest.approx(training.one_step()[1], rel=1e-4)


def test_a_process_reads_the_variables_when_it_starts(training, monkeypatch):
    started = []

    class Pool(Here):
        def __init__(self, *arguments):
            started.append({name: training.os.environ.get(name) for name in training.MALLOC})

        def __enter__(self):
            return self

        def __exit__(self, *error):
            started.append("ended")

    monkeypatch.setattr(training, "ProcessPoolExecutor", Pool)
    monkeypatch.setenv("MALLOC_TOP_PAD_", "7")
    for allocator, seen in (("environment", training.MALLOC), ("default", {})):
        with training.worker(allocator):
            assert started.pop() == {name: seen.get(name) for name in training.MALLOC}
            assert training.os.environ["MALLOC_TOP_PAD_"] == "7"
        assert started.pop() == "ended"


def test_the_training_report(training, size, at_home, monkeypatch, tmp_path):
    steps = {"seconds": [2.0, 3.0], "losses": [1.0, 0.9]}

    def turns(ways, size, seed):
        seconds = {way: [s / (1 + i) for s in steps["seconds"]] for i, way in enumerate(ways)}
        return seconds, dict.fromkeys(ways, steps["losses"]), 16_000_000

    monkeypatch.setattr(training, "take_turns", turns)
    training.main(["--results", str(tmp_path)])
    rows = json.loads((tmp_path / "training_speed-tiny.json").read_text())["rows"]
    first, *_, overhead = rows
    assert first["ratio"] == pytest.approx(6)  # the last of the six ways against the first
    assert first["work"].startswith("step, 16.0 M parameters, 2 x 5 frames")
    assert overhead["against"] == "a loop by hand"
    assert len({tuple(row) for row in rows}) == 1  # one table
    assert all(row["holds"] in (True, None) for row in rows)


def test_a_wrong_gradient_fails_the_training_benchmark(
    training, size, at_home, monkeypatch, tmp_path
):
    loss = training.deep_clustering_loss
    monkeypatch.setattr(training, "step_speed", lambda *_: [])
    monkeypatch.setattr(training, "deep_clustering_loss", lambda *a: 1.01 * loss(*a))
    with pytest.raises(AssertionError, match="do not hold: deep clustering.*of gradients"):
        training.main(["--results", str(tmp_path)])


def test_unequal_losses_and_slow_steps_do_not_hold(training):
    ways = training.Way("ours", "kept"), training.Way("plain", "default")
    seconds = {ways[0]: [1.0, 1.0, 9.0], ways[1]: [3.0, 2.0, 2.0]}
    row = training.step_row("step", *ways, seconds, dict.fromkeys(ways, [1.0]), (2.0, 4.0))
    assert (row["ratio"], row["ours"], row["holds"]) == (2.0, 1.0, True)
    row = training.step_row("step", *ways, seconds, dict.fromkeys(ways, [1.0]), (2.2, 4.0))
    assert row["holds"] is False
    losses = {ways[0]: [1.0], ways[1]: [1.01]}
    assert training.step_row("step", *ways, seconds, losses, None)["holds"] is False


def test_open_unmix_has_its_shapes_and_sizes(inference):
    with torch.device("meta"):
        targets = [inference.Target(hidden, 2049) for hidden in (512, 1024)]
    sizes = [sum(p.numel() for p in target.parameters()) for target in targets]
    assert sizes == pytest.approx([8.9e6, 28.3e6], rel=0.01)  # umxhq and umxl
    umx = inference.OpenUnmix(8).eval()
    audio = torch.randn(2, 9000)
    with torch.no_grad():
        masks, sources = umx(umx.stft(audio).abs()), umx.separate(audio)
    assert [mask.shape for mask in masks] == [(2, 2049, 9)] * 4
    assert [source.shape for source in sources] == [audio.shape] * 4
    assert all((mask >= 0).all() for mask in masks)


def test_the_inference_report(inference, tmp_path):
    inference.main(["--results", str(tmp_path)])
    rows = json.loads((tmp_path / "inference_speed-tiny.json").read_text())["rows"]
    against = [row["against"] for row in rows]
    assert "all heads" in against
    assert against[-1].startswith("float32 (masks differ by at most")
    assert all(row["holds"] in (True, None) for row in rows)


def test_times_are_per_sample(inference, monkeypatch):
    figures = {"ours": 1.0, "peer": 8.0, "ratio": 8.0, "n_runs": 3}
    monkeypatch.setattr(inference, "race", lambda *_: (figures, None, None))
    row = inference.per_million(None, None, (1_000_000, 4_000_000), 3)
    assert row == {"ours": 1.0, "peer": 2.0, "ratio": 2.0, "n_runs": 3}
    assert inference.real_time(row) == "31 and 6 times real time"  # in stereo
