"""Small data sets written to disk, right or wrong in one place each, for the tests of the readers."""

import json
import pickle

import numpy as np
import soundfile

from dancemvp_core.dance.skeleton import COCO17, IMPERIALDANCE21
from dancemvp_core.datasets import imperialdance

AIST_NAME = "gBR_sBM_cAll_d04_mBR2_ch08.pkl"


def moving(frames=1000, joints=21, trials=None, seed=0):
    """Joints on slow circles, (3, T, V) float32, or (trials, 3, T, V): never still, never missing, and y up."""
    rng = np.random.default_rng(seed)
    shape = (trials or 1, 3, 1, joints)
    phase, pace = rng.uniform(0, 6.28, shape), rng.uniform(1, 3, shape)
    time = np.arange(frames)[None, None, :, None] / 100
    motion = (rng.normal(size=shape) + np.sin(phase + pace * time)).astype(np.float32)
    for skeleton in (IMPERIALDANCE21, COCO17):
        if joints == len(skeleton.joints):
            ends = {"head": 4, "nose": 4, "foot": -4, "toe": -4, "ankle": -4}
            motion[:, 1] += [sum(up for part, up in ends.items() if part in name.lower()) for name in skeleton.joints]
    return motion if trials else motion[0]


def write_music(path, seconds=12.0, rate=8000, beat_s=0.4, silent=False):
    """A click track; quiet noise between the clicks, so that it is music to a decoder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    samples = 0.7 * np.sin(2 * np.pi * 880 * time) * (time % beat_s < 0.03)
    soundfile.write(path, np.zeros_like(samples) if silent else samples, rate)
    return path


def write_imperialdance(root, choreographies=("b0", "b4"), levels=("beginner", "expert"), trials=3, motion=None):
    """An ImperialDance tree; ``motion`` (trials, 3, 1000, 21) stands in every file where it is given."""
    root.mkdir(parents=True, exist_ok=True)
    for i, choreography in enumerate(choreographies):
        for k, level in enumerate(levels):
            array = moving(trials=trials, seed=10 * i + k) if motion is None else motion
            np.save(root / imperialdance.motion_file_name(level, choreography), array)
    return root


def write_aistpp(root, name=AIST_NAME, frames=90, motion=None, key="keypoints3d_optim", protocol=4):
    """An AIST++ folder with one file more; ``motion`` is (T, 17, 3)."""
    (root / "keypoints3d").mkdir(parents=True, exist_ok=True)
    if motion is None:
        motion = 100 * moving(frames, 17).transpose(1, 2, 0).astype(np.float64)
    path = root / "keypoints3d" / name
    path.write_bytes(pickle.dumps({key: motion}, protocol=protocol))
    return path


def write_manifest(root, rows, header="motion,layout,fps,skeleton"):
    """A manifest, and a.npy (120, 17, 3) and b.npy (3, 150, 17) beside it."""
    root.mkdir(parents=True, exist_ok=True)
    np.save(root / "a.npy", moving(120, 17, seed=1).transpose(1, 2, 0))
    np.save(root / "b.npy", moving(150, 17, seed=2))
    (root / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")
    return root


def write_facts(root, **facts):
    (root / "dataset.json").write_text(json.dumps(facts))


def motion_table(motion, skeleton, times=None):
    """A motion (3, T, V) as the rows of a CSV, the header first; ``times`` are time stamps in the column time_s."""
    header = [f"{joint}_{axis}" for joint in skeleton.joints for axis in "xyz"]
    rows = [[f"{v:.5f}" for v in frame] for frame in motion.transpose(1, 2, 0).reshape(motion.shape[1], -1)]
    if times is not None:
        header, rows = ["time_s", *header], [[f"{t:.4f}", *row] for t, row in zip(times, rows, strict=True)]
    return [header, *rows]


def write_motive(path, motion, skeleton, fps, dancer="Anna", unit=1000):
    """A CSV as Motive exports it: names in the rows above, rotations beside positions, markers beside bones, in mm."""
    kinds, titles, parts, axes = [], [], [], []
    for joint in skeleton.joints:
        kinds += ["Bone"] * 7 + ["Bone Marker"] * 3
        titles += [f"{dancer}:{joint}"] * 7 + [f"{dancer}:{joint}1"] * 3
        parts += ["Rotation"] * 4 + ["Position"] * 6
        axes += [*"XYZWXYZXYZ"]
    facts = f"Format Version,1.25,Take Name,take,Capture Frame Rate,{fps:.6f},Export Frame Rate,{fps:.6f},"
    lines = [facts + "Rotation Type,Quaternion,Length Units,Millimeters,Coordinate Space,Global", ""]
    lines += [",Type," + ",".join(kinds), ",Name," + ",".join(titles), ",ID," + ",".join(["7F"] * len(kinds))]
    lines += [",,"[:2] + ",".join(parts), "Frame,Time (Seconds)," + ",".join(axes)]
    for k, frame in enumerate(motion.transpose(1, 2, 0)):
        cells = []
        for x, y, z in frame * unit:
            cells += ["0", "0", "0", "1", *("" if np.isnan(v) else f"{v:.4f}" for v in (x, y, z)), "1", "2", "3"]
        lines.append(",".join([str(k), f"{k / fps:.6f}", *cells]))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_c3d(path, motion, titles, fps):
    """A C3D file with a point for each title, after a prefix; NaN is a missing point. Needs ezc3d."""
    import ezc3d

    content = ezc3d.c3d()
    content["parameters"]["POINT"]["RATE"]["value"] = [fps]
    content["parameters"]["POINT"]["LABELS"]["value"] = tuple(f"Anna:{title}" for title in titles)
    points = np.ones((4, motion.shape[2], motion.shape[1]))
    points[:3] = motion.transpose(0, 2, 1) * 1000
    content["data"]["points"] = points
    content.write(str(path))
    return path
