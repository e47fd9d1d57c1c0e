"""A tiny piece set with known structure, for tests that train."""

import itertools

import numpy as np
import pandas as pd
import torch

from dancemvp_core.dance.pieces import PieceSet


def piece_set(choreographies=("b0", "k0", "b4", "k4"), trials=8, frames=16, seed=0) -> PieceSet:
    """Pieces whose motion carries choreography, level and primitive, and whose music carries all but the level."""
    rng = np.random.default_rng(seed)
    levels = ("beginner", "expert")
    patterns = {key: rng.normal(size=(3, frames, 21)) for key in itertools.product(choreographies, range(3))}
    music = {key: i for i, key in enumerate(patterns)}
    amplitude = {"beginner": 0.5, "expert": 1.5}
    motion, rows = [], []
    cells = itertools.product(choreographies, levels, range(trials))
    for sequence, (choreography, level, trial) in enumerate(cells):
        score = 40 * amplitude[level] + rng.normal() * 3
        for primitive in range(3):
            pattern = patterns[choreography, primitive] * amplitude[level]
            motion.append(pattern + 0.2 * rng.normal(size=pattern.shape))
            rows.append(
                {
                    "sequence": sequence, "genre": {"b": "ballet", "k": "k-pop"}[choreography[0]],
                    "choreography": choreography, "level": level, "trial": trial, "primitive": primitive,
                    "score": score, "bar": min(100.0, 20 + score), "bar_direct": min(100.0, 20 + score),
                    "split": "test" if choreography.endswith("4") else "pretrain",
                    "window": music[choreography, primitive], "start_s": 3.0 * primitive, "end_s": 3.0 * primitive + 3.0,
                }
            )  # fmt: skip
    sound = rng.normal(size=(len(music) + 1, 54, frames))
    table = pd.DataFrame(rows)
    return PieceSet(
        torch.tensor(np.array(motion), dtype=torch.float32), torch.tensor(sound, dtype=torch.float32), table, table
    )
