"""How fast the measures are beside others that give the same figures, and how exact.

Claimed and asserted:

- SI-SDR, against float64 by the definition: error below 1e-3 dB up to 100 dB;
- BSS Eval: equal to mir_eval to 4 decimals;
- notes: equal to mir_eval; 10,000 x 10,000 of them in under 2 s and 300 MB;

and, from the size small upwards,

- SI-SDR at least 4 times faster than torchmetrics;
- BSS Eval at least 10 times faster than mir_eval, both looking for the permutation;
- notes no slower than mir_eval.

``python -m benchmarks.metrics_speed --size tiny|small|paper [--seed 0]``
"""

import importlib.util
import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks._report import parse_arguments, race, write_report
from msa_sk import Notes
from msa_sk.metrics import bss_eval, note_onset_offset_scores, note_onset_scores, si_sdr

RATE = 16000


class Size(NamedTuple):
    """How much there is to do."""

    n_mixes: int
    mix_seconds: float
    bss_sources: int
    bss_seconds: float
    n_segments: int
    n_runs: int
    n_bss_runs: int


SIZES = {
    "tiny": Size(20, 1.0, 2, 1.0, 50, 2, 1),
    "small": Size(1000, 5.0, 4, 30.0, 1000, 5, 2),
    "paper": Size(4000, 5.0, 4, 60.0, 10_000, 9, 3),
}
N_SOURCES = 4  # of each mixture for SI-SDR
BATCH = 100  # mixtures in memory at a time


def main(argv: list[str] | None = None) -> None:
    """Measure, write the report, then fail if a claim does not hold."""
    arguments = parse_arguments(__doc__.splitlines()[0], argv)
    size, rng = SIZES[arguments.size], np.random.default_rng(arguments.seed)
    fast = arguments.size != "tiny"  # what takes no time is no race
    start = time.perf_counter()
    rows = [
        si_sdr_speed(size, rng, fast),
        si_sdr_error(rng),
        *bss_speed(size, rng, fast),
        *note_speed(size, rng, fast),
        many_notes(rng),
    ]
    path = write_report(
        "metrics_speed",
        arguments,
        rows,
        time.perf_counter() - start,
        packages=("torchmetrics", "mir_eval", "fast_bss_eval"),
        note="Median seconds over turns taken alternately; ratio: how many times faster ours is; "
        "difference: the largest between the figures of both.",
    )
    print(path.with_suffix(".md").read_text(encoding="utf-8"))
    broken = [f"{row['work']}: {row['claim']}" for row in rows if row["holds"] is False]
    if broken:
        raise AssertionError("These claims do not hold: " + "; ".join(broken))


def si_sdr_speed(size: Size, rng: np.random.Generator, fast: bool) -> dict[str, Any]:
    """SI-SDR of many sources in float32, in batches that fit in memory."""
    n_samples = round(size.mix_seconds * RATE)
    n_batches = max(1, size.n_mixes // BATCH)
    shape = (size.n_mixes // n_batches, N_SOURCES, n_samples)
    reference = rng.standard_normal(shape, dtype=np.float32)
    estimate = reference + 0.3 * rng.standard_normal(shape, dtype=np.float32)

    def ours() -> np.ndarray:
        return [si_sdr(reference, estimate) for _ in range(n_batches)][0]

    peer = None
    if importlib.util.find_spec("torchmetrics"):
        import torch
        from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

        tensors = torch.from_numpy(estimate), torch.from_numpy(reference)

        def peer() -> np.ndarray:
            values = [scale_invariant_signal_distortion_ratio(*tensors) for _ in range(n_batches)]
            return values[0].numpy()

    work = f"SI-SDR, {size.n_mixes} x {N_SOURCES} x {size.mix_seconds:g} s, float32"
    return race_row(work, "torchmetrics", ours, peer, size.n_runs, 4 if fast else None, 1e-3)


def si_sdr_error(rng: np.random.Generator) -> dict[str, Any]:
    """The largest error of SI-SDR, in float32 and float64, from 0 to 100 dB."""
    worst = 0.0
    for db in (0, 20, 40, 60, 70, 80, 90, 95, 99):
        for dtype in (np.float32, np.float64):
            reference = rng.standard_normal(5 * RATE).astype(dtype)
            noise = rng.standard_normal(5 * RATE) * 10 ** (-db / 20)
            estimate = (reference + noise).astype(dtype)
            s, e = reference.astype(np.longdouble), estimate.astype(np.longdouble)
            target = (e @ s) / (s @ s) * s
            exact = 10 * np.log10((target @ target) / ((target - e) @ (target - e)))
            worst = max(worst, abs(float(si_sdr(reference, estimate) - exact)))
    return {
        "work": "SI-SDR, error in dB from 0 to 99 dB",
        "against": "the definition in extended precision",
        "difference": worst,
        "claim": "difference < 0.001",
        "holds": worst < 1e-3,
    }


def bss_speed(size: Size, rng: np.random.Generator, fast: bool) -> list[dict[str, Any]]:
    """BSS Eval of one mixture, looking for the permutation and not."""
    n_samples = round(size.bss_seconds * RATE)
    reference = rng.standard_normal((size.bss_sources, n_samples))
    leak = 0.2 * rng.standard_normal((size.bss_sources, size.bss_sources))
    estimate = reference + leak @ reference + 0.1 * rng.standard_normal(reference.shape)
    separation = _mir_eval("separation")
    rows = []
    for permutation, factor in ((True, 10), (False, None)):
        peer = separation and (
            lambda permutation=permutation: separation.bss_eval_sources(
                reference, estimate, compute_permutation=permutation
            )[:3]
        )
        what = "with permutation" if permutation else "in order"
        rows.append(
            race_row(
                f"BSS Eval, {size.bss_sources} x {size.bss_seconds:g} s, {what}",
                "mir_eval",
                lambda permutation=permutation: bss_eval(
                    reference, estimate, permutation=permutation
                ),
                peer,
                size.n_bss_runs,
                factor if fast else None,
                5e-5,
            )
        )
    return rows


def note_speed(size: Size, rng: np.random.Generator, fast: bool) -> list[dict[str, Any]]:
    """F1 of many short segments."""
    pairs = [make_notes(60, 5.0, rng) for _ in range(size.n_segments)]
    prepared = [[(as_intervals(one), as_hz(one)) for one in pair] for pair in pairs]
    transcription = _mir_eval("transcription")
    rows = []
    for measure, ratio in ((note_onset_scores, None), (note_onset_offset_scores, 0.2)):
        peer = transcription and (
            lambda ratio=ratio: [
                transcription.precision_recall_f1_overlap(*one, *other, offset_ratio=ratio)[:3]
                for one, other in prepared
            ]
        )
        rows.append(
            race_row(
                f"{measure.__name__}, {size.n_segments} x 60 notes",
                "mir_eval",
                lambda measure=measure: [measure(*pair) for pair in pairs],
                peer,
                size.n_runs,
                1 if fast else None,
                1e-12,
            )
        )
    return rows


def many_notes(rng: np.random.Generator) -> dict[str, Any]:
    """10,000 true and as many found notes at once."""
    truth, found = make_notes(10_000, 600.0, rng)
    start = time.perf_counter()
    note_onset_offset_scores(truth, found)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    note_onset_offset_scores(truth, found)
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return {
        "work": f"note_onset_offset_scores, 10,000 x 10,000 notes, {megabytes:.1f} MB",
        "ours": seconds,
        "n_runs": 1,
        "claim": "under 2 s and 300 MB",
        "holds": seconds < 2 and megabytes < 300,
    }


def race_row(
    work: str,
    against: str,
    ours: Callable,
    peer: Callable | None,
    n_runs: int,
    factor: float | None,
    tolerance: float,
) -> dict[str, Any]:
    """Time both, compare what they return, and say whether the claim holds."""
    figures, result, peer_result = race(ours, peer, n_runs)
    row = {"work": work, "against": against, **figures}
    if peer is None:
        return {**row, "difference": None, "claim": f"{against} is absent", "holds": None}
    difference = float(np.max(np.abs(np.subtract(result, peer_result))))
    claim = f"difference < {tolerance:g}" + (f", ratio >= {factor}" if factor else "")
    holds = difference < tolerance and (factor is None or row["ratio"] >= factor)
    return {**row, "difference": difference, "claim": claim, "holds": holds}


def make_notes(n_notes: int, seconds: float, rng: np.random.Generator) -> tuple[Notes, Notes]:
    """Return true notes and, of most of them, estimates that are off by some hundredths."""
    onset = rng.uniform(0, seconds, n_notes)
    truth = Notes(onset, onset + rng.uniform(0.05, 1, n_notes), rng.integers(40, 80, n_notes))
    kept = truth.select(rng.random(n_notes) < 0.8)
    late = np.maximum(kept.onset + rng.normal(0, 0.03, len(kept)), 0)
    end = np.maximum(kept.offset + rng.normal(0, 0.05, len(kept)), late + 0.01)
    return truth, Notes(late, end, kept.pitch)


def as_intervals(notes: Notes) -> np.ndarray:
    """Return onsets and offsets as mir_eval takes them."""
    return np.stack([notes.onset, notes.offset], axis=1)


def as_hz(notes: Notes) -> np.ndarray:
    """Return pitches in Hz."""
    return 440 * 2 ** ((notes.pitch - 69) / 12)


def _mir_eval(module: str) -> Any:
    """Return a module of mir_eval, or None where it is absent."""
    if not importlib.util.find_spec("mir_eval"):
        return None
    import mir_eval

    # Its separation module is deprecated, which is why this package has its own.
    warnings.filterwarnings(
        "ignore", category=FutureWarning, module="__main__|benchmarks|mir_eval"
    )
    return getattr(mir_eval, module, None)


if __name__ == "__main__":
    main()
