"""How fast Cerberus trains, and what that is owed to.

The peer is a plain PyTorch loop: `torch.nn.LSTM` and linear heads, the deep-clustering loss by
Gram matrices and autograd, Adam and the allocator as they come. It begins from the same weights
as ours and is shown the same batch. Each way to train has a process of its own, as the allocator
is set for a whole process, and they take turns step by step; at the paper's size all of them
together hold 16 GB.

Claimed and asserted: losses are equal after the same steps, and gradients where parts are
compared; and, from the size small upwards, at the paper's size (preset "chapter3", 16 million
parameters),

- steps are at least 2.2 times as fast as the plain loop's;
- `keep_large_buffers` does what the environment variables of glibc do, to a tenth;
- the deep-clustering loss with its normalisation takes at most 0.3 of the body's time;

and of the default network, whose steps are much shorter,

- the engine takes under 2 % more than a loop written by hand around the same module and loss.

``python -m benchmarks.training_speed --size tiny|small|paper [--seed 0]``
"""

import copy
import multiprocessing
import operator
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot
from torch.utils.data import DataLoader

from benchmarks._report import conclude, parse_arguments, race, write_report
from msa_sk import Cerberus, Mixture, Notes, Scene
from msa_sk.datasets import make_scenes
from msa_sk.models.cerberus import PRESETS
from msa_sk.neural.allocator import keep_large_buffers
from msa_sk.neural.data import collate
from msa_sk.neural.devices import resolve_precision
from msa_sk.nn.bodies import BLSTM
from msa_sk.nn.heads import unit_length
from msa_sk.nn.losses import deep_clustering_loss
from msa_sk.rolls import N_PITCHES

PAPER = PRESETS["chapter3"]
N_BINS, N_SOURCES, EMBEDDING = 513, 2, PAPER["embedding_size"]
#: What `keep_large_buffers` sets, as glibc reads it when a process starts.
MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TOP_PAD_": str(2**28),
}


class Size(NamedTuple):
    """How large the network and its batches are, and how many turns each way to train has."""

    hidden_size: int
    n_layers: int
    n_frames: int
    batch_size: int
    loss_batch: int
    n_engine_mixes: int
    n_runs: int
    n_engine_runs: int


SIZES = {
    "tiny": Size(8, 2, 10, 2, 2, 1, 2, 2),
    "small": Size(300, 4, 400, 10, 8, 16, 7, 21),
    "paper": Size(300, 4, 400, 10, 8, 16, 21, 41),
}


class Way(NamedTuple):
    """A way to train: the loop, what the allocator does, the precision."""

    loop: str  # "plain" or "ours"
    allocator: str  # "default", "kept" or "environment"
    precision: str = "float32"


def main(argv: list[str] | None = None) -> None:
    """Measure, write the report, then fail if a claim does not hold."""
    arguments = parse_arguments(__doc__.splitlines()[0], argv)
    size, fast = SIZES[arguments.size], arguments.size != "tiny"
    start = time.perf_counter()
    rows = step_speed(size, arguments.seed, fast)
    for allocator in ("default", "kept"):
        with worker(allocator) as process:
            rows += process.submit(loss_speed, size, arguments.seed, allocator, fast).result()
    with worker("kept") as process:
        rows += process.submit(adam_speed, size, arguments.seed).result()
        rows += process.submit(engine_overhead, size, arguments.seed, fast).result()
    path = write_report(
        "training_speed",
        arguments,
        rows,
        time.perf_counter() - start,
        packages=("skorch",),
        note=f"Threads: {torch.get_num_threads()}. Median seconds over turns taken alternately; "
        "ratio: the median over turns of peer / ours; difference: the largest between the losses, "
        "or the gradients, of both, as a share.",
    )
    conclude(path, rows)


# The whole step


def step_speed(size: Size, seed: int, fast: bool) -> list[dict[str, Any]]:
    """Training steps, first of all that helps, then of each thing alone."""
    best = resolve_precision("auto", "cpu")
    plain, plain_kept, plain_environment = (
        Way("plain", allocator) for allocator in ("default", "kept", "environment")
    )
    ours, ours_kept = Way("ours", "default"), Way("ours", "kept")
    ours_best = Way("ours", "kept", best)
    ways = (plain, plain_kept, plain_environment, ours, ours_kept, ours_best)
    seconds, losses, n_parameters = take_turns(ways, size, seed)
    step = (
        f"step, {n_parameters / 1e6:.1f} M parameters, {size.batch_size} x {size.n_frames} frames"
    )
    pairs: list[tuple[str, Way, Way, tuple[float, float] | None]] = [
        (f"{step}: all together", ours_best, plain, (2.2, np.inf)),
        ("of this the allocator", plain_kept, plain, None),
        ("of this the fused loss and the fused Adam", ours_kept, plain_kept, None),
        (f"of this {best}", ours_best, ours_kept, None),
        ("with the default allocator, in float32", ours, plain, None),
        ("keep_large_buffers, not the environment", plain_kept, plain_environment, (0.9, 1.1)),
    ]
    return [
        step_row(work, a, b, seconds, losses, limits if fast else None)
        for work, a, b, limits in pairs
    ]


def step_row(
    work: str,
    way: Way,
    other: Way,
    seconds: dict[Way, list[float]],
    losses: dict[Way, list[float]],
    limits: tuple[float, float] | None,
) -> dict[str, Any]:
    """Compare two ways to train; their losses have to be equal to what their precision allows."""
    ratio = statistics.median(map(operator.truediv, seconds[other], seconds[way]))
    a, b = np.array(losses[way]), np.array(losses[other])
    difference = float(np.max(np.abs(a - b) / b))
    tolerance = 1e-3 if way.precision == "float32" else 0.02
    claim = f"difference < {tolerance:g}"
    holds = difference < tolerance
    if limits:
        low, high = limits
        claim += f", ratio >= {low:g}" + (f" and <= {high:g}" if high < np.inf else "")
        holds = holds and low <= ratio <= high
    return {
        "work": work,
        "against": f"{other.loop} loop, allocator: {other.allocator}, {other.precision}",
        "ours": statistics.median(seconds[way]),
        "peer": statistics.median(seconds[other]),
        "ratio": ratio,
        "n_runs": len(seconds[way]),
        "difference": difference,
        "claim": claim,
        "holds": holds,
    }


def take_turns(
    ways: Sequence[Way], size: Size, seed: int
) -> tuple[dict[Way, list[float]], dict[Way, list[float]], int]:
    """Return the seconds and the losses of every way's steps, and the number of parameters."""
    with ExitStack() as stack:
        workers = {way: stack.enter_context(worker(way.allocator)) for way in dict.fromkeys(ways)}
        for way, process in workers.items():
            n_parameters = process.submit(prepare, way, size, seed).result()
            process.submit(one_step).result()
        seconds: dict[Way, list[float]] = {way: [] for way in workers}
        losses: dict[Way, list[float]] = {way: [] for way in workers}
        for _ in range(size.n_runs):
            for way, process in workers.items():
                took, loss = process.submit(one_step).result()
                seconds[way].append(took)
                losses[way].append(loss)
    return seconds, losses, n_parameters


@contextmanager
def worker(allocator: str) -> Iterator[ProcessPoolExecutor]:
    """Give a process with its own allocator: "default", "kept" or "environment"."""
    before = {name: os.environ.pop(name, None) for name in MALLOC}
    if allocator == "environment":
        os.environ.update(MALLOC)
    try:
        process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        process.submit(os.getpid).result()  # it reads the environment when it starts
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    with process:
        if allocator == "kept" and not process.submit(keep_large_buffers).result():
            raise RuntimeError("keep_large_buffers needs glibc.")
        yield process


_step: Callable[[], float]  # of this process, which `prepare` made


def prepare(way: Way, size: Size, seed: int) -> int:
    """Make the step that this process will be asked for; return the number of parameters."""
    global _step
    net = fitted(size, seed, way.precision).net_.initialize()
    batch = make_batch(size, seed)
    if way.loop == "ours":

        def step() -> float:
            net.history.new_epoch()
            net.run_single_epoch([batch], training=True, prefix="train", step_fn=net.train_step)
            return net.history[-1, "batches", -1, "train_loss"]

        _step = step
    else:
        _step = plain_loop(PlainNetwork(net.module_), batch)
    return sum(p.numel() for p in net.module_.parameters())


def one_step() -> tuple[float, float]:
    """Return the seconds that a step takes, and its loss."""
    start = time.perf_counter()
    loss = _step()
    return time.perf_counter() - start, loss


def fitted(
    size: Any, seed: int, precision: str = "float32", n_sources: int = N_SOURCES
) -> Cerberus:
    """Return a Cerberus of a size that was fitted to noise, with random weights all the same."""
    noise = np.random.default_rng(seed).standard_normal((1, n_sources, 4000), np.float32)
    cerberus = Cerberus.from_preset(
        "chapter3",
        hidden_size=size.hidden_size,
        n_layers=size.n_layers,
        max_epochs=1,
        validation_fraction=0,
        precision=precision,
        device="cpu",
        random_state=seed,
    )
    names = tuple(f"source_{i}" for i in range(n_sources))
    notes = (Notes([0.0], [0.1], [60]),) * n_sources
    mixture = Mixture(noise.sum(axis=1)[0], 16000)
    cerberus.fit([mixture], [Scene(names, 16000, noise[0], notes)])
    generator = torch.Generator().manual_seed(seed)
    bound = size.hidden_size**-0.5
    with torch.no_grad():
        for parameter in cerberus.net_.module_.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return cerberus


def make_batch(size: Size, seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return random inputs and targets of the shapes that a batch of music has."""
    random = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(size.batch_size, *shape, size.n_frames, generator=random)

    inputs = {
        "magnitude": uniform(N_BINS) ** 2,
        "lengths": torch.full((size.batch_size,), size.n_frames),
    }
    known = torch.ones(size.batch_size)
    target = {
        "mask_target": uniform(N_SOURCES, N_BINS) * inputs["magnitude"][:, None],
        "dominant": (N_SOURCES * uniform(N_BINS)).to(torch.uint8),
        "bin_weight": (uniform(N_BINS) < 0.5).float(),
        "roll": (uniform(N_SOURCES, N_PITCHES) < 0.05).float(),
        "has_sources": known,
        "has_notes": known,
    }
    return inputs, {**inputs, **target}


# The peer


class PlainNetwork(nn.Module):
    """The network of Cerberus as one writes it at first, with another one's weights."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.mean, self.std = module.input_mean, module.input_std
        lstm = module.body.lstm
        self.lstm = nn.LSTM(
            N_BINS, lstm.hidden_size, lstm.num_layers, batch_first=True, bidirectional=True
        )
        self.lstm.load_state_dict(lstm.state_dict())
        self.embedding, self.mask, self.roll = (
            copy.deepcopy(module.heads[name].linear) for name in ("embedding", "mask", "roll")
        )

    def forward(self, magnitude: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return embeddings, masks and posteriors, all with frames as the second axis."""
        frames = (magnitude.mT.clamp(min=1e-4).log10() - self.mean) / self.std
        features, _ = self.lstm(frames)
        points = torch.sigmoid(self.embedding(features)).unflatten(-1, (N_BINS, EMBEDDING))
        masks = torch.softmax(self.mask(features).unflatten(-1, (N_SOURCES, N_BINS)), dim=2)
        rolls = torch.sigmoid(self.roll(features)).unflatten(-1, (N_SOURCES, N_PITCHES))
        return normalize(points, dim=-1), masks, rolls


def plain_loop(
    network: PlainNetwork, batch: tuple[dict[str, Tensor], dict[str, Tensor]]
) -> Callable[[], float]:
    """Return a step of the plain loop, which returns its loss."""
    inputs, target = batch
    optimizer = torch.optim.Adam(network.parameters(), lr=PAPER["lr"])
    dominant, weight = target["dominant"].mT.long(), target["bin_weight"].mT
    magnitude, masked = (
        target["magnitude"].mT[:, :, None],
        target["mask_target"].permute(0, 3, 1, 2),
    )
    true_roll = target["roll"].permute(0, 3, 1, 2)

    def step() -> float:
        optimizer.zero_grad()
        embedding, masks, rolls = network(inputs["magnitude"])
        loss = (
            PAPER["dc_weight"] * gram_loss(embedding, dominant, weight)
            + PAPER["mi_weight"] * (masks * magnitude - masked).abs().mean()
            + PAPER["tr_weight"] * ((rolls - true_roll) ** 2).mean()
        )
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def gram_loss(embedding: Tensor, dominant: Tensor, weight: Tensor) -> Tensor:
    """Deep clustering by three Gram matrices, its gradient by autograd."""
    weight = weight.flatten(1)
    root = (weight / weight.sum(1, keepdim=True)).sqrt()[..., None]
    v = embedding.flatten(1, 2) * root
    y = one_hot(dominant.flatten(1), N_SOURCES) * root
    vv, vy, yy = v.mT @ v, v.mT @ y, y.mT @ y
    return ((vv**2).sum((1, 2)) - 2 * (vy**2).sum((1, 2)) + (yy**2).sum((1, 2))).mean()


# Its parts


def loss_speed(size: Size, seed: int, allocator: str, fast: bool) -> list[dict[str, Any]]:
    """The deep-clustering loss with its normalisation, forward and backward."""
    random = torch.Generator().manual_seed(seed)
    shape = (size.loss_batch, size.n_frames, N_BINS)
    points = torch.rand(*shape, EMBEDDING, generator=random).requires_grad_()
    dominant = torch.randint(N_SOURCES, shape, generator=random)
    weight = (torch.rand(shape, generator=random) < 0.5).float()
    body = BLSTM(N_BINS, size.hidden_size, size.n_layers)
    frames = torch.rand(*shape, generator=random)
    lengths = torch.full(shape[:1], size.n_frames)

    def ours() -> Tensor:
        points.grad = None
        loss = deep_clustering_loss(unit_length(points), dominant, weight, N_SOURCES).mean()
        loss.backward()
        return points.grad

    def by_autograd() -> Tensor:
        points.grad = None
        gram_loss(normalize(points, dim=-1), dominant, weight).backward()
        return points.grad

    def through_body() -> None:
        body.zero_grad()
        body(frames, lengths).sum().backward()

    work = (
        f"deep clustering with normalisation, {size.loss_batch} x {size.n_frames * N_BINS} x "
        f"{EMBEDDING}, allocator: {allocator}"
    )
    figures, gradient, other = race(ours, by_autograd, size.n_runs)
    difference = float((gradient - other).abs().max() / other.abs().max())
    by_peer = part_row(work, "Gram matrices by autograd", figures)
    by_peer |= {
        "difference": difference,
        "claim": "difference < 0.001 of gradients",
        "holds": difference < 1e-3,
    }
    figures, _, _ = race(ours, through_body, size.n_runs)
    holds = figures["ratio"] >= 1 / 0.3 if fast else None
    return [by_peer, part_row(work, "the body", figures, "at most 0.3 of its time", holds)]


def adam_speed(size: Size, seed: int) -> list[dict[str, Any]]:
    """Adam's step, fused and by default."""
    modules = [fitted(size, seed).net_.module_ for _ in range(2)]
    for module in modules:
        for parameter in module.parameters():
            parameter.grad = 1e-3 * torch.ones_like(parameter)
    fused, default = (
        torch.optim.Adam(module.parameters(), lr=PAPER["lr"], fused=fused or None)
        for module, fused in zip(modules, (True, False), strict=True)
    )
    figures, _, _ = race(fused.step, default.step, size.n_runs)
    return [part_row("Adam, fused", "Adam by default", figures)]


def engine_overhead(size: Size, seed: int, fast: bool) -> list[dict[str, Any]]:
    """Whole epochs by the engine, and by a loop around the same module, loss and loader."""
    X, y = make_scenes(size.n_engine_mixes, random_state=seed)
    cerberus = Cerberus(
        max_epochs=1,
        lr_schedule="constant",
        validation_fraction=0,
        device="cpu",
        random_state=seed,
    )
    net = cerberus.fit(X, y).net_
    dataset = cerberus._dataset(cerberus.transformer_.transform(X), y)
    module = copy.deepcopy(net.module_)
    optimizer = torch.optim.Adam(module.parameters(), lr=net.lr, fused=True)
    shuffle = torch.Generator().manual_seed(seed)
    loader = DataLoader(
        dataset, net.batch_size, shuffle=True, collate_fn=collate, generator=shuffle
    )

    def by_hand() -> None:
        module.train()
        losses = []
        for inputs, target in loader:
            optimizer.zero_grad()
            loss = sum(net.criterion_(module(**inputs), target).values())
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), net.max_grad_norm)
            optimizer.step()
            losses.append(loss.item())

    def by_engine() -> None:
        net.train(dataset, max_epochs=len(net.history) + 1)

    figures, _, _ = race(by_engine, by_hand, size.n_engine_runs)
    overhead = 1 / figures["ratio"] - 1
    work = f"the engine, default network, {len(loader)} steps: {100 * overhead:+.1f} %"
    holds = overhead < 0.02 if fast else None
    return [part_row(work, "a loop by hand", figures, "less than 2 % more", holds)]


def part_row(
    work: str,
    against: str,
    figures: dict[str, Any],
    claim: str | None = None,
    holds: bool | None = None,
) -> dict[str, Any]:
    """Return a row in which no losses are compared."""
    return {
        "work": work,
        "against": against,
        **figures,
        "difference": None,
        "claim": claim,
        "holds": holds,
    }


if __name__ == "__main__":
    main()
