"""The README shows what the committed run printed, and links to what is there."""

import re
from pathlib import Path

import pandas as pd
import pytest

from dancemvp_core import comparison, methods, tables

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "results" / "demo" / "synthdance"


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_every_named_file_of_the_core_exists():
    named = re.findall(r"\b([a-z_]+\.py)\b", README)
    there = {path.name for path in (ROOT / "dancemvp_core").rglob("*.py")}
    assert named and sorted(set(named) - there) == []


def test_the_card_is_the_committed_runs():
    shown = ["row", "role", "accuracy", "level_within", "score_spearman", "bar_mse"]
    card = pd.read_csv(RESULTS / "difficulty_card.csv")[shown].round(2).astype(str)
    assert tables.markdown(card.replace("nan", "")) in README


@pytest.mark.parametrize("name", ["table2_baselines.csv", "table3_ablation.csv"])
def test_the_tables_are_the_committed_runs(name):
    labels = {key: method.label for key, method in (comparison.FLOORS | methods.METHODS).items()}
    assert tables.markdown(tables.readable(pd.read_csv(RESULTS / name), labels)) in README
