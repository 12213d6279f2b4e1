"""One piece of work for each of many items, some at a time in processes of their own."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msa_sk._arguments import check_value
from msa_sk._progress import progress
from msa_sk._sklearn import whole

_ALLOWED = (None, whole(1), whole(None, -1))


def share_out(
    function: Callable,
    items: Sequence[Any],
    *arguments: Any,
    label: str,
    unit: str,
    n_jobs: int | None = 1,
    verbose: int = 0,
) -> Iterator[Any]:
    """Give ``function(item, *arguments)`` for each item, in order.

    Parameters
    ----------
    function : callable
    items : sequence
    *arguments
        The same for all.
    label, unit : str
        What the bar of progress calls the work and an item.
    n_jobs : int or None, default=1
        How many at a time, as in joblib.
    verbose : int, default=0
        Above 0, show progress if standard error is a terminal.

    Raises
    ------
    ParameterError
        If `n_jobs` is 0 or no whole number.
    """
    from joblib import Parallel, delayed

    check_value(n_jobs, "n_jobs", *_ALLOWED, remedy="-1 takes all cores.")
    tasks = (delayed(function)(item, *arguments) for item in items)
    outcomes = Parallel(n_jobs=n_jobs, return_as="generator")(tasks)
    return progress(outcomes, len(items), label, unit, verbose > 0)
