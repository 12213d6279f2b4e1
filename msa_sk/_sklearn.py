"""The only place that imports scikit-learn names without a stability promise."""

from numbers import Integral, Real

from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._tags import InputTags, Tags, TargetTags, get_tags

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # before scikit-learn 1.9; then there is no `set_callbacks`

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands for nothing."""

    def with_callbacks(method):
        """Return the method as it is."""
        return method


__all__ = [
    "CallbackSupportMixin",
    "HasMethods",
    "InputTags",
    "InvalidParameterError",
    "StrOptions",
    "Tags",
    "TargetTags",
    "get_tags",
    "real",
    "validate_parameter_constraints",
    "whole",
    "with_callbacks",
]


def whole(low: int, high: int | None = None) -> Interval:
    """Constrain a parameter to whole numbers from `low` to `high`, both included."""
    return Interval(Integral, low, high, closed="left" if high is None else "both")


def real(low: float, high: float | None = None, closed: str = "left") -> Interval:
    """Constrain a parameter to an interval of real numbers."""
    return Interval(Real, low, high, closed=closed)
