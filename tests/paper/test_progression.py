"""Fig. 6 in numbers: a known practice effect is found, and what the data cannot show is not claimed."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from dancemvp_core.labels import Levels
from dancemvp_core.paper import progression

GAIN = {"beginner": 5.0, "intermediate": 20.0, "expert": 0.0}  # points over 100 trials
START = {"beginner": 40.0, "intermediate": 60.0, "expert": 95.0}


def practised(gain, choreographies=8, trials=100, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {"choreography": f"c{c}", "level": level, "trial": t, "bar": START[level] + gain[level] * t / 100}
        for c, level, t in itertools.product(range(choreographies), START, range(trials))
    ]
    table = pd.DataFrame(rows)
    bar = table["bar"] + noise * rng.normal(size=len(table))
    return table.assign(bar=bar, bar_chance=30.0, bar_sd=10.0, bar_corrected=0.5, f70=0.2)


def cell(table, level, group):
    return table[(table["level"] == level) & (table["group"] == group)].iloc[0]


def test_the_numbers_of_fig_6_by_hand():
    table = progression.table(practised(GAIN, choreographies=2, noise=0.0), 100, "label")
    first, last = cell(table, "intermediate", "first 5"), cell(table, "intermediate", "last 5")
    assert first["mean"] == pytest.approx(60.4) and last["mean"] == pytest.approx(79.4)  # trials 0..4 and 95..99
    assert cell(table, "intermediate", "gain")["median"] == pytest.approx(19.0)
    assert cell(table, "intermediate", "slope per 100 trials")["mean"] == pytest.approx(20.0)
    assert cell(table, "intermediate", "gain beyond the beginner's")["mean"] == pytest.approx(19.0 - 4.75)
    assert cell(table, "expert", "all")["mean"] == pytest.approx(95.0)
    assert set(table.loc[table["level"] == "expert", "panel"]) == {"c", "d"} and (table["n"] == 2).all()


def test_the_four_observations_are_seen_where_they_are_put_in():
    seen = progression.observations(progression.table(practised(GAIN), 100, "label")).set_index("observation")["seen"]
    assert list(seen) == ["yes"] * 4


def test_the_opposite_is_seen_as_such_and_noise_resolves_nothing():
    backwards = {"beginner": -5.0, "intermediate": -30.0, "expert": -20.0}
    seen = progression.observations(progression.table(practised(backwards), 100, "label"))["seen"]
    assert list(seen[:3]) == ["no", "no", "no"]
    noisy = practised(dict.fromkeys(START, 0.0), choreographies=4, noise=60.0)
    assert list(progression.observations(progression.table(noisy, 100, "label"))["seen"][:3]) == ["not resolved"] * 3


def test_only_the_longest_files_count():
    long, short = practised(GAIN, choreographies=2), practised(GAIN, choreographies=3, trials=40)
    both = pd.concat([long, short.assign(choreography="s" + short["choreography"])])
    assert progression.complete(both) == (["c0", "c1"], 100)
    one_level_short = both.drop(
        both[(both["choreography"] == "c1") & (both["level"] == "expert") & (both["trial"] > 50)].index
    )
    assert progression.complete(one_level_short) == (["c0"], 100)
    assert progression.complete(short) == (["c0", "c1", "c2"], 40)


@pytest.mark.parametrize("missing", ["level", "trial", "bar", "choreography"])
def test_no_progress_without_labels_or_rates(missing):
    assert progression.complete(practised(GAIN).assign(**{missing: None})) == ([], 0)


def test_predicted_rates_are_averaged_over_pieces_and_seeds():
    rows = [
        {"sequence": 7, "true_choreography": "b4", "true_level": "expert", "trial": 3, "predicted_bar": bar}
        for bar in (80.0, 90.0, 100.0, 70.0, 80.0, 90.0)
    ]
    out = progression.predicted_sequences(pd.DataFrame(rows))
    assert out.to_dict("records") == [{"sequence": 7, "choreography": "b4", "level": "expert", "trial": 3, "bar": 85.0}]


def test_few_predicted_performances_leave_cells_empty_and_do_not_fail():
    sparse = practised(GAIN, choreographies=2)
    sparse = sparse[(sparse["trial"] > 10) | (sparse["level"] == "beginner")]
    table = progression.table(sparse, 100, "predicted")
    assert cell(table, "expert", "first 5")["n"] == 0 and np.isnan(cell(table, "expert", "gain")["mean"])
    assert progression.observations(table).empty


def ordered(levels, people=None, seed=0):
    """Four levels or so, each of which but the last gains, the higher the more; with people, each dances one level."""
    rng, rows = np.random.default_rng(seed), []
    for rank, level in enumerate(levels):
        gain = 0 if rank == len(levels) - 1 else 5 + 10 * rank
        for c, t in itertools.product(range(6), range(40)):
            rows.append({"choreography": f"c{c}", "level": level, "trial": t, "bar": 20 * rank + gain * t / 40 + rng.normal()})
    table = pd.DataFrame(rows)
    if people is None:
        return table
    parts = [table.assign(dancer=table["level"] + f" {k}", bar=table["bar"] + rng.normal(0, 2, len(table))) for k in range(people)]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_any_ordered_list_of_levels(count):
    levels = Levels(("Novice", "Intermediate", "Advanced", "Expert", "Master")[:count])
    table = progression.table(ordered(levels.names), 40, "label", levels)
    assert sorted(set(table["panel"])) == list("abcdef"[: count + 1])
    assert list(table.loc[table["group"] == "all", "level"]) == list(levels.names)
    seen = progression.observations(table, levels).set_index("observation")["seen"]
    assert list(seen) == ["yes", "yes" if count > 2 else "not resolved", "yes", "yes"]
    assert seen.index[2] == f"(iii) no gain: {levels.names[-1]}"
    measured = ordered(levels.names).assign(bar_chance=1.0, bar_sd=5.0, bar_corrected=1, f70=1)
    rates = progression.rates_by_level(measured, levels)
    assert list(rates["level"]) == list(levels.names)


def test_where_people_are_named_a_person_is_the_unit():
    levels = Levels(("Novice", "Intermediate", "Expert"))
    danced = ordered(levels.names, people=4)
    assert progression.unit_of(danced) == "dancer" and progression.complete(danced) == ([f"c{c}" for c in range(6)], 40)
    values = progression.per_unit(danced, 40)
    assert len(values) == 12 and set(values["unit"]) == set(danced["dancer"])
    one = danced[(danced["dancer"] == "Novice 0") & (danced["trial"] < 5)].groupby("choreography")["bar"].mean().mean()
    assert values.set_index("unit").loc["Novice 0", "first"] == pytest.approx(one)
    table = progression.table(danced, 40, "label", levels)
    assert (table["n"] == 4).all()
    more = cell(table, "Intermediate", progression.beyond(list(levels.names)))
    gains = [values.loc[values["level"] == level, "gain"] for level in levels.names[:2]]
    welch = ttest_ind(gains[1], gains[0], equal_var=False).confidence_interval()
    assert (more["ci_low"], more["ci_high"]) == pytest.approx((welch.low, welch.high)), "nobody has both levels: two groups"
    assert list(progression.observations(table, levels)["seen"][:2]) == ["yes", "yes"]
    # Where each level has one person, a choreography is the unit; and where a performance names nobody.
    assert progression.unit_of(ordered(levels.names, people=1)) == "choreography"
    assert progression.unit_of(danced.assign(dancer=danced["dancer"].where(danced["trial"] > 0))) == "choreography"


def test_acted_styles_show_no_progress():
    styles = Levels(("calm", "active"), "style")
    assert progression.why_not(ordered(styles.names), styles).endswith("no levels of skill: Fig. 6 (progression) is left out.")
    assert progression.why_not(ordered(styles.names), Levels(styles.names)) == ""
    assert progression.why_not(ordered(styles.names).head(0), Levels(styles.names)) == progression.NOTHING_TO_SEE


def test_people_come_from_the_data_sets_index():
    index = pd.DataFrame({"dancer": ["Ana", None, "Bo"]}, index=[5, 6, 7])
    found = progression.with_people(pd.DataFrame({"sequence": [2, 0, 1]}), index)["dancer"]
    assert list(found[:2]) == ["Bo", "Ana"] and pd.isna(found[2])


def test_rates_by_level_and_without_levels():
    table = progression.rates_by_level(practised(GAIN)).set_index("level")
    assert list(table.index) == list(START) and (table["performances"] == 800).all()
    assert table.loc["expert", "bar_low"] < table.loc["expert", "bar"] < table.loc["expert", "bar_high"]
    assert (table["bar_chance_low"] < 30).all() and (table["bar_chance_high"] > 30).all() and (table["bar_p"] < 0.01).all()
    without = progression.rates_by_level(practised(GAIN).assign(level=None, choreography=None))
    assert list(without["level"]) == ["all"] and without["choreographies"].item() == 0
    silent = progression.rates_by_level(practised(GAIN).assign(bar=np.nan))
    assert silent["performances"].sum() == 0
