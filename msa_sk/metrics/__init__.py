"""Scores for separation and transcription, and scorers for model selection.

Every measure takes (reference, estimate). `msa_sk.metrics.separation` says what silence scores,
`msa_sk.metrics.transcription` when a note is right.
"""

from msa_sk.metrics._counts import Scores
from msa_sk.metrics.bss import BssEval, bss_eval, gnsdr, nsdr
from msa_sk.metrics.comparison import Comparison, compare
from msa_sk.metrics.interpolation import interpolate_notes
from msa_sk.metrics.rolls import RollDistance, frame_scores, roll_distance
from msa_sk.metrics.scenes import METRICS
from msa_sk.metrics.scorers import Evaluation, SceneScorer, get_scorer
from msa_sk.metrics.separation import (
    best_permutation,
    delta_si_sdr_improvement,
    sdr,
    sdr_improvement,
    si_sdr,
    si_sdr_improvement,
)
from msa_sk.metrics.transcription import match_notes, note_onset_offset_scores, note_onset_scores

__all__ = [
    "METRICS",
    "BssEval",
    "Comparison",
    "Evaluation",
    "RollDistance",
    "SceneScorer",
    "Scores",
    "best_permutation",
    "bss_eval",
    "compare",
    "delta_si_sdr_improvement",
    "frame_scores",
    "get_scorer",
    "gnsdr",
    "interpolate_notes",
    "match_notes",
    "note_onset_offset_scores",
    "note_onset_scores",
    "nsdr",
    "roll_distance",
    "sdr",
    "sdr_improvement",
    "si_sdr",
    "si_sdr_improvement",
]
