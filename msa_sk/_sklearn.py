"""The only place that imports scikit-learn names without a stability promise."""

from numbers import Integral, Real
from sys import float_info

from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    validate_parameter_constraints,
)
from sklearn.utils._param_validation import StrOptions as _StrOptions
from sklearn.utils._tags import InputTags, Tags, TargetTags, get_tags

try:
    from sklearn.callback import CallbackSupportMixin, ScoringMonitor, with_callbacks
except ImportError:  # before scikit-learn 1.9; then there is no `set_callbacks`

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for nothing."""

    class ScoringMonitor:  # type: ignore[no-redef]
        """Stands for nothing."""

    def with_callbacks(method):
        """Return the method as it is."""
        return method


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "InputTags",
    "InvalidParameterError",
    "ListOf",
    "ScoringMonitor",
    "StrOptions",
    "Tags",
    "TargetTags",
    "get_tags",
    "real",
    "validate_parameter_constraints",
    "whole",
    "with_callbacks",
]


class _Numbers(Interval):
    """An interval of numbers that a float can hold, which True and False are not."""

    def is_satisfied_by(self, val: object) -> bool:
        if isinstance(val, bool) or (isinstance(val, int) and abs(val) > float_info.max):
            return False
        return super().is_satisfied_by(val)


class StrOptions(_StrOptions):
    """A constraint: one of some strings, which messages name in the order of the alphabet."""

    def __init__(self, options: set[str]):
        super().__init__(options)
        self.options = sorted(options)


class ListOf(HasMethods):
    """A constraint: a list of instances with some methods, or of pairs of a name and such an one.

    Parameters
    ----------
    what : str
        What messages call the instances.
    methods : list of str
    """

    def __init__(self, what: str, methods: list[str]):
        super().__init__(methods)
        self.what = what

    def is_satisfied_by(self, val: object) -> bool:
        return isinstance(val, list | tuple) and all(map(self._is_one, val))

    def _is_one(self, item: object) -> bool:
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
            item = item[1]
        return not isinstance(item, type) and super().is_satisfied_by(item)

    def __str__(self) -> str:
        return f"a list of {self.what}, or of pairs of a name and one"


def whole(low: int | None, high: int | None = None) -> Interval:
    """Constrain a parameter to whole numbers from `low` to `high`, both included."""
    closed = {(True, True): "both", (True, False): "left", (False, True): "right"}.get(
        (low is not None, high is not None), "neither"
    )
    return _Numbers(Integral, low, high, closed=closed)


def real(low: float | None, high: float | None = None, closed: str = "left") -> Interval:
    """Constrain a parameter to an interval of real numbers."""
    return _Numbers(Real, low, high, closed=closed)
