"""All numbers that the paper prints, in one file: Tables 1 to 4, the set-up, and the percentages in captions and text."""

from __future__ import annotations

import math

NOT_PRINTED = (math.nan,) * 3

# Table 1: (data set, levels, choreographies, samples, subjects, seconds); None stands for a dash.
TABLE1 = (
    ("JIGSAWS", True, None, 30, 7, 515),
    ("BEST", True, None, 100, 500, 25000),
    ("DanceNet", False, 2, 1, 2, 3472),
    ("Dance with Melody", False, 40, 1, None, 5640),
    ("GrooveNet", False, 4, 1, 1, 1380),
    ("AIST++", False, 101, 2, 10, 18694),
    ("ImperialDance", True, 20, 100, 5, 69300),
)

# Tables 2 and 3: method's name in this package -> Task 1 (accuracy in %), Task 2 (L2 of the score), Task 3 (MSE of BAR).
RESULTS = {
    "ours": (71.43, 2.56e-4, 2.52),
    # Table 2
    "simclr": (31.85, 0.069, 19.23),
    "moco": (16.29, 2.85e-5, 6.60),
    "svt": (55.08, 0.013, 10.89),
    "crossentropy": (12.76, 1.06e-3, 15.65),
    "supcon": (30.72, 0.199, 4.20),
    "contrastivedance": (66.85, 0.097, 13.65),
    "happyfeet": (15.63, 2.52e-5, 16.49),
    "dance_with_melody": (21.44, 2.83e-4, 5.30),
    # Table 3
    "tx-tx-infonce": (54.46, 0.023, 14.48),
    "tx-lstm-infonce": (29.94, 0.014, 16.89),
    "res18-res18-infonce": (43.49, 2.86e-3, 4.06),
    "res50-res50-infonce": (39.84, 5.79e-3, 5.33),
    "res18-lstm-infonce": (55.21, 1.37e-3, 2.08),
    "res50-lstm-infonce": (60.68, 1.42e-3, 2.44),
    "stgcn-res18-infonce": (69.01, 2.72e-4, 2.79),
    "stgcn-res50-infonce": (64.32, 0.031, 3.44),
    "stgcn-lstm-supcon": (67.61, 0.0060, 5.51),
}

# Table 4: (protocol, g) -> Tasks 1 to 3. Its rows with g = 5 are the same as Ours and ContrastiveDance in Table 2.
TABLE4 = {
    ("prompt", 5): (71.43, 2.56e-4, 2.52),
    ("finetune", 5): (66.85, 0.097, 13.65),
    ("prompt", 1): (86.83, 2.91e-4, 3.00),
    ("finetune", 1): (87.69, 0.51, 9.93),
}

# Numbers in captions and text: id of the claim (claims.yaml) -> number.
STATED = {
    "setup-pretrain-pieces": 90_000,
    "setup-test-pieces": 4_500,
    "setup-classes": 180,
    "table1-seconds": 69_300,
    "inference-time": 0.3,  # seconds for 32 pieces
    "table2-third": 3,  # rank of ours on Task 2
    "table2-margin-general-task1": 44,  # percent, also in the following lines
    "table2-margin-general-task3": 38,
    "table2-margin-dance-task1": 7,
    "table2-margin-dance-task3": 52,
    "fig7-45-percent": 45,
    "fig7-finetune-falls": 37,
}


def results(method: str) -> tuple[float, float, float]:
    """Return the values of Tables 2 and 3 for a method, Tasks 1 to 3; NaN for a row that the paper does not have."""
    return RESULTS.get(method, NOT_PRINTED)


def table4(method: str, protocol: str, genres: int) -> tuple[float, float, float]:
    """Return Table 4's values for a method under a protocol with g test choreographies; NaN for values that it lacks."""
    return TABLE4.get((protocol, genres), NOT_PRINTED) if method == "ours" else NOT_PRINTED
