"""The same dance saved in every format, and each format as people have it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import bvh_writer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_data import motion_table, write_c3d, write_motive

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import COCO17, H36M17, IMPERIALDANCE21, canonical_body, load_skeleton
from dancemvp_core.datasets import motionfiles
from dancemvp_core.formats import markers, names, tables
from dancemvp_core.formats import motion as formats

FPS = 50.0
JOINTS = IMPERIALDANCE21.joints


def body(frames=100, skeleton=IMPERIALDANCE21, seed=0):
    """(3, T, V): a body that stands on the floor, with both sides alike, and swings around its place."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / FPS
    down = {"Hip": (0, 1), "Ab": (0, 1.2), "Chest": (0, 1.4), "Neck": (0, 1.6), "Head": (0, 1.8)}
    side = {"Shoulder": (0.1, 1.55), "UArm": (0.2, 1.55), "FArm": (0.5, 1.55), "Hand": (0.8, 1.55)}
    side |= {"Thigh": (0.1, 1), "Shin": (0.1, 0.5), "Foot": (0.1, 0.1), "Toe": (0.1, 0.05)}
    down |= {letter + part: (sign * x, y) for letter, sign in (("L", 1), ("R", -1)) for part, (x, y) in side.items()}
    out = np.zeros((3, frames, len(skeleton.joints)))
    for v, joint in enumerate(skeleton.joints):
        swing = 0.05 * np.sin(2 * np.pi * time[None] * rng.uniform(0.5, 1.5) + rng.uniform(0, 6, (3, 1)))
        out[:, :, v] = np.array([down[joint][0] + 0.5, down[joint][1], 0.3])[:, None] + swing
    return out.astype(np.float32)


def write(path, rows, separator=",", encoding="utf-8"):
    path.write_bytes("\r\n".join(separator.join(row) for row in rows).encode(encoding))
    return path


# --- every format ----------------------------------------------------------------------------------------------------


def save(path, kind, motion):
    if kind == "npy":
        with open(path, "wb") as file:  # given a path, save adds ".npy"
            np.save(file, motion)
    elif kind == "csv":
        write(path, motion_table(motion, IMPERIALDANCE21, np.arange(motion.shape[1]) / FPS))
    elif kind == "motive":
        write_motive(path, motion, IMPERIALDANCE21, FPS)
    elif kind == "c3d":
        pytest.importorskip("ezc3d", reason="no ezc3d on this system")
        write_c3d(path.with_suffix(".c3d"), motion, JOINTS, FPS).rename(path)
    else:
        bvh_writer.write_positions(path, motion, IMPERIALDANCE21, FPS)


KINDS = {"npy": ".NPY", "csv": ".Csv", "motive": ".csv", "c3d": ".C3D", "bvh": ".BVH"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_motion_in_any_letter_case(tmp_path, kind):
    motion, path = body(), tmp_path / f"TAKE{KINDS[kind]}"
    save(path, kind, motion)
    found = formats.read(path)
    scale = 1000 if kind in ("motive", "c3d") else 1
    np.testing.assert_allclose(found.motion / scale, motion, atol=2e-5)
    assert found.skeleton == IMPERIALDANCE21 and found.fps == (None if kind == "npy" else pytest.approx(FPS))
    assert formats.read(path, fps=25.0).fps == 25.0


@pytest.mark.parametrize("kind", ["npy", "csv", "motive", "c3d"])
def test_missing_joints_are_missing_in_every_format(tmp_path, kind):
    motion, path = body(), tmp_path / f"gap{KINDS[kind]}"
    motion[:, 20:25, 3] = np.nan
    if kind == "csv":
        rows = motion_table(motion, IMPERIALDANCE21, np.arange(100) / FPS)
        write(path, [["NaN" if c == "nan" and k % 2 else c.replace("nan", "") for c in row] for k, row in enumerate(rows)])
    else:
        save(path, kind, motion)
    np.testing.assert_array_equal(np.isnan(formats.read(path).motion), np.isnan(motion))


def test_damaged_c3d_is_one_line_or_read(tmp_path):
    pytest.importorskip("ezc3d", reason="no ezc3d on this system")
    whole = write_c3d(tmp_path / "a.c3d", body(60), JOINTS, FPS).read_bytes()
    damaged = {"text": b"hello", "empty": b"", "short": whole[:700], "cut": whole[:-4000], "head": whole[:512]}
    for name, content in damaged.items():
        (tmp_path / f"{name}.c3d").write_bytes(content)
    # In a process of its own: what a damaged file does to the library must not end the tests.
    code = (
        "import sys; from pathlib import Path; from dancemvp_core.formats import c3d\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.c3d')):\n"
        "    try: print(path.stem, 'read', c3d.read(path).motion.shape)\n"
        "    except ValueError as e: print(path.stem, type(e).__name__, str(e).count(chr(10)), path.name in str(e))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert said["a"] == "read (3, 60, 21)", done.stderr
    assert all(said[name] == "DataError 0 True" for name in ("text", "empty", "short", "head")), said


@pytest.mark.parametrize("suite", markers.SETS)
def test_joints_are_found_among_markers(tmp_path, suite):
    """Markers on both sides of each joint: their mean is the joint, and the two sides keep theirs."""
    pytest.importorskip("ezc3d", reason="no ezc3d on this system")
    dance, around = body(60), markers._around(suite, [])
    own = {"LASI": "LThigh", "RASI": "RThigh", "LPSI": "LThigh", "RPSI": "RThigh"}
    own |= {f"{side}ShoulderTop": f"{side}UArm" for side in "LR"}
    own |= {f"Waist{side}{end}": f"{side}Thigh" for side in "LR" for end in ("Front", "Back")}
    titles = {}
    for joint in around:
        side = joint[0] if joint[1:] in "UArm FArm Hand Thigh Shin Foot Toe".split() else " "
        starred = joint if side == " " else "*" + joint[1:]
        for marker in markers.SETS[suite][starred].replace("*", side).split():
            titles.setdefault(marker, dance[:, :, JOINTS.index(own.get(marker, joint))])
    write_c3d(tmp_path / "a.c3d", np.stack(list(titles.values()), axis=-1), list(titles), FPS)
    found = formats.read(tmp_path / "a.c3d")
    assert found.notes == (f"joints are means of {suite}",)
    at = {joint: found.motion[:, :, k] / 1000 for k, joint in enumerate(JOINTS)}
    for joint in "LUArm RFArm LHand RThigh LShin RFoot LToe Head".split():
        np.testing.assert_allclose(at[joint], dance[:, :, JOINTS.index(joint)], atol=1e-4, err_msg=joint)
    waist = [titles[marker] for marker in markers.SETS[suite]["Hip"].split()]
    np.testing.assert_allclose(at["Hip"], np.mean(waist, axis=0), atol=1e-4)
    np.testing.assert_allclose(at["Ab"], (at["Hip"] + at["Chest"]) / 2, atol=1e-4)


# --- BVH -------------------------------------------------------------------------------------------------------------


def variants():
    """Ways to write the same BVH, and what each replaces."""
    return {
        "end site in capitals": lambda t: t.replace("End Site", "END SITE"),
        "frame time without a space": lambda t: t.replace("Frame Time: ", "Frame Time:"),
        "keywords in lower case": lambda t: t.replace("JOINT", "joint").replace("ROOT", "Root").replace("MOTION", "Motion"),
        "channels in capitals": lambda t: t.replace("Xposition", "XPOSITION").replace("rotation", "ROTATION"),
        "brackets on the line": lambda t: t.replace("\n{", " {"),
        "decimal commas": lambda t: t.replace(".", ","),
        "windows lines": lambda t: t.replace("\n", "\r\n"),
        "a byte order mark": lambda t: "\ufeff" + t,
        "one number a line": lambda t: t.split("Frame Time")[0] + "Frame Time" + t.split("Frame Time")[1].replace(" 360", "\n360"),
        "no final line break": lambda t: t.rstrip(),
    }


@pytest.mark.parametrize("variant", variants())
def test_small_variants_of_bvh_are_read(tmp_path, variant):
    motion = body(40)
    path = bvh_writer.write_positions(tmp_path / "a.bvh", motion, IMPERIALDANCE21, 30)
    path.write_bytes(variants()[variant](path.read_text()).encode())
    found = formats.read(path)
    assert found.fps == 30 and found.notes == ()
    np.testing.assert_allclose(found.motion, motion, atol=1e-5)


def test_turned_joints_are_placed_as_pybvh_places_them(tmp_path):
    pybvh = pytest.importorskip("pybvh", reason="pybvh is in requirements-test.lock only")
    motion = canonical_body(body(30, seed=3), IMPERIALDANCE21)
    path = bvh_writer.write(tmp_path / "a.bvh", motion, IMPERIALDANCE21, 60)
    clip = pybvh.read_bvh_file(path, world_up="+y")
    columns = [clip.joint_index[bvh_writer.MIXAMO[joint]] for joint in JOINTS]
    np.testing.assert_allclose(formats.read(path).motion, clip.joint_positions()[:, columns].transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize("order", ["ZXY", "ZYX", "XYZ", "YXZ"])
def test_the_order_of_the_channels_is_that_of_the_turns(tmp_path, order):
    angles = {"X": 30.0, "Y": 20.0, "Z": 40.0}
    text = (
        "HIERARCHY\nROOT a\n{{\nOFFSET 0 0 0\nCHANNELS 3 {0}\nJOINT b\n{{\nOFFSET 1 2 3\nCHANNELS 0\n}}\n}}\n"
        "MOTION\nFrames: 3\nFrame Time: 0.02\n{1}\n{1}\n{1}\n"
    ).format(" ".join(f"{axis}rotation" for axis in order), " ".join(str(angles[axis]) for axis in order))
    (tmp_path / "a.bvh").write_text(text)
    turn = {axis: np.eye(3) for axis in order}
    for axis in order:
        i, j = {"X": (1, 2), "Y": (2, 0), "Z": (0, 1)}[axis]
        c, s = np.cos(np.radians(angles[axis])), np.sin(np.radians(angles[axis]))
        turn[axis][[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    expected = turn[order[0]] @ turn[order[1]] @ turn[order[2]] @ [1, 2, 3]
    pair = replace(IMPERIALDANCE21, name="pair", joints=("a", "b"), parents=(-1, 0), pairs=(), lengths=())
    np.testing.assert_allclose(formats.read(tmp_path / "a.bvh", pair).motion[:, 0, 1], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (lambda t: t.split("MOTION")[0], "no MOTION section"),
        (lambda t: t[:-200], "numbers after Frame Time"),
        (lambda t: t.replace("Frame Time: 0.033333", "Frame Time: fast"), "the frame time is 'fast'"),
        (lambda t: t.replace("Frame Time: 0.033333", "Frame Time: 0"), "the frame time is '0'"),
        (lambda t: t.replace("OFFSET 1.0 2.0 3.0", "OFFSET 1.0 2.0", 1), "OFFSET is '1.0 2.0'"),
        (lambda t: t.replace("CHANNELS 6", "CHANNELS 5", 1), "CHANNELS 5"),
        (lambda t: t.replace("360.000000", "1_0", 1), "frame 1 has '1_0'"),
        (lambda t: t.replace("360.000000", "٣٦٠", 1), "frame 1 has '٣٦٠'"),
        (lambda t: t.replace("360.000000", "wide", 1), "frame 1 has 'wide'"),
        (lambda t: t.replace("}\nMOTION", "MOTION"), "a block is not closed"),
        (lambda t: t.replace("JOINT", "ROOT", 1), "a second ROOT"),
    ],
)
def test_bvh_that_is_none_gets_one_line(tmp_path, fault, named):
    path = bvh_writer.write_positions(tmp_path / "a.bvh", body(20), IMPERIALDANCE21, 30)
    path.write_text(fault(path.read_text()))
    with pytest.raises(DataError) as caught:
        formats.read(path)
    assert str(path) in str(caught.value) and named in str(caught.value) and "\n" not in str(caught.value)


def test_a_rest_pose_in_the_first_frame_is_left_out(tmp_path):
    motion = body(60)
    rest = motion[:, 0].T + np.array([0, 0, 3.0])
    path = bvh_writer.write_positions(tmp_path / "a.bvh", motion, IMPERIALDANCE21, FPS, first=rest)
    found = formats.read(path)
    assert np.isnan(found.motion[:, 0]).all() and "the first frame is a rest pose" in found.notes[0]
    np.testing.assert_allclose(found.motion[:, 1:], motion, atol=1e-5)
    filled = motionfiles.check_motion(found.motion, found.skeleton, FPS, "a")
    assert np.abs(np.diff(filled, axis=1)).max() < 0.05


def test_bones_of_length_zero_do_not_shorten_the_trunk(tmp_path):
    motion = body(60)
    at = {joint: JOINTS.index(joint) for joint in ("Ab", "Hip", "LShoulder", "Chest", "Neck", "LUArm")}
    motion[:, :, at["Ab"]] = motion[:, :, at["Hip"]]
    motion[:, :, at["LShoulder"]] = motion[:, :, at["Chest"]]
    found = formats.read(bvh_writer.write_positions(tmp_path / "a.bvh", motion, IMPERIALDANCE21, FPS))
    assert "Ab, LShoulder coincide" in found.notes[0] or "LShoulder, Ab coincide" in found.notes[0]
    placed = canonical_body(found.motion, IMPERIALDANCE21)
    lengths = dict(zip(JOINTS, IMPERIALDANCE21.lengths, strict=True))
    for low, high, bones in (("Hip", "Chest", ("Ab", "Chest")), ("Chest", "LUArm", ("LShoulder", "LUArm"))):
        reach = np.linalg.norm(placed[:, :, at[high]] - placed[:, :, at[low]], axis=0)
        np.testing.assert_allclose(reach, sum(lengths[b] for b in bones), rtol=1e-4)


# --- names -----------------------------------------------------------------------------------------------------------

PARTS = {
    "Mixamo": ("Hips Spine Spine1 Neck Head", "Shoulder Arm ForeArm Hand UpLeg Leg Foot ToeBase"),
    "Biovision": ("Hips Chest Chest2 Neck Head", "Collar Shoulder Elbow Wrist Hip Knee Ankle Toe"),
    "Biped": ("Pelvis Spine Spine1 Neck Head", "Clavicle UpperArm Forearm Hand Thigh Calf Foot Toe0"),
    "Unity": ("Hips Spine Chest Neck Head", "Shoulder UpperArm LowerArm Hand UpperLeg LowerLeg Foot Toes"),
    "Unreal": ("pelvis spine_01 spine_02 neck_01 head", "clavicle upperarm lowerarm hand thigh calf foot ball"),
    "SMPL": ("pelvis spine1 spine2 neck head", "collar shoulder elbow wrist hip knee ankle foot"),
    "mocopi": ("root torso_1 torso_2 neck_1 head", "shoulder up_arm low_arm hand up_leg low_leg foot toes"),
}
SIDED = {
    "LeftArm": lambda side, part: {"L": "Left", "R": "Right"}[side] + part[0].upper() + part[1:],
    "Arm_L": lambda side, part: f"{part}_{side}",
    "l_arm": lambda side, part: f"{side.lower()}_{part.lower()}",
    "L Arm": lambda side, part: f"{side} {part}",
    "arm.R": lambda side, part: f"{part}.{side}",
    "ARM_LEFT": lambda side, part: f"{part}_{ {'L': 'LEFT', 'R': 'RIGHT'}[side]}".upper(),
}
PREFIXES = ["", "mixamorig:", "mixamorig_", "Bip01 ", "Character1_", "J_Bip_"]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("sided", SIDED)
@pytest.mark.parametrize("software", PARTS)
def test_joints_are_found_by_what_their_names_mean(software, sided, prefix):
    trunk, limbs = (text.split() for text in PARTS[software])
    expected = dict(zip("Hip Ab Chest Neck Head".split(), trunk, strict=True))
    for side in "LR":
        own = "Shoulder UArm FArm Hand Thigh Shin Foot Toe".split()
        expected |= {side + o: SIDED[sided](side, part) for o, part in zip(own, limbs, strict=True)}
    expected = {joint: prefix + name for joint, name in expected.items()}
    listed = [*expected.values(), *(prefix + extra for extra in ("LeftHandThumb1", "HeadEnd", "RightEye"))]
    assert names.joint_names(listed, IMPERIALDANCE21) == (expected, [])


def test_a_json_that_maps_names_keeps_the_skeleton(tmp_path):
    called = {joint: f"bone {i}" for i, joint in enumerate(JOINTS)}
    (tmp_path / "names.json").write_bytes(b"\xef\xbb\xbf" + json.dumps({"skeleton": "imperialdance21", "names": called}).encode())
    skeleton = load_skeleton(tmp_path / "names.json")
    assert skeleton == IMPERIALDANCE21
    motion = body(30)
    path = bvh_writer.write_positions(tmp_path / "a.bvh", motion, IMPERIALDANCE21, 30, names=called)
    np.testing.assert_allclose(formats.read(path, skeleton).motion, motion, atol=1e-5)
    with pytest.raises(DataError, match="cannot find RShin"):
        formats.read(path)
    (tmp_path / "names.json").write_text(json.dumps({"names": {"Hip": "a"}}))
    with pytest.raises(ValueError, match=r"names\.json: not a skeleton: names has no RShin"):
        load_skeleton(tmp_path / "names.json")


# --- CSV -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_any_separator_and_encoding(tmp_path, separator, encoding):
    motion = body(40)
    rows = motion_table(motion, IMPERIALDANCE21, np.arange(40) / FPS)
    rows = [[*row, "größe" if k == 0 else "1"] for k, row in enumerate(rows)]
    if separator != ",":
        rows = [[cell.replace(".", ",") for cell in row] for row in rows]
    found = formats.read(write(tmp_path / "a.csv", rows, separator, encoding))
    assert found.fps == pytest.approx(FPS) and found.notes == ("columns not used: größe",)
    np.testing.assert_allclose(found.motion, motion, atol=1e-5)


def stamped(path, motion, times, column="time_s"):
    rows = motion_table(motion, IMPERIALDANCE21, times)
    rows[0][0] = column
    return write(path, rows)


@pytest.mark.parametrize(
    ("column", "factor", "note"),
    [("time_s", 1, None), ("Time", 1, None), ("time_ms", 1000, None), ("timestamp (ms)", 1000, None),
     ("time_s", 1000, "read as milliseconds"), ("t", 1e6, "read as microseconds")],
)  # fmt: skip
def test_the_unit_of_time(tmp_path, column, factor, note):
    found = formats.read(stamped(tmp_path / "a.csv", body(60), factor * np.arange(60) / 25, column))
    assert found.fps == pytest.approx(25, rel=1e-3) and bool(found.notes) == bool(note)
    assert not note or (note in found.notes[0] and column in found.notes[0])


def test_dropped_frames_are_put_back(tmp_path):
    motion, times = body(90), np.arange(90) / 30
    kept = np.delete(np.arange(90), [30, 50, 51])
    found = formats.read(stamped(tmp_path / "a.csv", motion[:, kept], times[kept].round(3)))
    assert found.motion.shape == motion.shape and found.fps == pytest.approx(30, rel=1e-3)
    assert "3 frames are dropped" in found.notes[0] and "resampled at 30 fps" in found.notes[0]
    np.testing.assert_allclose(found.motion, motion, atol=0.02)
    alone = formats.read(tmp_path / "a.csv", fps=30.0)
    assert alone.motion.shape[1] == 87 and alone.notes == ()


@settings(max_examples=20)
@given(seed=st.integers(0, 999), jitter=st.floats(0.0, 0.4))
def test_uneven_frames_are_resampled_where_they_belong(tmp_path_factory, seed, jitter):
    rng = np.random.default_rng(seed)
    times = np.sort(np.arange(80) / 30 + rng.uniform(-jitter, jitter, 80) / 30)
    line = np.tile((times - times[0])[None, :, None], (3, 1, 21)).astype(np.float32)  # every joint moves one unit a second
    found = formats.read(stamped(tmp_path_factory.mktemp("uneven") / "a.csv", line, times))
    speed = np.diff(found.motion, axis=1) * found.fps
    if found.notes:
        assert np.abs(speed - 1).max() < 0.05
    assert found.fps == pytest.approx(30, rel=0.05)


@pytest.mark.parametrize(
    ("times", "named"),
    [
        (np.r_[np.arange(50), np.arange(100, 150)] / 50, "no frame for 1.02 s from 0.98 s on"),
        (np.r_[np.arange(50), np.arange(40, 90)] / 50, "line 52: time_s goes from 0.98 to 0.8"),
        (np.zeros(100), "expected rising time stamps"),
    ],
)
def test_time_stamps_that_cannot_be_frames(tmp_path, times, named):
    path = stamped(tmp_path / "a.csv", body(), times)
    with pytest.raises(DataError) as caught:
        formats.read(path)
    assert named in str(caught.value) and "\n" not in str(caught.value)
    assert formats.read(path, fps=50.0).motion.shape[1] == 100


@pytest.mark.parametrize("text", ["1_000", "inf", "١", "0x10", "1e", "--1", "1,5", "1 0"])
def test_only_numbers_are_numbers(tmp_path, text):
    assert tables.float_of(text) is None
    rows = motion_table(body(30), IMPERIALDANCE21)
    rows[3][5] = f'"{text}"'
    with pytest.raises(DataError, match="line 4: RToe_z is"):
        formats.read(write(tmp_path / "a.csv", rows))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_is_read_as_it_is_written(value):
    assert tables.float_of(repr(value)) == value


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.replace("Coordinate Space,Global", "Coordinate Space,Local"), "exported in Local coordinates"),
        (lambda t: t.replace("Anna:Hip,", "Ben:Hip,"), "2 skeletons"),
        (lambda t: t.replace("Position", "Rotation"), "no positions"),
        (lambda t: t.replace("Anna:Hip", "Anna:Belly"), "cannot find Hip"),
        (lambda t: t.split("Frame,Time")[0], "no rows Type, Name and Frame"),
    ],
)
def test_motive_exports_that_cannot_be_read(tmp_path, change, named):
    path = write_motive(tmp_path / "a.csv", body(10), IMPERIALDANCE21, FPS)
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError) as caught:
        formats.read(path)
    assert named in str(caught.value) and str(path) in str(caught.value)


# --- NPY -------------------------------------------------------------------------------------------------------------


def test_human36ms_order_is_told_from_cocos(tmp_path):
    parts = {"Pelvis": "Hip", "Spine": "Ab", "Thorax": "Neck", "Neck": "Neck", "Head": "Head"}
    limbs = {"Hip": "Thigh", "Knee": "Shin", "Ankle": "Foot", "Shoulder": "UArm", "Elbow": "FArm", "Wrist": "Hand"}
    dance = body(60)
    of = lambda joint: dance[:, :, JOINTS.index(joint)]  # noqa: E731
    human = [of(parts[j]) if j in parts else of(j[0] + limbs[j[1:]]) for j in H36M17.joints]
    np.save(tmp_path / "h.npy", np.stack(human, axis=-1).transpose(1, 2, 0))
    coco = [of("Head")] * 5 + [of(side + limbs[part.capitalize()]) for part in "shoulder elbow wrist hip knee ankle".split()
                               for side in "LR"]  # fmt: skip
    np.save(tmp_path / "c.npy", np.stack(coco, axis=-1).transpose(1, 2, 0))
    for name, skeleton in (("h.npy", H36M17), ("c.npy", COCO17)):
        found = formats.read(tmp_path / name)
        assert found.skeleton == skeleton and f"taken as {skeleton.name}" in found.notes[0]
    assert formats.read(tmp_path / "h.npy", COCO17).skeleton == COCO17


@settings(max_examples=25)
@given(seed=st.integers(0, 999), share=st.floats(0.0, 0.2))
def test_zeros_in_place_of_missing_joints(seed, share):
    rng = np.random.default_rng(seed)
    motion = body(60, seed=seed)
    missing = rng.random((60, 21)) < share
    missing[:, 0] = False
    filled = np.where(missing, 0, motion)
    np.testing.assert_array_equal(motionfiles.zero_filled(filled), missing)
    as_nan = motionfiles.without_zeros(filled)
    np.testing.assert_array_equal(np.isnan(as_nan).all(axis=0), missing)


def test_a_joint_at_the_origin_is_not_missing():
    motion = body(60) - body(60)[:, :, [IMPERIALDANCE21.root]]
    assert not motionfiles.zero_filled(motion).any(), "the root is the origin"
    walks = body(60)
    walks[:, :, 4] = np.linspace(-0.5, 0.5, 60)[None] * np.ones((3, 1))
    walks[:, 30, 4] = 0
    assert not motionfiles.zero_filled(walks).any(), "a foot passes through the origin"
    starts = body(60) - body(60)[:, :1, [IMPERIALDANCE21.root]]
    assert not motionfiles.zero_filled(starts).any(), "the root begins at the origin"


# --- the small inputs beside some checkouts -------------------------------------------------------------------------

CASES = Path(__file__).parents[3] / "shared" / "cases"
READ = {
    "07_bvh_upper_case_suffix/TAKE.BVH": 36, "08_bvh_six_channels/six.bvh": 36, "09_bvh_names/underscore.bvh": 36,
    "09_bvh_names/bip01.bvh": 36, "10_bvh_small_variants/end_site_caps.bvh": 36,
    "10_bvh_small_variants/frametime_nospace.bvh": 36, "31_bvh_more/suffix_side.bvh": 60, "31_bvh_more/cmu_like.bvh": 200,
    "14_csv_separators/semicolon.csv": 45, "15_csv_milliseconds/ms.csv": 45, "16_csv_uneven_fps/uneven.csv": 45,
    "32_kinect_csv/kinect_one_dropped_frame.csv": 60,
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_small_inputs_of_others_are_read(name):
    if not CASES.is_dir():
        pytest.skip("no folder of small inputs beside the checkout")
    found = formats.read(CASES / name)
    assert found.motion.shape[1] == READ[name]
    if "semicolon" in name or "ms.csv" in name:
        assert found.fps == pytest.approx(30, rel=1e-3)
    if "bvh" in name and found.motion.shape[1] == 36:
        tolerance = 0.015 if "six" in name else 1e-5  # this file has its positions in whole centimetres
        np.testing.assert_allclose(found.motion, formats.read(CASES / "control_ok.bvh").motion, atol=tolerance)
