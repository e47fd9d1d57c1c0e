"""Selection: ranks over splits, shots and tasks decide, every setting of the file is chosen, and ours is not its own rival."""

import contextlib
import json
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from dancemvp_core.controls import selection
from dancemvp_core.pretraining import methods

OTHER_SPLITS = {"synthdance validation2", "synthdance validation3"}


def trials(rows, place="synthdance", shots=20) -> pd.DataFrame:
    columns = ["pretraining", "changes", "task1", "task2", "task3"]
    table = pd.DataFrame([(name, json.dumps(changes), *values) for name, changes, *values in rows], columns=columns)
    return table.assign(place=place, shots=shots)


def test_mean_rank_knows_which_way_is_better_and_counts_every_split():
    own = trials([("a", {}, 60.0, -1.0, 200.0), ("a", {"x": {"y": 1}}, 50.0, -0.5, 300.0)])
    assert selection.mean_rank(own).tolist() == [1.0, 2.0] and selection.winner(own) == {}
    swapped = own.assign(changes=own["changes"].to_numpy()[::-1], place="synthdance validation2")
    assert selection.mean_rank(pd.concat([own, swapped])).tolist() == [1.5, 1.5]
    assert selection.winner(pd.concat([own, swapped])) == {}, "among equals, the present setting"
    assert selection.winner(pd.concat([own, swapped, swapped.assign(place="real")])) == {"x": {"y": 1}}


def test_every_setting_of_the_file_is_chosen_and_nothing_else():
    tried = set()
    for stage, candidates in selection.stages("/data/real").items():
        assert len({(c.pretraining, json.dumps(c.changes), c.place) for c in candidates}) == len(candidates), stage
        assert all(len(c.changes) <= 1 for c in candidates)
        tried |= {(name, key) for c in candidates for name, values in c.changes.items() for key in values}
    held = {(name, key) for name, values in methods.selected().items() if name != "strongest" for key in values}
    assert held <= tried
    places = {stage: {c.place for c in candidates} for stage, candidates in selection.stages("/data/real").items()}
    assert places["pre-training"] == {"synthdance", "synthdance validation2", "real"}
    assert {c.place for candidates in selection.stages().values() for c in candidates} == {"synthdance", *OTHER_SPLITS}


def test_a_task_without_labels_has_no_part_in_the_ranks():
    own = trials([("a", {}, 60.0, -1.0, 200.0), ("a", {"x": {"y": 1}}, 50.0, -2.0, 100.0)])
    real = own.assign(place="real", task2=None, task3=None)
    # Synthetic: the ranks 1, 2, 2 and 2, 1, 1. Real: 1 and 2, of the one task. Both places count the same.
    assert selection.mean_rank(pd.concat([own, real])).tolist() == pytest.approx([(5 / 3 + 1) / 2, (4 / 3 + 2) / 2])


def test_a_resnet50_has_the_rate_of_the_resnet18():
    deep, flat = (methods.METHODS[f"stgcn-{name}-infonce"] for name in ("res50", "res18"))
    assert methods.settings_name(deep) == methods.settings_name(flat) == flat.pretraining
    assert deep.pretraining not in selection.own_rows() and flat.pretraining in selection.own_rows()


def test_the_strongest_baseline_is_the_best_row_of_the_paper_after_ours():
    ours, simclr = methods.METHODS["ours"].pretraining, methods.METHODS["simclr"].pretraining
    supcon = methods.METHODS["stgcn-lstm-supcon"].pretraining
    table = trials([
        (ours, {}, 90.0, -2.0, 10.0), (simclr, {}, 30.0, 0.0, 500.0), (simclr, {simclr: {"rate_factor": 3.0}}, 40.0, -0.1, 400.0),
        (supcon, {}, 70.0, -1.5, 30.0), ("stgcn-none-infonce", {}, 85.0, -1.8, 15.0),
    ])  # fmt: skip
    assert selection.strongest(table) == "stgcn-lstm-supcon", "ours and floors are no rivals"


def test_other_settings_are_tried_in_a_block_only():
    before = methods.settings(methods.METHODS["ours"])
    with methods.trying({"default": {"mlp_layers": 2}}):
        assert methods.settings(methods.METHODS["ours"]) == before | {"mlp_layers": 2}
    assert methods.settings(methods.METHODS["ours"]) == before


def test_the_committed_selection_names_what_exists():
    chosen = methods.selected()
    assert set(chosen) - {"default", "prompter", "strongest"} <= set(methods.pretrainings())
    assert chosen["strongest"] in set(methods.METHODS) - {"ours", "contrastivedance"}


def test_a_selection_runs_end_to_end_and_ends_with_settings_that_can_be_read(tmp_path, monkeypatch):
    ours = selection.OURS.pretraining
    values = {"{}": (60.0, -1.0, 200.0), json.dumps({"default": {"mlp_layers": 2}}): (70.0, -1.5, 100.0)}

    def trial(candidate, before, profile, folder):
        row = values.get(json.dumps(candidate.changes), (50.0, 0.0, 300.0))
        facts = {"pretraining": candidate.pretraining, "changes": json.dumps(candidate.changes), "place": candidate.place}
        return [facts | {"shots": 20, "task1": row[0], "task2": row[1], "task3": row[2]}]

    monkeypatch.setattr(selection, "trial", trial)
    monkeypatch.setattr(selection, "ProcessPoolExecutor", lambda *_: contextlib.nullcontext(SimpleNamespace(map=map)))
    settings, table = selection.select("smoke", 1, tmp_path)
    assert settings["default"] == methods.selected()["default"] | {"mlp_layers": 2}
    assert ours in set(table["pretraining"]) and set(table["stage"]) == set(selection.stages())
    assert yaml.safe_load(yaml.safe_dump(settings)) == settings


def test_two_candidates_with_equal_settings_share_a_trial_and_keep_their_names(tmp_path, monkeypatch):
    where = SimpleNamespace(pieces=None, skeleton=None, width=None)
    run = SimpleNamespace(stamp={"net": 1}, finished=lambda path: (None, None))
    measured = []
    monkeypatch.setattr(selection.datasets, "load", lambda root: where)
    monkeypatch.setattr(selection.Workspace, "open", lambda *_: where)
    monkeypatch.setattr(selection, "Pretraining", lambda *_: run)
    monkeypatch.setattr(selection, "on_validation", lambda *_: measured.append(1) or [{"shots": 5, "task1": 60.0}])
    present = {"prompter": {"width": methods.selected()["prompter"]["width"]}}
    for changes in ({}, present, {}):
        candidate = selection.Candidate(selection.OURS.pretraining, "prompt", changes)
        found = selection.trial(candidate, {}, "smoke", tmp_path)
        assert [(row["changes"], row["task1"]) for row in found] == [(json.dumps(changes), 60.0)]
    assert len(measured) == 1


@pytest.mark.parametrize("name", list(methods.VARIANTS))
def test_a_variant_changes_at_most_one_thing(name):
    selected, variant = methods.settings(methods.METHODS["ours"]), methods.settings(methods.VARIANTS[name])
    changed = {key for key in variant if variant[key] != selected.get(key)}
    assert len(changed) <= 1  # none, if the variant is what was chosen
    assert methods.CHANGES[name].items() <= variant.items()
