"""Splits: nothing stands in two sets, support is nested, queries are shared."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.datasets import imperialdance
from dancemvp_core.runs.profiles import SPLITS, ParameterError
from dancemvp_core.tasks import splits


def index(choreographies, tracks=None, split=None):
    rows = [
        {"choreography": c, "genre": c[0], "level": level, "track": (tracks or {}).get(c, c), "split": (split or {}).get(c),
         "dancer": level[0]}
        for c in choreographies for level in ("beginner", "expert")
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_datas_own_split_is_taken_and_shared_tracks_are_listed():
    data = index(["b0", "b1"], {"b0": "x", "b1": "x"}, {"b0": "pretrain", "b1": "validation"})
    assert splits.assign(data).tolist() == ["pretrain"] * 2 + ["validation"] * 2
    assert splits.check(data, data["split"]) == ["track x is in pretrain and validation"]


def test_leaks_are_refused():
    data = index(["b0", "b1"], {"b0": "x", "b1": "x"}, {"b0": "pretrain", "b1": "test"})
    with pytest.raises(DataError, match="track 'x' stands in both pre-train and test"):
        splits.assign(data)
    torn = index(["b0"])
    with pytest.raises(DataError, match="choreography 'b0' stands in more than one set"):
        splits.assign(torn.assign(split=["pretrain", "test"]))
    with pytest.raises(DataError, match="unknown set 'dev'"):
        splits.assign(torn.assign(split="dev"))
    with pytest.raises(DataError, match="all or none"):
        splits.assign(torn.assign(split=["test", None]))


@pytest.fixture
def published():
    """ImperialDance's choreographies with their tracks and our split."""
    tracks = {name: source.track for name, source in imperialdance.MUSIC.items()}
    return index(imperialdance.CHOREOGRAPHIES, tracks, imperialdance.SPLIT)


def test_the_released_split_is_taken_by_its_name_and_its_leak_is_named(published):
    sets = splits.assign(published, "released")
    members = {name: set(published["choreography"][sets == name]) for name in splits.SETS}
    assert members["pretrain"] == set(splits.PRETRAIN) and members["test"] == set(splits.TEST)
    assert members["validation"] == {"b3", "j0", "j3", "k2", "u0"}
    assert splits.heard_in_pretraining(published, sets) == {"k1": ["k0"], "b1": ["b2"]}
    lines = splits.check(published, sets, "released")
    leak = "is in pretrain and test: test music is heard in pre-training"
    tracks = [imperialdance.MUSIC[name].track for name in ("b1", "k1")]
    assert [line for line in lines if "test" in line] == [f"track {track} {leak}" for track in tracks]
    assert len(lines) == 4, "b3 with b4, and k2 with k3, stand in validation and pre-train"
    with pytest.raises(DataError, match="stands in both pre-train and test"):
        splits.check(published, sets)


def test_our_split_of_the_published_data_has_no_leak(published):
    assert splits.assign(published).tolist() == published["split"].tolist()
    assert splits.heard_in_pretraining(published, published["split"]) == {}


def test_choices_rest_on_fifteen_choreographies_and_never_on_the_test_set_or_its_music_in_pre_training(published):
    sets = {split: splits.assign(published, split) for split in ("", *splits.VALIDATION)}
    names = {split: published["choreography"][own == "validation"].unique() for split, own in sets.items()}
    assert all(len(found) == 5 for found in names.values()) and len(set().union(*names.values())) == 13
    assert all("b3" in found for found in names.values()), "b3 has the track of the test choreography b4"
    for own in sets.values():
        assert (own == "test").tolist() == (sets[""] == "test").tolist() and splits.heard_in_pretraining(published, own) == {}


def test_data_without_a_choreography_of_the_released_split_are_refused(published):
    without = published[~published["choreography"].isin(["u1", "h0"])]
    with pytest.raises(DataError, match=r"^split 'released': the data have no choreography u1, expected b0 .*j1 to pre-train"):
        splits.assign(without, "released")
    validation_only = published[~published["choreography"].isin(["b3", "j0", "j3", "k2", "u0"])]
    assert set(splits.assign(validation_only, "released")) == {"pretrain", "test"}


def test_a_split_without_a_definition_is_refused(published):
    with pytest.raises(ParameterError, match="split 'ours': expected released or validation2 or validation3 or people, or none"):
        splits.assign(published, "ours")
    assert [len(splits.assign(published, split)) for split in SPLITS] == [40] * len(SPLITS)


def test_few_choreographies_all_pretrain():
    assert set(splits.assign(index([f"b{i}" for i in range(5)]))) == {"pretrain"}


@given(st.lists(st.tuples(st.sampled_from("bkjhu"), st.integers(0, 7)), min_size=6, max_size=20))
def test_dealt_splits_keep_tracks_together_and_use_every_set(drawn):
    names = [f"{genre}{i}" for i, (genre, _) in enumerate(drawn)]
    tracks = {name: f"track{t}-{name[0]}" for name, (_, t) in zip(names, drawn, strict=True)}
    data = index(names, tracks)
    split = splits.assign(data)
    per_track = split.groupby(data["track"]).nunique()
    assert (per_track == 1).all() and set(split) <= set(splits.SETS)
    if data["track"].nunique() == len(names):
        assert set(split) == set(splits.SETS)


@pytest.fixture
def table():
    rows = [
        {"choreography": c, "level": level, "sequence": 1000 * i + 100 * j + t, "primitive": p}
        for i, c in enumerate(("b4", "k4")) for j, level in enumerate(("beginner", "expert"))
        for t in range(20) for p in range(3)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_support_is_nested_query_is_shared_and_they_never_meet(table):
    drawn = {shots: splits.support_and_query(table, ["b4", "k4"], shots, seed=3) for shots in (1, 5, 10)}
    query = drawn[1][1]
    assert len(query) == 2 * 2 * 10 * 3
    for shots, (support, asked) in drawn.items():
        assert np.array_equal(asked, query) and not np.intersect1d(support, asked).size
        assert len(support) == 2 * 2 * shots * 3
        counts = table.iloc[support].groupby("sequence").size()
        assert (counts == 3).all()  # a shot is a performance, with all its primitives
        assert not set(table.iloc[support]["sequence"]) & set(table.iloc[asked]["sequence"])
    assert set(drawn[1][0]) < set(drawn[5][0]) < set(drawn[10][0])


def test_seeds_draw_differently_and_choreographies_do_not_disturb_each_other(table):
    a, b = (splits.support_and_query(table, ["b4", "k4"], 5, seed) for seed in (0, 1))
    assert not np.array_equal(a[0], b[0])
    alone = splits.support_and_query(table, ["b4"], 5, 0)[0]
    assert set(alone) < set(a[0])


def test_where_a_class_has_fewer_performances_it_gives_those_that_it_has_and_a_sentence_says_so(table):
    few = table[~((table["choreography"] == "b4") & (table["level"] == "expert")) | (table["sequence"] % 100 < 5)]
    few = few.reset_index(drop=True).assign(split="test")
    support, query = splits.support_and_query(few, ["b4", "k4"], 8, 0)
    counts = few.iloc[support].groupby(["choreography", "level"])["sequence"].nunique()
    assert counts.to_dict() == {("b4", "beginner"): 8, ("b4", "expert"): 3, ("k4", "beginner"): 8, ("k4", "expert"): 8}
    assert few.iloc[query].groupby(["choreography", "level"])["sequence"].nunique()["b4", "expert"] == 2
    assert splits.most_shots(few) == 3 and splits.about_support(few, 3) == ""
    assert splits.about_support(few, 8).startswith("The support has up to 8 performances: as many as there are for 1 of 4")
    alone = few[(few["choreography"] == "k4") | (few["sequence"] % 100 < 1)]
    assert splits.about_support(alone, 2).endswith("as few as 1. 2 with a single performance are never asked about.")


@settings(max_examples=60)
@given(people=st.lists(st.sampled_from(["Ana", "Bo", "Cy", "Di", "Eva", None]), min_size=20, max_size=20), seed=st.integers(0, 3))
@example(people=[None] * 20, seed=0)
@example(people=["Ana", "Bo"] * 5 + [None] * 10, seed=0)
@example(people=["Ana"] * 19 + ["Bo"], seed=0)  # who alone dances a level is for the support at the other level, too
def test_people_of_the_query_are_in_no_support(people, seed):
    rows = [
        {"choreography": c, "level": level, "sequence": 10 * number + trial, "split": "test"}
        for number, (c, level) in enumerate([("b4", "beginner"), ("b4", "expert")]) for trial in range(10) for _ in range(3)
    ]  # fmt: skip
    named = splits.name_people(pd.DataFrame(rows), pd.DataFrame({"dancer": people}))
    assert named["dancer"].fillna("").tolist() == [people[row["sequence"]] or "" for row in rows]
    drawn = [splits.support_and_query(named, ["b4"], shots, seed) for shots in (1, 3, 20)]
    for support, query in drawn:
        assert np.array_equal(query, drawn[0][1])
        learned, asked = (set(named.iloc[rows]["dancer"]) for rows in (support, query))
        assert not learned & asked and named.iloc[[*support, *query]]["dancer"].notna().all()
        assert {*named.iloc[query]["level"]} <= {*named.iloc[support]["level"]}, "nothing is asked that was not learned"
    assert set(drawn[0][0]) <= set(drawn[1][0]) <= set(drawn[2][0])
    whole = set(drawn[2][0]) | set(drawn[2][1])
    assert whole == set(named.index[named["dancer"].notna()]), "every named performance is used"
    supports = [named.iloc[splits.support_and_query(named, ["b4"], 20, s)[0]] for s in (0, 1)]
    fewest = [own.groupby("level")["sequence"].nunique().min() for own in supports if len(own)]
    assert splits.most_shots(named) == min(fewest, default=0)


def test_every_person_of_a_level_is_asked_about_within_two_seeds(table):
    level = table["level"].to_numpy()
    named = table.assign(dancer=[f"{lv[0]}{n % 3}" for lv, n in zip(level, table["sequence"], strict=True)], split="test")
    asked = [set(named.iloc[splits.support_and_query(named, ["b4", "k4"], 5, seed)[1]]["dancer"]) for seed in (0, 1)]
    assert asked[0] | asked[1] == set(named["dancer"]) and not asked[0] & asked[1]
    assert all({name[0] for name in who} == {"b", "e"} for who in asked), "people of each level are in both halves"
    assert splits.why_not_evaluable(named) == ""
    assert splits.about_support(named, 1) == (
        "The people of the query are in no support; intervals are over performances of the same 6 people."
    )


def test_levels_of_one_person_are_never_asked_about_and_a_split_by_people_needs_names(table):
    named = table.assign(dancer=table["level"], split="test")
    assert "has two people, one for the support" in splits.why_not_evaluable(named)
    partly = named.assign(dancer=named["dancer"].where(named["level"] == "expert", [f"b{n % 2}" for n in named["sequence"]]))
    assert splits.why_not_evaluable(partly) == ""
    assert splits.about_support(partly, 1).endswith("3 people. 2 with only people of one group are never asked about.")
    own = index(["b0", "b1"], split={"b0": "pretrain", "b1": "test"})
    assert splits.assign(own.assign(dancer=["Ana", None] * 2), "people").tolist() == ["pretrain"] * 2 + ["test"] * 2
    with pytest.raises(DataError, match=r"^split 'people': the data do not name their people, expected a column dancer"):
        splits.assign(own.assign(dancer=None), "people")


def test_without_levels_the_performances_of_a_choreography_are_divided(table):
    support, query = splits.support_and_query(table.assign(level=None), ["b4", "k4"], 5, 0)
    for rows, count in ((support, 5), (query, 20)):
        assert (table.iloc[rows].groupby("choreography")["sequence"].nunique() == count).all()


@pytest.mark.parametrize(("shots", "count"), [(1, 5), (2, 5), (3, 3), (6, 3)])
def test_a_performance_is_in_one_fold_and_each_fold_has_its_part(table, shots, count):
    known = table.iloc[splits.support_and_query(table, table["choreography"].unique(), shots, 0)[0]]
    fold = splits.folds(known)
    assert known.assign(fold=fold).groupby("sequence")["fold"].nunique().eq(1).all()
    assert sorted(set(fold)) == list(range(min(count, known["sequence"].nunique())))
    if shots >= count:
        files = known.groupby(["choreography", "level"]).ngroups
        assert all(known[fold == number].groupby(["choreography", "level"]).ngroups == files for number in range(count))
    one = known[known["sequence"] == known["sequence"].iloc[0]]
    assert set(splits.folds(one)) == {0}


def test_cyclic_subsets():
    names = ["b4", "k4", "j3", "h1", "u3"]
    assert splits.cyclic_subsets(names, 5) == [tuple(sorted(names))]
    subsets = splits.cyclic_subsets(names, 2)
    assert len(subsets) == 5 and all(sum(n in s for s in subsets) == 2 for n in names)


def test_obstacle_says_why_the_tasks_are_left_out(table):
    test = table[table["split"] == "test"] if "split" in table else table.assign(split="test")
    assert splits.why_not_evaluable(test) == splits.why_not_evaluable(test.assign(level=None)) == ""
    assert "fewer than 6 choreographies" in splits.why_not_evaluable(test.assign(split="pretrain"))
    once = test[test["sequence"].isin(test.groupby(["choreography", "level"])["sequence"].first())]
    assert "has two performances" in splits.why_not_evaluable(once), "nothing would be left to ask"
    support, query = splits.support_and_query(once, once["choreography"].unique(), 1, 0)
    assert len(support) == len(once) and len(query) == 0 and query.dtype.kind == "i", "rows, also where there are none"
