"""Selection: ranks over the three tasks decide, ours is not its own rival, and what is common stays."""

import pandas as pd
import pytest
import yaml

from dancemvp_core.controls import selection
from dancemvp_core.pretraining import methods


def trials(rows):
    columns = ["pretraining", "protocol", "rate_factor", "task1", "task2", "task3"]
    return pd.DataFrame(rows, columns=columns)


def test_mean_rank_knows_which_way_is_better():
    table = trials([("a", "prompt", 1.0, 60.0, -1.0, 200.0), ("b", "prompt", 1.0, 50.0, -0.5, 300.0)])
    assert selection.mean_rank(table).tolist() == [1.0, 2.0]


def test_each_pretraining_gets_its_best_setting_and_the_two_best_rivals_more_seeds():
    ours, simclr = methods.METHODS["ours"].pretraining, methods.METHODS["simclr"].pretraining
    supcon, svt = methods.METHODS["stgcn-lstm-supcon"].pretraining, methods.METHODS["svt"].pretraining
    table = trials(
        [
            (ours, "prompt", 1.0, 90.0, -2.0, 10.0), (ours, "prompt", 3.0, 80.0, -1.0, 20.0),
            (simclr, "finetune", 1.0, 30.0, 0.0, 500.0), (simclr, "finetune", 3.0, 40.0, -0.1, 400.0),
            (supcon, "prompt", 1.0, 70.0, -1.5, 30.0), (svt, "finetune", 1.0, 20.0, 1.0, 900.0),
            ("stgcn-none-infonce", "prompt", 1.0, 85.0, -1.8, 15.0),
        ]
    )  # fmt: skip
    before = {"default": {"same_music": 1}, "prompter": {"dropout": 0.5}, "old-pretraining": {"rate_factor": 3.0}}
    chosen = selection.choose(table, before)
    assert chosen["default"] == before["default"] and chosen["prompter"] == before["prompter"]
    assert chosen[simclr] == {"rate_factor": 3.0} and ours not in chosen and "old-pretraining" not in chosen
    assert chosen["more_seeds"] == ["stgcn-lstm-supcon", "simclr"]  # floors and ours are no rivals
    assert yaml.safe_load(yaml.safe_dump(chosen)) == chosen


def test_the_committed_selection_names_what_exists():
    chosen = methods.selected()
    assert set(chosen) - {"default", "prompter", "more_seeds"} <= set(methods.pretrainings())
    assert set(chosen["more_seeds"]) <= set(methods.METHODS) - {"ours", "contrastivedance"}
    assert len(selection.CANDIDATES) <= 4


@pytest.mark.parametrize("name", list(methods.VARIANTS))
def test_a_variant_changes_one_thing(name):
    selected, variant = methods.settings(methods.METHODS["ours"]), methods.settings(methods.VARIANTS[name])
    changed = {key for key in variant if variant[key] != selected.get(key)}
    assert len(changed) == 1
