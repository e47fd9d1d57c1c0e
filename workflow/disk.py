"""Estimate the disk space that a run needs. A run does not start if the disk has too little free space."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

from dancemvp_core.pretraining import methods
from dancemvp_core.runs import provenance
from dancemvp_core.runs.profiles import (
    SPLITS,
    SYNTHDANCE,
    Profile,
    aistpp_standin_root,
    strong_style_root,
    strong_style_trials,
    synthdance_root,
    unseen_dancers_root,
    with_split,
)

MB = 10**6
LEVELS, CLIP_FRAMES, JOINTS, CUTS = 3, 1000, 21, 3
PRETRAIN_CHOREOGRAPHIES, OTHER_CHOREOGRAPHIES, UNSEEN_CHOREOGRAPHIES = 10, 10, 5
STANDIN = 50 * MB
# Size of a network's weights: a ResNet's is the same in every profile, an ST-GCN's grows with the square of its channels.
NETWORKS, STGCN, OTHER_NETWORK = {"res50": 96 * MB, "res18": 46 * MB}, 13 * MB, 3 * MB
STGCN_CHANNELS = 256
# A checkpoint has the weights and two moments of each weight, and exists twice while a new one replaces the old one.
TRAINING = 6
REST = 60 * MB  # for each seed: predictions, tables, figures, executed notebooks


def needed(profile: Profile, own_data: bool = False, own_aistpp: bool = False, only: bool = False) -> dict[str, int]:
    """Return the bytes that a run writes to the disk, by part.

    ``only``: the run has some notebooks only; the estimate covers the data and the pieces. ``own_data``, ``own_aistpp``: the
    user gives the data, so the run does not write synthetic data. The estimate assumes that they are as large as
    ImperialDance.
    """
    motion = LEVELS * CLIP_FRAMES * 3 * JOINTS * 4  # one trial of one choreography at all levels, float32
    pretrain = min(profile.pretrain_recordings, PRETRAIN_CHOREOGRAPHIES * LEVELS * profile.trials)
    recordings = pretrain + OTHER_CHOREOGRAPHIES * LEVELS * profile.trials
    parts = {"pieces": recordings * CUTS * (3 * profile.piece_frames * JOINTS * 4)}
    if not own_data:
        parts["SynthDance"] = (PRETRAIN_CHOREOGRAPHIES + OTHER_CHOREOGRAPHIES) * profile.trials * motion
    if only:
        return parts
    if not own_data:
        trials = profile.trials + 2 * strong_style_trials(profile)
        parts["other dancers"] = UNSEEN_CHOREOGRAPHIES * trials * motion
    if not own_aistpp:
        parts["the stand-in for AIST++"] = STANDIN
    sizes = [(weights(name, profile), seeds(method, profile)) for name, method in pretrainings(profile).items()]
    parts["encoders"] = sum(size * count for size, count in sizes)
    # The largest network trains first, when the disk does not yet have the encoders of the others.
    parts["training"] = max(0, TRAINING * max(size for size, _ in sizes) - parts["encoders"])
    parts["the rest"] = REST * profile.seeds
    return parts


def pretrainings(profile: Profile) -> dict[str, methods.Method]:
    """Return the pre-trainings of a run, by name; of the variants only those of the profile."""
    return {name: m for name, m in methods.pretrainings().items() if not m.variant or m.variant in profile.variants}


def weights(pretraining: str, profile: Profile) -> int:
    """Return the bytes of an encoder, from the names of its two networks."""
    networks = NETWORKS | {"none": 0, "stgcn": round(STGCN * (max(profile.channels) / STGCN_CHANNELS) ** 2)}
    return sum(networks.get(name, OTHER_NETWORK) for name in pretraining.split("-")[:2])


def seeds(method: methods.Method, profile: Profile) -> int:
    """Return the largest number of runs of a pre-training: that of the row with the most seeds that uses it."""
    users = [name for name, row in methods.everyone().items() if row.pretraining == method.pretraining]
    return max(methods.seeds_of_method(name, profile.seeds, profile.seeds_costly) for name in users)


def lacking(paths: provenance.Paths, parts: dict[str, int]) -> str:
    """Return one sentence if the disk has too little free space for the rest of a run; "" if it has enough."""
    own = [paths.build, paths.results, paths.figures]
    for split in SPLITS:
        if paths.dataset == with_split(SYNTHDANCE, split):
            own += [synthdance_root(paths.root, paths.profile), unseen_dancers_root(paths.root, paths.profile, split)]
            own += [strong_style_root(paths.root, paths.profile, dancers, split) for dancers in ("seen", "unseen")]
    written = sum(size(folder) for folder in [*own, aistpp_standin_root(paths.root)])
    missing = sum(parts.values()) - written
    free = shutil.disk_usage(paths.root).free
    if missing <= free:
        return ""
    needs = f"{paths.profile} needs {megabytes(missing)} more for {share(parts)}"
    return f"the disk has too little free space: {room(paths.root)}, {needs}"


def share(parts: dict[str, int]) -> str:
    """Return the parts in words, the largest first."""
    return ", ".join(f"{name} {megabytes(parts[name])}" for name in sorted(parts, key=lambda name: -parts[name]))


def room(folder: Path) -> str:
    """Return the free space of a folder's disk in words."""
    return f"{megabytes(shutil.disk_usage(folder).free)} are free in {folder}"


def megabytes(size: float) -> str:
    """Return a size in words: in whole MB below 1 GB, else in GB."""
    return f"{math.ceil(size / MB)} MB" if size < 1000 * MB else f"{size / 1000 / MB:.1f} GB"


def size(folder: Path) -> int:
    """Return the bytes of the files in a folder; 0 if it does not exist."""
    total = 0
    for parent, _, names in os.walk(folder):
        total += sum(os.lstat(os.path.join(parent, name)).st_size for name in names)
    return total
