"""What the defaults of `ScoreInformedSeparator` gain over the paper's choices, one at a time.

Songs, mixtures of piano and guitar and training are those of table 4.1, and so is the vanilla
variant, which has the defaults. Beside it, masks by leaky ReLUs instead of a softmax over
sources, and a network that is told pitches alone, without their harmonics. Intervals draw the
songs of both instruments; tests are over those of the piano.

Claimed and asserted, from the size small upwards: SI-SDRi is in the mean higher with the default.

``python -m benchmarks.score_options --size tiny|small [--seed 0]``; what the tables have
trained is not trained again.
"""

import math
import time
from collections.abc import Sequence

from benchmarks._chapter4 import NETWORKS, PAIR, SIZES, instrument_table, of_the_paper, score_folds
from benchmarks._fits import Direction, verdicts
from benchmarks._report import parse_arguments, rows_table, write_report
from msa_sk import ScoreInformedSeparator

DEFAULT, METRIC = "vanilla", "si_sdri"
OPTIONS = {
    "masks by leaky ReLUs": {"mask_activation": "leaky_relu"},
    "pitches alone": {"roll_input": "pitches"},
}
SYSTEMS = {
    DEFAULT: NETWORKS[DEFAULT],
    **{name: of_the_paper(ScoreInformedSeparator, **own) for name, own in OPTIONS.items()},
}


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(__doc__, argv)
    if arguments.size == "paper":
        raise SystemExit("paper: this benchmark has the sizes tiny, small.")
    size, start = SIZES[arguments.size], time.monotonic()
    comparison = score_folds(
        list(SYSTEMS), "piano and guitar", size, arguments.seed, SYSTEMS, [METRIC]
    )
    gains = verdicts(comparison, [Direction(DEFAULT, name, METRIC, math.inf) for name in OPTIONS])
    path = write_report(
        "score_options",
        arguments,
        [*comparison.summary(), *gains],
        time.monotonic() - start,
        packages=("skorch", "librosa", "pyfluidsynth"),
        note=" ".join(__doc__.split("\n\n")[1].split()),
        tables="\n".join([instrument_table(comparison, METRIC, {}, PAIR), rows_table(gains)]),
    )
    print(path.with_suffix(".md").read_text())
    lost = [row["claim"] for row in gains if row["ours"] <= 0]
    assert arguments.size == "tiny" or not lost, f"not so: {', '.join(lost)}"


if __name__ == "__main__":
    main()
