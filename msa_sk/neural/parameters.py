"""Parameters that several systems share: said once, in signatures and in documentation."""

import inspect
import re
from collections.abc import Collection, Sequence
from typing import Any

#: How the networks of chapter 2 are trained (section 2.4.2; in 2.4.1, excerpts of 10 s).
CHAPTER_2: dict[str, Any] = {
    "hidden_size": 600,
    "n_layers": 4,
    "dropout": 0.3,
    "sequence_length": 626,
    "max_epochs": 100,
    "batch_size": 25,
    "lr": 1e-4,
    "lr_schedule": "halve",
    "max_grad_norm": "autoclip",
}

# What comes after the section Parameters.
_NEXT_SECTION = re.compile(r"\n\n(?=(?:Attributes|Notes|Examples)\n---)")


def give_init(cls: Any, parameters: Sequence[inspect.Parameter]) -> None:
    """Give a class an ``__init__`` that takes these parameters and stores them.

    Of the constraints that it has inherited, those of other parameters go.

    Parameters
    ----------
    cls : type
        Of an estimator.
    parameters : sequence of inspect.Parameter
        Without ``self``.
    """
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = inspect.Signature([this, *parameters])

    def __init__(self: Any, *args: Any, **values: Any) -> None:
        try:
            bound = signature.bind(self, *args, **values)
        except TypeError as error:
            raise TypeError(f"{cls.__qualname__}.__init__() {error}") from None
        bound.apply_defaults()
        for name, value in list(bound.arguments.items())[1:]:
            setattr(self, name, value)

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    __init__.__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = __init__
    names = [parameter.name for parameter in parameters]
    cls._parameter_constraints = {
        name: constraints
        for name, constraints in cls._parameter_constraints.items()
        if name in names
    }


def parameters_of(cls: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class's ``__init__`` by name."""
    return dict(list(inspect.signature(cls.__init__).parameters.items())[1:])  # type: ignore[misc]


def own_parameters(defaults: dict[str, Any]) -> list[inspect.Parameter]:
    """Return parameters with these defaults, that may be passed in order."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [inspect.Parameter(name, kind, default=value) for name, value in defaults.items()]


def documented(cls: type, source: type, kept: Collection[str]) -> str:
    """Return a class's documentation, with what another one's says of the parameters kept."""
    _, _, theirs = inspect.cleandoc(source.__doc__ or "").partition("Parameters\n---")
    theirs = _NEXT_SECTION.split(theirs.partition("\n")[2])[0]
    entries = re.split(r"\n(?=\S)", theirs)
    shared = [entry for entry in entries if set(_names_in(entry)) <= set(kept)]
    text = inspect.cleandoc(cls.__doc__ or "")
    if "Parameters\n---" not in text:
        text += "\n\nParameters\n----------"
    before, *after = _NEXT_SECTION.split(text, maxsplit=1)
    return "\n".join([before, *shared]) + "".join(f"\n\n{one}" for one in after) + "\n"


def extending(base: type, without: Collection[str] = ()) -> Any:
    """Return a decorator of classes that have, besides their own, the parameters of another.

    Those that the class lists in ``_own``, with their defaults, come first.

    Parameters
    ----------
    base : type
        With a section Parameters in its documentation.
    without : collection of str, default=()
        Parameters of `base` that the class has fixed.
    """

    def decorate(cls: Any) -> Any:
        gone = {*cls._own, *without}
        shared = {name: one for name, one in parameters_of(base).items() if name not in gone}
        give_init(cls, [*own_parameters(cls._own), *shared.values()])
        cls.__doc__ = documented(cls, base, shared)
        return cls

    return decorate


def _names_in(entry: str) -> list[str]:
    return entry.partition("\n")[0].partition(" : ")[0].split(", ")
