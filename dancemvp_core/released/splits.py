"""The trials as released (``data_aug/seg_dataset*.py``); ``tasks.splits`` has the choreographies."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dancemvp_core.tasks.splits import TEST

PRETRAIN_TRIALS = range(75)
SUPPORT_TRIALS = range(75, 90)  # 15 shots
QUERY_TRIALS = range(90, 100)


def support_and_query(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the piece rows of the test choreographies: trials 75 to 89 to tune, 90 to 99 to test, in order of practice.

    So the test is the end of the practice, not a random half of it. Incomplete batches (of 32 to tune, 64 to test) are
    dropped as released; here they are kept.
    """
    own = table["choreography"].isin(TEST).to_numpy()
    trial = table["trial"].to_numpy()
    return np.flatnonzero(own & np.isin(trial, SUPPORT_TRIALS)), np.flatnonzero(own & np.isin(trial, QUERY_TRIALS))
