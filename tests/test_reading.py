"""The table from the paper's places to functions: every function exists, and its docs name the place."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

import dancemvp_core

TABLE = (Path(dancemvp_core.__file__).parent / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+?) \| .+? \| `([\w.]+)` \|$", TABLE, flags=re.M)


def test_the_table_has_rows():
    assert len(ROWS) == TABLE.count("\n| ") - 1 >= 15


@pytest.mark.parametrize(("place", "name"), ROWS)
def test_the_docs_of_a_function_name_its_place_in_the_paper(place, name):
    module_name, _, function = name.rpartition(".")
    module = importlib.import_module(f"dancemvp_core.{module_name}")
    docs = " ".join(f"{inspect.getdoc(getattr(module, function))} {module.__doc__}".split())
    assert place.lower() in docs.lower()
