"""The READMEs show what the committed run found, and link to what is there."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow"))
import fill_readme  # noqa: E402

from dancemvp_core.released.differences import DIFFERENCES  # noqa: E402

CORE = ROOT / "dancemvp_core"
OWN = (ROOT / name for name in ("CONTRIBUTING.md", "notebooks/README.md", *fill_readme.BLOCKS))
PAGES = sorted([*OWN, *CORE.rglob("README.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
    there = {path.name for folder in ("dancemvp_core", "benchmarks", "tests", "workflow") for path in (ROOT / folder).rglob("*.py")}
    there |= {Path(difference.file).name for difference in DIFFERENCES}  # files of the authors' code
    assert sorted(set(re.findall(r"\b([a-z_0-9]+\.py)\b", text)) - there) == []
    notebooks = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert sorted(set(re.findall(r"`((?:\d\d|extra)_[a-z_0-9]+)`", text)) - notebooks - {"extra_"}) == []


def test_every_notebook_is_in_the_table_of_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [path.stem for path in (ROOT / "notebooks").glob("*.ipynb") if f"`{path.stem}`" not in text] == []
    assert len(text.splitlines()) <= 130, "what is generated or long stands elsewhere"


def test_the_page_of_the_notebooks_shows_each_in_the_order_in_which_they_run():
    page = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| \[`(\w+)`\]\(\1\.ipynb\) \| .+\. \|", page, flags=re.MULTILINE)
    assert sorted(shown) == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    numbered = [name for name in shown if name[0].isdecimal()]
    assert shown[: len(numbered)] == sorted(numbered)


@pytest.mark.parametrize("name", fill_readme.BLOCKS)
def test_its_tables_are_the_committed_runs(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert fill_readme.filled(name, text) == text, "make readme"


def test_a_block_that_is_missing_is_named():
    with pytest.raises(ValueError, match=r"results/README\.md: 0 blocks <!-- difficulty card -->"):
        fill_readme.filled("results/README.md", "nothing here")
