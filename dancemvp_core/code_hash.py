"""Hashes of the code that a notebook or module uses. Comments and docstrings do not change a hash.

The workflow uses these hashes to find notebooks that are out of date. The stamps of encoders and outcomes contain them
(``stamp``).
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = "dancemvp_core"
CORE = Path(__file__).resolve().parent
# These modules change no result: they write files or show progress. The workflow compares a profile's values one by one.
NOT_RESULTS = ("cli", "code_hash", "files", "runs.profiles", "runs.progress", "runs.provenance")
METHOD_TABLE = "pretraining.methods"


def notebook_hash(path: Path) -> str:
    """Return the hash of a notebook's cells, without its outputs and metadata."""
    return _digest(json.dumps([[cell["cell_type"], "".join(cell["source"])] for cell in _cells(path)]))


def modules_hash(roots: Iterable[str | Path], ignore: Iterable[str] = ()) -> str:
    """Return the hash of all core modules that notebooks or modules import, directly or indirectly.

    Comments and docstrings do not change the hash. ``ignore`` names modules to leave out, without the package's name. A
    YAML file counts too if a counted module in the same folder names it.
    """
    skip = {f"{PACKAGE}.{name}" for name in (*NOT_RESULTS, *ignore)}
    waiting = [name for root in roots for name in ([root] if isinstance(root, str) else notebook_imports(root))]
    seen: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name not in seen and name not in skip and _file(name):
            code, imports = _read(_file(name))
            seen[name] = code
            waiting += imports
    return _digest(json.dumps(sorted(seen.items())))


@cache
def stamp(module: str) -> str:
    """Return the hash of all code that a core module's results depend on; ``module`` is its ``__name__``.

    The method table is left out because it is data: the stamp of a row contains that row's entry. So a new method does
    not make finished encoders out of date.
    """
    return modules_hash([module], ignore=(METHOD_TABLE,))


def notebook_imports(path: Path) -> list[str]:
    """Return the names of the core modules that a notebook's cells import."""
    found = []
    for cell in _cells(path):
        if cell["cell_type"] == "code":
            lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in "".join(cell["source"]).split("\n")]
            found += _imports(ast.parse("\n".join(lines)))
    return found


def _cells(path: Path) -> list[dict]:
    return json.loads(Path(path).read_text(encoding="utf-8"))["cells"]


def _file(module: str) -> Path | None:
    stem = CORE.joinpath(*module.split(".")[1:])
    return next((f for f in (stem.with_suffix(".py"), stem / "__init__.py") if f.is_file()), None)


@cache
def _read(file: Path) -> tuple[str, list[str]]:
    """Return (the module's code without docstrings, names of the core modules that it imports)."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imports = list(_imports(tree))
    data = [s.value for s in ast.walk(tree) if isinstance(s, ast.Constant) and str(s.value).endswith(".yaml")]
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    contents = [(file.parent / name).read_text(encoding="utf-8") for name in data if (file.parent / name).is_file()]
    return "\n".join([ast.dump(tree), *contents]), imports


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
