"""Trees of instruments: what they hold, what they refuse, and sums along a path."""

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from msa_sk import Hierarchy
from msa_sk.exceptions import InputError, InstrumentError

NESTED = {
    "keys": {"struck": {"piano": [0, 1], "electric_piano": 4}, "blown": {"organ": range(16, 20)}},
    "rhythm": {"beaten": {"drums": "drums", "claps": None}},
}


@pytest.fixture
def tree():
    return Hierarchy.from_dict(NESTED)


# ---------------------------------------------------------------------------- the shape


def test_levels_are_named_from_the_leaves(tree):
    assert tree.levels == {
        "level_1": ("piano", "electric_piano", "organ", "drums", "claps"),
        "level_2": ("struck", "blown", "beaten"),
        "level_3": ("keys", "rhythm"),
    }
    assert tree.leaves == tree.levels["level_1"]


def test_paths_parents_and_families(tree):
    assert tree.path("organ") == ("organ", "blown", "keys")
    assert tree.path("blown") == ("blown", "keys")
    assert [tree.parent(node) for node in ("organ", "blown", "keys")] == ["blown", "keys", None]
    assert tree.leaves_of("keys") == ("piano", "electric_piano", "organ")
    assert tree.leaves_of("piano") == ("piano",)
    assert tree.relatives("piano") == ("electric_piano", "organ")
    assert Hierarchy([["flute", "winds"], ["harp", "strings"]]).relatives("harp") == ()


def test_slakh_is_figure_2_13():
    tree = Hierarchy.slakh()
    assert [len(nodes) for nodes in tree.levels.values()] == [18, 7, 4]
    children = {top: {tree.path(leaf)[1] for leaf in tree.leaves_of(top)} for top in
                tree.levels["level_3"]}  # fmt: skip
    assert sorted(map(len, children.values())) == [1, 1, 1, 4]
    assert children["strings_and_keys"] == {
        "orchestral_strings", "guitars", "keyboards", "electric_keyboards",
    }  # fmt: skip
    assert tree.leaves_of("guitars") == ("clean_guitars", "effected_guitars")
    assert tree.path("clean_guitars")[1:] == ("guitars", "strings_and_keys")  # table 2.1
    # What figure 2.14's caption and the text name besides.
    assert {"plucked_strings", "electric_basses", "double_reeds", "drums"} <= set(tree.leaves)


def test_programs_find_their_leaves():
    tree = Hierarchy.slakh()
    found = {program: tree.leaf_of(program) for program in (0, 4, 27, 30, 33, 56, 69, "drums")}
    assert found == {
        0: "pianos", 4: "electric_pianos", 27: "clean_guitars", 30: "effected_guitars",
        33: "electric_basses", 56: "brass", 69: "double_reeds", "drums": "drums",
    }  # fmt: skip
    assert tree.leaf_of(np.int64(48)) == "string_ensembles"
    assert tree.leaf_of(127) is None  # gunshot
    assert all(tree.leaf_of(program) for program in range(46))
    assert tree.programs["drums"] == ("drums",)


# ------------------------------------------------------------------------- in and out


def test_a_tree_survives_every_form(tree, tmp_path):
    (tmp_path / "tree.json").write_text(json.dumps(tree.to_dict()))
    (tmp_path / "tree.YML").write_text(
        "keys:\n  struck: {piano: [0, 1], electric_piano: 4}\n"
        "  blown:\n    organ: [16, 17, 18, 19]\n"
        "rhythm:\n  beaten:\n    drums: drums\n    claps:\n"
    )
    copies = [
        Hierarchy.from_dict(tree.to_dict()),
        Hierarchy.from_file(tmp_path / "tree.json"),
        Hierarchy.from_file(str(tmp_path / "tree.YML")),
        Hierarchy(tree.paths, tree.programs),
        pickle.loads(pickle.dumps(tree)),
        copy.deepcopy(tree),
    ]
    assert all(one == tree and hash(one) == hash(tree) for one in copies)
    assert Hierarchy.slakh() != tree
    assert tree.to_dict()["rhythm"] == {"beaten": {"drums": ["drums"], "claps": []}}


def test_neighbours_stand_side_by_side_in_whatever_order_they_come(tree):
    shuffled = Hierarchy([tree.paths[i] for i in (0, 3, 2, 4, 1)], tree.programs)
    assert shuffled.leaves == ("piano", "electric_piano", "organ", "drums", "claps")
    assert Hierarchy.from_dict(shuffled.to_dict()) == shuffled


def test_the_input_is_neither_changed_nor_kept(tree):
    programs = dict(tree.programs)
    one = Hierarchy(tree.paths, programs)
    programs["piano"] = (99,)
    assert one.programs["piano"] == (0, 1)


def test_text_shows_the_tree(tree):
    assert repr(tree) == "Hierarchy(nodes by level: 5, 3, 2)"
    assert str(tree).splitlines() == [
        "keys",
        "├── struck",
        "│   ├── piano: 0-1",
        "│   └── electric_piano: 4",
        "└── blown",
        "    └── organ: 16-19",
        "rhythm",
        "└── beaten",
        "    ├── drums: drums",
        "    └── claps",
    ]


def test_the_drawing_holds_every_node_right_of_its_parent():
    tree = Hierarchy.slakh()
    ax = tree.draw()
    places = {text.get_text(): text.get_position() for text in ax.texts}
    assert set(places) == {
        name.replace("_", " ") for level in tree.levels.values() for name in level
    } | {"mixture", "level 1", "level 2", "level 3"}
    for level in tree.levels.values():
        for node in level:
            above = tree.parent(node) or "mixture"
            assert places[above.replace("_", " ")][0] < places[node.replace("_", " ")][0]
    leaf_rows = [places[leaf.replace("_", " ")][1] for leaf in tree.leaves]
    assert leaf_rows == list(range(18))
    assert places["guitars"][1] == 3.5  # between its children
    assert tree.draw(ax) is ax


# ------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        (
            {"keys": {"organ": 16}, "winds": {"organ": None}},
            "node 'organ': expected one parent, got 'keys' and 'winds'",
        ),
        (
            {"keys": {"piano": 0}, "winds": {"keys": None}},
            "node 'keys': expected one parent, got the top and 'winds'",
        ),
        ({"keys": {"keys": 0}}, "node 'keys': expected one parent"),
        (
            {"keys": {"piano": 0}, "drums": "drums"},
            "leaves of one depth, got 'drums' at depth 1 and 'piano' at depth 2",
        ),
        ({"keys": {}}, "'keys': expected at least one node below it"),
        ({}, "at least one node below it"),
        ({"keys": {3: None}}, "names as text, got 3"),
        (["piano", "organ"], "a dict of nodes, got list"),
        ({"keys": {"piano": 128}}, "programs of 'piano': .* from 0 to 127, or 'drums', got 128"),
        ({"keys": {"piano": [0, "piano"]}}, "got 'piano'. Programs are counted from 0"),
        ({"keys": {"piano": True}}, "got True"),
        ({"keys": {"piano": [0, 1], "organ": 1}}, "program 1: .* got 'piano' and 'organ'"),
    ],
)  # fmt: skip
def test_what_is_no_tree_is_refused(nested, message):
    with pytest.raises(InputError, match=message):
        Hierarchy.from_dict(nested)


@pytest.mark.parametrize("paths", ["abc", ["abc"], [("piano",), "abc"], None, 3, [3], {"a": "b"}])
def test_letters_are_no_paths(paths):
    with pytest.raises(InputError, match=r"paths=\): expected a sequence of paths, each"):
        Hierarchy(paths)


def test_wrong_paths_are_refused():
    for paths in ([], [()]):
        with pytest.raises(InputError, match="at least one leaf"):
            Hierarchy(paths)
    with pytest.raises(InputError, match="each leaf once, got 'piano'"):
        Hierarchy([("piano", "keys"), ("piano", "keys")])
    with pytest.raises(InstrumentError, match="Did you mean 'piano'"):
        Hierarchy([("piano", "keys")], {"piani": 0})
    with pytest.raises(InputError, match=r"programs=\): expected a dict of leaves, got 3"):
        Hierarchy([("piano", "keys")], 3)


def test_unknown_names_and_programs_are_refused(tree):
    for ask in (tree.path, tree.parent, tree.leaves_of, tree.relatives):
        with pytest.raises(InstrumentError, match="Did you mean 'organ'"):
            ask("organs")
    for program in (128, -1, 1.0, "piano", None):
        with pytest.raises(InstrumentError, match="from 0 to 127"):
            tree.leaf_of(program)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tree.txt", "", "one of .'.json', '.yaml', '.yml'., got '.txt'"),
        ("tree.json", "{", "a file of nested names"),
        ("tree.json", '{"keys": {"piano": 0, "piano": 1}}', "each child once, got 'piano'"),
        ("tree.yaml", "keys: {piano: 0, piano: 1}", "each child once, got 'piano'"),
        ("tree.yaml", "keys: [", "a file of nested names"),
        ("tree.yaml", "keys: !!python/object/apply:os.getcwd []", "a file of nested names"),
        ("tree.yaml", "- keys", "a dict of nodes, got list"),
        ("tree.yaml", "keys: {no: 0}", "names as text, got False. Put it in quotes"),
        ("tree.yaml", "", "a dict of nodes, got NoneType"),
        ("tree.yaml", "? [a, b]\n: 0", "a file of nested names"),
        ("tree.json", '{"keys": {"piano": 128}}', "from 0 to 127, or 'drums', got 128"),
        ("tree.json", '{"a":' * 3000, "a file of nested names"),
    ],
)
def test_wrong_files_are_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        Hierarchy.from_file(tmp_path / name)
    assert caught.value.item.startswith(str(tmp_path / name))


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    for name, got in (("nowhere.yaml", "nothing there"), ("folder.yaml", "a folder")):
        with pytest.raises(InputError, match=f"{name}: expected a file of nested .*, got {got}"):
            Hierarchy.from_file(tmp_path / name)


# ------------------------------------------------------------------------- without leaves


def test_leaves_go_and_nodes_that_held_only_them(tree):
    smaller = tree.without(["organ", "claps"])
    assert smaller.levels == {
        "level_1": ("piano", "electric_piano", "drums"),
        "level_2": ("struck", "beaten"),
        "level_3": ("keys", "rhythm"),
    }
    assert (smaller.leaf_of(16), smaller.leaf_of(4)) == (None, "electric_piano")
    assert tree.without([]) == tree
    with pytest.raises(InstrumentError, match="Did you mean 'organ'"):
        tree.without(["organs"])
    with pytest.raises(InstrumentError, match="a sequence of names, got 'organ'"):
        tree.without("organ")
    with pytest.raises(InputError, match="at least one leaf"):
        tree.without(tree.leaves)


# ------------------------------------------------------------------------------- sums


def test_sums_are_those_of_the_leaves_below(tree):
    parts = {"piano": 1, "electric_piano": 10, "organ": 100, "drums": 1000, "kazoo": 5}
    parts = {name: np.full(3, value) for name, value in parts.items()}
    assert tree.sum_along("piano", parts)[:, 0].tolist() == [1, 11, 111]
    assert tree.sum_along("organ", parts)[:, 0].tolist() == [100, 100, 111]
    del parts["electric_piano"]  # silent
    assert tree.sum_along("piano", parts)[:, 0].tolist() == [1, 1, 101]
    with pytest.raises(InstrumentError, match="electric_piano"):
        tree.sum_along("electric_piano", parts)
    with pytest.raises(InputError, match="one shape"):
        tree.sum_along("piano", parts | {"organ": np.zeros(4)})
    for wrong in (3, None, [parts["piano"]]):
        with pytest.raises(InputError, match="a dict of arrays by leaf"):
            tree.sum_along("piano", wrong)
    for wrong in ("abc", [[1], [2, 3]]):
        with pytest.raises(InputError, match=r"\['organ'\]: expected an array of numbers"):
            tree.sum_along("piano", parts | {"organ": wrong})


def test_sums_of_small_integers_do_not_overflow(tree):
    parts = {"piano": np.array([200], np.uint8), "organ": np.array([100], np.uint8)}
    assert tree.sum_along("piano", parts).max() == 300


def test_programs_may_be_an_array():
    tree = Hierarchy.from_dict({"keys": {"piano": np.arange(3), "organ": np.array(16)}})
    assert tree.programs == {"piano": (0, 1, 2), "organ": (16,)}


@given(arrays(np.float32, (18, 5), elements=st.floats(0, 1, width=32)))
def test_what_is_not_negative_grows_along_every_path_to_the_last_bit(masks):
    tree = Hierarchy.slakh()
    parts = dict(zip(tree.leaves, masks, strict=True))
    for leaf in tree.leaves:
        sums = tree.sum_along(leaf, parts)
        assert sums.dtype == np.float32
        assert (np.diff(sums, axis=0) >= 0).all()
        assert np.array_equal(sums[0], parts[leaf])
