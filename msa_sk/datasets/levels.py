"""Scenes whose sources are the levels of a hierarchy."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from msa_sk._arguments import check_value
from msa_sk._sklearn import whole
from msa_sk._validation import check_mixtures, check_scenes
from msa_sk.clips import clips_of
from msa_sk.exceptions import InputError, ParameterError
from msa_sk.hierarchy import Hierarchy
from msa_sk.midi import merge_notes
from msa_sk.records import Mixture, Scene


def scenes_along(
    hierarchy: Hierarchy, path: str | Sequence[str], X: Any, y: Any
) -> tuple[list[Mixture], list[Scene]]:
    """Make scenes of a hierarchy's leaves into scenes of the levels above one leaf.

    The source of a level is the submix of all leaves under the path's node there (section
    2.2.2 of the dissertation); so each source is part of the next, and they do not add up to
    the mixture.

    Parameters
    ----------
    hierarchy : Hierarchy
    path : str or sequence of str
        The leaf, or its whole path as `Hierarchy.path` returns it.
    X : list of Mixture
    y : list of Scene
        Their instruments are leaves. What is no leaf stays in the mixture, in no level.

    Returns
    -------
    X_along : list of Mixture
        Those in whose scenes the leaf is listed, as they were.
    y_along : list of Scene
        With the instruments ``level_1`` (the leaf), ``level_2``, ..., and their notes where
        the leaves' are known. Sources in files stay there, as tuples of Clips.

    Raises
    ------
    InstrumentError
        If there is no such leaf; names the closest one.
    ParameterError
        If the path is not one of the hierarchy's, from a leaf to the top.
    InputError
        If a scene has no sources, or none lists the leaf.

    Notes
    -----
    Masks and masked spectra grow along a path exactly if those of the leaves are added up
    (`Hierarchy.sum_along`): the mask of a level is nowhere below that of the level before.
    The waveforms that they give follow in energy to some hundredths of a dB, for overlap-add
    blurs the bins; bars and tests say 0.1 dB. The true submixes here are sums of waveforms:
    sources that do not resemble each other grow likewise, sources in opposite phase cancel.

    Examples
    --------
    Clean guitars, all guitars, and all strings and keys, in stretches where they differ::

        tree = Hierarchy.slakh()
        X, y = render_scenes(files, "gm.sf2", tree, require="any", cache_dir="stems")
        rule = Excerpts.from_preset("chapter2", hierarchy=tree, instruments=["clean_guitars"])
        X, y = scenes_along(tree, "clean_guitars", *rule.apply(X, y))
    """
    check_value(hierarchy, "scenes_along(hierarchy)", Hierarchy)
    leaf = _leaf_of(hierarchy, path)
    mixtures = check_mixtures(X)
    scenes = check_scenes(y, mixtures)
    kept = [i for i, scene in enumerate(scenes) if leaf in scene.instruments]
    if not kept:
        raise InputError(
            "y", f"a scene with {leaf!r}", f"none among {len(scenes)}", "Choose another leaf."
        )
    for i in kept:
        if scenes[i].sources is None:
            raise InputError(f"y[{i}]", "a scene with sources", "None", "Leave it out.")
    return [mixtures[i] for i in kept], [_along(hierarchy, leaf, scenes[i]) for i in kept]


def rare_leaves(hierarchy: Hierarchy, X: Any, y: Any, min_songs: int) -> tuple[str, ...]:
    """List the leaves that are found in fewer songs than a minimum.

    ``hierarchy.without(rare_leaves(...))`` leaves them out.

    Parameters
    ----------
    hierarchy : Hierarchy
    X : list of Mixture
        Their groups say which song they are of; one without a group is a song of its own.
    y : list of Scene
        A leaf is found in a song if one of its scenes lists it.
    min_songs : int
        A leaf in so many songs is not rare.

    Returns
    -------
    leaves : tuple of str
        In the order of the tree.
    """
    check_value(hierarchy, "rare_leaves(hierarchy)", Hierarchy)
    check_value(min_songs, "rare_leaves(min_songs)", whole(0))
    mixtures = check_mixtures(X)
    songs = defaultdict(set)
    for i, (mixture, scene) in enumerate(zip(mixtures, check_scenes(y, mixtures), strict=True)):
        for name in scene.instruments:
            songs[name].add((i,) if mixture.group is None else mixture.group)
    return tuple(leaf for leaf in hierarchy.leaves if len(songs[leaf]) < min_songs)


def _leaf_of(hierarchy: Hierarchy, path: str | Sequence[str]) -> str:
    check_value(path, "scenes_along(path)", str, "array-like")
    leaf = path if isinstance(path, str) else next(iter(path), "")
    above = hierarchy.path(leaf)
    if leaf not in hierarchy.leaves or (not isinstance(path, str) and tuple(path) != above):
        raise ParameterError(
            "scenes_along(path)",
            "a leaf, or its path up to the top",
            repr(path),
            f"Choose one of {list(hierarchy.leaves_of(leaf))}.",
        )
    return leaf


def _along(hierarchy: Hierarchy, leaf: str, scene: Scene) -> Scene:
    members = [
        [name for name in hierarchy.leaves_of(node) if name in scene.instruments]
        for node in hierarchy.path(leaf)
    ]
    files = {
        name: clips_of(source)
        for name, source in zip(scene.instruments, scene.sources, strict=True)
        if name in members[-1]
    }
    sources: Any
    if None in files.values():
        sources = hierarchy.sum_along(leaf, {name: scene.source(name) for name in members[-1]})
    else:
        sources = tuple(
            tuple(clip for name in own for clip in files[name] or ()) for own in members
        )
    notes = None
    if scene.notes is not None:
        notes = tuple(merge_notes([scene.notes_of(name) for name in own]) for own in members)
    return Scene(tuple(hierarchy.levels), scene.sample_rate, sources, notes)
