"""The READMEs show what the committed run found, and link to what is there."""

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow"))
import fill_readme  # noqa: E402

from dancemvp_core.released.differences import DIFFERENCES  # noqa: E402

CORE = ROOT / "dancemvp_core"
BY_HAND = [ROOT / "CONTRIBUTING.md", ROOT / "notebooks" / "README.md"]
PAGES = sorted([*BY_HAND, *(ROOT / name for name in fill_readme.BLOCKS), *CORE.rglob("README.md")])


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


@pytest.mark.parametrize("name", ["README.md", "results/README.md"])
def test_no_measured_word_or_number_is_written_by_hand(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    if name == "results/README.md":
        assert fill_readme.MEASURED.search(text[text.index("## What the run on SynthDance says") :])
    by_hand = re.sub(r"<!-- ([^>]+) -->.*?<!-- end of \1 -->", "", text, flags=re.DOTALL)
    explained = [
        r"\(50 % by chance\)", r"95 % interval", r"\*Ahead\*, \*behind\* and \*level\* follow from",
        "(above 0, ours|lower) is better", "`underfit` or `collapsed` gets no verdict",
        r"\*Level within\*", r"\*Score in 90 % interval\*:", r"\*(underfit|collapsed)\*: ", r"\*Ahead\*, \*behind\*: the",
    ]  # fmt: skip
    by_hand = re.sub("|".join(explained), "", by_hand)
    assert fill_readme.MEASURED.findall(by_hand) == []


def test_words_follow_their_table(tmp_path, monkeypatch):
    monkeypatch.setattr(fill_readme, "RESULTS", tmp_path)
    lines = [("a", "mse", "ahead"), ("a", "accuracy", "ahead"), ("a", "l2", "level"), ("b", "accuracy", "behind"), ("c", "mse", "")]
    pd.DataFrame(lines, columns=["method", "metric", "stands"]).assign(value=-1.26).to_csv(tmp_path / "tests.csv", index=False)
    assert fill_readme.standing("tests", "method == 'a'") == "ahead in Task 1 and Task 3, level in Task 2"
    assert fill_readme.standing("tests", "metric == 'accuracy'") == "ahead or behind in Task 1"
    assert fill_readme.standing("tests", "method == 'c'") == "without a verdict in Task 3"
    assert fill_readme.number("tests", "value", "method == 'b'", 1) == "−1.3"
    with pytest.raises(ValueError, match=r"tests\.csv: no row where method == 'd'"):
        fill_readme.standing("tests", "method == 'd'")
    with pytest.raises(ValueError, match=r"tests\.csv: 3 rows where method == 'a', expected one"):
        fill_readme.number("tests", "value", "method == 'a'")


def test_a_block_that_is_missing_is_named():
    with pytest.raises(ValueError, match=r"results/README\.md: 0 blocks <!-- difficulty card -->"):
        fill_readme.filled("results/README.md", "nothing here")
