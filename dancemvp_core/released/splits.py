"""The choreographies and trials as released (``level_contrastive_graph.py``, ``data_aug/seg_dataset*.py``)."""

from __future__ import annotations

import numpy as np
import pandas as pd

PRETRAIN = ("b0", "b2", "b4", "k0", "k3", "k4", "u1", "u3", "h1", "j1")
TEST = ("k1", "u2", "b1", "h0", "j2")
PRETRAIN_TRIALS = range(75)
SUPPORT_TRIALS = range(75, 90)  # 15 shots
QUERY_TRIALS = range(90, 100)


def assign(index: pd.DataFrame) -> pd.Series:
    """The set of every sequence: the ten named choreographies pre-train, five are the test, the other five validation."""
    sets = dict.fromkeys(PRETRAIN, "pretrain") | dict.fromkeys(TEST, "test")
    return index["choreography"].map(sets).fillna("validation")


def support_and_query(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Piece rows of the test choreographies: trials 75 to 89 to tune, 90 to 99 to test, in order of practice.

    So the test is the end of the practice, not a random half of it. Incomplete batches (of 32 to tune, 64 to test) are
    dropped as released; here they are kept.
    """
    own = table["choreography"].isin(TEST).to_numpy()
    trial = table["trial"].to_numpy()
    return np.flatnonzero(own & np.isin(trial, SUPPORT_TRIALS)), np.flatnonzero(own & np.isin(trial, QUERY_TRIALS))


def heard_in_pretraining(index: pd.DataFrame) -> dict[str, list[str]]:
    """Test choreography -> the pre-train choreographies that share its music track.

    By ImperialDance's music table k1 shares its track with k0, and b1 with b2.
    """
    split = assign(index)
    tracks = index[["choreography", "track"]].assign(split=split).dropna().drop_duplicates()
    heard = tracks[tracks["split"] == "pretrain"].groupby("track")["choreography"].apply(list)
    test = tracks[tracks["split"] == "test"].set_index("choreography")["track"]
    return {name: heard[track] for name, track in test.items() if track in heard.index}
