"""Pictures of scenes, of training, and of searches.

A display keeps what it computed, so that `plot` can draw it again without computing anything.
Figures are made apart from pyplot: no window opens, and no global state changes.
"""

from msa_sk.display.matching import compare_notes
from msa_sk.display.rolls import RollDisplay
from msa_sk.display.scenes import LogSpectrogram, SceneDisplay, log_spectrogram
from msa_sk.display.search import SearchDisplay
from msa_sk.display.training import LearningCurveDisplay

__all__ = [
    "LearningCurveDisplay",
    "LogSpectrogram",
    "RollDisplay",
    "SceneDisplay",
    "SearchDisplay",
    "compare_notes",
    "log_spectrogram",
]
