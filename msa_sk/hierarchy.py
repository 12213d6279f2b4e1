"""A tree of instruments, as data: which sounds make up which broader ones.

Section 2.2.2 of the dissertation: a node is the mixture of its children, it has one parent,
and all leaves are equally deep. So a tree is known by the paths of its leaves.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from msa_sk._arguments import check_names, check_path
from msa_sk.exceptions import InputError, InstrumentError
from msa_sk.records import unknown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The three levels that figure 2.13 separates. The text names the top and the middle and some
#: leaves; the other leaves follow the instrument classes of Slakh2100.
_SLAKH: dict[str, dict] = {
    "strings_and_keys": {
        "orchestral_strings": {
            "bowed_strings": range(40, 45),
            "plucked_strings": (45, 46),
            "string_ensembles": range(48, 52),
        },
        "guitars": {"clean_guitars": range(24, 29), "effected_guitars": range(29, 32)},
        "keyboards": {"pianos": (0, 1, 3, 6), "organs": range(16, 24)},
        "electric_keyboards": {
            "electric_pianos": (2, 4, 5, 7),
            "synth_leads": range(80, 88),
            "synth_pads": range(88, 96),
        },
    },
    "bass_instruments": {"bass": {"acoustic_basses": (32,), "electric_basses": range(33, 40)}},
    "wind_instruments": {
        "winds": {
            "flutes": range(72, 80),
            "single_reeds": (*range(64, 68), 71),
            "double_reeds": range(68, 71),
            "brass": range(56, 64),
        }
    },
    "percussion_instruments": {
        "percussion": {"drums": "drums", "chromatic_percussion": (*range(8, 16), 47)}
    },
}
_COLOURS = ("#C9E8DC", "#CFE3F3", "#F6D5C3")  # the top level first: green, blue, red


@dataclass(frozen=True, repr=False)
class Hierarchy:
    """A tree of instruments.

    Levels are counted from the leaves: ``level_1`` holds the leaves, the last level the broadest
    nodes. The mixture, which would be the root, is no node. ``print(hierarchy)`` shows the tree.

    Parameters
    ----------
    paths : sequence of sequences of str
        The nodes from each leaf to the top, the leaf first.
    programs : dict of str to programs
        What plays each leaf: General MIDI programs from 0 to 127, or ``"drums"`` for the drum
        channel; one or several. A leaf that is not in it can be played by recordings only.

    Raises
    ------
    InputError
        If a node has two parents, or leaves differ in depth.
    InstrumentError
        If a program is unknown or belongs to two leaves, or a leaf of `programs` is unknown.

    Examples
    --------
    >>> from msa_sk import Hierarchy
    >>> tree = Hierarchy.from_dict({"keys": {"piano": 0, "organ": [16, 19]}})
    >>> print(tree)
    keys
    ├── piano: 0
    └── organ: 16, 19
    >>> tree.path("organ")
    ('organ', 'keys')
    >>> Hierarchy.slakh()
    Hierarchy(nodes by level: 18, 7, 4)
    """

    paths: tuple[tuple[str, ...], ...]
    programs: Mapping[str, tuple[int | str, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self):
        paths = _check_paths(self.paths)
        leaves = [path[0] for path in paths]
        if not isinstance(self.programs, Mapping):
            got, remedy = repr(self.programs)[:80], "Pass {'piano': range(8)}."
            raise InputError("Hierarchy(programs=)", "a dict of leaves", got, remedy)
        for leaf in self.programs:
            if leaf not in leaves:
                raise unknown_name("Hierarchy(programs=)", leaf, leaves)
        programs = {leaf: _check_programs(leaf, self.programs.get(leaf)) for leaf in leaves}
        _check_once(programs)
        object.__setattr__(self, "paths", paths)
        object.__setattr__(self, "programs", programs)

    @classmethod
    def slakh(cls) -> "Hierarchy":
        """Return the tree of figure 2.13: 4 families, 7 groups, 18 kinds of instruments.

        The figure's finest classes, which the dissertation does not separate either, are merged
        into their leaves. Voices, sound effects, and folk and percussive instruments outside
        the drum channel have no place in it.
        """
        return cls.from_dict(_SLAKH)

    @classmethod
    def from_dict(cls, nested: Mapping[str, Any]) -> "Hierarchy":
        """Make a tree of dicts within dicts.

        Parameters
        ----------
        nested : dict
            Node to a dict of its children; leaf to its programs (one, a list, or None).
        """
        if not isinstance(nested, Mapping):
            raise InputError(
                "hierarchy", "a dict of nodes", type(nested).__name__, "Nest dicts: {parent: ...}."
            )
        found = list(_walk(nested))
        programs: dict[str, Any] = {path[0]: content for path, content in found}
        return cls(tuple(path for path, _ in found), programs)

    @classmethod
    def from_file(cls, path: str | os.PathLike) -> "Hierarchy":
        """Read a tree, nested as in `from_dict`, from a file.

        Parameters
        ----------
        path : path-like
            Ends in .json, .yaml or .yml.

        Raises
        ------
        InputError
            If it is not there, or not such a file, or names a node's child twice; and as
            `Hierarchy` raises. All name the file.
        """
        path = check_path(path, "Hierarchy.from_file(path)")
        readers = {".json": _parse_json, ".yaml": _parse_yaml, ".yml": _parse_yaml}
        if path.suffix.lower() not in readers:
            suffixes = f"a name that ends in one of {list(readers)}"
            raise InputError(str(path), suffixes, repr(path.suffix), "Rename it.")
        if not path.is_file():
            got = "a folder" if path.is_dir() else "nothing there"
            raise InputError(str(path), "a file of nested names", got, "Check the path.")
        try:
            return cls.from_dict(readers[path.suffix.lower()](path.read_text(encoding="utf-8")))
        except InputError as error:
            raise error.within(str(path)) from error
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise InputError(
                str(path), "a file of nested names", str(error), "Mend it."
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Return the tree as dicts within dicts, which JSON and YAML can hold."""
        nested: dict[str, Any] = {}
        for leaf, *above in self.paths:
            inner = nested
            for node in reversed(above):
                inner = inner.setdefault(node, {})
            inner[leaf] = list(self.programs[leaf])
        return nested

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """The nodes of each level, ``level_1`` (the leaves) first."""
        return {
            f"level_{k}": tuple(dict.fromkeys(nodes))
            for k, nodes in enumerate(zip(*self.paths, strict=True), start=1)
        }

    @property
    def leaves(self) -> tuple[str, ...]:
        """The nodes of ``level_1``."""
        return tuple(path[0] for path in self.paths)

    def path(self, node: str) -> tuple[str, ...]:
        """Return a node and all above it, the top last.

        Raises
        ------
        InstrumentError
            If there is no such node; names the closest one.
        """
        for path in self.paths:
            if node in path:
                return path[path.index(node) :]
        nodes = [name for level in self.levels.values() for name in level]
        raise unknown_name(repr(self), node, nodes)

    def parent(self, node: str) -> str | None:
        """Return the node above another; None at the top. Errors as in `path`."""
        return next(iter(self.path(node)[1:]), None)

    def leaves_of(self, node: str) -> tuple[str, ...]:
        """Return the leaves that a node is made of: itself if it is one. Errors as in `path`."""
        self.path(node)
        return tuple(path[0] for path in self.paths if node in path)

    def leaves_among(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of some instruments that are leaves.

        Raises
        ------
        InstrumentError
            If none of them is; names the leaf that is closest to the first.
        """
        found = tuple(name for name in names if name in self.leaves)
        if not found:
            closest = unknown_name("y", next(iter(names), ""), self.leaves)
            expected = f"instruments that are leaves of the hierarchy, {closest.expected}"
            raise InstrumentError("y", expected, ", ".join(names) or "none", closest.remedy)
        return found

    def relatives(self, leaf: str) -> tuple[str, ...]:
        """Return a leaf's siblings and cousins: the others under its top node.

        Errors as in `path`.
        """
        return tuple(other for other in self.leaves_of(self.path(leaf)[-1]) if other != leaf)

    def leaf_of(self, program: int | str) -> str | None:
        """Return the leaf that a program plays; None if the tree has no place for it.

        Parameters
        ----------
        program : int or str
            A General MIDI program from 0 to 127, or ``"drums"``.

        Raises
        ------
        InstrumentError
            If it is neither.
        """
        (program,) = _check_programs("leaf_of", (program,))
        return next((leaf for leaf, own in self.programs.items() if program in own), None)

    def without(self, leaves: Sequence[str]) -> "Hierarchy":
        """Return the tree without some leaves, and without nodes that had only these.

        Parameters
        ----------
        leaves : sequence of str
            As `msa_sk.datasets.rare_leaves` lists them. What they play has then no place.
        """
        leaves = check_names(leaves, "without(leaves)", at_least=0)
        for leaf in leaves:
            if leaf not in self.leaves:
                raise unknown_name("without(leaves)", leaf, self.leaves)
        paths = tuple(path for path in self.paths if path[0] not in leaves)
        return Hierarchy(paths, {path[0]: self.programs[path[0]] for path in paths})

    def sum_along(self, leaf: str, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """Add up what leaves have, level by level: waveforms, spectra or masks.

        What is nowhere negative (masks, magnitudes) grows from level to level, in each bin and
        to the last bit: each sum holds the terms of the one below it in the same order.

        Parameters
        ----------
        leaf : str
            Where the path begins.
        parts : dict of str to ndarray
            By leaf, of one shape. Leaves that are missing are silent; others are ignored.

        Returns
        -------
        sums : ndarray of shape (n_levels, *shape)
            ``level_1`` first.

        Raises
        ------
        InstrumentError
            If the leaf is not in the tree, or has no part.
        InputError
            If parts are no dict of arrays, or shapes differ.
        """
        path = self.path(leaf)
        if not isinstance(parts, Mapping):
            got, remedy = type(parts).__name__, "Pass {leaf: array}."
            raise InputError("sum_along(parts)", "a dict of arrays by leaf", got, remedy)
        if leaf not in parts:
            raise unknown_name("sum_along(parts)", leaf, list(parts))
        family = {
            name: _as_numbers(parts[name], f"sum_along(parts)[{name!r}]")
            for name in self.leaves_of(path[-1])
            if name in parts
        }
        shapes = {name: part.shape for name, part in family.items()}
        if len(set(shapes.values())) > 1:
            raise InputError("sum_along(parts)", "one shape", str(shapes), "Cut or pad them.")
        members = [self.leaves_of(node) for node in path]
        return np.stack([sum(family[name] for name in own if name in family) for own in members])

    def __repr__(self) -> str:
        return f"Hierarchy(nodes by level: {', '.join(str(len(n)) for n in self.levels.values())})"

    def __str__(self) -> str:
        return "\n".join(_lines(self.to_dict()))

    def draw(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the tree as figure 2.13 does: the mixture at the left, the leaves at the right.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure, which ``ax.figure.savefig`` can save.

        Returns
        -------
        ax : matplotlib Axes
        """
        n_levels, n_leaves = len(self.levels), len(self.leaves)
        if ax is None:
            from matplotlib.figure import Figure

            size = (2.2 * n_levels + 1.2, 0.32 * n_leaves + 0.6)
            ax = Figure(figsize=size, layout="constrained").subplots()
        row = {leaf: i for i, leaf in enumerate(self.leaves)}
        place: dict[str | None, tuple[float, float]] = {None: (0.0, (n_leaves - 1) / 2)}
        for k, nodes in enumerate(reversed(self.levels.values())):
            for node in nodes:
                own = self.leaves_of(node)
                place[node] = (k + 0.7, sum(row[leaf] for leaf in own) / len(own))
                (x0, y0), (x1, y1) = place[self.parent(node)], place[node]
                bend = x0 + (0.5 if k else 0.25)
                ax.plot([x0, bend, bend, x1], [y0, y0, y1, y1], color="0.6", lw=0.8, zorder=1)
                _label(ax, place[node], node.replace("_", " "), _COLOURS[k % len(_COLOURS)])
            ax.text(k + 0.7, -1.1, f"level {n_levels - k}", ha="center", va="center", size=9)
        _label(ax, place[None], "mixture", "white")
        ax.set(xlim=(-0.4, n_levels + 0.2), ylim=(n_leaves - 0.4, -1.6))
        ax.set_axis_off()
        return ax


def _as_numbers(values: Any, item: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:  # rows of several lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biufc":
        raise InputError(item, "an array of numbers", repr(values)[:80], "Pass an array.")
    return array.astype(np.int64) if array.dtype.kind in "biu" else array  # small ones overflow


def _walk(
    nested: Mapping[str, Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the content of every leaf."""
    if not nested:
        raise InputError(
            repr(above[0]) if above else "hierarchy",
            "at least one node below it",
            "none",
            "A leaf that no program plays holds None.",
        )
    for name, content in nested.items():
        path = (name, *above)
        if isinstance(content, Mapping):
            yield from _walk(content, path)
        else:
            yield path, content


def _check_paths(paths: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Return paths that make a tree, neighbours side by side, or refuse them."""
    checked = [_as_tuple(path) for path in _as_tuple(paths)]
    if not checked or not all(checked):
        raise InputError("hierarchy", "at least one leaf", repr(paths), "Name an instrument.")
    above: dict[str, tuple[str, ...]] = {}
    for path in checked:
        for k, node in enumerate(path):
            if not isinstance(node, str) or not node.strip():
                raise InputError("hierarchy", "names as text", repr(node), "Put it in quotes.")
            if above.setdefault(node, path[k + 1 :]) != path[k + 1 :] or path[:k].count(node):
                places = " and ".join(
                    repr(" < ".join(place)) if place else "the top"
                    for place in (above[node], path[k + 1 :])
                )
                raise InputError(
                    f"node {node!r}", "one parent", places, "Give each place a name of its own."
                )
    depths = {len(path): path[0] for path in checked}
    if len(depths) > 1:
        raise InputError(
            "hierarchy",
            "leaves of one depth",
            " and ".join(f"{leaf!r} at depth {depth}" for depth, leaf in sorted(depths.items())),
            "Put a node of its own above the shallow one.",
        )
    twice = [path[0] for path in checked if checked.count(path) > 1]
    if twice:
        raise InputError("hierarchy", "each leaf once", repr(twice[0]), "Leave one out.")
    rank = {node: i for i, node in enumerate(above)}
    return tuple(sorted(checked, key=lambda path: [rank[node] for node in reversed(path)]))


def _as_tuple(values: Any) -> tuple:
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise InputError(
            "Hierarchy(paths=)",
            "a sequence of paths, each a sequence of names",
            repr(values)[:80],
            "Pass [['piano', 'keys'], ['organ', 'keys']], leaves first.",
        )
    return tuple(values)


def _check_programs(item: str, programs: Any) -> tuple[int | str, ...]:
    if programs is None:
        return ()
    if isinstance(programs, np.ndarray):
        programs = programs.ravel().tolist()
    if not isinstance(programs, list | tuple | range):
        programs = (programs,)
    for program in programs:
        is_number = isinstance(program, int | np.integer) and not isinstance(program, bool)
        if not (is_number and 0 <= program <= 127) and program != "drums":
            raise InstrumentError(
                f"programs of {item!r}",
                "General MIDI programs from 0 to 127, or 'drums'",
                repr(program),
                "Programs are counted from 0.",
            )
    return tuple(one if one == "drums" else int(one) for one in programs)


def _check_once(programs: Mapping[str, tuple[int | str, ...]]) -> None:
    owner: dict[int | str, str] = {}
    for leaf, own in programs.items():
        for program in own:
            if program in owner:
                raise InstrumentError(
                    f"program {program!r}",
                    "one leaf that it plays",
                    f"{owner[program]!r} and {leaf!r}",
                    "Leave it out of one of them.",
                )
            owner[program] = leaf


def _parse_json(text: str) -> Any:
    import json

    return json.loads(text, object_pairs_hook=_named_once)


def _parse_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a name that stands twice, of which YAML's own would keep the last."""

    Loader.add_constructor(
        yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG,
        lambda loader, node: _named_once(loader.construct_pairs(node, deep=True)),
    )
    try:
        return yaml.load(text, Loader)  # no object but those of plain YAML
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _named_once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise InputError("hierarchy", "each child once", repr(name), "Join the two.")
    return dict(pairs)


def _lines(nested: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a tree in text, without branches before the first level."""
    for name, inner in nested.items():
        if not isinstance(inner, Mapping):
            yield f"{name}: {_ranges(inner)}" if inner else name
            continue
        yield name
        for i, child in enumerate(inner):
            is_last = i == len(inner) - 1
            first, *others = _lines({child: inner[child]})
            yield f"{'└' if is_last else '├'}── {first}"
            yield from (f"{' ' if is_last else '│'}   {line}" for line in others)


def _ranges(programs: Sequence[int | str]) -> str:
    """Return "0-1, 3" for 0, 1, 3."""
    numbers = sorted(program for program in programs if isinstance(program, int))
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])
    ]
    words = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return ", ".join(words + ["drums"] * ("drums" in programs))


def _label(ax: "Axes", place: tuple[float, float], text: str, colour: str) -> None:
    box = {"boxstyle": "round,pad=0.3", "facecolor": colour, "edgecolor": "0.6", "linewidth": 0.8}
    ax.text(*place, text, ha="center", va="center", size=8, bbox=box, zorder=2)
