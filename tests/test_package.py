"""The package as a whole: what importing costs, who imports whom, and documents that hold."""

import ast
import importlib
import importlib.metadata
import inspect
import re
import statistics
import subprocess
import sys
import tokenize
from dataclasses import is_dataclass
from pathlib import Path

import pytest

import msa_sk

ROOT = Path(msa_sk.__file__).parent


def module_name(path):
    steps = ("msa_sk", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(steps).removesuffix(".__init__")


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
MODULES = [name for name in FILES if name != "msa_sk"]


def in_fresh_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


# ---------------------------------------------------------------------------- the import


def test_importing_is_cheap():
    """Under 0.2 s above bare Python; it takes some milliseconds, so that a busy machine passes.

    The median of five fresh processes, each of which times the import alone.
    """
    code = (
        "import sys, time; start = time.perf_counter(); import msa_sk; "
        "print(time.perf_counter() - start, *sys.modules)"
    )
    runs = [in_fresh_python(code) for _ in range(5)]
    assert statistics.median(float(run[0]) for run in runs) < 0.2
    loaded = {name.split(".")[0] for name in runs[0][1:]}
    assert loaded.isdisjoint({"torch", "librosa", "sklearn", "numpy", "skorch", "matplotlib"})


@pytest.mark.parametrize(
    ("use", "absent"),
    [
        ("msa_sk.Mixture, msa_sk.Scene, msa_sk.Notes, msa_sk.Clip", ["torch", "librosa"]),
        ("msa_sk.NMFSeparator(), msa_sk.STFT(), msa_sk.load", ["torch", "skorch", "matplotlib"]),
        ("__import__('msa_sk.nn')", ["skorch"]),
    ],
)
def test_what_is_not_used_is_not_imported(use, absent):
    loaded = in_fresh_python(f"import sys, msa_sk; {use}; print(*sys.modules)")
    assert {name for name in absent if name in loaded} == set()


def test_the_table_of_contents_is_whole():
    assert sorted(msa_sk.__all__) == sorted([*msa_sk._WHERE, "__version__"])
    assert dir(msa_sk) == sorted(msa_sk.__all__)
    for name, module in msa_sk._WHERE.items():
        assert getattr(msa_sk, name) is getattr(importlib.import_module(module), name)
        assert getattr(msa_sk, name).__module__ == module  # its home, not a way station
    for name in ("NMFSeperator", "models_", "os"):
        with pytest.raises(AttributeError, match=f"module 'msa_sk' has no attribute '{name}'"):
            getattr(msa_sk, name)


def test_type_checkers_see_the_same_table():
    tree = ast.parse((ROOT / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == msa_sk._WHERE


@pytest.mark.parametrize("name", MODULES)
def test_all_that_a_module_lists_is_there(name):
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", [])
    assert len(set(listed)) == len(listed)
    for one in listed:
        getattr(module, one)


def test_the_version_is_said_once():
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?(\.dev\d+|a\d+|b\d+|rc\d+)?", msa_sk.__version__)
    assert importlib.metadata.version("msa_sk") == msa_sk.__version__
    assert (ROOT / "py.typed").is_file()


# ---------------------------------------------------------------------------- the layers

# Who may import whom: from the same line or from one above. `nn` stands apart.
LAYERS = [
    {"_version", "_containers", "_progress", "exceptions", "_sklearn"},
    {"_arguments", "_files", "_jobs", "audio"},
    {"notes", "clips"},
    {"records", "hierarchy"},
    {"_validation"},
    {"_general_midi", "_midi_file", "midi", "streams", "spectral", "rolls", "score"},
    {"masking", "clustering", "decoding", "templates", "alignment", "stems", "windows"},
    {"metrics"},
    {"base", "persistence", "windowed", "retouch"},
    {"neural"},
    {"models"},
    {"editing", "display", "testing"},
    {"cli"},
]
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
# Data sets see everything up to rolls and no estimator; examples of estimators see them.
RANK["datasets"] = RANK["rolls"] + 0.5
MAY_SEE_DATASETS = {"datasets", "testing", "cli"}
MAY_SEE_NN = {"nn", "neural", "models"}

UPWARD = {
    ("records", "stems"): "Scene.write writes itself",
    ("records", "display"): "Scene.plot draws itself",
    ("persistence", ""): "the version, and the table of the package's estimators",
}


def part_of(module):
    """Return the name in the layers' table of a module; empty for the package itself."""
    return ".".join(module.split(".")[1:2])


def imports_of(path, at_top=False):
    """Return the modules that a file imports: wherever it does so, or at its top only."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body if at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in FILES else node.module)
    return sorted(found)


IMPORTS = {name: imports_of(FILES[name]) for name in MODULES}


def test_every_part_has_its_layer():
    parts = {part_of(name) for name in IMPORTS}
    assert parts <= {*RANK, "nn"}


def wrong_imports(imports):
    """Return imports against the stream, as pairs, and which of the exceptions were used."""
    wrong, used = [], set()
    for name, imported in imports.items():
        part = part_of(name)
        for other in imported:
            target = part_of(other)
            if other.split(".")[0] != "msa_sk":
                continue
            if (part, target) in UPWARD:
                used.add((part, target))
                continue
            if "nn" in (part, target):
                allowed = part in MAY_SEE_NN if target == "nn" else False
            elif target == "datasets":
                allowed = part in MAY_SEE_DATASETS
            else:
                allowed = bool(target) and RANK[target] <= RANK[part]
            if not allowed:
                wrong.append((name, other))
    return wrong, used


def test_imports_go_upstream():
    """{exceptions, _sklearn, audio} -> {records, hierarchy} -> _validation -> ... -> cli."""
    wrong, used = wrong_imports(IMPORTS)
    assert wrong == []
    assert used == set(UPWARD), "an exception that nobody needs any more"


@pytest.mark.parametrize(
    ("name", "imported"),
    [
        ("msa_sk.audio", "msa_sk.records"),
        ("msa_sk.records", "msa_sk.rolls"),
        ("msa_sk.metrics.scorers", "msa_sk.base"),
        ("msa_sk.metrics.scorers", "msa_sk"),
        ("msa_sk.datasets.synthetic", "msa_sk.models.nmf"),
        ("msa_sk.base", "msa_sk.datasets"),
        ("msa_sk.nn.losses", "msa_sk.rolls"),
        ("msa_sk.base", "msa_sk.nn.losses"),
        ("msa_sk.neural.net", "msa_sk.models.cerberus"),
    ],
)
def test_imports_against_the_stream_are_found(name, imported):
    assert wrong_imports({name: [imported, "numpy"]}) == ([(name, imported)], set())


def test_no_model_imports_another():
    made_of = {
        "msa_sk.models.family": ["msa_sk.models.cerberus"],  # without some of its heads
        "msa_sk.models.informed": ["msa_sk.models.family"],  # and told more
    }
    for name, imported in IMPORTS.items():
        if part_of(name) == "models":
            others = [one for one in imported if part_of(one) == "models" and one != name]
            assert others == made_of.get(name, [])


def test_upward_imports_wait_until_they_are_used():
    """At the top of a file they would make a circle; the package itself is there already."""
    for part, target in UPWARD:
        at_top = imports_of(FILES[f"msa_sk.{part}"], at_top=True)
        assert not target or f"msa_sk.{target}" not in at_top


def imported_by(package):
    return {
        part_of(name)
        for name, imported in IMPORTS.items()
        if any(one.split(".")[0] == package for one in imported)
    }


def test_only_the_engine_knows_skorch():
    assert imported_by("skorch") == {"neural"}


def test_torch_is_loaded_by_networks_alone():
    """What else needs it for a moment imports it then."""
    at_top = {
        part_of(name)
        for name in MODULES
        if any(one.split(".")[0] == "torch" for one in imports_of(FILES[name], at_top=True))
    }
    assert at_top == {"nn", "neural", "models"}


def test_blocks_of_networks_need_torch_alone():
    for name, imported in IMPORTS.items():
        if part_of(name) == "nn":
            outside = {one.split(".")[0] for one in imported} - set(sys.stdlib_module_names)
            assert outside <= {"torch", "msa_sk"}
            assert {part_of(one) for one in imported if one.startswith("msa_sk")} <= {"nn"}


def test_private_scikit_learn_is_imported_in_one_place():
    private = {
        name: one
        for name, imported in IMPORTS.items()
        for one in imported
        if one.startswith("sklearn.") and any(step.startswith("_") for step in one.split("."))
    }
    assert set(private) == {"msa_sk._sklearn"}


def test_pyplot_is_imported_nowhere():
    assert [n for n, imported in IMPORTS.items() if "matplotlib.pyplot" in imported] == []


def count_code_lines(path):
    """Count lines that hold more than comments and docstrings."""
    skipped = (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    )
    with tokenize.open(path) as file:
        lines = {
            line
            for token in tokenize.generate_tokens(file.readline)
            if token.type not in skipped
            for line in range(token.start[0], token.end[0] + 1)
        }
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                lines -= set(range(first.lineno, first.end_lineno + 1))
    return len(lines)


def test_lines_of_code_are_counted_as_one_would(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        '"""Doc.\n\nMore."""\n\n# comment\nx = (\n    1,\n)\n\n\ndef f():\n    """Doc."""\n    '
        'return """a\nb"""  # two lines\n'
    )
    assert count_code_lines(path) == 6


def test_a_file_is_one_thought():
    long = {name: n for name, path in FILES.items() if (n := count_code_lines(path)) > 400}
    assert long == {}


def test_nothing_is_left_undone():
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    assert [name for name, path in FILES.items() if marks.search(path.read_text())] == []


# -------------------------------------------------------------------------- the documents


def sections_of(docstring):
    """Split a numpydoc text into its sections: name to lines."""
    lines = inspect.cleandoc(docstring).splitlines()
    sections, name = {"": []}, ""
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        if below and set(below) == {"-"}:
            name = line
            sections[name] = []
        elif not line or set(line) != {"-"}:
            sections[name].append(line)
    return sections


def documented_parameters(docstring):
    """Return name to (stated default, description); None where no default is stated."""
    stated, names = {}, []
    for line in sections_of(docstring).get("Parameters", []):
        if not re.match(r"[\w*]+(, [\w*]+)*( :|$)", line):
            for name in names:
                stated[name] = (stated[name][0], stated[name][1] + line)
            continue
        names, _, kind = line.partition(" : ")
        names = [name for name in names.split(", ") if not name.startswith("*")]
        _, has_default, text = kind.partition("default=")
        values = _values(text) if has_default else [None]
        values = values * len(names) if len(values) == 1 else values
        stated.update((name, (value, "")) for name, value in zip(names, values, strict=True))
    return stated


def _values(text):
    """Split "1, 2" into its values, but keep "(1, 2)" as one."""
    parsed = ast.parse(f"({text.strip()},)", mode="eval").body
    return [ast.unparse(element) for element in parsed.elts]


def signature_parameters(function):
    """Return name to default, without self and without what is collected by stars."""
    parameters = list(inspect.signature(function).parameters.values())
    if inspect.isfunction(function) and "." in function.__qualname__.rpartition("<locals>.")[2]:
        parameters = [p for p in parameters if p.name not in ("self", "cls")]
    if is_dataclass(function):  # inherited fields are documented where they are declared
        own = inspect.get_annotations(function)
        parameters = [p for p in parameters if p.name in own]
    stars = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {p.name: p.default for p in parameters if p.kind not in stars}


def public_objects():
    """Yield every public function, class and method that is defined in the package."""
    for name in MODULES:
        module = importlib.import_module(name)
        for member, value in vars(module).items():
            if member.startswith("_") or getattr(value, "__module__", None) != name:
                continue
            if inspect.isclass(value):
                yield f"{name}.{member}", value
                for method, function in vars(value).items():
                    function = getattr(function, "__func__", function)
                    if not method.startswith("_") and inspect.isfunction(function):
                        yield f"{name}.{member}.{method}", function
            elif inspect.isfunction(value):
                yield f"{name}.{member}", value


PUBLIC = dict(public_objects())
WITH_PARAMETERS = {
    name: value
    for name, value in PUBLIC.items()
    if value.__doc__ and "Parameters" in sections_of(value.__doc__)
}


def test_the_reader_of_docstrings_reads():
    def example(a, b=1, c="x", *, d=(1, 2), e=None):
        """Do it.

        Parameters
        ----------
        a : int
            In s; default=5 is no default here.
        b, c : int or str, default=1, "x"
        d : tuple, default=(1, 2)
        e : {"x", "y"}, default=None
            As in `f`.

        Returns
        -------
        f : int
        """

    assert documented_parameters(example.__doc__) == {
        "a": (None, "    In s; default=5 is no default here."),
        "b": ("1", ""),
        "c": ("'x'", ""),
        "d": ("(1, 2)", ""),
        "e": ("None", "    As in `f`."),
    }
    assert signature_parameters(example) == {
        "a": inspect.Parameter.empty,
        "b": 1,
        "c": "x",
        "d": (1, 2),
        "e": None,
    }
    assert len(WITH_PARAMETERS) > 50


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_documented_parameters_are_those_of_the_signature(name):
    value = WITH_PARAMETERS[name]
    defaults, stated = signature_parameters(value), documented_parameters(value.__doc__)
    assert set(stated) == set(defaults)
    for parameter, (text, description) in stated.items():
        default = defaults[parameter]
        if text is not None:
            assert ast.literal_eval(text) == default, parameter
        elif default is not inspect.Parameter.empty and repr(default) != "<factory>":
            # y=None is scikit-learn's way of writing `fit`.
            told = "as in" in description.lower() or (parameter, default) == ("y", None)
            assert told, f"the default of {parameter} is {default!r}, and nothing says so"


def exported():
    """Yield what users are meant to call: what the `__all__` of public packages lists."""
    for package in ("", ".metrics", ".datasets", ".display", ".testing"):
        module = importlib.import_module(f"msa_sk{package}")
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value):
                yield f"{value.__module__}.{name}", value


@pytest.mark.parametrize(("name", "value"), list(exported()))
def test_what_users_call_says_what_it_takes(name, value):
    is_plain_tuple = inspect.isclass(value) and issubclass(value, tuple)
    takes_something = bool(signature_parameters(value)) and not is_plain_tuple
    says_what = name in WITH_PARAMETERS or "as in" in value.__doc__.lower()
    assert says_what or not takes_something, "no section Parameters"


@pytest.mark.parametrize("name", [name for name in [*PUBLIC, *MODULES] if "._" not in name])
def test_everything_public_says_what_it_is(name):
    value = PUBLIC.get(name) or importlib.import_module(name)
    text = inspect.getdoc(value)
    owner, _, method = name.rpartition(".")
    if text is None and owner in PUBLIC:  # a method may have its base class's
        text = inspect.getdoc(getattr(PUBLIC[owner], method))
    assert text
    assert text.splitlines()[0].strip()
