"""Profiles and the notebooks' parameter check: what is unknown or mistyped is refused in one line."""

import json
from types import ModuleType

import pytest

from dancemvp_core.runs import profiles
from dancemvp_core.runs.profiles import PROFILES, STAGES, ParameterError, validate


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_stage_takes_every_profile(stage, profile):
    params = validate(stage, profile=profile)
    for knob in STAGES[stage][1]:
        assert getattr(params, knob) == getattr(PROFILES[profile], knob)
    assert params.label == profile


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"lr": 1}, ["unknown parameter 'lr'", "learning_rate"]),
        ({"learningrate": 1}, ["did you mean 'learning_rate'"]),
        ({"epochs": 1.5}, ["epochs", "integer", "1.5 (float)"]),
        ({"epochs": True}, ["epochs", "integer", "True (bool)"]),
        ({"epochs": 0}, ["epochs", "greater than or equal to 1"]),
        ({"learning_rate": "3e-4"}, ["learning_rate", "number", "'3e-4' (str)"]),
        ({"learning_rate": False}, ["learning_rate", "number"]),
        ({"seed": "0"}, ["seed", "integer"]),
        ({"seed": -1}, ["seed", "greater than or equal to 0"]),
        ({"schedule": "linear"}, ["schedule", "'constant' or 'cosine'"]),
        ({"channels": [16, "32"]}, ["channels.1", "integer"]),
        ({"channels": []}, ["channels"]),
        ({"profile": "full"}, ["profile is 'full'", "smoke, demo, study, paper"]),
        ({"profile": 3}, ["profile is 3"]),
        ({"data": 3}, ["data", "string"]),
        ({"tsne_points": 5}, ["unknown parameter 'tsne_points'"]),  # a knob of another notebook
    ],
)
def test_wrong_parameters_are_refused_in_one_line(given, parts):
    with pytest.raises(ParameterError) as caught:
        validate("03_pretraining", **given)
    message = str(caught.value)
    assert message.startswith("notebook 03_pretraining") and "\n" not in message
    for part in parts:
        assert part in message


def test_an_int_stands_for_a_float_and_a_list_for_a_tuple():
    params = validate("03_pretraining", learning_rate=1, channels=[8, 16])
    assert params.learning_rate == 1.0 and params.channels == (8, 16)


def test_other_values_do_not_stand_under_a_profiles_name():
    assert validate("03_pretraining", epochs=PROFILES["smoke"].epochs).label == "smoke"
    assert validate("03_pretraining", epochs=99).label == "smoke-modified"
    stated = ({"seeds": 4}, {"shots": 3})  # tables state the numbers of seeds and shots
    assert all(validate("07_table4_fig7_prompting", **given).label == "smoke" for given in stated)
    assert validate("07_table4_fig7_prompting", shots_curve=[1]).label == "smoke-modified"


def test_a_notebooks_globals_as_papermill_leaves_them():
    cells = ['profile: str = "smoke"\nseed: int = 0', "# Parameters\nseed = 2\n", 'validate("03_pretraining", globals())']
    live = {"In": ["", *cells], "Out": {}, "_i": "", "exit": print, "json": json, "profile": "smoke", "seed": 2}
    assert validate("03_pretraining", live).seed == 2
    # run again later, with the notebook's own variables about
    assert validate("03_pretraining", live | {"In": ["", *cells, "loss = 1"], "loss": 1}).seed == 2
    # an unknown name that papermill injected
    injected = [cells[0], "# Parameters\nlr = 1\n", cells[2]]
    with pytest.raises(ParameterError, match="unknown parameter 'lr'"):
        validate("03_pretraining", live | {"In": ["", *injected], "lr": 1})


def test_globals_of_a_script():
    assert validate("03_pretraining", {"profile": "demo", "json": json, "f": validate, "__name__": "m"}).profile == "demo"
    with pytest.raises(ParameterError, match="'x'"):
        validate("03_pretraining", {"x": 1, "m": ModuleType("m")})


def test_jupyter_shows_the_line_and_no_traceback():
    assert ParameterError("what")._render_traceback_() == ["ParameterError: what"]


def test_a_split_is_one_of_those_that_have_a_definition():
    assert validate("03_pretraining").split == "" and validate("03_pretraining", split="released").split == "released"
    with pytest.raises(ParameterError, match="split: expected '', 'released', 'validation2', 'validation3' or 'people', got 'x'"):
        validate("03_pretraining", split="x")


def test_load_replaces_and_refuses():
    assert profiles.load("demo", seeds=7).seeds == 7
    assert PROFILES["demo"].seeds != 7
    with pytest.raises(ParameterError, match="unknown parameter 'sedes'"):
        profiles.load("demo", sedes=7)
    with pytest.raises(ParameterError, match="expected one of smoke, demo, study, paper"):
        profiles.load("tiny")


def test_the_papers_numbers_are_the_paper_profile():
    paper = PROFILES["paper"]
    assert (paper.batch_size, paper.learning_rate, paper.pretrain_recordings) == (16, 3e-4, 3000)
    assert paper.channels == (64,) * 4 + (128,) * 3 + (256,) * 3


def test_places_follow_from_parameters(tmp_path):
    params = validate("04_fig5_embeddings", root=str(tmp_path), data=str(tmp_path / "x"))
    assert params.data_root == tmp_path / "x"
    assert params.aistpp_root.is_relative_to(tmp_path)
    assert validate("01_table1_data", root=str(tmp_path)).data_root == profiles.synthdance_root(tmp_path, "smoke")
    assert validate("03_pretraining", pretraining="a-b-c", seed=3).job == "03_pretraining-a-b-c-seed3"
