"""Table 3.1: every network with some of Cerberus's three heads, on mixtures of piano and guitar.

Songs are rendered from the MIDI files and the SoundFont of the folder MSA_SK_DATA, cut into
excerpts of 5 s in which the instrument plays at least 10 notes, and mixed two and two at levels up
to 6 dB apart: an excerpt of piano from one song, of guitar from another. Cross-validated by song:
every song is tested on once, by networks that have not heard it.

All networks have the same body, which begins at the same weights, the same training mixtures and
the same training: in the size small each mixture is heard once, most in sequences of a quarter of
a second, the last in sequences of two seconds. Weights of the losses are in the proportion of the
defaults of Cerberus, 0.1 : 1 : 1, as far as a network has them. NMF learns 60 spectra for each
instrument. All learn from songs as they are, from the same in other keys and with other pianos,
and from all songs that are not tested on, recast: their parts are given to pianos and guitars.
Excerpts are drawn equally often, whatever their song. From what, and how, the small networks learn
was chosen by what Cerberus, deep clustering and masks with transcription scored on two of the
folds, which flatters networks beside NMF.

Clusters have no names: what makes them is scored by names, as its centroids have those of
training, and by the best permutation, which is what the paper's figure is compared with (it does
not say how clusters were named). A note begins where its sound gets louder: for Transcription that
of the mixture, for the others that of the source.

Intervals draw the songs of the piano and those of the guitar; p is of the signed-rank test over
the songs of the piano, of which there are fewer, by Holm's correction for all pairs of systems.
Whether something is reproduced, or reversed, the interval of 95 % says, without correction.
Neither knows of the chance of training, which the means of single seeds show: three networks are
trained with several seeds, and what counts is the mean of their scores of each mixture.

The bars, asserted for the size small and above:

- Cerberus reaches 7 dB SI-SDRi, a frame F1 of 0.5 and an onset F1 (50 ms) of 0.4;
- no network that separates is below NMF, deep clustering scored by the best permutation included.

``python -m benchmarks.table_3_1 --size tiny|small|paper [--seed 0]``; a run that was stopped goes
on from the trainings, and their checkpoints, in ``benchmarks/runs``.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks._chapter3 import (
    INSTRUMENTS,
    METRICS,
    NETWORKS,
    PER_TEST_SONG,
    PERMUTED,
    REPEATED,
    SIZES,
    Fold,
    description,
    extent,
    make_folds,
    score_all,
    system_table,
)
from benchmarks._fits import Direction, compare_scores, overall, verdicts
from benchmarks._report import finish, parse_arguments, rows_table
from benchmarks._songs import Songs, solos_of_each, songs_in
from msa_sk import IdealMaskSeparator, Mixture, MixtureBaseline, Scene, attach_truth
from msa_sk.datasets import mix_incoherent
from msa_sk.metrics import Evaluation, SceneScorer

NAN = float("nan")
CLUSTERS, CLUSTERS_TR = PERMUTED.values()
PAPER = {  # SDR, and P, R, F1 of onsets and offsets
    CLUSTERS: (8.5, NAN, NAN, NAN),
    "Mask inference": (10.0, NAN, NAN, NAN),
    "Transcription": (NAN, 0.48, 0.43, 0.44),
    "Chimera": (9.8, NAN, NAN, NAN),
    "DC + TR": (NAN, 0.48, 0.41, 0.43),
    CLUSTERS_TR: (9.3, NAN, NAN, NAN),
    "MI + TR": (9.8, 0.51, 0.46, 0.47),
    "Cerberus": (10.0, 0.51, 0.45, 0.47),
}
FLOOR, SHARES, CEILING = "unprocessed mixture", "mixture, shared out evenly", "ideal ratio mask"
_F1 = "note_onset_offset_f1"
DIRECTIONS = [
    Direction("Cerberus", CLUSTERS, "sdr", 1.5),
    Direction(CLUSTERS_TR, CLUSTERS, "sdr", 0.8),
    Direction("Mask inference", CLUSTERS, "sdr", 1.5),
    Direction("Chimera", "Mask inference", "sdr", -0.2),
    Direction("MI + TR", "Mask inference", "sdr", -0.2),
    Direction("Cerberus", "MI + TR", "sdr", 0.2),
    Direction("DC + TR", "Transcription", _F1, -0.01),
    Direction("MI + TR", "Transcription", _F1, 0.03),
    Direction("Cerberus", "Transcription", _F1, 0.03),
]


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(__doc__, argv)
    size, start = SIZES[arguments.size], time.monotonic()
    folds = list(make_folds(size))
    seeds = range(arguments.seed, arguments.seed + size.n_seeds)
    jobs = [
        (name, seed, fold)
        for seed in seeds
        for fold in folds
        for name in ("NMF", *NETWORKS)
        if seed == arguments.seed or name in REPEATED
    ]
    tests = [test_set(fold, size.n_test) for fold in folds]
    found = score_all(jobs, size, [{"test": test} for test in tests])
    scores: dict[str, dict[int, tuple]] = references(tests)
    for (_, seed, _), by_system in zip(jobs, found, strict=True):  # folds follow each other
        for (system, _), of_fold in by_system.items():
            by_seed = scores.setdefault(system, {})
            by_seed[seed] = by_seed.get(seed, ()) + of_fold
    of_systems = {name: list(of.values()) for name, of in scores.items()}
    comparison = compare_scores(of_systems, *songs_in(tests))
    rows, directions = overall(comparison), verdicts(comparison, DIRECTIONS)
    systems = [way for name in NETWORKS for way in (name, PERMUTED.get(name)) if way]
    order = [FLOOR, SHARES, "NMF", *systems, CEILING]
    tables = [
        description(size),
        f"Tested on {extent(comparison.songs)} of the piano, mixed with as many of the guitar.\n",
        system_table(rows, PAPER, order),
        "What the paper found, and what the intervals of the difference over songs say:\n",
        rows_table(directions),
        "Means of single seeds:\n",
        rows_table(seed_rows(scores)),
    ]
    finish(
        "table_3_1", __doc__, arguments, [*comparison.summary(), *directions], start, tables, seeds
    )
    if arguments.size != "tiny":
        check(rows)


def test_set(fold: Fold, n_test: int) -> Songs:
    """Return mixtures of a fold's test songs, with their truth for what is informed by it."""
    excerpts = solos_of_each(fold.test, INSTRUMENTS, PER_TEST_SONG)
    X, y = mix_incoherent(*excerpts, n_test, random_state=0)
    return attach_truth(X, y), y


class EqualShares(MixtureBaseline):
    """The mixture, shared out evenly: nothing is separated, and SDR is above 0 dB."""

    def _predict_one(self, item: Mixture) -> Scene:
        scene = super()._predict_one(item)
        return replace(scene, sources=scene.sources / len(scene.instruments))


def references(tests: Sequence[Songs]) -> dict[str, dict[int, tuple]]:
    """Return the scores of floors and of the ceiling."""
    X, y = (sum(parts, []) for parts in zip(*tests, strict=True))
    systems = {FLOOR: MixtureBaseline(), SHARES: EqualShares(), CEILING: IdealMaskSeparator()}
    scorer = SceneScorer(tuple(METRICS))
    return {
        name: {0: scorer.evaluate(system.fit(X, y), X, y, skip_unknown=True).scores}
        for name, system in systems.items()
    }


def seed_rows(scores: dict[str, dict[int, tuple]]) -> list[dict[str, Any]]:
    """Return the means of single trainings of what was trained several times."""
    return [
        {"system": name, "seed": seed}
        | {
            title: Evaluation(of_seed).mean(metric)
            for metric, title in METRICS.items()
            if any(metric in scene for scene in of_seed)
        }
        for name in REPEATED
        for seed, of_seed in scores[name].items()
    ]


def check(rows: Sequence[dict[str, Any]]) -> None:
    """Assert what the benchmark claims."""
    means = {
        (row["system"], row["metric"]): row["mean"] for row in rows if row["instrument"] == "all"
    }
    bars = {"si_sdri": 7.0, "frame_f1": 0.5, "note_onset_f1": 0.4}
    missed = [
        f"Cerberus: {metric} {means['Cerberus', metric]:.3g}, below {bar}"
        for metric, bar in bars.items()
        if means["Cerberus", metric] < bar
    ]
    missed += [
        f"{system}: {mean:.2f} dB SI-SDRi, below NMF's"
        for (system, metric), mean in means.items()
        if metric == "si_sdri"
        and system in (*NETWORKS, CLUSTERS, CLUSTERS_TR)
        and mean < means["NMF", metric]
    ]
    assert not missed, "; ".join(missed)


if __name__ == "__main__":
    main()
