"""Which module may import which: one door to each library, no cycles, only two that print."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sweeper

PACKAGE = Path(sweeper.__file__).parent
FILES = {
    ".".join(("sweeper", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(node: ast.AST, *, at_the_top: bool = False) -> Iterator[tuple[str, str]]:
    """(module, name) of every import, less those for the type checker alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, "") for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            yield from ((child.module or "", alias.name) for alias in child.names)
        elif not is_type_checking(child) and not (
            at_the_top and isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        ):
            yield from imports(child, at_the_top=at_the_top)


def imported(name: str, *, at_the_top: bool = False) -> set[str]:
    """Our modules and the libraries that a module imports; with `at_the_top` when it is loaded."""
    found = set()
    for module, member in imports(TREES[name], at_the_top=at_the_top):
        inner = f"{module}.{member}"
        found.add(inner if inner in FILES else module)
    return found - {name}


def libraries(name: str) -> set[str]:
    return {module.partition(".")[0] for module in imported(name)}


DOORS = {
    "hydra": r"sweeper\.(compose|overrides)",
    "omegaconf": r"sweeper\.(compose|resolvers)",
    "optuna": r"sweeper\.(study|importance)",
    "ray": r"sweeper\.executors\.ray(_node|_connect)?",
    "joblib": r"sweeper\.executors\.local",
    "torch": r"sweeper\.(training(\.\w+)*|executors\.child)",
    "jinja2": r"sweeper\.evidence\.report",
    "matplotlib": r"sweeper\.evidence\.figures(\.\w+)?",
    "pandas": r"sweeper\.evidence\.\w+",
    "scipy": r"sweeper\.evidence\.\w+",
    "statsmodels": r"sweeper\.evidence\.\w+",
    "sklearn": r"sweeper\.training\.\w+",
    "PIL": r"sweeper\.training(\.\w+)+",
    "sqlite3": r"sweeper\.(store(_file)?|records)",
    "rich": r"sweeper\.(view|watching)",
    "typer": r"sweeper\.cli",
}


@pytest.mark.parametrize("library, door", DOORS.items(), ids=DOORS)
def test_each_library_has_one_door(library: str, door: str) -> None:
    others = {n for n in FILES if library in libraries(n) and not re.fullmatch(door, n)}
    assert others == set()


def reached(start: str, *, at_the_top: bool = False) -> set[str]:
    """Every module of ours that a module comes to import, itself left out."""
    found: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        # The package's own door loads `run` and `load` when they are first asked for.
        is_top = at_the_top or name == "sweeper"
        new = {m for m in imported(name, at_the_top=is_top) if m in FILES} - found
        found |= new
        todo += new
    return found


def test_no_module_comes_to_import_itself() -> None:
    cycles = {name for name in FILES if name in reached(name)}
    assert cycles == set()


READING = sorted(name for name in FILES if name.startswith("sweeper.evidence"))
DOING = (
    r"sweeper\.(training|executors)(\..*)?|"
    r"sweeper\.(compose|overrides|importance|study|sweep|sources|planning|api|cli|view|watching)"
)


@pytest.mark.parametrize("name", READING)
def test_reading_shares_only_nouns_with_doing(name: str) -> None:
    assert {m for m in reached(name) if re.fullmatch(DOING, m)} == set()


NOUNS = (
    "errors",
    "limits",
    "masking",
    "trial",
    "plan",
    "identity",
    "metric",
    "factorial",
    "claim",
    "arm",
    "recipe",
    "design",
    "settings",
    "folders",
)


@pytest.mark.parametrize("name", NOUNS)
def test_nouns_import_nothing_but_nouns(name: str) -> None:
    assert reached(f"sweeper.{name}") <= {f"sweeper.{noun}" for noun in NOUNS}


def test_the_training_knows_nothing_of_the_sweep_around_it() -> None:
    below = {"errors", "fingerprint", "masking", "targets", "trial", "metric"}
    for name in FILES:
        if name.startswith("sweeper.training"):
            ours = {m for m in reached(name) if not m.startswith("sweeper.training")}
            assert ours <= {"sweeper", *(f"sweeper.{module}" for module in below)}, name


def test_only_the_two_faces_print() -> None:
    talking = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (ast.unparse(node.func) == "print" or ast.unparse(node.func).startswith("sys.stdout.w"))
    }
    assert talking <= {"sweeper.cli", "sweeper.view", "sweeper.watching"}


def test_what_a_plan_needs_is_loaded_without_torch() -> None:
    for name in ("compose", "planning", "axes", "listing", "forecast", "store", "evidence.rebuild"):
        loaded = {f"sweeper.{name}", *reached(f"sweeper.{name}", at_the_top=True)}
        assert not any("torch" in {m.partition(".")[0] for m in imported(n)} for n in loaded), name


def test_every_module_says_what_it_is_for() -> None:
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []
