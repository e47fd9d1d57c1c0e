"""The claims: complete, each rule able to give each verdict on planted tables, and the paper's own sums right."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dancemvp_core.controls import confusion, timing
from dancemvp_core.paper import arithmetic, claims, comparison, printed, progression, rules
from dancemvp_core.paper.claims import CONTRADICTED, INCONCLUSIVE, NOT_TESTABLE, VERIFIED
from dancemvp_core.paper.rules import Missing, Results
from dancemvp_core.pretraining import methods
from dancemvp_core.released import cutting, hits
from dancemvp_core.released import splits as released_splits
from dancemvp_core.released.differences import DIFFERENCES
from dancemvp_core.runs.provenance import METRICS_COLUMNS, Paths
from dancemvp_core.tasks import stats

CLAIMS = claims.load()
HOLDS, FAILS = "holds on SynthDance (toy)", "does not hold on SynthDance (toy)"


def results(synthetic=True, profile="demo", dataset="synthdance", **tables) -> Results:
    """Results with planted tables, file names with _ for the dot."""
    named = {name.replace("__", "."): table for name, table in tables.items()}
    return Results(Paths(profile, dataset, Path("/nowhere")), synthetic, 20, named)


def test_every_claim_is_complete():
    assert len(CLAIMS) >= 25 and len({claim["id"] for claim in CLAIMS}) == len(CLAIMS)
    for claim in CLAIMS:
        assert all(isinstance(claim[f], str) and len(claim[f]) > 3 for f in ("claim", "place", "estimand")), claim["id"]
        assert '"' not in claim["claim"], "claims are in our words"
    used = {claim["rule"] for claim in CLAIMS}
    assert used == set(rules.RULES), "a rule that no claim uses, or the other way round"
    assert {claim["arithmetic"] for claim in CLAIMS if "arithmetic" in claim} == set(arithmetic.ARITHMETIC)


def test_the_source_of_a_claim_is_where_it_stands():
    files = {difference.file for difference in DIFFERENCES}
    for claim in CLAIMS:
        of_code = claim["place"].startswith("released code, ")
        drawn = claim["place"].removeprefix("caption of ").startswith(("Table", "Fig."))
        assert claim["source"] == ("code" if of_code else "numbers" if drawn else "text"), claim["id"]
        assert claim["id"].startswith("code-") is of_code and (not of_code or any(file in claim["place"] for file in files))
        assert not of_code or "released" in claim["claim"] or "as released" in claim["claim"]
    assert sum(claim["source"] == "code" for claim in CLAIMS) >= 8
    assert set(claims.judge(results())["source"]) == set(claims.SOURCES)


def test_without_results_nothing_is_claimed():
    table = claims.judge(results())
    assert list(table.columns) == claims.COLUMNS and len(table) == len(CLAIMS)
    assert set(table["measured_verdict"]) == {NOT_TESTABLE} and (table["finding"].str.len() > 10).all()
    assert set(table["verdict"]) == {NOT_TESTABLE, VERIFIED, CONTRADICTED}
    decided = table[table["verdict"] != NOT_TESTABLE]
    by = decided["source"].map(lambda source: "the released files" if source == "code" else "the paper's own numbers")
    assert (decided["dataset"] == by).all() and (decided["arithmetic"] != "").all()


def test_faulty_claims_are_named(monkeypatch):
    good = CLAIMS[0]
    for broken, message in (
        ({k: v for k, v in good.items() if k != "place"}, "no 'place'"),
        (good | {"source": "hearsay"}, "source 'hearsay', expected text, numbers, code"),
        (good | {"rule": "eval"}, "no rule 'eval'"),
        (good | {"arithmetic": "guess"}, "no arithmetic 'guess'"),
        (good | {"page": 3}, "unknown field 'page'"),
    ):
        monkeypatch.setattr(claims.yaml, "safe_load", lambda _, broken=broken: [broken])
        with pytest.raises(ValueError, match=f"{good['id']}: {message}"):
            claims.load()


# --- the paper's own numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "agrees", "text"),
    [
        ("margin_general_task1", False, "71.43 / 55.08 - 1 = 29.7 %, less than 44 %"),
        ("margin_general_task3", True, "1 - 2.52 / 4.2 = 40.0 %, at least 38 %, but not equal to 38 %"),
        ("margin_dance_task1", True, "71.43 / 66.85 - 1 = 6.9 %, at least 7 % after rounding"),
        ("margin_dance_task3", True, "52.5 %"),
        ("best_of_table2", True, "no other row is better"),
        ("best_of_table3", False, "Res18-LSTM-InfoNCE has 2.08 on Task 3; Res50-LSTM-InfoNCE has 2.44 on Task 3"),
        ("third_on_task2", True, "ours is number 3"),
        ("rows_of_dance_studies", False, "rows 6 and 7; row 5 is SupCon"),
        ("finetune_falls", False, "-23.8 %; Task 2: 0.51 to 0.097 = +81.0 %; Task 3: 9.93 to 13.65 = -37.5 %"),
        ("prompt_holds", False, "mean: prompting +3.4 %, fine-tuning +6.6 %"),
        ("prompting_at_five", True, "71.43 against 66.85"),
        ("prompting_in_most", True, "ahead in 5 of 6"),
        ("pretrain_pieces", False, "9,000, not 90,000"),
        ("test_pieces", True, "4,500"),
        ("classes", True, "180"),
        ("dataset_seconds", False, "60,000 s, not 69,300 s"),
        ("samples_of_other_sets", False, "2 for AIST++"),
        ("several_on_all_tasks", True, "13 of 17 rows"),
        ("released_pretrain_pieces", False, "10 x 75 x 3 x 3 = 6,750, not 90,000"),
        ("released_test_pieces", False, "tune (675 pieces) and 10 test (450): 5 x 25 x 3 x 3 = 1,125, not 4,500"),
        ("released_test_music", False, "b1 has the track of b2, k1 has the track of k0"),
    ],
)
def test_sums(name, agrees, text):
    own = arithmetic.ARITHMETIC[name]()
    assert own.agrees is agrees and text in own.text


def test_the_sums_of_the_released_code_have_its_trials():
    trials = [len(getattr(released_splits, f"{name}_TRIALS")) for name in ("PRETRAIN", "SUPPORT", "QUERY")]
    assert trials == [75, 15, 10] and len(cutting.CUTS_S) == 3


def test_table4_repeats_rows_of_table2():
    assert printed.TABLE4["prompt", 5] == printed.results("ours")
    assert printed.TABLE4["finetune", 5] == printed.results("contrastivedance")


def test_printed_values_are_of_rows_that_exist():
    """A row that somebody adds needs none."""
    assert len(printed.RESULTS) == 18 and set(printed.RESULTS) <= set(methods.METHODS)
    assert set(printed.STATED) <= {claim["id"] for claim in CLAIMS}


# --- each rule, each verdict -------------------------------------------------------------------------------------


def comparison_table(ours=(90.0, -2.0, 20.0), others=(50.0, -1.0, 90.0)) -> pd.DataFrame:
    rows = []
    for name, method in methods.table(2).items():
        values = ours if name == "ours" else others
        row = {"method": name, "protocol": method.protocol, "n_seeds": 3}
        for task, value in enumerate(values, start=1):
            row |= {f"task{task}_mean": value, f"task{task}_ci_low": value - 1, f"task{task}_ci_high": value + 1}
            row[f"paper_task{task}"] = printed.results(name)[task - 1]
        rows.append(row)
    return pd.DataFrame(rows)


def significance_table(stands="ahead", note="") -> pd.DataFrame:
    rows = [
        (name, method.protocol, task, 3, stands, note, 30.0 + task)
        for name, method in methods.table(2).items()
        for task in (1, 2, 3)
        if name != "ours"
    ]
    table = pd.DataFrame(rows, columns=["method", "protocol", "task", "n_seeds", "stands", "note", "other"])
    return table.assign(lead=60.0, lead_low=50.0, lead_high=70.0)


def against_finetune(differences: dict, half=1.0, seeds=3) -> dict:
    """The tables of Fig. 7's tests: {(g, shots): differences of the three tasks}, with intervals of +-half."""
    rows = [
        ("ours", "finetune", *point, task, seeds, v, v - half, v + half, comparison.stands(v - half, v + half), "")
        for point, values in differences.items()
        for task, v in enumerate(values, 1)
    ]
    columns = "method protocol genres shots task n_seeds difference ci_low ci_high stands note".split()
    g = max(g for g, _ in differences)
    return {"fig7_tests__csv": pd.DataFrame(rows, columns=columns), "metrics__parquet": pd.DataFrame({"genres": [1, g]})}


def relative_table(means: dict, half=1.0, shots=5) -> dict:
    """The table of Fig. 7's relative gains and losses: {what: mean over the tasks}."""
    tasks = ("1", "2", "3", "mean")
    rows = [(what, shots, task, mean, mean - half, mean + half, 3) for what, mean in means.items() for task in tasks]
    columns = "what shots task value ci_low ci_high n_seeds".split()
    return {"fig7_relative__csv": pd.DataFrame(rows, columns=columns), "metrics__parquet": pd.DataFrame({"genres": [1, 5]})}


def verdict(rule, settings, found: Results, claim_id: str = "") -> str:
    claim = next(c for c in CLAIMS if c["rule"] == rule and claim_id in ("", c["id"]))
    without_sum = {k: v for k, v in claim.items() if k != "arithmetic"}
    row = claims.judge_one(without_sum | {"settings": settings}, found)
    assert row["verdict"] == row["measured_verdict"] and len(row["finding"]) > 5 and "nan" not in row["finding"]
    return row["verdict"]


TABLES = {"table": "t.csv", "tests": "s.csv", "tasks": [1, 3]}


def test_beats_all():
    def of(table, tests):
        return verdict("beats_all", TABLES, results(t__csv=table, s__csv=tests))

    assert of(comparison_table(), significance_table()) == HOLDS
    assert of(comparison_table(ours=(40.0, 0.0, 99.0)), significance_table("behind")) == FAILS
    assert of(comparison_table(), significance_table("level")) == INCONCLUSIVE
    assert of(comparison_table().iloc[:0], significance_table()) == NOT_TESTABLE


def test_a_row_without_a_verdict_leaves_the_claim_open_and_is_named():
    tests = significance_table()
    tests.loc[tests["method"] == "svt", ["stands", "note"]] = ["", "no verdict: svt is collapsed"]
    found = results(t__csv=comparison_table(), s__csv=tests)
    finding = rules.beats_all(found, **TABLES)
    assert finding.holds is None
    assert "no verdict against svt" in finding.text and "svt is collapsed" in finding.text
    assert finding.measured == 90.0 and finding.low == 89.0 and finding.seeds == 3
    behind = tests.copy()
    behind.loc[behind["method"] == "moco", "stands"] = "behind"
    assert rules.beats_all(results(t__csv=comparison_table(), s__csv=behind), **TABLES).holds is False
    margin = rules.margin(results(significance__csv=tests), rivals=["simclr", "svt"], task=1, stated=40)
    assert margin.holds is None and "collapsed" in margin.text
    assert rules.margin(results(significance__csv=tests), rivals=["simclr", "moco"], task=1, stated=40).holds


def test_beats_several():
    settings = TABLES | {"fewest": 2}

    def of(table, tests):
        return verdict("beats_several", settings, results(t__csv=table, s__csv=tests))

    assert of(comparison_table(), significance_table()) == HOLDS
    assert of(comparison_table(ours=(40.0, 0.0, 99.0)), significance_table("behind")) == FAILS
    assert of(comparison_table(), significance_table("level")) == INCONCLUSIVE


def test_claims_read_the_word_of_the_table_and_no_other_test():
    """A row that a table calls behind is behind in a claim, too: no correction makes it inconclusive there."""
    tests = significance_table().assign(p_holm=0.9)
    tests.loc[tests["method"] == "moco", "stands"] = "behind"
    found = results(t__csv=comparison_table(), s__csv=tests)
    assert rules.beats_all(found, **TABLES).holds is False
    several = rules.beats_several(found, **TABLES, fewest=2)
    assert several.holds and "ahead of 7 of 8 rows" in several.text and "at most 7 rows" in several.text
    rank = rules.rank_among(found, TABLES["table"], TABLES["tests"], 1, stated=2)
    assert rank.holds and (rank.low, rank.high) == (2, 2)


def test_a_claim_on_three_tasks_needs_all_three():
    """Bandai-Namco 2 has neither scores nor music: being ahead in Task 1 says nothing about the other two."""
    tasks = {"table": "t.csv", "tests": "s.csv", "tasks": [1, 2, 3]}
    of_one, tests = comparison_table(ours=(90.0, np.nan, np.nan), others=(50.0, np.nan, np.nan)), significance_table()
    found = results(t__csv=of_one, s__csv=tests[tests["task"] == 1])
    assert verdict("beats_all", tasks, found) == verdict("beats_several", tasks | {"fewest": 2}, found) == INCONCLUSIVE
    assert verdict("beats_all", tasks | {"tasks": [1]}, found) == HOLDS
    as_read = results(t__csv=comparison_table(), s__csv=tests.assign(note=np.nan))  # a column without a note, read from its file
    assert verdict("beats_all", tasks, as_read) == verdict("beats_several", tasks | {"fewest": 2}, as_read) == HOLDS
    assert "no values of Task 2, no values of Task 3" in rules.beats_several(found, **tasks, fewest=2).text
    lost = comparison_table(ours=(40.0, np.nan, np.nan), others=(50.0, np.nan, np.nan))
    behind = significance_table("behind")
    assert verdict("beats_all", tasks, results(t__csv=lost, s__csv=behind)) == FAILS, "one task is enough to lose"
    relative = relative_table({"gain": 70.0, "loss of finetune": 37.0, "fine-tuning loses more by": 20.0, "gain at g = 1": 3.0})
    relative["fig7_relative__csv"] = relative["fig7_relative__csv"].query("task in ('1', 'mean')")
    of_prompting = {"mean_relative_gain": {"shots": 5}, "loss_with_genres": {"protocol": "finetune", "tolerance": 5},
                    "prompt_loses_less": {}}  # fmt: skip
    for rule, settings in of_prompting.items():
        assert verdict(rule, settings, results(**relative)) == NOT_TESTABLE, rule


def test_every_finding_on_one_seed_says_that_it_is_conditional():
    def finding(rule, settings, found):
        return claims.judge_one(next(c for c in CLAIMS if c["rule"] == rule) | {"settings": settings}, found)["finding"]

    for seeds in (1, 3):
        tables = {"t__csv": comparison_table().assign(n_seeds=seeds), "s__csv": significance_table()}
        tables |= against_finetune({(5, 20): (5, 2, 30), (1, 50): (4, 2, 9)}, seeds=seeds)
        tables["released_code__csv"] = pd.DataFrame(
            [{"difference": "cuts", "against": "ours", "task1_mean": 50.0, "task1_effect": 0.0, "n_seeds": seeds}]
        ).assign(task1_low=-1.0, task1_high=1.0)
        for rule, settings in (
            ("beats_all", TABLES), ("beats_several", TABLES | {"fewest": 2}), ("prompt_ahead_in_most", {}),
            ("rank_among", {"table": "t.csv", "tests": "s.csv", "task": 2}), ("leaves_task1", {"difference": "cuts", "within": 2}),
        ):  # fmt: skip
            text = finding(rule, settings, results(**tables))
            assert text.count(comparison.CONDITIONAL) == (seeds == 1), (rule, text)
    of_map = finding("separated", {"panel": "b", "attribute": "level"}, separation_table(0.98, 0.005, 0.5, (0.3, 0.2)))
    assert comparison.CONDITIONAL in of_map, "a map is of one seed"


def test_rank_among():
    settings = {"table": "t.csv", "tests": "s.csv", "task": 2}
    table, tests = comparison_table(), significance_table()
    assert verdict("rank_among", settings, results(t__csv=table, s__csv=tests)) == FAILS, "it is first"
    for name in ("moco", "happyfeet"):
        table.loc[table["method"] == name, "task2_mean"] = -3.0
        tests.loc[tests["method"] == name, "stands"] = "behind"
    assert verdict("rank_among", settings, results(t__csv=table, s__csv=tests)) == HOLDS
    tests.loc[tests["method"] == "svt", "stands"] = "level"
    finding = rules.rank_among(results(t__csv=table, s__csv=tests), **settings, stated=3)
    assert finding.holds is None and (finding.low, finding.high) == (3, 4) and finding.measured == 3


def test_margin():
    settings = {"rivals": ["simclr", "svt"], "task": 1}

    def of(low, high):
        tests = significance_table().assign(lead_low=low, lead_high=high)
        tests.loc[tests["method"] == "supcon", ["other", "lead"]] = [99.0, -50.0]  # better, and no rival
        return verdict("margin", settings, results(significance__csv=tests))

    assert of(50.0, 70.0) == HOLDS and of(20.0, 40.0) == FAILS and of(20.0, 70.0) == INCONCLUSIVE
    assert of(np.nan, np.nan) == INCONCLUSIVE
    assert verdict("margin", settings, results()) == NOT_TESTABLE
    tests = significance_table()
    tests.loc[tests["method"] == "svt", ["other", "lead_low"]] = [60.0, 59.0]
    assert rules.margin(results(significance__csv=tests), **settings, stated=44).low == 59.0, "the best rival in Task 1"
    assert rules.margin(results(significance__csv=tests), **settings | {"task": 3}, stated=44).low == 50.0, "in Task 3 the smallest"
    assert arithmetic.relative_lead(2.52, 4.20, 3) == pytest.approx(40.0)


def test_prompting_against_fine_tuning():
    def of(rule, sign, settings, **kwargs):
        cells = {(5, 20): (5, 2, 30), (5, 5): (9, 3, 30), (1, 50): (4, 2, 9)}
        signed = {cell: [sign * v for v in values] for cell, values in cells.items()}
        return verdict(rule, settings, results(**against_finetune(signed, **kwargs)))

    tasks = {"tasks": [1, 2, 3], "shots": 5}
    for rule, settings in (("prompt_beats_finetune", tasks), ("prompt_ahead_in_most", {})):
        assert of(rule, 1, settings) == HOLDS and of(rule, -1, settings) == FAILS, rule
        assert of(rule, 1, settings, half=10) == INCONCLUSIVE, rule
    assert of("prompt_beats_finetune", 1, {"tasks": [1], "shots": 50}) == NOT_TESTABLE
    for mean, expected in ((70.0, HOLDS), (20.0, FAILS), (45.0, INCONCLUSIVE)):
        assert verdict("mean_relative_gain", {"shots": 5}, results(**relative_table({"gain": mean}))) == expected
    assert verdict("mean_relative_gain", {"shots": 1}, results(**relative_table({"gain": 1}))) == NOT_TESTABLE


def test_two_of_six_comparisons_leave_the_others_open():
    lost = results(**against_finetune({(5, 20): (-9, -9, -9)}))
    assert verdict("prompt_ahead_in_most", {}, lost) == FAILS, "three of six are lost"
    lost_two = results(**against_finetune({(5, 20): (9, -9, -9)}))
    assert verdict("prompt_ahead_in_most", {}, lost_two) == INCONCLUSIVE


def test_loss_with_genres():
    settings = {"protocol": "finetune", "tolerance": 5}
    for mean, expected in ((37.0, HOLDS), (10.0, FAILS), (41.5, INCONCLUSIVE)):
        assert verdict("loss_with_genres", settings, results(**relative_table({"loss of finetune": mean}))) == expected

    def less(more, start):
        table = relative_table({"fine-tuning loses more by": more, "gain at g = 1": start})
        return verdict("prompt_loses_less", {}, results(**table))

    assert less(20.0, 3.0) == HOLDS and less(20.0, 0.0) == HOLDS and less(-20.0, 3.0) == FAILS and less(0.5, 3.0) == INCONCLUSIVE
    assert less(20.0, -10.0) == INCONCLUSIVE, "prompting starts lower, so it has less to lose"
    assert verdict("prompt_loses_less", {}, results(**relative_table({"gain": 1.0}))) == NOT_TESTABLE


def separation_table(purity, p, silhouette, leads, panel="5b", half=0.02):
    """fig5_separation.csv with one attribute; ``leads``: (silhouette, purity) over the untrained encoder, each +- ``half``."""
    row = {"panel": panel, "encoder": "ours", "attribute": "level | genre, primitive", "purity": purity, "purity_p": p}
    row |= {"purity_chance": 0.33, "silhouette": silhouette}
    plain = row | {"attribute": "level", "purity": 0.4}
    untrained = row | {"encoder": "random_init", "purity": purity - leads[1], "silhouette": silhouette - leads[0]}
    for kind, value in zip(("silhouette", "purity"), leads, strict=True):
        row |= {f"{kind}_lead": value, f"{kind}_lead_low": value - half, f"{kind}_lead_high": value + half}
    return results(fig5_separation__csv=pd.DataFrame([plain, row, untrained]))


def test_separated():
    settings = {"panel": "b", "attribute": "level"}

    def of(purity, p, silhouette, leads=(0.3, 0.2), **more):
        return verdict("separated", settings, separation_table(purity, p, silhouette, leads, **more))

    assert of(0.98, 0.005, 0.5) == HOLDS and of(0.35, 0.4, 0.0) == FAILS and of(0.6, 0.005, 0.1) == INCONCLUSIVE
    assert of(0.98, 0.005, 0.5, panel="5c") == NOT_TESTABLE
    # classes that separate, but not because of pre-training
    assert of(0.98, 0.005, 0.5, leads=(-0.3, 0.0)) == FAILS, "the untrained encoder separates them better"
    assert of(0.98, 0.005, 0.5, leads=(0.0, 0.0)) == INCONCLUSIVE, "and here as well"
    assert of(0.98, 0.005, 0.5, leads=(0.3, 0.0)) == HOLDS
    assert of(0.98, 0.005, 0.5, leads=(-0.3, 0.2)) == INCONCLUSIVE, "the two measures disagree"
    assert of(0.98, 0.005, 0.5, half=np.nan) == INCONCLUSIVE, "one performance has no interval"
    flagged = separation_table(0.98, 0.005, 0.5, (0.3, 0.2))
    flagged.tables["table2_baselines.csv"] = pd.DataFrame({"method": ["ours"], "condition": ["underfit"]})
    assert verdict("separated", settings, flagged) == INCONCLUSIVE
    assert "no verdict: ours is underfit" in rules.separated(flagged, **settings).text
    text = rules.separated(separation_table(0.98, 0.005, 0.42, (-0.3, 0.0)), "b", "level").text
    assert "98 % of the neighbours" in text and "Untrained encoder: 98 %, silhouette 0.72" in text and "worse" in text


def test_progression_seen():
    def table(gains, alls, width=1.0):
        rows = []
        for level, gain, everything in zip(("beginner", "intermediate", "expert"), gains, alls, strict=True):
            cells = {
                progression.FIRST: 50.0,
                progression.LAST: 50.0 + gain,
                progression.GAIN: gain,
                progression.ALL: everything,
            }
            cells |= {progression.beyond(["beginner"]): gain - gains[0]} if level == "intermediate" else {}
            rows += [("measured", "a", level, group, 20, v, v, v - width, v + width) for group, v in cells.items()]
        return pd.DataFrame(rows, columns=progression.COLUMNS)

    def of(observation, *planted):
        return verdict("progression_seen", {"observation": observation}, results(fig6_progression__csv=table(*planted)))

    seen, not_seen = ((5.0, 10.0, 0.0), (50.0, 70.0, 95.0)), ((-5.0, -10.0, 30.0), (95.0, 70.0, 50.0))
    for observation in (1, 2, 3, 4):
        assert of(observation, *seen) == HOLDS and of(observation, *not_seen) == FAILS
        assert of(observation, *seen, 30.0) == INCONCLUSIVE


def test_experts_match():
    def of(bars, chance, sd=20.0):
        table = pd.DataFrame({"level": "expert", "choreography": list("abcdef"), "bar": bars, "bar_chance": chance, "bar_sd": sd})
        return verdict("experts_match", {}, results(sequences=table))

    high, low = [90.0, 92, 91, 93, 90, 92], [20.0, 22, 21, 23, 20, 22]
    assert of(high, 40.0) == HOLDS and of(low, 40.0) == FAILS and of(high, 91.0) == INCONCLUSIVE
    assert of(high, 40.0, 100.0) == INCONCLUSIVE, "time shifts of the motion reach as much"
    nobody = pd.DataFrame({"level": ["x"], "choreography": ["a"], "bar": [1.0], "bar_chance": [1.0], "bar_sd": [1.0]})
    assert verdict("experts_match", {}, results(sequences=nobody)) == NOT_TESTABLE


def test_level_of_unseen_dancers():
    def table(value, half):
        lines = []
        for method, protocol, cast, dancers in itertools.product(
            ("ours", "handcrafted"), ("prompt", "finetune"), ("default", "strong style"), ("seen", "unseen")
        ):
            asked = (method, protocol, cast, dancers) == ("ours", "prompt", "strong style", "unseen")
            level, spread = (value, half) if asked else (90.0, 1.0)
            lines.append({"method": method, "protocol": protocol, "cast": cast, "dancers": dancers, "n_seeds": 3, "dancer": 97.0,
                          "level_within": level, "level_within_ci_low": level - spread,
                          "level_within_ci_high": level + spread})  # fmt: skip
        return pd.DataFrame(lines)

    def of(rows):
        return verdict("level_of_unseen_dancers", {}, results(extra_unseen_dancers__csv=rows))

    # On seen dancers 90 % +-1, chance 33.3 %: half of the lead is 61.7 % (61.2 to 62.2 by the interval).
    assert of(table(70.0, 5.0)) == HOLDS and of(table(20.0, 5.0)) == FAILS and of(table(60.0, 5.0)) == INCONCLUSIVE
    assert of(table(48.0, 5.0)) == FAILS, "above chance, but most of the lead is the person's"
    assert of(table(70.0, np.nan)) == INCONCLUSIVE
    # The default cast alone decides nothing; real people do.
    good = table(60.0, 5.0)
    assert of(good[good["cast"] == "default"]) == NOT_TESTABLE
    assert of(good[good["method"] != "ours"]) == NOT_TESTABLE
    assert of(table(70.0, 5.0).replace("strong style", "real people")) == HOLDS
    blind = table(33.0, 5.0).assign(level_within_ci_low=20.0)
    assert of(blind) == INCONCLUSIVE, "nothing is recognised on seen dancers, so nothing can be lost"
    found = rules.RULES["level_of_unseen_dancers"](results(extra_unseen_dancers__csv=good))
    assert found.measured == 60.0 and "47 % of the lead over chance is left" in found.text and "97 %" in found.text


def test_time():
    def table(what, low, middle, high):
        return pd.DataFrame([(what, middle, low, high, 9, "cpu", True)], columns=timing.COLUMNS)

    def of(rule, settings, *planted):
        return verdict(rule, settings, results(timing__csv=table(*planted)))

    assert of("inference_time", {}, timing.INFERENCE, 0.01, 0.02, 0.03) == HOLDS
    assert of("inference_time", {}, timing.INFERENCE, 0.4, 0.5, 0.6) == FAILS
    assert of("inference_time", {}, "other", 0.4, 0.5, 0.6) == NOT_TESTABLE
    assert (
        of("prompt_slower", {}, timing.RATIO, 5, 9, 20) == HOLDS
        and of("prompt_slower", {}, timing.RATIO, 0.1, 0.2, 0.5) == FAILS
    )
    assert of("prompt_slower", {}, timing.RATIO, 0.5, 0.9, 3.0) == INCONCLUSIVE
    assert of("prompt_slower", {}, timing.RATIO, 0.5, 2.0, 3.0) == INCONCLUSIVE
    made = timing.table({timing.RATIO: [3.0, 1.0, 2.0], timing.INFERENCE: []}, True)
    assert made["median_s"].tolist() == [2.0] and made["runs"].tolist() == [3]
    assert len(timing.repeated(lambda: None, runs=7)) == 7


def pair_table(confuse) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    points = {
        (c, move): rng.normal(size=2) + 3 * i for i, c in enumerate(["b4", "h1", "j3", "k4", "u3"]) for move in (1, 2, 3)
    }
    rows = []
    for (c, m), x in points.items():
        for (d, n), y in points.items():
            if c < d:
                similarity = 1 - np.linalg.norm(x - y) / 20
                rows.append((c, m, d, n, similarity, confuse(similarity)))
    return pd.DataFrame(rows, columns=confusion.PAIR_COLUMNS)


def test_similar_are_confused():
    def of(confuse):
        return verdict("similar_are_confused", {}, results(extra_confusion__csv=pair_table(confuse).assign(method="ours")))

    assert of(lambda s: 10 * s) == HOLDS and of(lambda s: -10 * s) == FAILS and of(lambda s: 0.0) == INCONCLUSIVE
    rho, p = stats.mantel(pair_table(lambda s: 10 * s))
    assert rho == pytest.approx(1.0) and p <= 0.05


# --- the released code: the results of 09_released_code -------------------------------------------------------------


def test_music_unheard():
    def of(heard, split="released"):
        rows = [(split, "pre-trained", seed, name, name in heard, heard.get(name, "")) for seed in (0, 1) for name in ("k1", "u2")]
        table = pd.DataFrame(rows, columns=["split", "encoder", "seed", "choreography", "heard", "shares_with"])
        return results(released_music__csv=table)

    assert verdict("music_unheard", {}, of({})) == HOLDS and verdict("music_unheard", {}, of({"k1": "k0"})) == FAILS
    text = rules.music_unheard(of({"k1": "k0"})).text
    assert text == "1 of 2 test choreographies share their music with pre-training: k1 with k0"
    assert verdict("music_unheard", {}, of({}, split="ours")) == NOT_TESTABLE
    assert verdict("music_unheard", {}, results()) == NOT_TESTABLE
    whole = claims.judge_one(next(c for c in CLAIMS if c["rule"] == "music_unheard"), of({}))
    assert whole["verdict"] == CONTRADICTED and whole["dataset"] == "the released files", "the published music table decides"


def prompt_table(tmp_path, sequences, same, accuracy) -> Results:
    """released_prompt.csv as it comes back from its file; values for the true label, another label, one for all."""
    table = pd.DataFrame({"vocabulary": "v", "text": ["true label", "another label", "one for all"], "sequences": sequences})
    table = table.assign(accuracy=accuracy, bit_identical=[True, *same])
    oracle = {"vocabulary": ["ours: prompt-oracle"], "text": ["true label"], "accuracy": [99.0]}
    pd.concat([table, pd.DataFrame(oracle)]).to_csv(tmp_path / "released_prompt.csv", index=False)
    return results(released_prompt__csv=pd.read_csv(tmp_path / "released_prompt.csv"))


def test_the_text_of_the_prompt(tmp_path):
    def of(rule, settings, sequences=(1, 1, 1), same=(True, True), accuracy=(50.0, 50.0, 50.0), name="v"):
        return verdict(rule, settings | {"vocabulary": name}, prompt_table(tmp_path, sequences, same, accuracy))

    several = {"sequences": (45, 45, 1), "same": (False, False)}
    assert of("texts_differ", {}, **several) == HOLDS and of("texts_differ", {}) == FAILS
    assert of("texts_differ", {}, sequences=(45, 45, 1)) == INCONCLUSIVE, "several texts, and no logit changes"
    used = {"points": 1}
    assert of("text_is_used", used, accuracy=(90.0, 2.0, 50.0)) == HOLDS
    assert of("text_is_used", used, accuracy=(50.0, 50.5, 49.5)) == FAILS
    assert of("text_is_used", used, accuracy=(50.0, 60.0, 49.5)) == INCONCLUSIVE, "another label's text does better"
    for rule, settings in (("texts_differ", {}), ("text_is_used", used)):
        assert of(rule, settings, name="knows the words") == NOT_TESTABLE
        assert verdict(rule, settings | {"vocabulary": "v"}, results()) == NOT_TESTABLE
    assert rules.text_is_used(prompt_table(tmp_path, (45, 45, 1), (False, False), (90.0, 2.0, 50.0)), "v", 1).measured == 40.0


def test_leaves_task1():
    def of(effect, half, name="knee"):
        row = {"difference": "knee", "against": "ours", "n_seeds": 3, "task1_mean": 60.0, "task1_effect": effect}
        table = pd.DataFrame([row | {"task1_low": effect - half, "task1_high": effect + half}])
        return verdict("leaves_task1", {"difference": name, "within": 2}, results(released_code__csv=table))

    assert of(0.5, 1.0) == HOLDS and of(-6.0, 1.0) == FAILS and of(6.0, 1.0) == FAILS
    assert of(-3.0, 2.0) == INCONCLUSIVE and of(0.0, np.nan) == INCONCLUSIVE, "no interval, no verdict"
    assert of(0.5, 1.0, name="cuts") == NOT_TESTABLE and of(np.nan, np.nan) == NOT_TESTABLE
    assert verdict("leaves_task1", {"difference": "knee", "within": 2}, results()) == NOT_TESTABLE
    effect = {"against": "ours", "n_seeds": 3, "task1_mean": 60.0, "task1_effect": 0.5, "task1_low": 0.0, "task1_high": 1.0}
    for states in (("", "underfit"), ("collapsed", np.nan)):
        rows = [effect | {"difference": name, "condition": state} for name, state in zip(("ours", "knee"), states, strict=True)]
        found = rules.leaves_task1(results(released_code__csv=pd.DataFrame(rows)), "knee", 2)
        name = "knee is underfit" if states[1] == "underfit" else "ours is collapsed"
        assert found.holds is None and found.text.endswith(f"no verdict: {name}")


def test_cuts_are_eights():
    def of(lengths, segmentation="beats"):
        rows = [(name, 1.0, 1.0 + s, segmentation) for name, s in zip("abcd", lengths, strict=True) for _ in range(3)]
        pieces = pd.DataFrame(rows, columns=["choreography", "start_s", "end_s", "segmentation"])
        return verdict("cuts_are_eights", {"beats": 0.5}, results(pieces=pieces))

    assert of([3.0, 3.05, 2.95, 3.1]) == HOLDS and of([4.0, 3.9, 4.1, 4.0]) == FAILS, "3 s of music at 120 beats a minute: six"
    assert of([3.0, 3.0, 4.0, 2.6]) == INCONCLUSIVE and of([3.0] * 4, "equal") == NOT_TESTABLE
    assert verdict("cuts_are_eights", {"beats": 0.5}, results()) == NOT_TESTABLE


def rate_table(hit, chance=40.0, trials=6) -> pd.DataFrame:
    """released_rates.csv of two choreographies and two levels; ``hit`` makes a trial's hit rate from its BAR."""
    rng = np.random.default_rng(0)
    rows = []
    for choreography, add in (("b1", 0), ("k1", 3)):
        for level in ("expert", "beginner"):
            for trial in range(trials):
                bar = 50.0 + 3 * trial + add + (20 if level == "expert" else 0)
                rows.append((choreography, level, trial, bar, 45.0, hit(bar, rng), chance))
    return pd.DataFrame(rows, columns=hits.COLUMNS)


def test_rates_exceed():
    agrees, above = {"measure": "correlation (Spearman)", "least": 0.7}, {"measure": "hit rate above chance", "least": 0}

    def of(settings, *planted):
        return verdict("rates_exceed", settings, results(released_rates__csv=rate_table(*planted)))

    def noisy(bar, rng):
        return bar / 2 + rng.normal(0, 1.5)

    assert of(agrees, noisy) == HOLDS and of(agrees, lambda bar, rng: 100 - bar + rng.normal(0, 1.5)) == FAILS
    assert of(agrees, lambda bar, rng: bar / 2 + rng.normal(0, 10)) == INCONCLUSIVE
    assert of(above, noisy, 10.0) == HOLDS and of(above, noisy, 90.0) == FAILS and of(above, noisy, 33.0) == INCONCLUSIVE
    assert of(agrees, noisy, 40.0, 1) == NOT_TESTABLE, "two performances have no correlation"
    assert verdict("rates_exceed", agrees, results()) == NOT_TESTABLE


def test_target_varies(monkeypatch):
    rates = rate_table(lambda bar, rng: bar / 2 + rng.normal(0, 1.5))
    assert verdict("target_varies", {}, results(released_rates__csv=rates)) == FAILS
    finding = rules.target_varies(results(released_rates__csv=rates))
    assert "24 performances have 4 values" in finding.text and finding.measured == pytest.approx(0, abs=1e-9)
    assert verdict("target_varies", {}, results(released_rates__csv=rates.iloc[::6])) == NOT_TESTABLE, "one trial of each file"
    assert verdict("target_varies", {}, results()) == NOT_TESTABLE
    every_other = iter([lambda rates, files: rates, hits.constant_target])
    monkeypatch.setattr(hits, "constant_target", lambda rates, files: next(every_other)(rates, files))
    assert verdict("target_varies", {}, results(released_rates__csv=rates)) == HOLDS, "a target with a value for each trial"


def test_only_the_papers_own_data_and_profile_earn_its_words():
    table = comparison_table()
    for task in (1, 2, 3):
        for end in ("ci_low", "ci_high"):
            table[f"task{task}_{end}"] = table[f"paper_task{task}"] * (0.9 if end == "ci_low" else 1.1)
    own = {"synthetic": False, "profile": "paper", "dataset": "ImperialDance"}
    settings = {"table": "t.csv"}
    assert verdict("numbers_reproduced", settings, results(**own, t__csv=table)) == VERIFIED
    assert verdict("numbers_reproduced", settings, results(**own, t__csv=comparison_table())) == CONTRADICTED
    assert verdict("numbers_reproduced", settings, results(**own | {"profile": "demo"}, t__csv=table)) == NOT_TESTABLE
    assert verdict("numbers_reproduced", settings, results(t__csv=table)) == NOT_TESTABLE
    beats = results(**own, t__csv=comparison_table(), s__csv=significance_table())
    assert verdict("beats_all", TABLES, beats) == VERIFIED
    reduced = results(
        synthetic=False, profile="demo", dataset="ImperialDance", t__csv=comparison_table(), s__csv=significance_table()
    )
    assert verdict("beats_all", TABLES, reduced) == "holds on ImperialDance (toy)"
    pieces = pd.DataFrame({"split": ["test"] * 4500, "choreography": "b4", "level": "expert", "primitive": 0})
    sized = results(**own, pieces=pieces)
    assert verdict("set_up", {"what": "test"}, sized, "setup-test-pieces") == VERIFIED
    assert verdict("set_up", {"what": "classes"}, sized, "setup-classes") == CONTRADICTED
    assert verdict("set_up", {"what": "test"}, results(pieces=pieces), "setup-test-pieces") == NOT_TESTABLE


def test_the_papers_own_numbers_decide_where_they_speak_against_a_claim():
    claim = next(c for c in CLAIMS if c["id"] == "table2-margin-general-task1")
    row = claims.judge_one(claim, results(significance__csv=significance_table()))
    assert row["verdict"] == CONTRADICTED and row["measured_verdict"] == HOLDS and row["measured"] == 60.0
    assert row["dataset"] == "the paper's own numbers" and not row["arithmetic_agrees"]
    agrees = next(c for c in CLAIMS if c["id"] == "table2-margin-general-task3")
    row = claims.judge_one(agrees, results())
    assert row["arithmetic_agrees"] and row["verdict"] == NOT_TESTABLE, "the paper's own table is no evidence for it"


def test_missing_tables_say_which():
    with pytest.raises(Missing, match=r"table2_baselines\.csv was not made"):
        results().table("table2_baselines.csv")


def test_data_on_which_no_task_was_run_gives_reasons():
    empty = pd.DataFrame(columns=METRICS_COLUMNS)
    table = claims.judge(results(metrics__parquet=empty))
    reasons = table.set_index("id")["finding"]
    assert "was not made" in reasons["table4-all-tasks"] and "could not be run" in reasons["table4-most-tasks"]
    assert set(table["measured_verdict"]) == {NOT_TESTABLE}
