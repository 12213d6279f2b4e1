"""The networks of chapter 4, what they learn from, and what they are told in tests."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks import _chapter3
from benchmarks._chapter3 import Fold, Size, make_folds, plan, score_all, text_of
from benchmarks._fits import compare_scores
from benchmarks._songs import Songs, select, solos, songs_in
from msa_sk import (
    MaskInferenceTranscriber,
    ScoreInformedSeparator,
    SourceInformedTranscriber,
    Transcriber,
    attach_truth,
)
from msa_sk.base import SceneEstimator
from msa_sk.datasets import Excerpts, mix_incoherent
from msa_sk.metrics import Comparison
from msa_sk.metrics.tables import markdown_table

PAIR = ("piano", "guitar")
BAND = ("piano", "guitar", "bass", "drums")
VARIANTS = ("vanilla", "processed", "residual")
BASELINE = "MI + TR"
PER_TEST_SONG = 10


def of_the_paper(cls: Any, **own: Any) -> Callable[..., SceneEstimator]:
    """Make a network as it is, or by the preset of chapter 4 where its size asks for that."""

    def make(preset: str | None = None, **parameters: Any) -> SceneEstimator:
        make_one = cls if preset is None else partial(cls.from_preset, preset)
        return make_one(**own, **parameters)

    return make


NETWORKS = {
    BASELINE: of_the_paper(MaskInferenceTranscriber, batch_norm=True),
    **{name: of_the_paper(ScoreInformedSeparator, variant=name) for name in VARIANTS},
}
TRANSCRIBERS = {
    BASELINE: NETWORKS[BASELINE],
    "Transcription": of_the_paper(Transcriber, batch_norm=True),
    **{name: of_the_paper(SourceInformedTranscriber, variant=name) for name in VARIANTS},
}
# As in chapter 3, but the networks learn for a third of the time, and in one part.
SIZES: dict[str, Size] = {
    "tiny": _chapter3.SIZES["tiny"]._replace(
        n_songs=14, n_casts=0, n_mixtures=12, n_last=0, n_nmf=6, n_test=6
    ),
    "small": _chapter3.SIZES["small"]._replace(
        n_folds=3,
        n_casts=0,
        n_mixtures=6000,
        n_last=0,
        n_seeds=1,
        parameters={"validation_fraction": 0, "precision": "auto", "max_epochs": 1},
        balance="song",
    ),
    "paper": _chapter3.SIZES["paper"]._replace(
        # So many passes over 20,000 mixtures are the paper's 100,000 steps.
        n_casts=0,
        n_seeds=1,
        parameters={
            **{"preset": "chapter4", "max_epochs": 320, "precision": "auto"},
            "validation_fraction": 0,
        },
        balance="song",
    ),
}
#: The instruments of each test, and how a fold's mixtures are made.
TESTS: dict[str, tuple[str, ...]] = {"piano and guitar": PAIR, "four instruments": BAND}


def folds_of(test: str, size: Size) -> list[Fold]:
    """Return the folds of the songs that a test needs."""
    names = TESTS[test]
    return list(make_folds(size, names, evenly=("piano",) if names == PAIR else names))


def mixtures_of(test: str, fold: Fold, size: Size) -> Songs:
    """Return mixtures of a fold's test songs, with their score and their sources, and the truth.

    Of piano and guitar, excerpts of two songs; of four instruments, excerpts of one song in
    which two of them play (section 4.3.4), and nothing else is heard.
    """
    names = TESTS[test]
    if names == PAIR:
        X, y = mix_incoherent(*solos(fold.test, names, PER_TEST_SONG), size.n_test, random_state=0)
    else:
        rules = Excerpts.from_preset(
            "chapter4", instruments=names, max_per_song=PER_TEST_SONG, random_state=0
        )
        found = rules.apply(*fold.test)
        chosen = np.random.default_rng(0).permutation(len(found[0]))[: size.n_test]
        X, y = select(sorted(chosen), found)
    return attach_truth(X, y), y


def score_folds(
    names: Sequence[str],
    test: str,
    size: Size,
    seed: int,
    networks: Mapping[str, Callable[..., SceneEstimator]],
    metrics: Sequence[str],
) -> Comparison:
    """Fit, or find fitted, and compare systems on a test, over all folds.

    An instrument is scored where it plays: there is nothing to find elsewhere.
    """
    folds = folds_of(test, size)
    tests = [mixtures_of(test, fold, size) for fold in folds]
    found = score_all(
        [(name, seed, fold) for fold in folds for name in names],
        size,
        [{test: one} for one in tests],
        plan=partial(plan, instruments=TESTS[test], networks=networks),
        metrics=metrics,
    )
    scores: dict[str, tuple] = {}
    for by_test in found:  # folds follow each other
        for (system, _), of_fold in by_test.items():
            scores[system] = scores.get(system, ()) + of_fold
    plays = [
        {name for name in scene.instruments if len(scene.notes_of(name))}
        for _, y in tests
        for scene in y
    ]
    scored = {name: [_where(plays, of_all)] for name, of_all in scores.items()}
    return compare_scores(scored, *songs_in(tests))


def _where(plays: Sequence[set[str]], scores: Sequence[dict]) -> tuple[dict, ...]:
    return tuple(
        {
            metric: {name: value if name in names else math.nan for name, value in of.items()}
            for metric, of in scene.items()
        }
        for names, scene in zip(plays, scores, strict=True)
    )


def instrument_table(
    comparison: Comparison,
    metric: str,
    paper: Mapping[str, Sequence[float]],
    names: Sequence[str],
) -> str:
    """Return systems by instruments and all of them, with the paper's figures beside ours."""
    found = {
        (row["system"], row["instrument"]): row
        for row in comparison.summary()
        if row["metric"] == metric
    }
    columns = (*names, "all")
    lines = []
    for system in comparison.evaluations:
        ours = [text_of(found.get((system, name))) for name in columns]
        theirs = [f"{value:g}" for value in paper.get(system, ())] or ["–"] * len(names)
        lines.append([system, *ours, *(theirs if paper else ())])
    header = ["", *columns, *(f"paper: {name}" for name in (names if paper else ()))]
    return markdown_table(header, lines)
