"""Unseen dancers: joined to the seen ones' music, never in the support, measured apart."""

import numpy as np
import pytest
import torch
from tiny import piece_set

from dancemvp_core.controls import unseen_dancers
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.pretraining import training
from dancemvp_core.pretraining.networks import Width
from dancemvp_core.runs.provenance import Paths
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import rows
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.outcomes import Setting

STYLED = (("strong style", "seen"), ("strong style", "unseen"))


@pytest.fixture(scope="module")
def joined():
    seen, others = piece_set(trials=8), piece_set(("b4", "k4"), trials=6, seed=1)
    styled = {group: piece_set(("b4", "k4"), trials=6, seed=seed) for seed, group in enumerate(STYLED, start=2)}
    return unseen_dancers.join(seen, {("default", "unseen"): others} | styled), seen, others


def cast(both, name):
    return both.table[both.table["cast"] == name]


def workspace(pieces, root):
    return Workspace(pieces, IMPERIALDANCE21, Width((8,), 16, 12), Paths("smoke", "tiny", root))


def test_joined_set_keeps_pieces_apart_and_shares_the_music(joined):
    both, _, others = joined
    sizes = both.table.groupby(["cast", "dancers"]).size().to_dict()
    assert sizes == {("default", "seen"): 96} | dict.fromkeys([("default", "unseen"), *STYLED], 72)
    assert len(both.motion) == 96 + 3 * 72 and both.table["sequence"].nunique() == 32 + 3 * 24
    assert (both.table.groupby("sequence")[["cast", "dancers"]].nunique() == 1).all(axis=None)
    windows = both.table.groupby(["choreography", "primitive"])["window"].nunique()
    assert (windows == 1).all()
    assert both.batch([100])["motion"].equal(others.motion[[4]])


@pytest.mark.parametrize("name", ["default", "strong style"])
def test_unseen_dancers_are_asked_about_and_never_learned_from(joined, name):
    both = joined[0]
    support, seen_query, unseen_query = unseen_dancers.support_and_queries(cast(both, name), 3, seed=0)
    dancers = both.table["dancers"].to_numpy()
    assert set(dancers[support]) == set(dancers[seen_query]) == {"seen"} and set(dancers[unseen_query]) == {"unseen"}
    assert not np.intersect1d(support, seen_query).size and len(unseen_query) == 36
    assert set(both.table["cast"].to_numpy()[np.concatenate([support, seen_query, unseen_query])]) == {name}


def test_only_what_is_needed_is_encoded(joined, tmp_path):
    both, seen, _ = joined
    _, _, query = unseen_dancers.support_and_queries(cast(both, "default"), 3, seed=0)
    support, styled, _ = unseen_dancers.support_and_queries(cast(both, "strong style"), 3, seed=0)
    needed = np.concatenate([query, support, styled, [0, 1]])
    where = workspace(seen, tmp_path)
    hidden = unseen_dancers.joined_features("random_init", 0, where, both, needed).hidden
    encoder = rows.encoder_of("random_init", 0, where)
    torch.testing.assert_close(hidden[:96], training.encode(encoder, seen, seen.rows("test"))[0])
    torch.testing.assert_close(hidden[needed[:-2]], training.encode(encoder, both, needed[:-2])[0])
    rest = np.setdiff1d(np.arange(96, len(both)), needed)
    assert len(rest) == 36 + 72 and not hidden[rest].any() and hidden[needed].any(dim=1).all()
    measured = unseen_dancers.joined_features("body_only", 0, where, both, needed)
    assert measured.hidden[96:].any(dim=1).all() and measured.last is None
    assert not unseen_dancers.joined_features("chance", 0, where, both, needed).hidden.any()


@pytest.fixture
def measured(joined, tmp_path, monkeypatch):
    both, seen, _ = joined
    monkeypatch.setattr(unseen_dancers, "joined_features", lambda *_: Features(both.motion.flatten(1)))
    setting = Setting("finetune", 0, 3)
    return unseen_dancers.compare("flat", both, workspace(seen, tmp_path), setting, PrompterSettings())


def test_other_patterns_are_not_recognised(measured):
    """The other sets' motion patterns were drawn anew, so that what was learned of the seen ones does not carry over."""
    value = measured.set_index(["cast", "dancers", "task", "metric"])["value"]
    for name in ("default", "strong style"):
        assert value[name, "seen", 1, "level"] > 90
        assert value[name, "seen", 1, "choreography"] > 90 > value[name, "unseen", 1, "choreography"]
        assert value[name, "seen", 0, "dancer"] == value[name, "unseen", 0, "dancer"] > 95
    assert np.isfinite(measured["value"]).all()


def test_the_table_has_both_casts_and_the_interval_over_choreographies(measured):
    table = unseen_dancers.table(measured)
    assert list(zip(table["cast"], table["dancers"], strict=True)) == [
        ("default", "seen"), ("default", "unseen"), ("strong style", "seen"), ("strong style", "unseen")]  # fmt: skip
    for line in table.itertuples():
        own = measured[(measured["cast"] == line.cast) & (measured["dancers"] == line.dancers)].set_index("metric")["value"]
        two = own[["level_within b4", "level_within k4"]].to_numpy()
        assert line.level_within == pytest.approx(own["level_within"]) == pytest.approx(two.mean())
        # The t-interval of two values reaches 12.706 standard errors, and their standard error is half their difference.
        assert line.level_within_ci_high - line.level_within == pytest.approx(12.706 * abs(two[0] - two[1]) / 2, rel=1e-3)
    assert table["level_ci_low"].isna().all(), "one seed has no interval"
    shown = unseen_dancers.readable(table)
    assert list(shown["cast"]) == ["default", "strong style"] and {"dancer", "level within, unseen"} <= set(shown)


def test_rows_of_one_modality_meet_the_default_cast_only(joined, tmp_path, monkeypatch):
    both, seen, _ = joined
    monkeypatch.setattr(unseen_dancers, "joined_features", lambda *_: Features(both.motion[..., :2].flatten(1)))
    for name, casts in (("motion_only", {"default"}), ("ours", {"default", "strong style"})):
        measured = unseen_dancers.compare(name, both, workspace(seen, tmp_path), Setting("chance", 0, 3), PrompterSettings())
        assert set(measured["cast"]) == casts


def test_who_dances_is_recognised_only_where_features_tell_it(joined):
    table = cast(joined[0], "strong style")
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(table), 4))
    assert 35 < unseen_dancers.recognised(noise, table) < 65
    person = noise + 6 * (table["dancers"] == "unseen").to_numpy()[:, None]
    assert unseen_dancers.recognised(person, table) > 95
    # What all pieces of a performance share says nothing of other performances.
    performance = rng.normal(size=(table["sequence"].max() + 1, 30))[table["sequence"]]
    assert unseen_dancers.recognised(performance, table) < 70
    assert unseen_dancers.recognised(np.ones((len(table), 2)), table) == 50


def test_a_choreography_without_music_is_refused(joined):
    _, seen, _ = joined
    with pytest.raises(ValueError, match=r"default, unseen dancers: .* not among the test choreographies"):
        unseen_dancers.join(seen, {("default", "unseen"): piece_set(("b0",), trials=2)})
