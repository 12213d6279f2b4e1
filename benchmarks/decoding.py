"""Posteriors to notes: what hearing where notes begin adds to a threshold.

Cerberus learns composed songs of piano, guitar, bass and drums. On songs that it has not heard its
posteriors are decoded frame by frame, as `msa_sk.rolls.roll_to_notes` does, and by the rules of
`msa_sk.decoding`: from posteriors alone, with the loudness of pitches in the mixture, and with
that in the sources, as `predict` does. True rolls are decoded too, as posteriors that are right.
Onsets are right within 50 ms, and their error is the mean of those that are right. Notes are
repeated where one of their pitch has ended less than 100 ms before; how many of these are found is
their recall. They are doubled where another of their pitch begins less than 50 ms before, and thin
where they are shorter than that; the numbers are per song. Velocities are compared by rank with
the true ones in songs of which 5 notes or more are found.

Claimed and asserted, from the size small upwards, for each instrument: at the default thresholds
the rules reach a higher onset F1 than frame by frame at any, and find more repeated notes; none is
doubled or thin; velocities go with the true ones; of true rolls the rules lose 0.02 in onset F1 at
most. The default thresholds reach an onset F1 within 0.03 of what the best one reaches, averaged
over pitched instruments, and for drums.

``python -m benchmarks.decoding --size tiny|small [--seed 0]``
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from benchmarks._fits import Training
from benchmarks._report import parse_arguments, write_report
from benchmarks.thresholds import INSTRUMENTS, Size
from msa_sk import STFT, Cerberus, Mixture, Notes, Scene
from msa_sk.datasets import make_scenes
from msa_sk.decoding import decode_notes
from msa_sk.metrics import frame_scores, match_notes, note_onset_offset_scores, note_onset_scores
from msa_sk.metrics.statistics import bootstrap_interval, known_mean
from msa_sk.metrics.tables import markdown_table
from msa_sk.neural.allocator import keep_large_buffers
from msa_sk.neural.data import LevelledSTFT
from msa_sk.rolls import notes_to_roll, roll_to_notes

SIZES = {"tiny": Size(12, 4, 1, 16), "small": Size(240, 40, 8, 128)}
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6)
PLAIN, RULES, TRUE = "frame by frame", "posteriors and sources", "true rolls"
AS_BEFORE = f"{PLAIN}, threshold 0.3"
TOO_CLOSE = 0.05  # s

#: A way to decode: of a roll, the mixture's magnitude, the instrument's mask and its name.
Decode = Callable[[np.ndarray, np.ndarray, np.ndarray, str], Notes]


def main() -> None:
    arguments = parse_arguments(__doc__)
    if arguments.size not in SIZES:
        raise SystemExit(f"{arguments.size}: this benchmark has the sizes {', '.join(SIZES)}.")
    size, start = SIZES[arguments.size], time.monotonic()
    keep_large_buffers()
    X, y = make_scenes(size.n_train + size.n_test, INSTRUMENTS, random_state=arguments.seed)
    cerberus = Cerberus(
        dc_weight=0,
        hidden_size=size.hidden_size,
        max_epochs=size.max_epochs,
        precision="auto",
        random_state=arguments.seed,
    )
    learnt = X[: size.n_train], y[: size.n_train]
    name = f"decoding-{arguments.size}-seed{arguments.seed}"
    cerberus = Training(name, cerberus, lambda: learnt).fit()
    truths = y[size.n_train :]
    heard = list(hear(cerberus, X[size.n_train :]))
    right = [with_true_rolls(parts, truth) for parts, truth in zip(heard, truths, strict=True)]
    ways, rows = systems(cerberus), []
    for system, decode in ways.items():
        rows += rows_of(system, decode, heard, truths)
    for system in (AS_BEFORE, RULES):
        rows += rows_of(f"{TRUE}, {system}", ways[system], right, truths)
    note = __doc__.split("\n\n")[1].replace("\n", " ")
    path = write_report(
        "decoding",
        arguments,
        rows,
        time.monotonic() - start,
        packages=("skorch",),
        note=note + " A training is kept in `benchmarks/runs`, and then not in the time above.",
        tables=table(rows),
    )
    print(path.with_suffix(".md").read_text())
    if arguments.size != "tiny":
        check(rows, cerberus)


def hear(
    cerberus: Cerberus, mixtures: Sequence[Mixture]
) -> Iterator[dict[str, tuple[np.ndarray, ...]]]:
    """Give what notes are decoded from: by instrument its roll, the magnitude, its mask."""
    for item in cerberus.transformer_.transform(mixtures):
        magnitude = LevelledSTFT.of(item).magnitude
        heads = cerberus._look(magnitude)
        yield {
            name: (roll, magnitude, mask)
            for name, roll, mask in zip(
                cerberus.instruments_, heads["roll"], heads["mask"], strict=False
            )
        }


def with_true_rolls(
    parts: dict[str, tuple[np.ndarray, ...]], truth: Scene
) -> dict[str, tuple[np.ndarray, ...]]:
    """Return what `hear` gives of a mixture, but for the posteriors."""
    rate = STFT().frame_rate
    return {
        name: (notes_to_roll(truth.notes_of(name), roll.shape[1], rate), *rest)
        for name, (roll, *rest) in parts.items()
    }


def systems(cerberus: Cerberus) -> dict[str, Decode]:
    """Return the ways to decode that are compared."""
    rate = cerberus.transformer_.frame_rate

    def plain(threshold: float) -> Decode:
        return lambda roll, magnitude, mask, name: roll_to_notes(
            roll, rate, threshold, cerberus.min_note, cerberus.max_gap
        )

    def rules(threshold: float | None = None, **changes: Any) -> Decode:
        def decode(roll: np.ndarray, magnitude: np.ndarray, mask: np.ndarray, name: str) -> Notes:
            settings = {
                "mask": mask,
                "threshold": threshold or threshold_of(cerberus, name),
                "min_note": cerberus.min_note,
                "max_gap": cerberus.max_gap,
                "min_rise": cerberus.min_rise,
                "percussive": name == "drums",
            }
            return decode_notes(roll, cerberus.transformer_, magnitude, **(settings | changes))

        return decode

    return {
        **{f"{PLAIN}, threshold {one}": plain(one) for one in THRESHOLDS},
        "posteriors alone": rules(min_rise=None),
        "posteriors and mixture": rules(mask=None),
        RULES: rules(),
        **{f"{RULES}, threshold {one}": rules(one) for one in THRESHOLDS},
    }


def threshold_of(cerberus: Cerberus, name: str) -> float:
    """Return the threshold of an instrument."""
    return cerberus.drum_threshold if name == "drums" else cerberus.threshold


def rows_of(
    system: str,
    decode: Decode,
    heard: Sequence[dict[str, tuple[np.ndarray, ...]]],
    truths: Sequence[Scene],
) -> list[dict[str, Any]]:
    """Return means over songs with their 95 % intervals; each scene is a song of its own."""
    rows = []
    for name in INSTRUMENTS:
        songs = [
            measure(truth.notes_of(name), decode(*parts[name], name))
            for truth, parts in zip(truths, heard, strict=True)
        ]
        for metric in songs[0]:
            values = np.array([song[metric] for song in songs])
            interval = bootstrap_interval(values[:, None], np.arange(len(songs)), 0.95, 10_000, 0)
            figures = [float(known_mean(values)), *interval[:, 0].tolist()]
            mean, low, high = (None if np.isnan(figure) else figure for figure in figures)
            n_songs = int(np.isfinite(values).sum())
            rows.append(
                {
                    "system": system,
                    "instrument": name,
                    "metric": metric,
                    "mean": mean,
                    "low": low,
                    "high": high,
                    "n_songs": n_songs,
                    "n_excerpts": n_songs,
                }
            )
    return rows


def measure(truth: Notes, found: Notes) -> dict[str, float]:
    """Return the measures of one instrument in one song; NaN where there is nothing to measure."""
    mine, its = match_notes(truth, found, offset_ratio=None).T
    repeated = follows(truth, 0.1, after=truth.offset)
    ranks = len(mine) >= 5 and len(set(truth.velocity[mine])) > 1
    differs = ranks and len(set(found.velocity[its])) > 1
    error = np.abs(found.onset[its] - truth.onset[mine])
    return {
        "note_onset_f1": note_onset_scores(truth, found).f1,
        "note_on_off_f1": note_onset_offset_scores(truth, found).f1,
        "frame_f1": frame_scores(truth, found).f1,
        "onset_error_ms": 1e3 * error.mean() if len(mine) else np.nan,
        "repeated_recall": repeated[mine].sum() / repeated.sum() if repeated.any() else np.nan,
        "velocity_rank": (
            spearmanr(truth.velocity[mine], found.velocity[its])[0] if differs else 0.0
        )
        if ranks
        else np.nan,
        "n_doubled": float(follows(found, TOO_CLOSE, after=found.onset).sum()),
        "n_thin": float((found.offset - found.onset < TOO_CLOSE - 1e-6).sum()),
    }


def follows(notes: Notes, seconds: float, after: np.ndarray) -> np.ndarray:
    """Tell which notes begin less than that after a time of the one before, of their pitch."""
    order = np.lexsort((notes.onset, notes.pitch))
    distance = notes.onset[order][1:] - after[order][:-1]
    close = np.zeros(len(notes), bool)
    close[order[1:]] = (np.diff(notes.pitch[order]) == 0) & (distance < seconds - 1e-6)
    return close


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return a table with a row for each system and instrument, a column for each metric."""
    metrics = list(dict.fromkeys(row["metric"] for row in rows))
    cells: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        place = row["system"], row["instrument"]
        known = [f"{row[name]:.3g}" for name in ("mean", "low", "high") if row[name] is not None]
        text = "{} [{}, {}]".format(*known) if len(known) == 3 else "–"
        cells.setdefault(place, list(place)).append(text)
    return markdown_table(["system", "instrument", *metrics], list(cells.values()))


def check(rows: Sequence[dict[str, Any]], cerberus: Cerberus) -> None:
    """Assert what the benchmark claims."""
    means = {(row["system"], row["instrument"], row["metric"]): row["mean"] for row in rows}

    def best(system: str, names: Sequence[str], metric: str = "note_onset_f1") -> float:
        return max(
            np.mean([means[f"{system}, threshold {one}", name, metric] for name in names])
            for one in THRESHOLDS
        )

    for name in INSTRUMENTS:
        mine = {metric: means[RULES, name, metric] for _, _, metric in means}
        before = best(PLAIN, [name])
        assert mine["note_onset_f1"] > before, f"{name}: {mine}, {PLAIN} {before}"
        before = means[
            f"{PLAIN}, threshold {threshold_of(cerberus, name)}", name, "repeated_recall"
        ]
        assert mine["repeated_recall"] > before, f"{name}: {mine}, {PLAIN} {before}"
        assert mine["n_doubled"] == mine["n_thin"] == 0, f"{name}: {mine}"
        assert mine["velocity_rank"] > 0, f"{name}: {mine}"
        plain, ruled = (
            means[f"{TRUE}, {system}", name, "note_onset_f1"] for system in (AS_BEFORE, RULES)
        )
        assert ruled >= plain - 0.02, f"{name}: of true rolls {ruled} instead of {plain}"
    for names in (INSTRUMENTS[:3], INSTRUMENTS[3:]):
        reached = np.mean([means[RULES, name, "note_onset_f1"] for name in names])
        assert reached >= best(RULES, names) - 0.03, f"{names}: {reached}"


if __name__ == "__main__":
    main()
