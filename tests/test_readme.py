"""The README shows what the committed run printed, and links to what is there."""

import re
from pathlib import Path

import pandas as pd

from dancemvp_core import tables

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CARD = ROOT / "results" / "demo" / "synthdance" / "difficulty_card.csv"


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_every_named_file_of_the_core_exists():
    named = re.findall(r"\b([a-z_]+\.py)\b", README)
    there = {path.name for path in (ROOT / "dancemvp_core").rglob("*.py")}
    assert named and set(named) <= there, set(named) - there


def test_the_card_is_the_committed_runs():
    card = pd.read_csv(CARD)[["row", "role", "accuracy", "level_within", "score_spearman", "bar_mse"]].round(2).astype(str)
    assert tables.markdown(card.replace("nan", "")) in README
