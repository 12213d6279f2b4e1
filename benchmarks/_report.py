"""What benchmarks share: their arguments, timing against a peer, and results as files."""

import argparse
import json
import operator
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from msa_sk._files import atomic_path
from msa_sk.metrics.tables import markdown_table

RESULTS = Path(__file__).parent / "results"
SIZES = ("tiny", "small", "paper")
_PACKAGES = ("msa_sk", "numpy", "scipy", "scikit-learn", "torch")


def parse_arguments(
    description: str, argv: Sequence[str] | None = None, folders: Mapping[str, str] | None = None
) -> argparse.Namespace:
    """Return ``size``, ``seed`` and ``results``, the folder to write to.

    Besides, folders that a benchmark may be given, by name and with what they are; None where
    they are not.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    for name, what in (folders or {}).items():
        parser.add_argument(f"--{name}", type=Path, help=what)
    return parser.parse_args(argv)


def race(
    ours: Callable[[], Any], peer: Callable[[], Any] | None, n_runs: int
) -> tuple[dict[str, Any], Any, Any]:
    """Time two ways to do the same work, turn by turn, so that both meet the same machine.

    Parameters
    ----------
    ours, peer : callable
        Without arguments; each runs once before the clock starts. None is a peer that is not
        installed.
    n_runs : int
        How many turns each has.

    Returns
    -------
    row : dict
        ``ours`` and ``peer``, median seconds; ``ratio``, the median of peer / ours over turns:
        how many times faster ours is; ``n_runs``. None where the peer is absent.
    ours_result, peer_result : object
        What the first runs returned.
    """
    results = ours(), peer() if peer else None
    times, others = [], []
    for _ in range(n_runs):
        times.append(_seconds(ours))
        if peer:
            others.append(_seconds(peer))
    row = {
        "ours": statistics.median(times),
        "peer": statistics.median(others) if peer else None,
        "ratio": statistics.median(map(operator.truediv, others, times)) if peer else None,
        "n_runs": n_runs,
    }
    return row, *results


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def write_report(
    name: str,
    arguments: argparse.Namespace,
    rows: Sequence[Mapping[str, Any]],
    seconds: float,
    *,
    packages: Sequence[str] = (),
    note: str = "",
    seeds: Sequence[int] | None = None,
    tables: str | None = None,
) -> Path:
    """Write ``<name>-<size>.json`` and a Markdown table beside it.

    Parameters
    ----------
    name : str
        The benchmark's.
    arguments : argparse.Namespace
        From `parse_arguments`.
    rows : sequence of dict
        Of one table: figures of systems (``system, instrument, metric, mean, low, high,
        n_songs, n_excerpts``) or of speed (``work, ours, peer, ratio, n_runs``).
    seconds : float
        How long the benchmark took, without what it found done by runs before, on this machine
        or on another.
    packages : sequence of str
        Distributions whose versions matter, besides the usual ones.
    note : str
        A paragraph for the Markdown file.
    seeds : sequence of int, default=None
        None is that of the arguments alone.
    tables : str, default=None
        Markdown to read instead of the rows, which the JSON file has.

    Returns
    -------
    path : Path
        The JSON file.
    """
    report = {
        "name": name,
        "size": arguments.size,
        "command": f"python -m benchmarks.{name} --size {arguments.size} --seed {arguments.seed}",
        "versions": {"python": platform.python_version()}
        | {package: _version(package) for package in (*_PACKAGES, *packages)},
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "seeds": list(seeds or [arguments.seed]),
        "seconds": round(seconds, 1),
        "rows": list(rows),
    }
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = arguments.results / f"{name}-{arguments.size}.json"
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    with atomic_path(path.with_suffix(".md")) as temporary:
        temporary.write_text(_as_markdown(report, note, tables), encoding="utf-8")
    return path


def finish(
    name: str,
    doc: str,
    arguments: argparse.Namespace,
    rows: Sequence[Mapping[str, Any]],
    start: float,
    tables: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
) -> Path:
    """Write and print the report of a benchmark that trains; return the path of its JSON file.

    Parameters
    ----------
    name, arguments, rows, seeds
        As of `write_report`.
    doc : str
        The benchmark's; all but its title and its last paragraph, how to run it, is the note.
    start : float
        When it began, by `time.monotonic`.
    tables : sequence of str, default=()
        Markdown to read instead of the rows.
    """
    seconds = time.monotonic() - start
    note = "\n\n".join([_duration(seconds), *doc.strip().split("\n\n")[1:-1]])
    if arguments.size == "tiny":
        note = f"**This size shows that all runs. Its figures and verdicts mean nothing.** {note}"
    path = write_report(
        name,
        arguments,
        rows,
        seconds,
        packages=("skorch", "librosa", "pyfluidsynth"),
        note=note,
        seeds=seeds,
        tables="\n".join(tables) or None,
    )
    print(path.with_suffix(".md").read_text(encoding="utf-8"))
    return path


def conclude(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a report's table; fail, naming ``work`` and ``claim``, where a row does not hold.

    Parameters
    ----------
    path : Path
        From `write_report`.
    rows : sequence of dict
        Its rows; ``holds`` is None where nothing is claimed.

    Raises
    ------
    AssertionError
        If ``holds`` is False somewhere.
    """
    print(path.with_suffix(".md").read_text(encoding="utf-8"))
    broken = [f"{row['work']}: {row['claim']}" for row in rows if row["holds"] is False]
    if broken:
        raise AssertionError("These claims do not hold: " + "; ".join(broken))


def rows_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table."""
    header = list(dict.fromkeys(key for row in rows for key in row))
    return markdown_table(header, [[_text(row.get(key)) for key in header] for row in rows])


def _as_markdown(report: Mapping[str, Any], note: str, tables: str | None) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return (
        f"# {report['name']}, {report['size']}\n\n`{report['command']}` on {report['processor']}; "
        f"{versions}.\n\n{note}\n\n{tables or rows_table(report['rows'])}"
    ).replace("\n\n\n\n", "\n\n")


def _duration(seconds: float) -> str:
    return (
        f"The run that wrote this took {seconds / 60:.1f} minutes, without what runs before it had"
        " trained and scored."
    )


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _processor() -> str:
    """Return the processor's name; platform.processor() is often empty on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine() or sys.platform
