"""Checks that every system for scenes must pass, published for systems of other packages too.

>>> from msa_sk import MixtureBaseline
>>> from msa_sk.testing import check_scene_estimator
>>> results = check_scene_estimator(MixtureBaseline(), only="pickle")
>>> results
{'check_pickle': 'passed'}
"""

from msa_sk.testing.discovery import all_estimators, tiny_estimators
from msa_sk.testing.subject import Subject
from msa_sk.testing.suite import (
    CHECKS,
    EXEMPTIONS,
    check_scene_estimator,
    parametrize_with_checks,
    why_exempt,
    yield_checks,
)

__all__ = [
    "CHECKS",
    "EXEMPTIONS",
    "Subject",
    "all_estimators",
    "check_scene_estimator",
    "parametrize_with_checks",
    "tiny_estimators",
    "why_exempt",
    "yield_checks",
]
