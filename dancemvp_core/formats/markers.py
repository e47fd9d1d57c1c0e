"""Optical markers: ImperialDance's joints as means of the markers on the skin, for the two usual sets of markers."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from dancemvp_core.dance.skeleton import IMPERIALDANCE21, Skeleton
from dancemvp_core.formats import names
from dancemvp_core.formats.motion import columns_of

# The markers around each joint, * for the side. Of those that a file has, a joint is the mean.
SETS = {
    "Motive's skeleton markers": {
        "Hip": "WaistLFront WaistRFront WaistLBack WaistRBack",
        "Chest": "Chest ChestTop ChestLow BackTop SpineTop BackL BackR BackLeft BackRight",
        "Neck": "BackTop SpineTop LShoulderTop RShoulderTop",
        "Head": "HeadTop HeadFront HeadSide HeadL HeadR",
        "*UArm": "*ShoulderTop *ShoulderBack",
        "*FArm": "*ElbowOut *ElbowIn",
        "*Hand": "*WristOut *WristIn",
        "*Thigh": "Waist*Front Waist*Back",
        "*Shin": "*KneeOut *KneeIn",
        "*Foot": "*AnkleOut *AnkleIn",
        "*Toe": "*ToeTip *ToeOut *ToeIn *ForefootOut *ForefootIn",
    },
    "Plug-in Gait's markers": {
        "Hip": "LASI RASI LPSI RPSI SACR",
        "Chest": "STRN T10 CLAV C7",
        "Neck": "C7 CLAV",
        "Head": "LFHD RFHD LBHD RBHD",
        "*UArm": "*SHO",
        "*FArm": "*ELB",
        "*Hand": "*WRA *WRB",
        "*Thigh": "*ASI *PSI",
        "*Shin": "*KNE",
        "*Foot": "*ANK",
        "*Toe": "*TOE",
    },
}


def placed(path: Path, titles: list[str], points: np.ndarray, skeleton: Skeleton) -> tuple[np.ndarray, tuple[str, ...]]:
    """(motion (3, T, V) float32, notes) from the points (3, T, N) of a file: those named as joints, or means of markers.

    A joint is missing where one of its markers is, so that none jumps when a marker is lost. Raises DataError if the points
    are neither the skeleton's joints nor a known set of markers.
    """
    _, missing = names.joint_names(titles, skeleton)
    if missing and skeleton.joints == IMPERIALDANCE21.joints and not skeleton.names:
        for suite in SETS:
            taken = _around(suite, titles)
            if all(taken.values()):
                at = {joint: points[:, :, columns].mean(axis=2) for joint, columns in taken.items()}
                at["Ab"] = (at["Hip"] + at["Chest"]) / 2
                at |= {side + "Shoulder": (at["Neck"] + at[side + "UArm"]) / 2 for side in "LR"}
                motion = np.stack([at[joint] for joint in skeleton.joints], axis=-1)
                return motion.astype(np.float32), (f"joints are means of {suite}",)
    columns = columns_of(path, titles, skeleton)
    return np.ascontiguousarray(points[:, :, columns], dtype=np.float32), ()


def _around(suite: str, titles: list[str]) -> dict[str, list[int]]:
    """The columns of the markers around each joint; an empty list where a file has none. Prefixes of the names do not count."""
    plain = {re.split(r"[:_]", title)[-1].lower(): k for k, title in enumerate(titles)}
    found = {}
    for joint, markers in SETS[suite].items():
        for side in "LR" if "*" in joint else " ":
            wanted = markers.replace("*", side).lower().split()
            found[joint.replace("*", side)] = [plain[marker] for marker in wanted if marker in plain]
    return found
