"""The only place that imports scikit-learn names without a stability promise."""

from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._tags import InputTags, Tags, TargetTags, get_tags

__all__ = [
    "InputTags",
    "Interval",
    "InvalidParameterError",
    "StrOptions",
    "Tags",
    "TargetTags",
    "get_tags",
    "validate_parameter_constraints",
]
