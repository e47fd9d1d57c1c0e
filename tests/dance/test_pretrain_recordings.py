"""Which recordings pre-train: the same share of every choreography and level, spread over the practice."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from dancemvp_core.dance.pieces import spread_recordings


def index_of(sizes):
    names = [f"c{i}" for i, size in enumerate(sizes) for _ in range(size)]
    return pd.DataFrame({"choreography": names, "level": "any"})


@given(st.lists(st.integers(1, 40), max_size=8), st.integers(1, 200), st.integers(0, 10))
def test_no_file_has_more_than_its_share_and_nothing_is_left_that_fits(sizes, most, others):
    index = pd.concat([index_of(sizes), index_of([others]).assign(choreography="test")], ignore_index=True)
    splits = pd.Series(np.where(index["choreography"] == "test", "test", "pretrain"), dtype=object)
    keep = spread_recordings(index, splits, most)
    assert keep[(splits == "test").to_numpy()].all()
    kept = [int(keep[(index["choreography"] == f"c{i}").to_numpy()].sum()) for i in range(len(sizes))]
    share = max(kept, default=0)
    assert kept == [min(size, share) for size in sizes] or share == 1
    assert sum(kept) <= max(most, len(sizes))
    if any(size > share for size in sizes):  # one more of each file would be too many
        assert sum(min(size, share + 1) for size in sizes) > most


def test_the_recordings_of_a_file_span_the_practice():
    keep = spread_recordings(index_of([100]), pd.Series(["pretrain"] * 100), 10)
    assert np.flatnonzero(keep).tolist() == [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]
