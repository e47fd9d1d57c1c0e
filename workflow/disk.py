"""What a run needs on the disk, by arithmetic, and what it lacks: a run that cannot end is not started."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

from dancemvp_core.pretraining import methods
from dancemvp_core.runs import provenance
from dancemvp_core.runs.profiles import SYNTHDANCE, Profile, aistpp_standin_root, synthdance_root, unseen_dancers_root

MB = 10**6
LEVELS, CLIP_FRAMES, JOINTS, CUTS = 3, 1000, 21, 3
PRETRAIN_CHOREOGRAPHIES, OTHER_CHOREOGRAPHIES, UNSEEN_CHOREOGRAPHIES = 10, 10, 5
STANDIN = 50 * MB
# Weights of a network: a ResNet's are the same in every profile, an ST-GCN's grow with the square of its channels.
NETWORKS, STGCN, OTHER_NETWORK = {"res50": 96 * MB, "res18": 46 * MB}, 13 * MB, 3 * MB
STGCN_CHANNELS = 256
# While it trains, a network stands in its checkpoint with two moments of each weight, and twice when that is replaced.
TRAINING = 6
REST = 60 * MB  # for each seed: predictions, tables, figures, executed notebooks


def needed(profile: Profile, own_data: bool = False, own_aistpp: bool = False, only: bool = False) -> dict[str, int]:
    """Bytes that a run takes on the disk, by part; of some notebooks ``only``, the data and pieces that all of them need.

    ``own_data``, ``own_aistpp``: nothing synthetic is written. A data set of one's own is taken for as large as ImperialDance.
    """
    motion = LEVELS * CLIP_FRAMES * 3 * JOINTS * 4  # a trial of one choreography at every level, float32
    trials = PRETRAIN_CHOREOGRAPHIES * profile.pretrain_trials + OTHER_CHOREOGRAPHIES * profile.trials
    parts = {"pieces": trials * LEVELS * CUTS * (3 * profile.piece_frames * JOINTS * 4)}
    if not own_data:
        parts["SynthDance"] = (PRETRAIN_CHOREOGRAPHIES + OTHER_CHOREOGRAPHIES) * profile.trials * motion
    if only:
        return parts
    if not own_data:
        parts["unseen dancers"] = UNSEEN_CHOREOGRAPHIES * profile.trials * motion
    if not own_aistpp:
        parts["the stand-in for AIST++"] = STANDIN
    sizes = [(weights(name, profile), seeds(method, profile)) for name, method in pretrainings(profile).items()]
    parts["encoders"] = sum(size * count for size, count in sizes)
    # The largest network trains first, where the others' encoders will be.
    parts["training"] = max(0, TRAINING * max(size for size, _ in sizes) - parts["encoders"])
    parts["the rest"] = REST * max(profile.seeds, profile.seeds_others)
    return parts


def pretrainings(profile: Profile) -> dict[str, methods.Method]:
    """The pre-trainings that a run makes: of the variants, those of the profile."""
    return {name: m for name, m in methods.pretrainings().items() if not m.variant or m.variant in profile.variants}


def weights(pretraining: str, profile: Profile) -> int:
    """Bytes of an encoder, by the names of its two networks."""
    networks = NETWORKS | {"none": 0, "stgcn": round(STGCN * (max(profile.channels) / STGCN_CHANNELS) ** 2)}
    return sum(networks.get(name, OTHER_NETWORK) for name in pretraining.split("-")[:2])


def seeds(method: methods.Method, profile: Profile) -> int:
    """How often a pre-training runs at most: as often as the row with the most seeds that uses it."""
    users = [name for name, row in methods.everyone().items() if row.pretraining == method.pretraining]
    return max(methods.seeds_of_method(name, profile.seeds, profile.seeds_others) for name in users)


def lacking(paths: provenance.Paths, parts: dict[str, int]) -> str:
    """One sentence where the disk has not enough room for what a run has still to write; "" where it has."""
    own = [paths.build, paths.results, paths.figures]
    if paths.dataset == SYNTHDANCE:
        own += [synthdance_root(paths.root, paths.profile), unseen_dancers_root(paths.root, paths.profile)]
    there = sum(size(folder) for folder in [*own, aistpp_standin_root(paths.root)])
    missing = sum(parts.values()) - there
    free = shutil.disk_usage(paths.root).free
    if missing <= free:
        return ""
    return f"the disk has too little room: {room(paths.root)}, {paths.profile} needs {megabytes(missing)} more for {share(parts)}"


def share(parts: dict[str, int]) -> str:
    """The parts in words, the largest first."""
    return ", ".join(f"{name} {megabytes(parts[name])}" for name in sorted(parts, key=lambda name: -parts[name]))


def room(folder: Path) -> str:
    """The free space of a folder's disk in words."""
    return f"{megabytes(shutil.disk_usage(folder).free)} are free in {folder}"


def megabytes(size: float) -> str:
    """A size in words: whole MB up to a GB."""
    return f"{math.ceil(size / MB)} MB" if size < 1000 * MB else f"{size / 1000 / MB:.1f} GB"


def size(folder: Path) -> int:
    """Bytes of the files in a folder; 0 where it is not there."""
    total = 0
    for place, _, names in os.walk(folder):
        total += sum(os.lstat(os.path.join(place, name)).st_size for name in names)
    return total
