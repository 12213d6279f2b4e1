"""An estimator that keeps every promise, and many that break one on purpose."""

from broken_estimators import contract, inputs, outputs, selection
from broken_estimators.crossover import FAULTS, Crossover

__all__ = ["FAULTS", "Crossover", "contract", "inputs", "outputs", "selection"]
