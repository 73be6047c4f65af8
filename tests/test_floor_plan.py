"""The floor plan of ``rdt``: rooms stand on floors, imports go down, and a name has one meaning.

Everything is read from the syntax of the modules; nothing is imported.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.support.repository import REPOSITORY

# From the ground up. A room is a folder of rdt/ or a module beside them; rooms of one floor do not import each other.
FLOORS = (
    ("errors", "lazy", "signatures"),
    ("digests", "diffusion", "losses"),
    ("files", "draws", "templates"),
    ("experiment",),
    ("data",),
    ("provenance",),
    ("tracking", "model"),
    ("workspace", "features"),
    ("captioning", "metrics"),
    ("scoring",),
    ("tables", "claims", "training"),
    ("report", "studies"),
    ("commands",),
    ("cli",),
)
LONGEST_FUNCTION = 40  # lines, with its docstring
# Functions that several modules have because somebody calls whichever it was given.
PROTOCOLS = {"add_arguments", "run", "__getattr__"}


@cache
def modules() -> dict[str, ast.Module]:
    """The syntax of every module of the package, by name."""
    found = {}
    for path in sorted((REPOSITORY / "rdt").rglob("*.py")):
        name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imported(tree: ast.AST) -> set[str]:
    """The modules of the package that a module imports, also inside functions and for type checking."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in modules() else node.module or "" for name in whole}
    return {name for name in names if name.partition(".")[0] == "rdt"}


@cache
def arrows() -> dict[str, set[str]]:
    return {name: imported(tree) - {name} for name, tree in modules().items()}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_every_room_has_a_floor():
    rooms = {room(module) for module in modules()} - {"", "__main__"}
    assert sorted(name for floor in FLOORS for name in floor) == sorted(rooms)


def test_no_import_runs_up_or_along_a_floor():
    height = {name: number for number, floor in enumerate(FLOORS) for name in floor}
    wrong = [
        f"{module} imports {other}"
        for module, others in arrows().items()
        for other in others
        if room(module) in height and room(other) in height and room(module) != room(other)
        if height[room(other)] >= height[room(module)]
    ]
    assert wrong == []


def test_no_imports_run_in_a_circle():
    TopologicalSorter(arrows()).prepare()  # raises CycleError, which names one


def test_commands_are_imported_by_the_command_line_alone():
    users = [name for name, others in arrows().items() if any(room(other) == "commands" for other in others)]
    assert [name for name in users if room(name) != "commands"] == ["rdt.cli"]


def test_argparse_is_known_to_commands_alone():
    """Otherwise a word in a help text would belong to the code that makes results."""

    def knows(tree: ast.Module) -> bool:
        nodes = list(ast.walk(tree))
        named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        return "argparse" in named | {node.module for node in nodes if isinstance(node, ast.ImportFrom)}

    assert [name for name, tree in modules().items() if knows(tree) and room(name) != "commands"] == []


@pytest.mark.parametrize("kind", [ast.ClassDef, ast.FunctionDef])
def test_no_two_modules_have_one_name_for_two_things(kind):
    holders = defaultdict(list)
    for module, tree in modules().items():
        for node in tree.body:
            if isinstance(node, kind) and node.name not in PROTOCOLS:
                holders[node.name].append(module)
    assert {name: found for name, found in holders.items() if len(found) > 1} == {}


def test_functions_fit_a_screen():
    long = [
        f"{module}.{node.name}: {lines} lines"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert long == []


def test_tests_stand_in_the_same_rooms():
    rooms = {floor for names in FLOORS for floor in names if (REPOSITORY / "rdt" / floor).is_dir()}
    folders = {path.name for path in Path(REPOSITORY / "tests").iterdir() if path.is_dir() and path.name[0] not in "._"}
    assert rooms <= folders
