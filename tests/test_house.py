"""The house: imports go in one direction, every file says what it holds, and nothing grows beyond what one can read."""

import ast
import io
from pathlib import Path

import pytest
from docutils.core import publish_doctree

CORE = Path(__file__).resolve().parents[1] / "dancemvp_core"
MODULES = sorted(CORE.rglob("*.py"))
ROOMS = sorted(folder for folder in CORE.iterdir() if folder.is_dir() and list(folder.glob("*.py")))
FLOORS = [  # a room imports itself and lower floors; the files of the lowest floor may import one another
    {"files", "style", "labels", "device", "convolution", "code_hash"}, {"dance"}, {"formats", "download", "player"},
    {"models", "datasets"},
    {"pretraining"}, {"runs"}, {"tasks"},
    {"released"}, {"paper", "assess"}, {"controls", "explorer"}, {"cli"},
]  # fmt: skip
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def name_of(path: Path) -> str:
    return path.relative_to(CORE.parent).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.AST) -> set[str]:
    """The rooms (or files) of the core that a module imports, at the top or inside a function."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dancemvp_core":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("dancemvp_core.")}
    return found


def imports(path: Path, text: str) -> list[str]:
    """What a module of this text may not import: another room of its own floor, or anything above."""
    room = room_of(path)
    own = FLOOR[room]
    others = imported_rooms(ast.parse(text)) - {room}
    return sorted(o for o in others if FLOOR.get(o, 99) > own or (FLOOR[o] == own > 0))


@pytest.mark.parametrize("path", [m for m in MODULES if m != CORE / "__init__.py"], ids=name_of)
def test_imports_go_in_one_direction(path):
    assert imports(path, path.read_text(encoding="utf-8")) == []


def test_a_wrong_direction_is_seen():
    assert imports(CORE / "dance" / "pieces.py", "from dancemvp_core.tasks import splits") == ["tasks"]
    assert imports(CORE / "models" / "losses.py", "def f():\n    from dancemvp_core import datasets") == ["datasets"]
    assert imports(CORE / "assess" / "page.py", "import dancemvp_core.paper.tables") == ["paper"]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_and_every_public_name_has_a_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    if room_of(path) not in ("paper",) or path.stem not in ("arithmetic", "rules"):  # there the claim itself says it
        assert [node.name for node in public if not ast.get_docstring(node)] == []


def markup_faults(text: str) -> str:
    """What docutils, which the site is built with, has against a docstring; Sphinx ends the build on the same."""
    found = io.StringIO()
    publish_doctree(text, settings_overrides={"warning_stream": found, "report_level": 2})
    return found.getvalue()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_docstrings_are_sound_restructuredtext(path):
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    texts = [ast.get_docstring(n) for n in nodes if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    assert "".join(markup_faults(text) for text in texts if text) == ""


def test_a_docstring_that_the_site_cannot_read_is_seen():
    assert "substitution" in markup_faults("The penalty is |weights|^2 / 2.") and not markup_faults("The penalty is ``|w|^2``.")


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_a_room_has_a_docstring_and_at_most_twelve_files(room):
    assert ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
    assert len(list(room.glob("*.py"))) <= 12


def test_the_map_names_every_room():
    text = (CORE / "__init__.py").read_text(encoding="utf-8")
    assert [room.name for room in ROOMS if f"``{room.name}``" not in text] == []


def test_the_core_of_models_and_losses_is_small():
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (CORE / "models").glob("*.py"))
    assert lines < 700


def too_large(text: str) -> list[str]:
    """Functions of more than 60 lines or 7 parameters."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            a = node.args
            count = len([x for x in (*a.posonlyargs, *a.args, *a.kwonlyargs) if x.arg not in ("self", "cls")])
            if node.end_lineno - node.lineno + 1 > 60 or count > 7:
                found.append(node.name)
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_function_is_too_large(path):
    assert too_large(path.read_text(encoding="utf-8")) == []


def test_a_function_that_is_too_large_is_seen():
    assert too_large("def long():\n" + "    x = 1\n" * 61) == ["long"]
    assert too_large("def wide(a, b, c, d, e, f, *, g, h): pass") == ["wide"]
