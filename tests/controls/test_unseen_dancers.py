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


@pytest.fixture(scope="module")
def joined():
    seen, others = piece_set(trials=8), piece_set(("b4", "k4"), trials=6, seed=1)
    return unseen_dancers.join(seen, others), seen, others


def workspace(pieces, root):
    return Workspace(pieces, IMPERIALDANCE21, Width((8,), 16, 12), Paths("smoke", "tiny", root))


def test_joined_set_keeps_pieces_apart_and_shares_the_music(joined):
    both, _, others = joined
    assert both.table["dancers"].value_counts().to_dict() == {"seen": 96, "unseen": 72}
    assert len(both.motion) == 96 + 72 and both.table["sequence"].nunique() == 32 + 24
    windows = both.table.groupby(["choreography", "primitive"])["window"].nunique()
    assert (windows == 1).all()
    assert both.batch([100])["motion"].equal(others.motion[[4]])


def test_unseen_dancers_are_asked_about_and_never_learned_from(joined):
    both = joined[0]
    support, seen_query, unseen_query = unseen_dancers.support_and_queries(both.table, 3, seed=0)
    dancers = both.table["dancers"].to_numpy()
    assert set(dancers[support]) == set(dancers[seen_query]) == {"seen"} and set(dancers[unseen_query]) == {"unseen"}
    assert not np.intersect1d(support, seen_query).size and len(unseen_query) == 36


def test_only_what_is_asked_about_is_encoded(joined, tmp_path):
    both, seen, _ = joined
    _, _, query = unseen_dancers.support_and_queries(both.table, 3, seed=0)
    where = workspace(seen, tmp_path)
    hidden = unseen_dancers.joined_features("random_init", 0, where, both, query).hidden
    encoder = rows.encoder_of("random_init", 0, where)
    torch.testing.assert_close(hidden[:96], training.encode(encoder, seen, seen.rows("test"))[0])
    torch.testing.assert_close(hidden[query], training.encode(encoder, both, query)[0])
    rest = np.setdiff1d(np.arange(96, len(both)), query)
    assert len(rest) == 36 and not hidden[rest].any() and hidden[query].any(dim=1).all()
    measured = unseen_dancers.joined_features("body_only", 0, where, both, query)
    assert measured.hidden[96:].any(dim=1).all() and measured.last is None
    assert not unseen_dancers.joined_features("chance", 0, where, both, query).hidden.any()


def test_other_patterns_are_not_recognised(joined, tmp_path, monkeypatch):
    """The other set's motion patterns were drawn anew, so that what was learned of the seen ones does not carry over."""
    both, seen, _ = joined
    monkeypatch.setattr(unseen_dancers, "joined_features", lambda *_: Features(both.motion.flatten(1)))
    setting = Setting("finetune", 0, 4)
    measured = unseen_dancers.compare("flat", both, workspace(seen, tmp_path), setting, PrompterSettings())
    value = measured.set_index(["dancers", "task", "metric"])["value"]
    assert value["seen", 1, "level"] > 90
    assert value["seen", 1, "choreography"] > 90 > value["unseen", 1, "choreography"]
    assert set(measured["dancers"]) == {"seen", "unseen"} and np.isfinite(measured["value"]).all()


def test_a_choreography_without_music_is_refused(joined):
    _, seen, _ = joined
    with pytest.raises(ValueError, match="not among the test choreographies"):
        unseen_dancers.join(seen, piece_set(("b0",), trials=2))
