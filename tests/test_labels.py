"""What a data set calls its levels, in any number, and the range of its scores: in texts, tables, figures and prompts."""

import json

import numpy as np
import pandas as pd
import pytest
from written_data import moving, write_facts

from dancemvp_core import datasets, style
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.datasets import datacard, reading
from dancemvp_core.labels import Levels, Scores
from dancemvp_core.paper import tables
from dancemvp_core.runs import provenance
from dancemvp_core.tasks import prompting

STYLES = Levels(("exhausted", "normal", "active"), "style")


def written(root, levels, scores=None):
    """A manifest with one recording for each level, named by its person."""
    root.mkdir()
    rows = ["motion,layout,fps,skeleton,choreography,level,score,dancer"]
    for i, level in enumerate(levels):
        np.save(root / f"{i}.npy", moving(120, 17, seed=i).transpose(1, 2, 0))
        rows.append(f"{i}.npy,TVC,30,coco17,c{i % 2},{level},{scores[i] if scores else ''},person {i % 2}")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


def test_levels_of_skill_stay_as_they_are():
    levels, table = Levels(), pd.DataFrame({"level within": [1]})
    assert levels.skill and levels.note == levels.why_no_skill("Fig. 6") == "" and levels.said("level, levels") == "level, levels"
    assert levels.shown(table) is table and levels.shown(None) is None
    assert levels.sorted(["expert", "other", "beginner"]) == ["beginner", "expert", "other"]
    assert levels.colour("expert") == style.LEVEL_COLOURS["expert"] and levels.colour(None) == style.GREY


def test_the_datas_word_is_said_wherever_a_reader_looks():
    said = STYLES.said("Level within (measured): level_within of all levels, no levelled ground")
    assert said == "Style within (measured): style_within of all styles, no levelled ground"
    assert STYLES.why_no_skill("Fig. 6") == (
        "These data have styles (exhausted, normal, active), which are no levels of skill: Fig. 6 is left out."
    )
    shown = STYLES.shown(pd.DataFrame({"level": ["level"]}, index=["level | genre"]))
    assert list(shown.columns) == ["style"] and list(shown.index) == ["style | genre"] and shown.iloc[0, 0] == "level"
    assert Levels(("a",), "category").plural == "categories" and Levels(("a",), "day").plural == "days"


def test_other_levels_have_colours_and_markers_in_their_order():
    four = Levels(("Novice", "Intermediate", "Advanced", "Expert"))
    assert len({four.colour(name) for name in four.names}) == len({four.marker(name) for name in four.names}) == 4
    many = Levels(tuple(f"grade {i}" for i in range(12)))
    assert all(many.colour(name) != style.GREY for name in many.names)


def test_a_data_set_names_its_styles_and_its_people(tmp_path):
    root = written(tmp_path / "own", ["slow", "fast", "slow", "fast"])
    write_facts(root, level_name="style", levels=["slow", "fast"])
    dataset = datasets.load(root)
    assert Levels.of(dataset) == Levels(("slow", "fast"), "style")
    overview = datacard.card(dataset, deep=False).overview
    assert "2 styles" in overview["Labels"] and overview["People"] == "2, named for 4 of 4 sequences"
    row = tables.table1(dataset).iloc[-1]
    assert row["levels"] == "no" and "styles: slow, fast" in row["note"]
    write_facts(root, level_name="Acted style")
    with pytest.raises(DataError, match=r"dataset.json: level_name is 'Acted style', expected one word"):
        datasets.load(root)


def test_a_description_names_data_that_are_not_ones_own(tmp_path):
    """The folder is only read; what its column calls expert is shown as active."""
    root = written(tmp_path / "theirs", ["expert", "beginner", "expert", "beginner"])
    before = sorted(path.name for path in root.iterdir())
    mine = tmp_path / "mine.json"
    stated = {"folder": "theirs", "name": "acted", "level_name": "style", "levels": {"beginner": "calm", "expert": "active"}}
    mine.write_text(json.dumps(stated))
    dataset = datasets.load(mine)
    assert (dataset.name, dataset.root, dataset.levels) == ("acted", root, ("calm", "active"))
    assert list(dataset.index["level"]) == ["active", "calm", "active", "calm"] and Levels.of(dataset).word == "style"
    assert {"level beginner is named calm", "level expert is named active"} <= set(dataset.notes)
    assert provenance.dataset_name(mine) == "acted" and provenance.dataset_name(root) == "theirs"
    assert sorted(path.name for path in root.iterdir()) == before
    mine.write_text(json.dumps(stated | {"folder": "nowhere"}))
    with pytest.raises(DataError, match=r"mine.json: folder is 'nowhere', expected the folder of the data set"):
        datasets.load(mine)
    mine.write_text(json.dumps({"folder": "theirs", "levels": {"beginner": "calm"}}))
    with pytest.raises(DataError, match=r"level is 'expert', expected one of dataset.json's levels, beginner"):
        datasets.load(mine)


def test_its_statements_come_before_those_of_the_folder(tmp_path):
    root = written(tmp_path / "theirs", ["b", "a"], scores=[1, 4])
    write_facts(root, name="theirs", score_range=[0, 5])
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps({"folder": str(root), "name": "mine"}))
    facts = {"name": "mine", "folder": str(root), "score_range": [0, 5], "synthetic": False}
    assert reading.read_facts(mine, "x") == ("mine", facts)
    assert Scores.of(datasets.load(mine)) == Scores(0, 5)


def test_scores_are_shown_and_said_in_their_range(tmp_path):
    root = written(tmp_path / "own", ["a", "b"], scores=[2, 8])
    write_facts(root, score_range=[0, 10])
    dataset = datasets.load(root)
    scores = Scores.of(dataset)
    assert list(dataset.index["score"]) == [20, 80] and list(scores.shown(dataset.index["score"])) == [2, 8]
    assert datacard.card(dataset, deep=False).overview["Scores"] == "2 of 2, 2.0 to 8.0"
    said = prompting.candidates(("score",), None, scores)["score"]
    assert said[0] == "The performance score is 0" and said[11] == "The performance score is 5.5" and said[-1].endswith("is 10")
    usual = prompting.candidates(("score",), None)["score"]
    assert usual[1] == "The performance score is 5" and usual[-1].endswith("is 100")
    assert Scores(-3, 5).shown(np.array([0, 50, 100])).tolist() == [-3, 1, 5]


def test_a_change_of_the_description_or_of_the_data_makes_results_out_of_date(tmp_path):
    root = written(tmp_path / "theirs", ["b", "a"])
    mine = tmp_path / "mine.json"
    prints = []
    for facts in ({"name": "one"}, {"name": "two"}):
        mine.write_text(json.dumps({"folder": "theirs"} | facts))
        prints.append(provenance.data_fingerprint(mine))
    (root / "manifest.csv").write_text((root / "manifest.csv").read_text().replace("c1", "c2"))
    assert len({*prints, provenance.data_fingerprint(mine)}) == 3
