"""The floors: motion intensity and its step with the music, and BAR put on the label's scale by the support."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import piece_set

from dancemvp_core.tasks import floors, protocols, splits
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.protocols import Episode


@pytest.fixture(scope="module")
def pieces():
    made = piece_set(trials=6)
    made.table["start_s"], made.table["end_s"] = 1.0, 4.5
    return made


def test_the_intensity_curve_is_the_sum_of_the_joints_speeds(pieces):
    curve = floors.intensity_curve(pieces)
    for row in (0, 7):
        piece = pieces.table.iloc[row]
        motion = pieces.motion[row].numpy()
        fps = motion.shape[1] / (piece["end_s"] - piece["start_s"])
        moves = (motion[:, 1:] - motion[:, :-1]) * fps
        speed = [sum(np.linalg.norm(moves[:, t, v]) for v in range(21)) for t in range(len(curve[row]))]
        np.testing.assert_allclose(curve[row], speed, rtol=1e-4)


def test_a_curve_that_follows_the_music_is_in_step_at_its_own_lag():
    frames = 80  # ten frames for each beat
    time = torch.arange(frames + 40, dtype=torch.float32)
    onsets = torch.exp(-((time % 20 - 10) ** 2) / 8).repeat(3, 1)
    heard = onsets[:, 20 : 20 + frames]
    lags = (-0.4, -0.2, 0.0, 0.2, 0.4)
    for number, lag in enumerate(lags):
        start = 20 - round(10 * lag)  # the curve repeats the music ``lag`` beats later
        found = floors.in_step(onsets[:, start : start + frames], heard, lags)
        assert found.shape == (3, 5) and found.argmax(dim=1).tolist() == [number] * 3
        assert found[0, number] == pytest.approx(1, abs=1e-4)
    assert (floors.in_step(torch.rand(2, 50), torch.zeros(2, 50)) == 0).all(), "silence"
    assert (floors.in_step(torch.ones(2, 50), torch.rand(2, 50)) == 0).all(), "a body that stands still"


@given(st.integers(0, 10_000), st.floats(0.1, 50), st.floats(-5, 5))
def test_in_step_knows_no_scale(seed, scale, shift):
    torch.manual_seed(seed)
    curve, onsets = torch.rand(4, 40), torch.rand(4, 40)
    own = floors.in_step(curve, onsets)
    assert torch.allclose(floors.in_step(scale * curve + shift, onsets), own, atol=1e-3) and own.abs().max() <= 1 + 1e-5


def test_handcrafted_has_all_its_parts(pieces):
    made = floors.handcrafted(pieces).hidden
    assert made.shape == (len(pieces), 9 * 21 + 2 * 54 + pieces.motion.shape[2] - 1 + len(floors.LAGS))
    assert torch.isfinite(made).all()


@pytest.fixture
def episode(pieces):
    table = pieces.table.copy()
    rng = np.random.default_rng(0)
    table["bar_direct"] = 20 + 0.5 * table["bar"] + rng.normal(0, 3, len(table))
    test = table.loc[table["split"] == "test", "choreography"].unique()
    return Episode(table, *splits.support_and_query(table, test, 2, 0))


def rate(protocol, episode):
    return protocols.run(protocol, Features(torch.zeros(len(episode.table), 1)), episode).rate


def test_calibration_is_the_line_of_least_squares_on_the_support(episode):
    x, y = episode.known["bar_direct"] / 100, episode.known["bar"] / 100
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    asked = episode.table["bar_direct"].iloc[episode.query] / 100
    np.testing.assert_allclose(rate("direct_calibrated", episode), y.mean() + slope * (asked - x.mean()), rtol=1e-9)
    np.testing.assert_allclose(rate("direct", episode), asked)
    truth = episode.table["bar"].iloc[episode.query] / 100
    errors = [((rate(name, episode) - truth) ** 2).mean() for name in ("direct_calibrated", "direct")]
    assert errors[0] < errors[1]


@pytest.mark.parametrize("protocol", ["direct", "direct_calibrated"])
def test_a_gap_is_filled_from_the_support_and_never_from_the_query(protocol, episode):
    table = episode.table.copy()
    gap = episode.query[0]
    table.loc[table.index[gap], "bar_direct"] = np.nan
    with_gap = rate(protocol, Episode(table, episode.support, episode.query))
    other = table.copy()
    rest = table.index[episode.query[1:]]
    other.loc[rest, "bar_direct"] += 30
    moved = rate(protocol, Episode(other, episode.support, episode.query))
    own = "bar_direct" if protocol == "direct" else "bar"
    assert with_gap[0] == moved[0] == pytest.approx(episode.known[own].mean() / 100)


def test_without_a_slope_the_prediction_is_the_supports_mean(episode):
    for value in (np.nan, 40.0):
        flat = Episode(episode.table.assign(bar_direct=value), episode.support, episode.query)
        assert rate("direct_calibrated", flat) == pytest.approx(np.full(len(episode.query), episode.known["bar"].mean() / 100))
    assert np.isfinite(rate("direct", Episode(episode.table.assign(bar_direct=np.nan), episode.support, episode.query))).all()


def test_a_level_is_not_right_where_the_classes_lack_the_dance():
    from dancemvp_core.tasks.metrics import per_piece
    from dancemvp_core.tasks.protocols import CLASS_COLUMNS, Predictions

    classes = pd.DataFrame([("ballet", "b0", "beginner", 0), ("ballet", "b0", "expert", 0)], columns=CLASS_COLUMNS)
    truth = pd.DataFrame(
        [("ballet", "b0", "beginner", 0, 50.0, 50.0), ("ballet", "b1", "beginner", 0, 50.0, 50.0)],
        columns=[*CLASS_COLUMNS, "score", "bar"],
    )
    found = per_piece(Predictions(classes, np.array([[0.9, 0.1], [0.9, 0.1]])), truth)
    assert found["level_within"].tolist() == [True, False]
