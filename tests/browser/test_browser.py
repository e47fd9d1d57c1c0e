"""The explorer as a person uses it, in JupyterLab and as a page from disk: what is on the screen is where the data say."""

import re
import time

import numpy as np
import pytest

from dancemvp_core import datasets
from dancemvp_core.dance import rhythm
from dancemvp_core.dance.pieces import PieceSet
from dancemvp_core.dance.skeleton import front_view
from dancemvp_core.runs import profiles


class Seen:
    """The explorer on a page, by its own elements and by what it says it has drawn."""

    def __init__(self, page):
        self.page, self.root = page, page.locator(".dancemvp-explorer")
        page.wait_for_selector(".dancemvp-explorer[data-painted]", timeout=120_000)

    def ask(self, what: str):
        """A property or call of ``element.explorer``."""
        return self.page.evaluate(f"document.querySelector('.dancemvp-explorer').parentElement.explorer.{what}")

    @property
    def drawn(self) -> dict:
        return self.ask("drawn")

    def find(self, selector: str):
        return self.root.locator(selector)

    def click_point(self, i: int) -> None:
        """Click point i of the map, in the middle of which nothing lies over it, and wait for its dance."""
        x, y = self.ask(f"point({i})")
        wanted = self.ask(f"piece({i})")
        self.find(".overlay").click(position={"x": x, "y": y})
        self.until(lambda: (self.drawn["clip"] or {}).get("sequence") == wanted["sequence"], f"point {i} dances")

    def until(self, true, what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
            self.page.wait_for_timeout(50)

    def settled(self) -> dict:
        """What is drawn of a dance that stands still, once all that was asked for is on the screen."""
        self.until(lambda: not self.drawn["queued"], "it is drawn")
        return self.drawn

    def topmost(self) -> int:
        """A point that no other one lies over: the one farthest from its nearest neighbour on the screen."""
        count = int(re.search(r"of (\d+) pieces", self.find(".tally").inner_text())[1])
        at = np.array([self.ask(f"point({i})") for i in range(0, count, max(1, count // 80))])
        apart = np.linalg.norm(at[:, None] - at[None], axis=2) + 1e9 * np.eye(len(at))
        width, height = self.find(".overlay").evaluate("canvas => [canvas.clientWidth, canvas.clientHeight]")
        inside = (at[:, 1] > 60) & (at[:, 1] < height - 20) & (at[:, 0] > 20) & (at[:, 0] < width - 20)
        assert inside.any(), "every point lies outside of what the map shows"
        return int(np.argmax(np.where(inside, apart.min(axis=1), -1))) * max(1, count // 80)


@pytest.fixture(scope="module", params=["lab", "page"])
def opened(request, new_page):
    """The explorer in both of its forms, each opened once: all cells of the notebook run, or the page from disk."""
    page = new_page()
    if request.param == "lab":
        page.goto(request.getfixturevalue("lab"))
        page.wait_for_selector(".jp-Notebook")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        page.wait_for_selector(".dancemvp-explorer", timeout=240_000)
        page.keyboard.press("Control+b")  # the file browser away
    else:
        page.goto(request.getfixturevalue("report_page").as_uri())
    return Seen(page)


@pytest.fixture
def explorer(opened):
    """The explorer in view; afterwards there was no error and no request to anywhere else."""
    opened.root.scroll_into_view_if_needed()
    opened.page.wait_for_timeout(300)
    yield opened
    assert opened.page.watch.errors == []
    assert opened.page.watch.foreign == []


@pytest.fixture(scope="module")
def dataset(smoke_run):
    return datasets.load(profiles.synthdance_root(smoke_run.root, "smoke"))


def projected(motion, skeleton, frame, drawn) -> np.ndarray:
    """Where a camera puts the joints of one frame, (V, 2): a perspective matrix, from the data's own coordinates.

    ``motion`` (3, T, V) is the piece's, y up. Depth is what the front view leaves: the third axis of a right-handed frame.
    """
    seen, up = front_view(motion, skeleton), np.array([0.0, 1.0, 0.0])
    centred = motion - motion[:, :, [skeleton.root]]
    moving = np.abs(seen[..., 0]) > 0.02
    level = np.linalg.lstsq(centred[:, moving].T, seen[moving][:, 0], rcond=None)[0]
    across = level / np.linalg.norm(level)
    world = np.einsum("ia,atv->tvi", np.stack([across, up, np.cross(across, up)]), motion)
    world -= world[:, skeleton.root].mean(axis=0)
    world[..., 1] -= world[..., 1].min()
    yaw, pitch = drawn["orbit"]["yaw"], drawn["orbit"]["pitch"]
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    tilt = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    reach, height = max(np.abs(world[..., [0, 2]]).max(), world[..., 1].max() / 2), world[..., 1].max()
    eye = (world[frame] - [0, height / 2, 0]) @ (tilt @ turn).T
    width, tall = drawn["stage"]
    pixels = 0.43 * min(width, tall) / max(reach, height / 2) * 5 * reach / (5 * reach - eye[:, 2])
    return np.stack([width / 2 + eye[:, 0] * pixels, tall / 2 - eye[:, 1] * pixels], axis=1)


def test_a_point_dances_where_the_data_say(explorer, dataset, smoke_run):
    explorer.click_point(explorer.topmost())
    explorer.until(lambda: explorer.drawn["playing"], "a dance that is chosen starts")
    stage = explorer.find(".dancer").first
    before, at = stage.screenshot(), explorer.drawn["phase"]
    explorer.until(lambda: abs(explorer.drawn["phase"] - at) > 0.1, "it moves")
    assert stage.screenshot() != before

    explorer.find(".play").click()
    assert not explorer.drawn["playing"]
    scrub = explorer.find(".transport input")
    scrub.focus()
    scrub.fill("500")
    explorer.find(".dancer").first.press("ArrowRight")
    drawn = explorer.settled()
    assert drawn["phase"] == pytest.approx(0.5)
    table = PieceSet.load(smoke_run.pieces).table
    clip = drawn["clip"]
    choreography = dataset.index["choreography"][clip["sequence"]]
    piece = table[(table["choreography"] == choreography) & (table["primitive"] == clip["primitive"])].iloc[0]
    assert clip["time"] == pytest.approx((piece["end_s"] - piece["start_s"]) / 2, abs=1e-3)
    sequence = dataset.sequences[clip["sequence"]]
    shown = np.arange(round(piece["start_s"] * sequence.fps), round(piece["end_s"] * sequence.fps) + 1, 2)
    motion = np.asarray(sequence.motion, dtype=float)[:, shown]
    between = clip["time"] * sequence.fps / 2
    expected = [projected(motion, sequence.skeleton, f, drawn) for f in (int(between), int(between) + 1)]
    expected = expected[0] + (between % 1) * (expected[1] - expected[0])
    assert np.abs(np.array(drawn["joints"]) - expected).max() < 1.0, "more than a pixel off"
    coloured = stage.evaluate(
        """(canvas, joints) => joints.map(([x, y]) => {
            const ratio = devicePixelRatio;
            return [...canvas.getContext("2d").getImageData(Math.round(x * ratio), Math.round(y * ratio), 1, 1).data];
        })""",
        expected.tolist(),
    )
    coloured = np.array(coloured)
    assert coloured[:, 3].min() > 100, "a joint where nothing is drawn"
    blue, orange = coloured[:, 2] > coloured[:, 0] + 60, coloured[:, 0] > coloured[:, 2] + 60
    assert blue.sum() >= 4 and orange.sum() >= 4, "left and right are told apart"

    music, motion_peaks = sequence.music_intensity_s, rhythm.intensity_peaks(
        rhythm.motion_intensity(sequence.motion, sequence.fps), sequence.fps
    )  # fmt: skip
    hit = [i for i, _ in rhythm.match_peaks(music, motion_peaks)]
    inside = [i for i, t in enumerate(sorted(music)) if piece["start_s"] <= t < piece["end_s"]]
    assert drawn["peaks"]["music"] == [i in hit for i in inside]


def test_music_is_in_step(explorer):
    explorer.click_point(explorer.topmost())
    before = explorer.drawn["audio"]["time"]
    explorer.until(lambda: explorer.drawn["audio"]["time"] not in (0, before), "the music plays")
    drawn, drifts = explorer.drawn, []
    assert not drawn["audio"]["paused"]
    for _ in range(11):
        explorer.page.wait_for_timeout(150)
        drifts.append(abs(explorer.drawn["audio"]["drift"]))
    assert np.median(drifts) < 0.1, "music and dance more than 0.1 s apart"
    explorer.find(".transport select").select_option("0.5×")
    assert explorer.drawn["audio"]["rate"] == pytest.approx(drawn["audio"]["rate"] / 2)
    explorer.find("button[title='Sound']").click()
    assert explorer.drawn["audio"]["paused"] and explorer.drawn["playing"]
    explorer.find("button[title='Sound']").click()
    explorer.find(".transport select").select_option("1×")


def test_points_have_the_colour_of_their_class(explorer):
    explorer.find("select[aria-label='colour by']").select_option(label="genre")
    explorer.page.wait_for_timeout(200)
    point = explorer.topmost()
    colours = explorer.find(".entry i").evaluate_all("marks => marks.map(m => getComputedStyle(m).backgroundColor)")
    seen = explorer.find(".points").evaluate(
        """(canvas, [x, y]) => {
            const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
            copy.drawImage(canvas, 0, 0);
            const [r, g, b, a] = copy.getImageData(Math.round(x * devicePixelRatio), Math.round(y * devicePixelRatio), 1, 1).data;
            return [r, g, b];
        }""",
        explorer.ask(f"point({point})"),
    )
    palette = np.array([[int(n) for n in re.findall(r"\d+", colour)[:3]] for colour in colours])
    assert len(palette) == 5 and np.abs(palette - seen).max(axis=1).min() <= 6
    ink = explorer.root.evaluate("root => getComputedStyle(root).getPropertyValue('--text')")
    assert ink.strip(), "no style sheet"


def test_colour_filter_lasso(explorer):
    points, total = explorer.find(".points"), int(explorer.root.get_attribute("data-shown"))
    before = points.screenshot()
    explorer.find("select[aria-label='colour by']").select_option(label="level")
    assert explorer.find(".entry").count() == 3
    explorer.until(lambda: points.screenshot() != before, "other colours")
    explorer.find(".entry").first.click()
    left = int(explorer.root.get_attribute("data-shown"))
    assert 0 < left < total
    assert explorer.find(".entry").first.get_attribute("aria-pressed") == "false"
    explorer.find("button[title^='Show all']").click()
    assert int(explorer.root.get_attribute("data-shown")) == total

    explorer.find("button[title^='Lasso']").click()
    box = explorer.find(".overlay").bounding_box()
    corners = [(0.02, 0.12), (0.98, 0.12), (0.98, 0.98), (0.02, 0.98)]
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    explorer.page.mouse.move(*at[0])
    explorer.page.mouse.down()
    for corner in at[1:]:
        explorer.page.mouse.move(*corner, steps=6)
    explorer.page.mouse.up()
    size = int(explorer.root.get_attribute("data-group"))
    assert 0.5 * total < size <= total
    assert explorer.find(".group strong").inner_text() == f"{size} pieces in the group"
    assert explorer.find(".made-of").count() >= 4
    explorer.find("button[title='Clear the group']").click()
    assert explorer.root.get_attribute("data-group") == "0"


def test_neighbours_and_practice(explorer):
    point = explorer.topmost()
    explorer.click_point(point)
    near = [explorer.ask(f"piece({i})") for i in explorer.ask(f"near({point})")]
    assert explorer.find(".card").count() == len(near) == 5
    explorer.find(".card button").first.click()
    explorer.until(lambda: explorer.drawn["mate"], "the neighbour dances beside")
    drawn = explorer.drawn
    assert {k: drawn["mate"][k] for k in near[0]} == near[0]
    explorer.page.wait_for_timeout(200)
    assert explorer.find(".dancer").nth(1).is_visible()
    explorer.find(".card .go").first.click()
    explorer.until(lambda: explorer.drawn["clip"]["sequence"] == near[0]["sequence"], "the neighbour takes the stage")

    trial = explorer.find(".practice input")
    trial.focus()
    trial.press("Home")
    explorer.until(lambda: "trial 1 of 12" in explorer.find(".trial-text").inner_text(), "the first trial")
    first = explorer.drawn["clip"]["sequence"]
    trial.press("End")
    explorer.until(lambda: explorer.drawn["clip"]["sequence"] > first, "a later trial")


def test_by_keyboard(explorer):
    overlay = explorer.find(".overlay")
    overlay.focus()
    overlay.press("ArrowRight")
    assert explorer.find(".tip").is_visible()
    assert "move" in explorer.find(".tip strong").inner_text()
    overlay.press("Enter")
    explorer.until(lambda: explorer.drawn["clip"] and explorer.drawn["playing"], "Enter makes it dance")
    overlay.press(" ")
    assert not explorer.drawn["playing"]
    yaw = explorer.drawn["orbit"]["yaw"]
    explorer.find(".dancer").first.press("ArrowRight")
    assert explorer.drawn["orbit"]["yaw"] > yaw
    scale = explorer.drawn["view"]["scale"]
    overlay.press("+")
    assert explorer.drawn["view"]["scale"] > scale
    unnamed = explorer.root.evaluate(
        """root => [...root.querySelectorAll("button, select, input, [tabindex]")]
            .filter(e => !(e.getAttribute("aria-label") || e.textContent.trim() || e.title)).length"""
    )
    assert unnamed == 0


def test_nothing_overlaps_and_all_fits(explorer):
    explorer.click_point(explorer.topmost())
    explorer.find(".card button").first.click()
    explorer.until(lambda: explorer.drawn["mate"], "the neighbour dances beside")
    overlaps = explorer.root.evaluate(
        """root => {
            const names = [".toolbar", ".frame", ".legend", ".group", "header", ".dancers", ".transport", ".curves", ".key"];
            names.push(".practice", ".neighbours", ".note");
            const boxes = names.map(name => [name, root.querySelector(name).getBoundingClientRect()]);
            const within = (a, b, c, d) => a < d - 1 && c < b - 1;
            const hit = ([, p], [, q]) => within(p.left, p.right, q.left, q.right) && within(p.top, p.bottom, q.top, q.bottom);
            return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => hit(a, b)).map(b => a[0] + " / " + b[0]));
        }"""
    )
    assert overlaps == []
    box = explorer.root.bounding_box()
    assert box["height"] <= 720
    assert explorer.root.evaluate("root => root.scrollWidth <= root.clientWidth + 1")


def test_a_lost_webgl_context_does_not_blank_the_map(explorer):  # the last test, because the map stays 2-D
    inked = """canvas => {
        const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        return copy.getImageData(0, 0, canvas.width, canvas.height).data.filter((v, i) => i % 4 === 3 && v > 0).length;
    }"""
    before = explorer.find(".points").evaluate(inked)
    if not explorer.find(".points").evaluate("canvas => !!canvas.getContext('webgl2')"):
        pytest.skip("this browser has no WebGL")
    explorer.find(".points").evaluate("canvas => canvas.getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()")
    explorer.page.wait_for_timeout(500)
    assert explorer.find(".points").count() == 1
    assert explorer.find(".points").evaluate("canvas => !!canvas.getContext('2d')"), "drawn in 2-D"
    assert explorer.find(".points").evaluate(inked) > 0.5 * before > 0
