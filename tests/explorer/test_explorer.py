"""The explorer without a browser: what is sent is what the data say, hostile input is refused, the page needs nothing."""

import base64
import html
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from written_data import moving, write_facts, write_music

from dancemvp_core import datasets, files
from dancemvp_core.dance import primitives, rhythm
from dancemvp_core.dance.pieces import Cutting, build
from dancemvp_core.dance.sequences import DataError, Piece
from dancemvp_core.dance.skeleton import IMPERIALDANCE21, front_view
from dancemvp_core.datasets import imperialdance
from dancemvp_core.explorer import Explorer, Scene, report
from dancemvp_core.explorer.widget import HERE, PARTS, script
from dancemvp_core.player import binary, clips, scripts
from dancemvp_core.pretraining import networks, pretrained
from dancemvp_core.pretraining.networks import Width
from dancemvp_core.runs import profiles
from dancemvp_core.runs.provenance import Paths
from dancemvp_core.runs.workspace import Workspace
from dancemvp_core.tasks import splits

ENCODER = report.ENCODER
NAME = "</script><script>alert(1)</script>"  # a genre may be called anything


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Scene:
    """A tiny run: two choreographies of four performances with music, and an untrained encoder's features."""
    root = tmp_path_factory.mktemp("run")
    data = root / "data"
    data.mkdir()
    for i, choreography in enumerate(("b0", "b4")):
        for k, level in enumerate(("beginner", "expert")):
            np.save(data / imperialdance.motion_file_name(level, choreography), moving(trials=4, seed=10 * i + k))
        write_music(data / "music" / f"b_ch{choreography[1]}.wav", seconds=20 if i else 10)
    write_facts(data, name="tiny", synthetic=True)
    dataset = datasets.load(data)
    paths, profile = Paths("smoke", "tiny", root), profiles.load("smoke")
    split = splits.assign(dataset.index)
    pieces = build(dataset, split, np.ones(len(dataset), bool), Cutting(16), paths.music_cache)
    pieces.table["genre"] = NAME
    width = Width(profile.channels, profile.dim, profile.features)
    pretraining = ENCODER.removesuffix("-seed0")
    encoder = networks.new_objective(pretraining, 0, width, pieces, dataset.skeleton).encoder
    rows = pretrained.evaluated_rows(pieces, pretraining)
    hidden = torch.as_tensor(np.random.default_rng(0).normal(size=(len(rows), encoder.last.in_features)), dtype=torch.float32)
    pretrained.save_encoder(paths.encoder(pretraining, 0), encoder, rows, hidden, {})
    return Scene(dataset, Workspace(pieces, dataset.skeleton, width, paths), shots=2, tsne_points=450)


# --- how numbers travel ----------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6), st.floats(-1e5, 1e5))
def test_quantised_joints_are_off_by_half_a_step_at_most(seed, size, shift):
    points = size * np.random.default_rng(seed).normal(size=(7, 5, 3)) + shift
    steps, centre, step = binary.quantise(points)
    assert steps.dtype == np.int16
    side = np.ptp(points.reshape(-1, 3), axis=0).max()
    assert step <= side / 2 / binary.STEPS * (1 + 1e-9)
    assert np.abs(centre + steps * step - points).max() <= 0.5 * step * (1 + 1e-6) + 1e-9 * np.abs(points).max()


def test_quantise_refuses_what_is_no_place_and_takes_a_single_point():
    with pytest.raises(ValueError, match="finite"):
        binary.quantise(np.full((2, 3), np.nan))
    steps, centre, _ = binary.quantise(np.ones((4, 3)))
    assert (steps == 0).all() and centre == [1, 1, 1]


def test_pack_aligns_and_comes_back():
    arrays = {"a": np.arange(3, dtype=np.uint8), "b": np.array([1.5, np.nan], np.float32), "c": np.zeros(0, np.int32)}
    layout, data = binary.pack(arrays)
    assert all(start % 8 == 0 for _, start, _ in layout.values())
    back = binary.unpack(layout, data)
    assert all(np.array_equal(back[k], v, equal_nan=v.dtype.kind == "f") for k, v in arrays.items())


# --- a clip ------------------------------------------------------------------------------------------------------------


def piece_of(scene, sequence, primitive=1):
    header, data = scene.clip(sequence, primitive)
    danced = scene.dataset.sequences[sequence]
    return header, binary.unpack(header["arrays"], data), danced


@pytest.mark.parametrize("turn", [0.0, 1.1])
def test_standing_is_the_same_body_turned(turn):
    motion = moving(frames=60, seed=3).astype(float)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    motion = np.einsum("ij,jtv->itv", rotation, motion)
    placed = clips.standing(motion, IMPERIALDANCE21)
    between = lambda a: np.linalg.norm(a[:, :, None] - a[:, None], axis=-1)  # noqa: E731
    assert between(placed) == pytest.approx(between(motion.transpose(1, 2, 0)), abs=1e-6)
    seen = front_view(motion, IMPERIALDANCE21)
    root = IMPERIALDANCE21.root
    assert placed[..., 0] - placed[:, [root], 0] == pytest.approx(seen[..., 0] - seen[:, [root], 0], abs=1e-6)
    assert placed[..., 1] == pytest.approx(seen[..., 1] - seen[..., 1].min(), abs=1e-6)


def test_a_clips_joints_are_the_data(scene):
    header, arrays, danced = piece_of(scene, 2)
    shown = np.arange(round(header["start"] * danced.fps), round((header["start"] + header["duration"]) * danced.fps) + 1, 2)
    assert header["fps"] == 50 and header["frames"] == len(shown)
    joints = np.array(header["centre"]) + arrays["joints"].reshape(len(shown), -1, 3) * header["step"]
    expected = clips.standing(danced.motion[:, shown], danced.skeleton)
    assert np.abs(joints - expected).max() <= 0.51 * header["step"]


def test_a_clips_peaks_are_rhythms(scene):
    header, arrays, danced = piece_of(scene, 5)
    motion = rhythm.intensity_peaks(rhythm.motion_intensity(danced.motion, danced.fps), danced.fps)
    start, end = header["start"], header["start"] + header["duration"]
    inside = motion[(motion >= start) & (motion < end)]
    assert arrays["motion_peaks"] + start == pytest.approx(inside, abs=1e-5)
    window = scene.pieces.sequences.iloc[5]
    assert header["bar"] == pytest.approx(window["bar"])
    pairs = arrays["pairs"].reshape(-1, 2)
    both = pairs[(pairs >= 0).all(axis=1)]
    assert len(both) > 0
    apart = arrays["music_peaks"][both[:, 0]] - arrays["motion_peaks"][both[:, 1]]
    assert np.abs(apart).max() <= rhythm.TOLERANCE_S + 1e-5
    assert len(np.unique(pairs[:, 0][pairs[:, 0] >= 0])) == (pairs[:, 0] >= 0).sum(), "one-to-one"


def test_a_partner_outside_of_the_piece_still_matches(scene):
    danced = scene.dataset.sequences[0]
    measured = {"music_peaks": np.array([1.0, 2.05]), "motion_peaks": np.array([0.95, 1.95])}
    peaks = clips._peaks(Piece(danced, 0, 0.5, 2.0), measured)
    assert peaks["music_peaks"] == pytest.approx([0.5]) and peaks["motion_peaks"] == pytest.approx([0.45, 1.45])
    assert peaks["pairs"].tolist() == [[0, 0], [-1, 1]]


def test_the_music_is_the_pieces_and_stretched_like_it(scene):
    for sequence, recorded in ((0, 10), (12, 15)):  # b0's file is as long as the clip, b4's cut is 20 s
        header, _, danced = piece_of(scene, sequence, 2)
        recorded = danced.music_window_s or danced.duration_s
        assert header["recorded_per_s"] == pytest.approx(recorded / 10)
        samples, rate = soundfile.read(io.BytesIO(scene.audio(header["audio"])))
        assert len(samples) / rate == pytest.approx(header["duration"] * recorded / 10, abs=2e-3)
        whole, rate_of_file = soundfile.read(danced.music)
        start = round((danced.music_offset_s + header["start"] * recorded / 10) * rate_of_file)
        loud = np.abs(whole[start : start + round(len(samples) / rate * rate_of_file)]) > 0.1
        heard = np.interp(np.arange(len(loud)) / rate_of_file, np.arange(len(samples)) / rate, np.abs(samples))
        assert np.corrcoef(loud, heard > 0.1)[0, 1] > 0.7


def test_a_performance_without_music_dances_in_silence(scene):
    danced = scene.dataset.sequences[0]
    header, data, excerpt = clips.clip(primitives.segment(danced)[0], None)
    assert excerpt is None and header["bar"] is None
    assert "music" not in header["arrays"] and binary.unpack(header["arrays"], data)["music_peaks"].size == 0


@pytest.mark.parametrize("asked", [(-1, 0), (10**6, 0), (0, 3), (0, -1)])
def test_a_clip_that_is_not_there(scene, asked):
    with pytest.raises(DataError, match="expected 0 to"):
        scene.clip(*asked)


def test_music_of_no_clip(scene):
    with pytest.raises(DataError, match="no clip with this music"):
        scene.audio("../../etc/passwd")


# --- the atlas ---------------------------------------------------------------------------------------------------------


def test_the_atlas_says_what_the_pieces_say(scene):
    header, data = scene.atlas(ENCODER)
    arrays = binary.unpack(header["arrays"], data)
    table = scene.pieces.table
    rows = [table.index[(table["sequence"] == s) & (table["primitive"] == p)][0] for s, p in scene.clips_of(header, data)]
    own = table.loc[rows]
    described = {a["id"]: a for a in header["attributes"]}
    names = np.array(described["level"]["names"])
    assert names.tolist() == ["beginner", "expert"], "in the order of skill"
    assert (names[arrays["piece.level"]] == own["level"].to_numpy()).all()
    assert arrays["piece.bar"] == pytest.approx(own["bar"].to_numpy())
    assert "score" not in described, "nothing is known of scores here"
    assert "predicted_level" not in described and "No predictions" in header["note"]
    assert header["synthetic"] is True
    json.dumps(header, allow_nan=False)


def test_neighbours_are_nearest_by_cosine(scene):
    header, data = scene.atlas(ENCODER)
    arrays = binary.unpack(header["arrays"], data)
    near = arrays["map.test.near"].reshape(-1, header["neighbours"])
    z = np.stack(scene.maps(ENCODER).query("map == 'test'")["z"].to_numpy())
    x = z / np.linalg.norm(z, axis=1, keepdims=True)
    for i in (0, 7):
        rivals = [j for j in np.argsort(-(x @ x[i]), kind="stable") if j != i]
        assert near[i].tolist() == rivals[: header["neighbours"]]


def test_maps_are_kept_and_made_again_when_the_encoder_changes(scene):
    first = scene.maps(ENCODER)
    kept = scene.paths.build / "maps" / f"{ENCODER}.parquet"
    written = kept.stat().st_mtime_ns
    assert scene.maps(ENCODER).equals(first) and kept.stat().st_mtime_ns == written
    table = pd.read_parquet(kept)
    table.attrs["stamp"] = "another encoder's"
    files.write_parquet(kept, table.assign(x=0.0))
    again = scene.maps(ENCODER)
    assert np.allclose(again["x"], first["x"])


def test_an_encoder_that_is_not_there(scene):
    for name in ("stgcn-lstm-infonce-seed7", "nonsense", ""):
        with pytest.raises(DataError, match=re.escape(f"expected one of: {ENCODER}")):
            scene.atlas(name)


def test_predictions_of_other_pieces_are_not_shown(scene):
    rows = scene.pieces.rows("test")[:6]
    table = scene.pieces.table.iloc[rows]
    outcome = pd.DataFrame({"sequence": table["sequence"]}, index=rows)
    for label in ("choreography", "primitive", "level"):
        outcome[f"true_{label}"] = outcome[f"predicted_{label}"] = table[label]
    outcome["true_bar"], outcome["predicted_bar"] = table["bar"], table["bar"] + 5
    outcome.loc[rows[0], "predicted_level"] = "nobody's"
    file = scene.paths.build / "outcomes" / f"{ENCODER.removesuffix('-seed0')}-prompt-2shots-g1-seed0.parquet"
    try:
        files.write_parquet(file, outcome)
        header, data = scene.atlas(ENCODER)
        arrays = binary.unpack(header["arrays"], data)
        described = {a["id"]: a for a in header["attributes"]}
        assert described["error_class"]["names"] == ["right", "level wrong"]
        errors = arrays["piece.error_bar"]
        assert np.isfinite(errors).sum() == len(rows) and errors[np.isfinite(errors)] == pytest.approx(5)
        files.write_parquet(file, outcome.assign(sequence=outcome["sequence"] + 1))
        assert scene.predictions(ENCODER)[0] is None
    finally:
        file.unlink()


# --- the widget and the page ---------------------------------------------------------------------------------------------


def test_the_widget_answers_and_refuses_in_one_line(scene):
    widget, sent = Explorer(scene, ENCODER), []
    widget.send = lambda content, buffers=None: sent.append((content, buffers))
    for message in ({"ask": "clip", "sequence": 1, "primitive": 0}, {"ask": "clip", "sequence": "x"}, {"ask": "rm -rf"}, {}):
        widget._answer(widget, {"id": "7"} | message, [])
    assert all(content["id"] == "7" for content, _ in sent)
    assert sent[0][0]["header"]["sequence"] == 1 and len(sent[0][1][0]) > 1000
    assert all("error" in content and "\n" not in content["error"] for content, _ in sent[1:])


def test_the_page_holds_everything_and_asks_for_nothing(scene, capsys):
    files.write_csv(
        scene.paths.results / "difficulty_card.csv", pd.DataFrame({"row": [NAME], "accuracy": [33.333], "n": [3.0]})
    )
    file, missing = report.write(scene.paths, scene, synthetic=True)
    page = file.read_text(encoding="utf-8")
    assert file.stat().st_size <= report.LARGEST_BYTES
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttp|import\(|^import ", page, re.MULTILINE)
    without_scripts = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""(?:src|href|action)\s*=\s*["'](?!data:)""", without_scripts)
    assert "synthetic" in page and "33.3" in page and ">3<" in page
    assert html.escape(NAME) in page and NAME not in page
    assert any("claims.csv" in item for item in missing) and "Not made yet" in page
    assert NAME in json.dumps(json.loads(re.search(r'id="explorer-data">(.*?)</script>', page, re.DOTALL)[1])["header"])
    data = json.loads(re.search(r'id="explorer-data">(.*?)</script>', page, re.DOTALL)[1])
    asked = scene.clips_of(data["header"], base64.b64decode(data["points"]))
    assert {f"{s}-{p}" for s, p in asked} == set(data["clips"]) and len(asked) == len(scene.pieces.rows("test"))
    assert {header["audio"] for header, _ in data["clips"].values()} == set(data["audio"])


def test_the_page_shrinks_to_its_limit(scene, monkeypatch):
    whole = report.write(scene.paths, scene, True)[0].stat().st_size
    monkeypatch.setattr(report, "LARGEST_BYTES", whole - 1)
    monkeypatch.setattr(report, "POINTS_A_MAP", (160, 6))
    smaller = report.write(scene.paths, scene, True)[0]
    assert smaller.stat().st_size < whole - 1
    before = smaller.read_bytes()
    monkeypatch.setattr(report, "LARGEST_BYTES", 1000)
    with pytest.raises(DataError, match="the report has"):
        report.write(scene.paths, scene, True)
    assert smaller.read_bytes() == before, "half a page was written"


def test_a_report_shows_the_committed_study_beside_its_own_table(tmp_path):
    study = report.profiles.project_root() / "results" / "study" / "synthdance" / "table2_baselines.csv"
    for profile, shown in (("demo", True), ("study", False)):
        own = tmp_path / "results" / profile / "synthdance" / study.name
        own.parent.mkdir(parents=True)
        own.write_bytes(study.read_bytes())
        beside = report._beside_the_study(own)
        assert (beside is not None) == shown and (not shown or "Task 1 ↑, study" in beside["html"])
    assert report._beside_the_study(tmp_path / "results" / "demo" / "other" / study.name) is None


def test_a_report_of_nothing_says_so(tmp_path, scene, capsys):
    assert report.main(["--profile", "smoke", "--root", str(tmp_path), "--data", str(scene.dataset.root)]) == 0
    assert "the explorer:" in capsys.readouterr().out
    assert report.main(["--profile", "smoke", "--root", str(tmp_path), "--data", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert report.main(["--profile", "huge", "--root", str(tmp_path)]) == 2


# --- the script ----------------------------------------------------------------------------------------------------------

FOLDERS = (scripts.JS, HERE / "js")
FILES = {file.stem: file.read_text(encoding="utf-8") for folder in FOLDERS for file in folder.glob("*.js")}
MOST_LINES, MOST_PARAMETERS = 60, 7
NO_FUNCTIONS = ("if", "for", "while", "switch", "catch")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
QUOTED = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
TEMPLATE = re.compile(r"[`}](?:\\.|\$(?!\{)|[^\\`$])*(?:`|\$\{)", re.DOTALL)  # from ` or a ${}'s end to ` or the next ${
PATTERN = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/\w*")
BEFORE_PATTERN = re.compile(r"(?:^|[(,=:\[!&|?{};+*%<>~^-]|\breturn)\s*\Z")  # elsewhere a / divides


def blanked(text: str, sign: str) -> str:
    return re.sub(r"[^\n]", sign, text)


def code_of(text: str) -> str:
    """JavaScript without comments and with _ for all that is quoted, every character in its place.

    What a template computes stays, in round brackets.
    """
    code, computed = "", []  # for each template that is open, how many braces are open in what it computes
    while len(code) < len(text):
        at = len(code)
        if text[at] == "`" or (text[at] == "}" and computed[-1:] == [0]):
            found = TEMPLATE.match(text, at)[0]
            goes_on = found.endswith("${")
            computed = computed[: -1 if text[at] == "}" else None] + [0] * goes_on
            code += (")" if text[at] == "}" else "_") + blanked(found[1:-1], "_") + ("(" if goes_on else "_")
        elif found := COMMENT.match(text, at):
            code += blanked(found[0], " ")
        elif found := QUOTED.match(text, at) or (text[at] == "/" and BEFORE_PATTERN.search(code) and PATTERN.match(text, at)):
            code += blanked(found[0], "_")
        else:
            if computed:
                computed[-1] += {"{": 1, "}": -1}.get(text[at], 0)
            code += text[at]
    return code


def partners(code: str) -> dict[int, int]:
    """Where each bracket's partner is."""
    pairs, waiting = {}, []
    for at, sign in enumerate(code):
        if sign in "([{":
            waiting.append(at)
        elif sign in ")]}":
            start = waiting.pop()
            assert code[start] + sign in ("()", "[]", "{}"), f"{sign} for {code[start]} in line {code.count(chr(10), 0, at) + 1}"
            pairs |= {start: at, at: start}
    assert not waiting
    return pairs


def functions_of(text: str) -> list[tuple[str, int, int]]:
    """A script's functions, methods and arrows, also those in others: (how it begins, its lines, its parameters)."""
    code = code_of(text)
    pairs = partners(code)

    def end_of(at: int, signs: str) -> int:  # the first of the signs that stands in no bracket
        while code[at] not in signs:
            at = pairs[at] + 1 if code[at] in "([{" else at + 1
        return at

    def parameters(at: int) -> int:  # of a list that begins there; a comma at its end adds none
        end = end_of(at, ",)")
        return bool(code[at:end].strip()) + (parameters(end + 1) if code[end] == "," else 0)

    found = []
    for arrow in re.finditer(r"\s*=>\s*", code):
        left, right = arrow.start() - 1, arrow.end()
        end = pairs[right] if code[right] == "{" else end_of(right, ",;)]}") - 1
        if code[left] == ")":
            found.append((pairs[left], end, parameters(pairs[left] + 1)))
        else:
            found.append((re.search(r"[\w$]+\Z", code[: left + 1]).start(), end, 1))
    for head in re.finditer(r"([\w$]+|\])\s*\(", code):
        body = re.compile(r"\s*\{").match(code, pairs[head.end() - 1] + 1)
        if body and head[1] not in NO_FUNCTIONS:
            found.append((head.start(), pairs[body.end() - 1], parameters(head.end())))
    return [(text[s : e + 1].split("\n")[0], code.count("\n", s, e) + 1, count) for s, e, count in sorted(found)]


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_function_of_the_script_is_long(name):
    functions = functions_of(FILES[name])
    assert functions, "none was found"
    assert [f for f in functions if f[1] > MOST_LINES or f[2] > MOST_PARAMETERS] == []


def test_functions_are_found_among_all_that_looks_like_one():
    text = r"""
// if (a) { function comment() {
/* not(a) { */
function plain(a, { b = 1, c } = {}, ...rest) {
  const nested = async (x, y,) => {
    return x.replace(/["'`{(/]\/x/g, "a => {") / 2 / y;
  };
  return `}${rest.map((r) => `${nested({ r })} {`)} function no() {`;
}
class Shown {
  key = (i) => [i,
    i];
  get one() { return 1; }
  set(value = [1, 2]) {
    for (const v of value) { if (v) { this.each(v => v / 2, 'don\'t => {'); } }
  }
}
export default { render({ a, b }) {} };
"""
    assert functions_of(text) == [
        ("plain(a, { b = 1, c } = {}, ...rest) {", 6, 3),
        ("(x, y,) => {", 3, 2),
        ("(r) => `${nested({ r })} {`", 1, 1),
        ("(i) => [i,", 2, 1),
        ("one() { return 1; }", 1, 0),
        ("set(value = [1, 2]) {", 3, 1),
        ("v => v / 2", 1, 1),
        ("render({ a, b }) {}", 1, 1),
    ]


def test_the_script_is_all_files_and_says_no_name_twice():
    assert {*PARTS, *scripts.PARTS} == set(FILES) and len(set(PARTS)) == len(PARTS)
    assert all(FILES[name].startswith("// ") for name in FILES), "a file begins with what it holds"
    declared = r"^(?:async )?(?:function|class|const|let) (\w+)"
    alone = re.findall(declared, scripts.script(), re.MULTILINE)
    assert len(set(alone)) == len(alone) > 10 and "import" not in re.findall(r"^\w+", scripts.script(), re.MULTILINE)
    names = re.findall(declared, script(), re.MULTILINE)
    assert len(names) > 50 and len(names) == len(set(names))
    assert re.findall(r"^(?:import|export) .*", script(), re.MULTILINE) == ["export { embedded, mount };", "export default {"]
