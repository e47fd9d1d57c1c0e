"""The committed notebooks keep the package's form: parameters, prose, size, executed, nothing of the machine."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from dancemvp_core.runs import profiles

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
STAGES = [path for path in NOTEBOOKS if path.stem in profiles.STAGES]


def read(path: Path):
    book = nbformat.read(path, 4)
    return book, [cell for cell in book.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_form(path):
    book, code = read(path)
    assert book.metadata.kernelspec.name == "python3"
    assert book.cells[0].cell_type == "markdown", "prose first"
    assert len(book.cells) <= 30
    trees = [ast.parse(cell.source) for cell in code]
    assert sum(isinstance(node, ast.stmt) for tree in trees for node in ast.walk(tree)) <= 60
    assert max(sum(isinstance(node, ast.stmt) for node in ast.walk(tree)) for tree in trees) <= 16
    assert not [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)], "logic lives in the core"
    assert len({cell.id for cell in book.cells}) == len(book.cells)
    source = "".join(cell.source for cell in code)
    assert "sys.path" not in source
    assert not re.search(r"\.style\b", source), "use tables.show: the style of pandas gives random names"
    checked = [output for cell in code if "NBVAL_CHECK_OUTPUT" in cell.source for output in cell.outputs]
    plain = [output.data.get("text/plain", "") for output in checked if "data" in output]
    assert not [text for text in plain if text.startswith("<")], "the text of an object has its address, another one in each run"
    text = nbformat.writes(book)
    assert not re.search(r"/(root|home|work|tmp|Users)/", text), "a path of this machine"
    assert '"papermill"' not in text
    assert not any(output.get("name") == "stderr" or output.output_type == "error" for c in code for output in c.outputs)


@pytest.mark.parametrize("path", STAGES, ids=lambda p: p.stem)
def test_parameters_are_the_smoke_profile_and_checked_next(path):
    book, _ = read(path)
    tagged = [i for i, cell in enumerate(book.cells) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    body = ast.parse(book.cells[tagged[0]].source).body
    assert all(isinstance(statement, ast.AnnAssign) for statement in body), "annotated defaults and nothing else"
    assert all("  # " in line for line in book.cells[tagged[0]].source.splitlines()), "a comment on every parameter"
    values = {statement.target.id: ast.literal_eval(statement.value) for statement in body}
    params = profiles.validate(path.stem, **values)
    assert params.label == "smoke" and params.job == profiles.validate(path.stem).job
    _, knobs = profiles.STAGES[path.stem]
    assert not set(values) & set(knobs), "a value named here would be pinned in every profile"
    following = next(cell for cell in book.cells[tagged[0] + 1 :] if cell.cell_type == "code")
    assert f'profiles.validate("{path.stem}", globals())' in following.source


@pytest.mark.parametrize("path", STAGES, ids=lambda p: p.stem)
def test_executed_at_smoke(path):
    _, code = read(path)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any(cell.outputs for cell in code)
