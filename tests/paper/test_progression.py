"""Fig. 6 in numbers: a known practice effect is found, and what the data cannot show is not claimed."""

import itertools

import numpy as np
import pandas as pd
import pytest

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
    assert cell(table, "intermediate", progression.BEYOND)["mean"] == pytest.approx(19.0 - 4.75)
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
    assert out.to_dict("records") == [{"choreography": "b4", "level": "expert", "trial": 3, "bar": 85.0}]


def test_few_predicted_performances_leave_cells_empty_and_do_not_fail():
    sparse = practised(GAIN, choreographies=2)
    sparse = sparse[(sparse["trial"] > 10) | (sparse["level"] == "beginner")]
    table = progression.table(sparse, 100, "predicted")
    assert cell(table, "expert", "first 5")["n"] == 0 and np.isnan(cell(table, "expert", "gain")["mean"])
    assert progression.observations(table).empty


def test_rates_by_level_and_without_levels():
    table = progression.rates_by_level(practised(GAIN)).set_index("level")
    assert list(table.index) == list(START) and (table["performances"] == 800).all()
    assert table.loc["expert", "bar_low"] < table.loc["expert", "bar"] < table.loc["expert", "bar_high"]
    assert (table["bar_chance_low"] < 30).all() and (table["bar_chance_high"] > 30).all() and (table["bar_p"] < 0.01).all()
    without = progression.rates_by_level(practised(GAIN).assign(level=None, choreography=None))
    assert list(without["level"]) == ["all"] and without["choreographies"].item() == 0
    silent = progression.rates_by_level(practised(GAIN).assign(bar=np.nan))
    assert silent["performances"].sum() == 0
