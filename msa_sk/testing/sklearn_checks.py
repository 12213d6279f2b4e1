"""scikit-learn's checks that need no data.

Its `check_estimator` stops after the first of them where an estimator says, as ours honestly
do, that it takes no 2-D array; so they are called here one by one.
"""

from collections.abc import Callable

from msa_sk.testing.subject import Subject

_THEIRS = {
    "check_sklearn_clone": "check_estimator_cloneable",
    "check_sklearn_default_parameters": "check_parameters_default_constructible",
    "check_sklearn_get_params": "check_get_params_invariance",
    "check_sklearn_init_sets_nothing_else": "check_no_attributes_set_in_init",
    "check_sklearn_init_takes_anything": "check_do_not_raise_errors_in_init_or_set_params",
    "check_sklearn_mixin_order": "check_mixin_order",
    "check_sklearn_repr": "check_estimator_repr",
    "check_sklearn_set_params": "check_set_params",
    "check_sklearn_tag_types": "check_valid_tag_types",
    "check_sklearn_tags_method": "check_estimator_tags_renamed",
}


def _adopt(ours: str, theirs: str) -> Callable[[Subject], None]:
    def check(subject: Subject) -> None:
        from sklearn.utils import estimator_checks

        name = type(subject.estimator).__name__
        try:
            getattr(estimator_checks, theirs)(name, subject.estimator)
        except Exception as error:
            raise AssertionError(f"scikit-learn's {theirs}: {error}") from error

    check.__name__ = ours
    check.__doc__ = f"`sklearn.utils.estimator_checks.{theirs}`."
    return check


SKLEARN_CHECKS = {ours: _adopt(ours, theirs) for ours, theirs in _THEIRS.items()}
