"""Figures draw from small data, say "synthetic" where it is so, and keep to the style; pixels are not tested."""

import itertools

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from dancemvp_core import labels, style
from dancemvp_core.assess import pictures
from dancemvp_core.controls import difficulty
from dancemvp_core.controls import figures as extra
from dancemvp_core.dance.sequences import DanceSequence
from dancemvp_core.dance.skeleton import COCO17, IMPERIALDANCE21, Skeleton
from dancemvp_core.paper import figures, progression

CHAIN = Skeleton("chain", ("a", "b", "c"), (-1, 0, 1))


def words(figure) -> str:
    """Return all texts of a figure, after a layout.

    A figure without room for it fails, and one that cuts a text off or prints two labels of an axis on one another.
    """
    drawn = []
    draw = Text.draw
    with pytest.MonkeyPatch.context() as patch:  # an axis has ticks outside its limits, too, which are not drawn
        patch.setattr(Text, "draw", lambda text, renderer: (drawn.append(text), draw(text, renderer)))
        figure.draw_without_rendering()
    texts = [text for text in drawn if text.get_text() and text.get_visible()]
    edge = figure.bbox.padded(1)
    for text in texts:
        box = text.get_window_extent()
        assert edge.containsx(box.x0) and edge.containsx(box.x1), f"{text.get_text()!r} is cut off"
        assert edge.containsy(box.y0) and edge.containsy(box.y1), f"{text.get_text()!r} is cut off"
    for axis in [axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)]:
        labels = [label for label in axis.get_ticklabels() if label in texts]
        for one, other in itertools.pairwise(labels):
            boxes = [label.get_tightbbox() for label in (one, other)]
            turned = one.get_rotation() % 180  # parallel lines: their boxes overlap, they do not
            assert turned or not boxes[0].overlaps(boxes[1]), f"{one.get_text()!r} overprints {other.get_text()!r}"
    return " | ".join(text.get_text() for text in texts)


def motion(skeleton, seconds=4.0, fps=50.0):
    t = np.arange(round(seconds * fps)) / fps
    rest = np.random.default_rng(0).normal(size=(3, 1, len(skeleton.joints)))
    return rest + 0.2 * np.sin(2 * np.pi * t)[None, :, None] * rest[:, :, ::-1]


def card():
    rows = [{"row": name, "role": "floor", "accuracy": 20.0, "level_within": 40.0} for name in difficulty.ROWS]
    rows[-1]["role"] = "ceiling"
    return pd.DataFrame(rows)


def correlations():
    return pd.DataFrame({"choreography": ["b0", "b0", "k0"], "stretch": [0.3, 0.2, 0.1], "crop": [0.0, 0.1, -0.1]})


def rates():
    rows = [
        {"choreography": c, "level": level, "trial": t, "bar": 60.0 + t / 10}
        for c in ("b0", "k0", "j0") for level in ("beginner", "intermediate", "expert") for t in range(20)
    ]  # fmt: skip
    return progression.per_unit(pd.DataFrame(rows), 20)


def performance(**more):
    t = np.arange(400) / 100
    found = {"name": "expert", "intensity": 1 + np.cos(2 * np.pi * t), "fps": 100.0}
    return found | {"motion_peaks": np.array([1.0, 2.0, 3.0]), "music_peaks": np.array([1.1, 2.5])} | more


DRAWN = {
    "difficulty_card": lambda synthetic: extra.difficulty_card(card(), 90.0, synthetic),
    "onset_correlation": lambda synthetic: figures.onset_correlation(correlations(), synthetic),
    "primitives": lambda synthetic: figures.primitives(
        DanceSequence(motion(IMPERIALDANCE21), 50.0, IMPERIALDANCE21), [(0.1, 1.3), (1.3, 2.5), (2.5, 3.7)], synthetic,
        np.sin(np.arange(9000)), [0.1, 0.5], [0.1, 0.3, 0.5],
    ),
    "beat_alignment": lambda synthetic: figures.beat_alignment([performance()] * 2, 4.0, synthetic, True),
    "progression": lambda synthetic: figures.progression({"measured": rates(), "predicted": rates()}, synthetic, 20),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_badge_stands_on_synthetic_data_and_on_no_other(name):
    assert "synthetic data" in words(DRAWN[name](True))
    assert "synthetic" not in words(DRAWN[name](False))


@pytest.mark.parametrize("name", DRAWN)
def test_width_fonts_and_no_figure_left_open(name):
    before = plt.get_fignums()
    with matplotlib.rc_context({"font.size": 30, "axes.titlesize": 30}):  # a session's own style does not show
        figure = DRAWN[name](True)
    figure.draw_without_rendering()
    assert figure.get_size_inches()[0] in (style.COLUMN_IN, style.PAGE_IN)
    sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
    assert min(sizes) >= 7 and max(sizes) <= 9
    assert plt.get_fignums() == before


def test_fig_3_without_music_and_without_left_and_right():
    groups = [(0.0, 1.3), (1.3, 2.6), (2.6, 4.0)]
    for skeleton in (CHAIN, COCO17):
        text = words(figures.primitives(DanceSequence(motion(skeleton), 50.0, skeleton), groups, False))
        assert "no music" in text and "tracked beat" not in text
        assert ("mirrored" in text) == bool(skeleton.pairs)
    text = words(figures.primitives(DanceSequence(motion(COCO17), 50.0, COCO17), [(0.0, 4.0)], False))
    assert "group 1" in text and "mirrored" not in text, "one group has no other to be the mirror of"


def test_fig_4_counts_its_matches_and_names_the_peaks():
    labelled = words(figures.beat_alignment([performance()], 4.0, False, True))
    assert "expert: 1 of 2 matched, BAR 50 %" in labelled and "(labelled)" in labelled
    silent = words(figures.beat_alignment([performance(music_peaks=np.zeros(0))], 4.0, False, False))
    assert "no music peaks" in silent and "motion peak" in silent and "BAR" not in silent
    assert not any(word in silent for word in ("onset", "missed", "matched")), "words of the music only where there is music"


def test_fig_4_has_the_music_s_curve_with_its_peaks_on_it():
    times = np.arange(0, 4, 0.023)
    found = performance(music_intensity=1 + np.cos(2 * np.pi * (times - 1.1)), music_times=times)
    figure = figures.beat_alignment([found], 4.0, False, True)
    (ax,) = figure.axes
    curve = next(line for line in ax.lines if len(line.get_xdata()) == len(times))
    peaks = next(line for line in ax.lines if line.get_marker() == "v")
    assert curve.get_ydata().min() > 1.2, "above the motion's curve, which ends at 1"
    assert np.allclose(peaks.get_ydata(), np.interp(peaks.get_xdata(), times, curve.get_ydata()))
    assert "onset strength" in words(figure) and "synthetic" not in words(figure)


def test_numbers_on_a_map_do_not_overprint():
    rng = np.random.default_rng(0)
    points = pd.DataFrame(rng.normal(size=(900, 2)), columns=["x", "y"])  # every cluster has its centre at the same place
    points = points.assign(genre=np.repeat(list("abc"), 300), level="expert", primitive=np.tile([0, 1, 2], 300))
    figure = figures.feature_map(points, "genre", True)
    figure.draw_without_rendering()
    numbers = [text for text in figure.findobj(Text) if text.get_text() in ("1", "2", "3")]
    boxes = [text.get_window_extent() for text in numbers]
    assert len(numbers) == 9
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_table_as_a_picture_has_every_row_and_only_the_tasks_with_values():
    rows = [
        {"method": name, "protocol": protocol, "condition": condition}
        | {f"task{task}_{part}": value + shift for task, value in ((1, 50.0), (3, 90.0))
           for part, shift in (("mean", 0), ("ci_low", -2), ("ci_high", 2))}
        for name, protocol, condition in (
            ("chance", "chance", np.nan), ("moco", "finetune", "collapsed"), ("ours", "prompt", np.nan),
        )
    ]  # fmt: skip
    table = pd.DataFrame(rows).assign(**{f"task2_{part}": np.nan for part in ("mean", "ci_low", "ci_high")})
    figure = figures.comparison(table, {"ours": "Ours", "moco": "MoCo"}, {"chance"}, False)
    text = words(figure)
    assert all(name in text for name in ("chance", "MoCo (finetune)", "Ours (prompt)", "hollow: underfit or collapsed"))
    assert "Task 1" in text and "Task 3" in text and "Task 2" not in text
    hollow = [line for line in figure.axes[0].lines if line.get_marker() == "o" and line.get_markerfacecolor() == "white"]
    assert [line.get_ydata()[0] for line in hollow] == [1]
    assert "hollow" not in words(figures.comparison(table.assign(condition=""), {}, set(), False))


def test_seen_and_unseen_dancers_have_a_panel_for_each_cast():
    rows = [
        {"method": name, "protocol": protocol, "cast": cast, "dancers": who, "level_within": 80.0 if who == "seen" else 40.0}
        for name, protocol in (("ours", "prompt"), ("chance", "chance")) for cast in ("default", "strong style")
        for who in ("seen", "unseen")
    ]  # fmt: skip
    figure = extra.unseen_dancers(pd.DataFrame(rows), True, labels.Levels(("weary", "brisk"), "style"))
    text = words(figure)
    assert "cast: default" in text and "cast: strong style" in text and "Ours (ST-GCN-LSTM-InfoNCE) (prompt)" in text
    assert "style, all else given" in text and "level" not in text and "synthetic data" in text
    dots = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert dots == [80.0, 40.0] * 2
    assert extra.unseen_dancers(pd.DataFrame(rows).drop(columns="level_within"), True) is None


def test_the_axes_of_fig_7_show_every_mean_and_are_not_squashed_by_one_bar():
    names = "varied protocol shots genres task metric mean ci_low ci_high".split()
    rows = [("shots", "prompt", n, 5, 1, "accuracy", 50.0 + n, 49.0 + n, 51.0 + n) for n in (1, 5, 20)]
    rows += [("shots", "finetune", 1, 5, 1, "accuracy", 52.0, -900.0, 1000.0)]
    figure = figures.prompt_vs_finetune(pd.DataFrame(rows, columns=names), False)
    low, high = figure.axes[0].get_ylim()
    assert low < 51 < 70 < high and high - low < 60
    assert words(figure).count("no values") == 1, "no values over g; a task without values has no panel"


@pytest.mark.parametrize("tasks", [(), (1,), (1, 3), (1, 2, 3)])
def test_fig_7_has_panels_for_the_tasks_with_values(tasks):
    names = "varied protocol shots genres task metric mean ci_low ci_high".split()
    rows = [(varied, "prompt", 5, 3, task, "", 50.0, 49.0, 51.0) for varied in ("shots", "genres") for task in tasks]
    figure = figures.prompt_vs_finetune(pd.DataFrame(rows, columns=names), False)
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert [title[:6] for title in titles if title] == [f"Task {task}" for task in tasks or (1, 2, 3)]
    assert len(figure.axes) == 2 * len(tasks or (1, 2, 3)) and words(figure).count("no values") == (0 if tasks else 6)


def test_of_one_primitive_no_number_is_shown():
    points = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["x", "y"])
    points = points.assign(genre=np.repeat(list("abc"), 20), level="expert", primitive=0)
    assert "1" not in words(figures.feature_map(points, "genre", False))
    assert "1 2 3" in words(figures.feature_map(points.assign(primitive=np.tile([0, 1], 30)), "genre", False))


@pytest.mark.parametrize("names", [("b0", "k0", "j0"), ("raise-up-both-hands", "raise-up-left-hand", "raise-up-right-hand")])
def test_names_of_any_length_have_room(names):
    levels = labels.Levels(("weary", "calm", "brisk"), "style")
    index = pd.MultiIndex.from_product([names, [0], levels.names], names=["choreography", "primitive", "level"])
    matrix = pd.DataFrame(100 * np.eye(9), index=index, columns=index)
    pairs = pd.DataFrame({"method": ["ours", "motion_only"], "similarity": [-0.3, 0.4], "confusion": 1.0, "rho": 0.5, "p": 0.1})
    text = words(extra.confusion(matrix, pairs, False, levels))
    assert all(text.count(name) == 2 for name in names) and "primitive, style" in text and "motion only: ρ = 0.50" in text
    bins = pd.DataFrame({"confidence": [0.5, 0.9], "right": [0.4, 1.0], "performances": [3, 9]})
    text = words(pictures.reliability({"choreography": {"test": (bins, 3.0)}, "level": {"test": (bins, 1.0)}}, False, levels))
    assert "style" in text and "level" not in text


def test_fig_6_draws_what_is_there():
    values = rates()
    values.loc[values["level"] == "expert", ["first", "gain"]] = np.nan
    assert "no values" in words(figures.progression({"predicted": values}, True, 20))


def test_figures_have_as_many_levels_as_the_data_and_say_their_word():
    styles = labels.Levels(("weary", "calm", "brisk", "wild"), "style")
    values = pd.concat([rates()[rates()["level"] == "expert"].assign(level=name) for name in styles.names])
    figure = figures.progression({"measured": values}, False, 20, styles, "person")
    assert "(d) wild" in words(figure) and "(e) all 20 trials" in words(figure) and "a person" in words(figure)
    points = pd.DataFrame(np.random.default_rng(0).normal(size=(24, 2)), columns=["x", "y"])
    points = points.assign(genre="a", level=np.repeat(styles.names, 6), primitive=np.tile([0, 1, 2], 8))
    text = words(figures.feature_map(points, "level", False, styles))
    assert all(name in text for name in styles.names)
    history = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1], "trivial_loss": [3.0, 3], "knn_level_within": [0.4, 0.5]})
    text = words(figures.pretraining(history, False, styles))
    assert "style within" in text and "level" not in text
    assert "style, all else given" in words(extra.difficulty_card(card(), 90.0, False, styles))


def test_colours_are_fixed_and_unknown_labels_have_one():
    assert len(set(style.GENRE_COLOURS.values())) == 5 and len(set(style.LEVEL_COLOURS.values())) == 3
    assert labels.Levels().colour(None) == style.GREY


def test_caption_names_the_data():
    assert style.caption("A map.", True, "synthdance") == "A map. Data: synthdance, which is synthetic."
    assert style.caption("A map.", False, "imperialdance") == "A map. Data: imperialdance."


def test_of_nothing_nothing_is_drawn():
    assert figures.feature_map(None, "genre", True) is None
    same = correlations().assign(crop=lambda c: c["stretch"])
    assert figures.onset_correlation(same, True) is None and plt.get_fignums() == []
