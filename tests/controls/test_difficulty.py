"""The difficulty card: floors at the height that their information allows, a ceiling from the truth, a verdict."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny

from dancemvp_core.controls import difficulty
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.pretraining.networks import Width
from dancemvp_core.runs import progress
from dancemvp_core.runs.provenance import Paths
from dancemvp_core.runs.workspace import Workspace

WIDTH = Width((4, 8), 8, 8)


def write_truth(folder, table):
    rows = table.drop_duplicates("sequence")[["choreography", "level", "trial"]].reset_index(drop=True)
    rng = np.random.default_rng(0)
    for name in difficulty.LATENT:
        rows[name] = (rows["level"] == "expert") + 0.1 * rng.normal(size=len(rows))
    rows.sample(frac=1, random_state=0).to_parquet(folder / "truth.parquet")


@pytest.fixture(scope="module")
def pieces():
    made = tiny.piece_set(trials=8)
    return replace(made, table=made.table.assign(start_s=0.0, end_s=3.0))


def workspace(pieces, root):
    return Workspace(pieces, IMPERIALDANCE21, WIDTH, Paths("smoke", "tiny", root))


def test_card_has_every_row_and_the_truth_is_the_ceiling(pieces, tmp_path):
    write_truth(tmp_path, pieces.table)
    card = difficulty.card(workspace(pieces, tmp_path), shots=3, seeds=2, root=tmp_path).set_index("row")
    assert list(card.index) == list(difficulty.ROWS) and (card["n_seeds"] == 2).all()
    assert card.loc["chance", "accuracy"] == pytest.approx(100 / 12)  # 2 choreographies x 2 levels x 3 primitives
    assert card.loc["music_only", "accuracy"] <= 50 + 1e-9  # music names all but the level
    assert card.loc["latent_truth", "level_within"] > 95 and card.loc["latent_truth", "accuracy"] > 95
    assert card.loc["handcrafted", "accuracy"] > card.loc["chance", "accuracy"]
    assert np.isnan(card.loc["direct", "accuracy"]) and card.loc["direct", "bar_mse"] == pytest.approx(0)
    assert card.loc["music_only", "accuracy_low"] <= card.loc["music_only", "accuracy"]


def test_real_data_have_no_ceiling_and_no_truth_is_read(pieces, tmp_path):
    assert difficulty.latent_truth(tmp_path, pieces.table) is None
    card = difficulty.card(workspace(pieces, tmp_path), shots=2, seeds=1, root=tmp_path)
    assert "latent_truth" not in set(card["row"]) and card["accuracy_low"].isna().all()


def test_truth_rows_follow_the_pieces(pieces, tmp_path):
    write_truth(tmp_path, pieces.table)
    features = difficulty.latent_truth(tmp_path, pieces.table).hidden.numpy()
    assert features.shape == (len(pieces), len(difficulty.LATENT) + 12)
    expert = (pieces.table["level"] == "expert").to_numpy()
    assert features[expert, 0].min() > 0.5 > features[~expert, 0].max()
    assert (features[:, len(difficulty.LATENT) :].sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("floor", "ceiling", "words"),
    [(91.0, 99.0, "Too easy"), (50.0, 40.0, "Too hard"), (50.0, 93.0, "Neither"), (50.0, None, "Not too easy")],
)
def test_verdict(floor, ceiling, words):
    rows = [("chance", "floor", 2.0, 33.0), ("handcrafted", "floor", floor, 50.0), ("direct", "floor", np.nan, np.nan)]
    rows += [] if ceiling is None else [("latent_truth", "ceiling", ceiling, ceiling)]
    text = difficulty.verdict(pd.DataFrame(rows, columns=["row", "role", "accuracy", "level_within"]))
    assert text.startswith(words) and f"{floor if words != 'Too hard' else ceiling:.1f} %" in text


def test_progress_says_how_far_a_long_loop_is_and_nothing_of_a_short_one(capsys, monkeypatch):
    assert list(progress.shown("pieces")(range(5))) == list(range(5))
    assert capsys.readouterr().out == ""
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert list(progress.shown("pieces")(range(5))) == list(range(5))
    said = capsys.readouterr().out.splitlines()
    assert said == ["pieces: 2 of 5, about 18 s left"]
