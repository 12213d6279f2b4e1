"""The networks of table 3.1, what they learn from, and what they are scored by."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator

from benchmarks._fits import RUNS, Training, score_once
from benchmarks._songs import Songs, casts, folds, render, solos, without
from msa_sk import (
    Cerberus,
    Chimera,
    DeepClustering,
    DeepClusteringTranscriber,
    MaskInference,
    MaskInferenceTranscriber,
    NMFSeparator,
    Scene,
    Transcriber,
)
from msa_sk.base import SceneEstimator
from msa_sk.datasets import mix_incoherent
from msa_sk.metrics import SceneScorer
from msa_sk.metrics.scenes import is_in_db
from msa_sk.metrics.tables import markdown_table
from msa_sk.midi import FAMILIES

INSTRUMENTS = ("piano", "guitar")
METRICS = {
    "si_sdri": "SI-SDRi (dB)",
    "sdr": "SDR (dB)",
    "note_onset_offset_precision": "on/offset P",
    "note_onset_offset_recall": "on/offset R",
    "note_onset_offset_f1": "on/offset F1",
    "note_onset_f1": "onset F1",
    "frame_f1": "frame F1",
}
# Weights are in the proportion of the defaults of Cerberus: rolls learn by cross-entropy, and with
# the paper's weights, made for a squared error, masks would have little say in the body.
NETWORKS: dict[str, Callable[..., SceneEstimator]] = {
    "Deep clustering": DeepClustering,
    "Mask inference": MaskInference,
    "Transcription": Transcriber,
    "Chimera": lambda **kw: Chimera(alpha=1 / 11, **kw),
    "DC + TR": lambda **kw: DeepClusteringTranscriber(0.1, 1.0, **kw),
    "MI + TR": lambda **kw: MaskInferenceTranscriber(1.0, 1.0, **kw),
    "Cerberus": lambda **kw: Cerberus(0.1, 1.0, 1.0, **kw),
}
NMFS: dict[str, Callable[..., SceneEstimator]] = {
    "NMF": partial(NMFSeparator, 60),
    "NMF, score-informed": partial(NMFSeparator, score_informed=True),
}
# Clusters have no names, so what makes them is scored by the best permutation too.
PERMUTED = {name: f"{name}, best permutation" for name in ("Deep clustering", "DC + TR")}
REPEATED = ("Mask inference", "Transcription", "Cerberus")  # with other seeds
# Training songs are also rendered in other keys and with other pianos: those of single songs are
# eight programs, of which some are in one song alone.
VARIED: dict[str, Any] = {"programs": {"piano": range(8)}, "transpose": 5}
PER_SONG = 80  # excerpts to learn from
PER_VERSION = 10
PER_CAST = 10
PER_TEST_SONG = 10


class Size(NamedTuple):
    """How much there is to do, and with what."""

    n_songs: int | None  # MIDI files; None takes all
    n_folds: int
    n_versions: int  # of each training song, in other keys and with other pianos
    n_casts: int  # of all songs but those to test on, recast as the instruments
    n_mixtures: int  # that networks learn from in each fold
    n_last: int  # further ones, that they hear last, in `LONG` sequences
    n_nmf: int
    n_test: int  # in each fold
    n_seeds: int  # of the repeated networks
    parameters: dict[str, Any]
    balance: str = "excerpt"  # of `mix_incoherent`: most songs are there recast alone


# Short sequences let a step hear many mixtures; what is told apart over longer times is learnt
# from long ones, last (as in Isik et al., "Single-channel multi-speaker separation using deep
# clustering", Interspeech 2016).
LONG = {"sequence_length": 128, "batch_size": 8, "lr": 1e-3}
_SHORT = {"validation_fraction": 0, "precision": "auto"}
_PAPER = {  # sections 3.3.3 and 3.3.5
    "hidden_size": 300,
    "n_layers": 4,
    "sequence_length": 400,
    "batch_size": 40,
    "lr": 2e-4,
    "lr_schedule": "constant",
    "max_epochs": 100,
    "validation_fraction": 0,  # songs that are held out would be in other mixtures
    "precision": "auto",
    "num_workers": 8,
}
SIZES = {
    "tiny": Size(24, 2, 1, 1, 12, 4, 10, 8, 1, _SHORT | {"max_epochs": 3, "hidden_size": 16}),
    "small": Size(
        None, 4, 8, 2, 16_000, 6000, 300, 100, 3, _SHORT | {"max_epochs": 1, "batch_size": 32}
    ),
    "paper": Size(None, 4, 8, 4, 20_000, 0, 300, 100, 3, _PAPER),
}


class Fold(NamedTuple):
    """Songs to learn from, as they are and in versions, and songs to test on."""

    number: int
    train: list[Songs]
    test: Songs
    casts: list[Songs]  # further songs to learn from, recast


def make_folds(
    size: Size, instruments: Sequence[str] = INSTRUMENTS, evenly: Sequence[str] = ("piano",)
) -> Iterator[Fold]:
    """Render all songs that hold any of some instruments, or find them rendered; split them."""
    stems = RUNS / "stems"
    songs = render(instruments, stems, size.n_songs)
    versions = [
        render(instruments, stems, size.n_songs, **VARIED, random_state=seed)
        for seed in range(size.n_versions)
    ]
    families = [FAMILIES[name] for name in instruments if name not in ("bass", "drums")]
    kept = FAMILIES["bass"] if "bass" in instruments else ()
    recast = casts(instruments, stems, size.n_songs, families, kept, size.n_casts)
    for number, (train, test) in enumerate(folds(songs, versions, size.n_folds, evenly)):
        names = {mixture.group for mixture in test[0]}
        yield Fold(number, train, test, [without(names, cast) for cast in recast])


def lessons(fold: Fold, instruments: Sequence[str] = INSTRUMENTS) -> Songs:
    """Return solo excerpts to learn from, of songs as they are, of their versions, and recast."""
    plain, *versions = fold.train
    parts = [solos(plain, instruments, PER_SONG)]
    parts += [solos(version, instruments, PER_VERSION) for version in versions]
    parts += [solos(cast, instruments, PER_CAST) for cast in fold.casts]
    X, y = (sum(each, []) for each in zip(*parts, strict=True))
    return X, y


def plan(
    name: str,
    fold: Fold,
    size: Size,
    seed: int,
    instruments: Sequence[str] = INSTRUMENTS,
    networks: Mapping[str, Callable[..., SceneEstimator]] = NETWORKS,
) -> Training:
    """Return the training of NMF or a network, on mixtures of sources of a fold's songs."""
    if name in NMFS:
        system, n_mixtures, n_last = NMFS[name](random_state=seed), size.n_nmf, 0
    else:
        system = networks[name](**size.parameters, random_state=seed, verbose=0)
        n_mixtures, n_last = size.n_mixtures + size.n_last, size.n_last

    def data() -> Songs:
        X, y = lessons(fold, instruments)
        return mix_incoherent(X, y, n_mixtures, balance=size.balance, random_state=seed)

    # So that nothing is taken for fitted that was, before the code changed, fitted otherwise.
    made_by = (PER_SONG, PER_VERSION, PER_CAST, VARIED, size.balance, sorted(_parameters(system)))
    digest = hashlib.sha256(repr(made_by).encode()).hexdigest()[:8]
    kind = "".join(filter(str.isalnum, name)).lower()
    what = (
        f"{'-'.join(instruments)}-{size.n_songs or 'all'}songs-{size.n_versions}+{size.n_casts}-"
        f"fold{fold.number}of{size.n_folds}-{n_mixtures}mixtures-{digest}-seed{seed}-{kind}"
    )
    return Training(what, system, data, n_last, LONG)


def _parameters(system: SceneEstimator) -> Iterator[tuple[str, str]]:
    """Give all parameters, with their defaults, which the system's own text leaves out."""
    return ((name, repr(value)) for name, value in system.get_params().items())


def score_all(
    jobs: Sequence[tuple[str, int, Fold]],
    size: Size,
    tests: Sequence[dict[str, Songs]],
    wanted: Callable[[str, str], bool] = lambda name, kind: True,
    plan: Callable[..., Training] = plan,
    metrics: Sequence[str] = tuple(METRICS),
) -> list[dict[tuple[str, str], tuple]]:
    """Fit, or find fitted, and score systems on test sets.

    Parameters
    ----------
    jobs : sequence of (str, int, Fold)
        Names of systems, seeds, and folds; two are worked on at a time, a core each.
    size : Size
    tests : sequence of dict
        For each fold, mixtures and scenes by the name of the set.
    wanted : callable, default=all
        Tells whether a system, by its name, is tested on a set.
    plan : callable, default=plan
        ``plan(name, fold, size, seed)``.
    metrics : sequence of str, default=METRICS

    Returns
    -------
    scores : list of dict
        For each job, the scores of the scenes by the names of the system and of the set.
        What clusters is scored by the best permutation too, as a system of its own, in dB.
    """

    def run(name: str, seed: int, fold: Fold) -> dict[tuple[str, str], tuple]:
        training = plan(name, fold, size, seed)

        fitted = cache(training.fit)  # not at all, where all scores are kept
        ways: dict[str, Callable[[], Any]] = {name: fitted}
        if name in PERMUTED:
            ways[PERMUTED[name]] = lambda: Unnamed(fitted())
        found = {}
        for test, (X, y) in tests[fold.number].items():
            if not wanted(name, test):
                continue
            names = sorted({name for scene in y for name in scene.instruments})
            # A solo is its source: there is nothing to separate, and no other instrument.
            known = [metric for metric in metrics if len(names) > 1 or not is_in_db(metric)]
            for way, judged in ways.items():
                title = training.title
                if way != name:  # what has no name has no notes of its own either
                    title, known = f"{title}-permuted", [m for m in known if is_in_db(m)]
                scorer = SceneScorer(known, instruments=names)
                score = partial(evaluate, scorer, judged, X, y)
                found[way, test] = score_once(title, (X, y), known, score)
        print(f"fold {fold.number}, seed {seed}: {name}", flush=True)
        return found

    return Parallel(n_jobs=2)(delayed(run)(*job) for job in jobs)


def evaluate(scorer: SceneScorer, make: Callable[[], Any], X: list, y: list) -> tuple[dict, ...]:
    """Return the scores, in what it has, of a system that is made for it, or was made before."""
    return scorer.evaluate(make(), X, y, skip_unknown=True).scores


class Unnamed(BaseEstimator):
    """A fitted separator without the names of its sources, as blind systems are."""

    def __init__(self, system: SceneEstimator):
        self.system = system

    def __sklearn_tags__(self) -> Any:
        tags = self.system.__sklearn_tags__()
        tags.blind = True
        return tags

    def predict(self, X: Any) -> list[Scene]:
        """Return scenes of source_0, source_1 and so on."""
        return [
            replace(scene, instruments=tuple(f"source_{i}" for i in range(len(scene.sources))))
            for scene in self.system.predict(X)
        ]


def description(size: Size) -> str:
    """Say what networks of a size learn from, which no docstring can know."""
    last = f", the last {size.n_last:,} of them with {LONG}" if size.n_last else ""
    parameters = ", ".join(f"{name}={value!r}" for name, value in size.parameters.items())
    return (
        f"{size.n_folds} folds. Each network learns from {size.n_mixtures + size.n_last:,} "
        f"mixtures of 5 s{last}; the rest with {parameters}, besides the defaults.\n"
    )


def extent(songs: Sequence[str]) -> str:
    """Say how many excerpts of how many songs there are."""
    return f"{len(songs)} excerpts of {len(set(songs))} songs"


def text_of(row: dict[str, Any] | None) -> str:
    """Return a summary's row as mean and interval; a dash for none."""
    if row is None or not np.isfinite(row["mean"]):
        return "–"
    digits = 1 if "dB" in METRICS[row["metric"]] else 2
    # Adding 0 makes a plain one of what is rounded to -0.
    values = (round(row[part], digits) + 0.0 for part in ("mean", "low", "high"))
    mean, low, high = (f"{value:.{digits}f}" for value in values)
    return f"{mean} [{low}, {high}]"


def system_table(
    rows: Sequence[dict[str, Any]],
    paper: dict[str, Sequence[float]],
    systems: Sequence[str] | None = None,
    column: str = "system",
) -> str:
    """Return systems by metrics, with the paper's SDR and onset/offset P, R, F1 beside them.

    Parameters
    ----------
    rows : sequence of dict
        Of a summary, one for each system and metric.
    paper : dict of str to sequence of float
        By system; NaN where the paper has nothing.
    systems : sequence of str, default=None
        Those of the table; None takes the paper's.
    column : str, default="system"
        Of the rows, that tells them apart.
    """
    found = {(row[column], row["metric"]): row for row in rows}
    lines = []
    for name in systems or paper:
        theirs = [f"{value:g}" if value == value else "–" for value in paper.get(name, ())]
        ours = [text_of(found.get((name, metric))) for metric in METRICS]
        lines.append([name, *ours, *(theirs or ["–"] * 4)])
    return markdown_table(["", *METRICS.values(), "paper: SDR", "P", "R", "F1"], lines)
