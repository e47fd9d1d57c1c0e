import numpy as np
import pytest

from dancemvp_core import datasets
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.datasets import datacard

SETS = "dataset/Bandai-Namco-Research-Motiondataset-{}/data"
LIMBS = {"Shoulder": "Chest", "UpperArm": "Shoulder", "LowerArm": "UpperArm", "Hand": "LowerArm"} | {
    "UpperLeg": "Hips", "LowerLeg": "UpperLeg", "Foot": "LowerLeg", "Toes": "Foot",
}  # fmt: skip
OFFSETS = {
    "Hips": (0, 94, 0), "Spine": (0, 16, 0), "Chest": (0, 9, 0), "Neck": (0, 16, 0), "Head": (0, 7, 0),
    "Shoulder": (5, 13, 0), "UpperArm": (5, 0, 0), "LowerArm": (24, 0, 0), "Hand": (22, 0, 0),
    "UpperLeg": (6, -2, 0), "LowerLeg": (0, -39, 0), "Foot": (0, -41, 0), "Toes": (0, 0, 12),
}  # fmt: skip


def tree():
    """(name, parent, offset) of each joint as in the published files: a root, then the hips, each after its parent."""
    joints = [("joint_Root", None, (0, 0, 0)), ("Hips", "joint_Root", OFFSETS["Hips"])]
    trunk = {"Spine": "Hips", "Chest": "Spine", "Neck": "Chest", "Head": "Neck"}
    joints += [(name, above, OFFSETS[name]) for name, above in trunk.items()]
    for side, sign in (("L", 1), ("R", -1)):
        for limb, above in LIMBS.items():
            x, y, z = OFFSETS[limb]
            joints.append((f"{limb}_{side}", above if above in ("Chest", "Hips") else f"{above}_{side}", (sign * x, y, z)))
    return joints


def bvh_text(frames=40, seed=0, straight=5):
    """A BVH file in the published form: 6 channels a joint, tabs after Frames; no joint is turned in frame ``straight``."""
    joints = tree()

    def block(name, depth):
        pad, offset = "  " * depth, next(o for n, _, o in joints if n == name)
        kind = "JOINT" if depth else "ROOT"
        inner = "".join(block(n, depth + 1) for n, above, _ in joints if above == name)
        inner = inner or f"{pad}  End Site\n{pad}  {{\n{pad}    OFFSET 0 0 0\n{pad}  }}\n"
        channels = "CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
        return f"{pad}{kind} {name}\n{pad}{{\n{pad}  OFFSET {' '.join(map(str, offset))}\n{pad}  {channels}\n{inner}{pad}}}\n"

    order = []

    def visit(name):
        order.append(name)
        for n, above, _ in joints:
            if above == name:
                visit(n)

    visit("joint_Root")
    offsets = np.array([next(o for n, _, o in joints if n == name) for name in order], dtype=float)
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None, None] - straight
    turns = 8 * np.sin(rng.uniform(0.05, 0.2, (1, len(order), 3)) * time)
    turns[:, 0] = 0
    values = np.concatenate([np.tile(offsets, (frames, 1, 1)), turns], axis=2).reshape(frames, -1)
    lines = "\n".join(" ".join(f"{v:.6g}" for v in row) + " " for row in values)
    return f"HIERARCHY\n{block('joint_Root', 0)}MOTION\nFrames:\t{frames}\nFrame Time:\t0.0333333\n{lines}\n"


def write(root, *names, frames=40):
    for k, name in enumerate(names):
        folder = root / SETS.format(name[len("dataset-")])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(bvh_text(frames, seed=k))


NAMES = (
    "dataset-1_walk_happy_001.bvh",
    "dataset-1_walk_not-confident_001.bvh",
    "dataset-2_raise-up-both-hands_active_001.bvh",
    "dataset-2_raise-up-both-hands_active_003.bvh",
    "dataset-2_walk_happy_001.bvh",
)


def test_names_become_labels_and_a_style_is_called_a_style(tmp_path):
    write(tmp_path, *NAMES)
    dataset = datasets.load(tmp_path)
    index = dataset.index
    assert dataset.name == "bandai-namco" and dataset.facts["level_name"] == "style" and not dataset.synthetic
    assert list(index["choreography"]) == ["walk", "walk", *["raise-up-both-hands"] * 2, "walk"]
    assert list(index["genre"]) == ["walk", "walk", "raise", "raise", "walk"]
    assert list(index["level"]) == ["happy", "not-confident", "active", "active", "happy"]
    assert dataset.levels == ("active", "happy", "not-confident")
    assert list(index["trial"]) == [0, 0, 0, 1, 1]  # the second set's walk goes on after the first set's
    assert index["dancer"].isna().all() and index["music"].isna().all() and index["score"].isna().all()
    assert any("a style is no skill" in note for note in dataset.notes)
    assert not any("level" in note for note in dataset.notes)


def test_the_motion_is_the_bodys_in_imperialdances_joints(tmp_path):
    write(tmp_path, NAMES[0])
    (sequence,) = datasets.load(tmp_path)
    assert sequence.fps == 30 and sequence.skeleton is IMPERIALDANCE21 and sequence.motion.shape == (3, 40, 21)
    at = {name: sequence.motion[:, 5, k] for k, name in enumerate(IMPERIALDANCE21.joints)}
    for joint, place in {
        "Hip": (0, 94, 0), "Ab": (0, 110, 0), "Chest": (0, 119, 0), "Head": (0, 142, 0), "LShoulder": (5, 132, 0),
        "LUArm": (10, 132, 0), "RFArm": (-34, 132, 0), "RHand": (-56, 132, 0), "RShin": (-6, 53, 0), "LToe": (6, 12, 12),
    }.items():  # fmt: skip
        np.testing.assert_allclose(at[joint], place, atol=1e-3, err_msg=joint)


@pytest.mark.parametrize("inner", ["dataset/Bandai-Namco-Research-Motiondataset-2", SETS.format(2)])
def test_one_set_and_the_folder_of_its_files_open_too(tmp_path, inner):
    write(tmp_path, *NAMES)
    assert len(datasets.load(tmp_path / inner)) == 3


def test_a_short_or_damaged_file_is_left_out_and_counted(tmp_path):
    write(tmp_path, *NAMES[:3])
    write(tmp_path, NAMES[3], frames=20)
    (tmp_path / SETS.format(2) / NAMES[4]).write_text("HIERARCHY\n")
    (tmp_path / SETS.format(2) / "my_own.bvh").write_text("no name of the set")
    dataset = datasets.load(tmp_path)
    assert len(dataset) == 3
    (said,) = dataset.left_out
    assert "2 of 5 recordings are left out" in said and NAMES[3] in said and "0.67 s" in said


def test_a_manifest_of_its_motions_names_styles_too(tmp_path):
    """The motions in another form, under the three words for levels that an older reader knew."""
    styles = {"expert": "active", "beginner": "exhausted", "intermediate": "normal"}
    lines = ["motion,choreography,level"]
    for level, style in styles.items():
        name = f"dataset-2_walk_{style}_001"
        (tmp_path / f"{name}.bvh").write_text(bvh_text(seed=len(lines)))
        lines.append(f"{name}.bvh,walk,{level}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    dataset = datasets.load(tmp_path / "manifest.csv")
    assert dataset.levels == ("exhausted", "normal", "active") and dataset.facts["level_name"] == "style"
    assert list(dataset.index["level"]) == list(styles.values())
    assert any("level expert is named active" in note for note in dataset.notes)
    overview = datacard.card(dataset, deep=False).overview
    assert "3 styles" in overview["Labels"] and "level" not in overview["Labels"]
    strange = [lines[0], *(line.replace(",expert", ",N").replace(",beginner", ",X  y") for line in lines[1:])]
    (tmp_path / "manifest.csv").write_text("\n".join(strange))
    assert datasets.load(tmp_path / "manifest.csv").levels == ("active", "exhausted", "normal"), "of unknown words as in the file"
    (tmp_path / "manifest.csv").write_text("\n".join([*lines[:3], lines[3].replace(",intermediate", ",expert")]))
    assert "level_name" not in datasets.load(tmp_path / "manifest.csv").facts, "a level of two styles is no style"
    (tmp_path / "dataset.json").write_text('{"levels": ["beginner", "intermediate", "expert"]}')
    assert datasets.load(tmp_path / "manifest.csv").levels == ("beginner", "intermediate", "expert"), "what is stated comes first"


def test_without_a_usable_file_it_is_one_line(tmp_path):
    write(tmp_path, NAMES[0], frames=20)
    with pytest.raises(DataError, match=r"no usable motion among 1 files.*0\.67 s"):
        datasets.load(tmp_path)
