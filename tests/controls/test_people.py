"""Real people: some are left out of the support in turn, and asked about beside as many performances of the others."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tiny import piece_set

from dancemvp_core.controls import people, unseen_dancers
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.pretraining.networks import Width
from dancemvp_core.runs import profiles, provenance
from dancemvp_core.runs.provenance import Paths
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import splits
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.outcomes import Setting

PEOPLE = ("Ana", "Bo", "Cy", "Di")


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    """Of each choreography and level, the eight trials are danced by four people, two each."""
    root = tmp_path_factory.mktemp("people")
    return Workspace(piece_set(trials=8), IMPERIALDANCE21, Width((8,), 16, 12), Paths("smoke", "tiny", root))


def dataset(where, person_of):
    first = where.pieces.table.drop_duplicates("sequence")
    return SimpleNamespace(index=pd.DataFrame({"dancer": [person_of(row) for row in first.itertuples()]}))


@pytest.fixture(scope="module")
def named(where):
    return people.named_pieces(where, dataset(where, lambda row: PEOPLE[row.trial % 4]))


@pytest.mark.parametrize("shots", [1, 2, 20])
def test_who_is_left_out_is_asked_about_and_never_learned_from(named, shots):
    drawn = people.cases(named, shots, seed=0)
    assert len(drawn) == 4 and people.groups(named) == [[name] for name in PEOPLE]
    for case, name in zip(drawn, PEOPLE, strict=True):
        who = {part: set(named.loc[getattr(case, part), "dancer"]) for part in ("support", "seen", "unseen")}
        assert who["unseen"] == {name} and name not in who["support"] | who["seen"]
        parts = [set(getattr(case, part)) for part in ("support", "seen", "unseen")]
        assert not any(a & b for a, b in itertools.combinations(parts, 2))
        per_class = [named.loc[rows].groupby(["choreography", "level"])["sequence"].nunique() for rows in (case.seen, case.unseen)]
        assert (per_class[0] == 2).all() and (per_class[1] == 2).all(), "as many of seen as of unseen people"
        learned = named.loc[case.support].groupby(["choreography", "level"])["sequence"].nunique()
        assert (learned == min(shots, 4)).all(), "six performances of the others, of which two are asked about"


def test_data_that_cannot_compare_people_say_why(where):
    unnamed = people.named_pieces(where, dataset(where, lambda row: None))
    assert people.why_not(unnamed).startswith("The data do not name their people")
    one_each = people.named_pieces(where, dataset(where, lambda row: f"{row.choreography} {row.level}"))
    assert "danced often enough by two of the 4 people" in people.why_not(one_each)
    single = people.named_pieces(where, dataset(where, lambda row: "Ana"))
    assert people.groups(single) == [] and people.why_not(single)
    assert people.why_not(people.named_pieces(where, dataset(where, lambda row: PEOPLE[row.trial % 4]))) == ""


def test_the_people_of_a_level_are_dealt_to_different_groups(where):
    """Ten people who each dance one level: no group holds all people of a level."""
    named = people.named_pieces(where, dataset(where, lambda row: f"{row.level} {row.trial % 5}"))
    found = people.groups(named)
    assert len(found) == 5 and all(len(group) == 2 and len({name.split()[0] for name in group}) == 2 for group in found)


def compared(where, named, monkeypatch, person):
    """The measures for features of the level, with or without the person, and the table."""
    level = (named["level"] == "expert").to_numpy(float)
    who = named["dancer"].map({name: i for i, name in enumerate(PEOPLE)}).to_numpy()
    names = np.eye(4)[who] * np.where(level, 1, -1)[:, None]  # says the level only to those who know the person
    values = 5 * (names if person else np.tile(level[:, None], 4))
    rows = np.zeros((len(where.pieces), 4))
    rows[named.index] = values + np.random.default_rng(0).normal(0, 0.1, values.shape)
    import torch

    monkeypatch.setattr(people, "features_of", lambda *_: Features(torch.tensor(rows, dtype=torch.float32)))
    measured = people.compare("flat", named, where, Setting("finetune", 0, 20), PrompterSettings())
    return measured, unseen_dancers.table(measured).set_index("dancers")


def test_what_only_tells_the_person_is_lost_on_unseen_people(where, named, monkeypatch):
    measured, table = compared(where, named, monkeypatch, person=True)
    assert table.loc["seen", "level_within"] > 95 and table.loc["unseen", "level_within"] < 75
    assert set(table["cast"]) == {people.CAST} and (table["dancer"] > 50).all()
    persons = measured[measured["metric"].str.startswith("level_within ")]
    assert set(persons["metric"]) == {f"level_within {name}" for name in PEOPLE}, "the interval is over persons"
    _, table = compared(where, named, monkeypatch, person=False)
    assert table["level_within"].min() > 95
    shown = unseen_dancers.readable(table.reset_index())
    assert {"level within, seen", "level within, unseen", "accuracy, unseen"} <= set(shown)


def test_a_run_that_splits_by_people_refuses_pieces_without_names(tmp_path):
    """Notebook 02 writes the names into the pieces. Without them the split would silently be the usual one."""
    params = profiles.validate("05_table2_baselines", root=str(tmp_path), split="people")
    run, pieces = provenance.start(params), piece_set()
    pieces.save(run.paths.pieces)
    with pytest.raises(DataError, match="split 'people', and no piece names its dancer"):
        Workspace.open(run, IMPERIALDANCE21)
    index = pieces.table.drop_duplicates("sequence").set_index("sequence").assign(dancer="Ana")
    replace(pieces, table=splits.name_people(pieces.table, index)).save(run.paths.pieces)
    assert set(Workspace.open(run, IMPERIALDANCE21).pieces.table["dancer"]) == {"Ana"}
