"""The README shows what the committed run printed, and links to what is there."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow"))
import fill_readme  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_every_named_module_exists():
    named = re.findall(r"\b([a-z_]+\.py)\b", README)
    there = {path.name for folder in ("dancemvp_core", "benchmarks") for path in (ROOT / folder).rglob("*.py")}
    assert named and sorted(set(named) - there) == []


def test_its_tables_are_the_committed_runs():
    assert fill_readme.filled(README) == README, "make readme"


def test_a_block_that_is_gone_is_told():
    with pytest.raises(ValueError, match="0 blocks <!-- difficulty card -->"):
        fill_readme.filled("nothing here")
