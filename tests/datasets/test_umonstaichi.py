import numpy as np
import pytest

from dancemvp_core import datasets
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.datasets import umonstaichi
from dancemvp_core.formats import kinect
from dancemvp_core.formats.kinect import KINECT25

# The form of the published Metadata.txt: tabs, a Greek letter, and the mean and deviation below the people.
METADATA = (
    "ID\tGender (M/F)\tAge\tWeight (kg)\tHeight (cm)\tPractice (year)\tCategory\tSkill1 (0-10)\tSkill2 (0-10)\tSkill3 (0-10)"
    "\tSkillµ (0-10)\n"
    "P01\tM\t50\t80\t180\t30\tExpert\t9.3\t9\t10\t9.43\nP04\tF\t40\t60\t160\t12\tAdvanced\t8.2\t8\t8\t8.07\n"
    "P07\tF\t45\t60\t165\t4\tIntermediate\t7\t6.8\t6.5\t6.77\nP10\tF\t55\t60\t165\t1\tNovice\t6\t5.8\t6.5\t6.1\n"
    "M\t\t47.5\t65\t167\t11.7\t\t7.6\t7.4\t7.75\t7.6\nSD\t\t6\t9\t8\t13\t\t1\t1\t1\t1\n"
)
HEIGHTS = {"Head": 170, "Neck": 150, "Shoulder": 145, "SpineShoulder": 145, "SpineMid": 120}
HEIGHTS |= {"Hip": 95, "Knee": 50, "Ankle": 10, "Foot": 5}


def body(frames=60, seed=0):
    """A moving body (3, T, 25) in the sensor's axes: depth, across, up."""
    rng = np.random.default_rng(seed)
    motion = rng.normal(0, 20, (3, 1, 25)) + 5 * np.sin(rng.uniform(0.1, 0.3, (3, 1, 25)) * np.arange(frames)[None, :, None])
    motion[2] += [next((up for part, up in HEIGHTS.items() if name.startswith(part)), 100) for name in KINECT25.joints]
    return motion


def kinect_text(motion, times_ms):
    """The published form: a whole number of ms, and each coordinate with four decimals after a space."""
    rows = motion.transpose(1, 2, 0).reshape(len(times_ms), -1)
    return "".join(f"{t:d}" + "".join(f" {v:.4f}" for v in row) + "\n" for t, row in zip(times_ms, rows, strict=True))


def stamps(frames, start=64_137):
    return start + np.cumsum(np.resize([33, 34, 33], frames))


NAMES = (
    "P01T01C01G06D01S01.txt", "P01T01C01G06D02S01.txt", "P01T02C03G08D02S01.txt",
    "P04T01C01G01D01S01.txt", "P07T01C01G06D01S01.txt", "P10T01C01G06D01S01.txt",
)  # fmt: skip


def write(root, names=NAMES, metadata=METADATA):
    folder = root / umonstaichi.FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        (folder / name).write_text(kinect_text(body(seed=k), stamps(60)))
    if metadata:
        (root / "Metadata.txt").write_text(metadata, encoding="utf-8")


def test_people_levels_scores_and_techniques(tmp_path):
    write(tmp_path)
    dataset = datasets.load(tmp_path)
    index = dataset.index
    assert dataset.name == "umons-taichi" and dataset.levels == ("novice", "intermediate", "advanced", "expert")
    assert list(index["dancer"]) == ["P01", "P01", "P01", "P04", "P07", "P10"]
    assert list(index["level"]) == ["expert", "expert", "expert", "advanced", "intermediate", "novice"]
    assert list(index["choreography"]) == ["G06", "G06", "G08", "G01", "G06", "G06"]
    assert list(index["genre"]) == ["technique", "technique", "technique", "exercise", "technique", "technique"]
    assert list(index["trial"]) == [0, 1, 0, 0, 0, 0]
    mean = (9.3 + 9 + 10) / 3
    np.testing.assert_allclose(index["score"][:3], 10 * mean)  # of 0 to 10, on the package's 0 to 100
    np.testing.assert_allclose(index["score"][5], 10 * (6 + 5.8 + 6.5) / 3)
    assert dataset.facts["score_range"] == [0, 10] and dataset.upright.startswith("z")
    assert any("one level and one score for all takes" in note for note in dataset.notes)


def test_the_archives_own_folders_are_read_too(tmp_path):
    write(tmp_path)
    deep = tmp_path / umonstaichi.FOLDER / umonstaichi.FOLDER / "G06"
    deep.mkdir(parents=True)
    for file in list((tmp_path / umonstaichi.FOLDER).glob("*G06*")):
        file.rename(deep / file.name)
    (deep / "license.txt").write_text("CC")
    assert list(datasets.load(tmp_path).index["dancer"]) == ["P01", "P01", "P01", "P04", "P07", "P10"]


def test_without_metadata_levels_and_scores_are_off_and_it_says_so(tmp_path):
    write(tmp_path, metadata=None)
    dataset = datasets.load(tmp_path)
    assert dataset.index["level"].isna().all() and dataset.index["score"].isna().all()
    assert any(note.startswith("no Metadata.txt") for note in dataset.notes)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("Novice", "Pupil", "line 5: Category is 'Pupil', expected novice, intermediate"),
        ("\t9.3\t", "\t93\t", r"line 2: Skill1 \(0-10\) is '93'"),
        ("P10\t", "P11\t", "no row for P10"),
        ("Skill", "Mark", "no column Skill1"),
    ],
)
def test_metadata_that_cannot_be_is_one_line(tmp_path, old, new, named):
    write(tmp_path, metadata=METADATA.replace(old, new))
    with pytest.raises(DataError, match=named):
        datasets.load(tmp_path)


def test_a_recording_that_cannot_be_used_is_left_out_and_counted(tmp_path):
    write(tmp_path)
    (tmp_path / umonstaichi.FOLDER / NAMES[1]).write_text("1 2 3\n")
    dataset = datasets.load(tmp_path)
    (said,) = dataset.left_out
    assert len(dataset) == 5 and "1 of 6 recordings are left out" in said and "line 1: 3 numbers" in said
    assert list(dataset.index["trial"]) == [0] * 5


# --- the Kinect text itself -------------------------------------------------------------------------------------------


def kinect_file(tmp_path, motion, times):
    path = tmp_path / NAMES[0]
    path.write_text(kinect_text(motion, times))
    return path


def test_uneven_frames_are_resampled_at_the_sensors_rate(tmp_path):
    times = np.delete(stamps(90), [20, 21, 50])  # three frames are dropped
    line = np.array([3.0, -7.0, 11.0])[:, None, None] * (times - times[0])[None, :, None] / 1000
    found = kinect.read(kinect_file(tmp_path, line + np.arange(25), times))
    assert found.fps == 30 and found.skeleton is KINECT25
    frames = int((times[-1] - times[0]) / 1000 * 30) + 1
    grid = np.arange(frames) / 30
    expected = np.array([3.0, -7.0, 11.0])[:, None, None] * grid[None, :, None] + np.arange(25)
    np.testing.assert_allclose(found.motion, expected, atol=2e-3)  # the file has four decimals, and stamps of whole ms


def test_a_frame_without_a_body_is_missing(tmp_path):
    motion = body()
    motion[:, 30] = 0
    motion[:, 40, 7] = np.nan
    text = kinect_text(motion, np.round(np.arange(60) * 100 / 3).astype(int)).replace("nan", "NaN")
    path = tmp_path / NAMES[0]
    path.write_text(text)
    missing = np.isnan(kinect.read(path).motion).any(axis=0)
    assert missing[29:32].any(axis=0).all() and not missing[:29].any() and not missing[32:39].any()
    assert missing[39:42, 7].any() and not np.delete(missing[32:], 7, axis=1).any()


def test_the_tree_is_the_sensors(tmp_path):
    parent = {KINECT25.joints[child]: KINECT25.joints[above] for child, above in KINECT25.bones}
    assert len(KINECT25.joints) == 25 and KINECT25.joints[KINECT25.root] == "SpineBase"
    assert [KINECT25.joints[k] for k in (3, 7, 14, 20, 24)] == ["Head", "HandLeft", "AnkleLeft", "SpineShoulder", "ThumbRight"]
    assert parent["Head"] == "Neck" and parent["Neck"] == "SpineShoulder" and parent["HandTipRight"] == "HandRight"
    assert len(KINECT25.pairs) == 10


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda lines: lines[:1], "1 frames"),
        (lambda lines: [*lines[:5], lines[5].rsplit(" ", 1)[0], *lines[6:]], "line 6: 75 numbers"),
        (lambda lines: [*lines[:5], lines[5].replace(".", "x", 1), *lines[6:]], "line 6: '.*x"),
        (lambda lines: [*lines[:5], lines[5].replace(".", "_", 1), *lines[6:]], "line 6: '.*_"),
        (lambda lines: [*lines[:5], lines[5].rsplit(" ", 1)[0] + " ١", *lines[6:]], "line 6: '١'"),
        (lambda lines: [*lines[:5], lines[4], *lines[5:]], "line 6: .* expected rising times"),
        (lambda lines: lines[:10] + lines[40:], "line 11: no frame for 1.03 s"),
    ],
    ids=["one frame", "short line", "a letter", "a bar below", "another script", "the same time twice", "gap"],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, spoil, named):
    lines = kinect_text(body(), stamps(60)).splitlines()
    path = tmp_path / NAMES[0]
    path.write_text("\n".join(spoil(lines)))
    with pytest.raises(DataError, match=named) as fault:
        kinect.read(path)
    assert "\n" not in str(fault.value) and str(path) in str(fault.value)
