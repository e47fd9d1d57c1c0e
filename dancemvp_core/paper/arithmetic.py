"""Checks of claims with fixed numbers: the paper's own, and those in the authors' released code.

Each function in ``ARITHMETIC`` recomputes one claim, from the numbers in ``printed`` or in the released files, and returns a
``Sum``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dancemvp_core.datasets.imperialdance import MUSIC
from dancemvp_core.paper import printed
from dancemvp_core.pretraining import methods
from dancemvp_core.tasks import splits
from dancemvp_core.tasks.metrics import HIGHER_IS_BETTER


@dataclass(frozen=True)
class Sum:
    """A calculation with fixed numbers: whether the claim agrees with them, and the calculation in words."""

    agrees: bool
    text: str


GENERAL = ("simclr", "moco", "svt", "crossentropy", "supcon")
DANCE = ("contrastivedance", "happyfeet", "dance_with_melody")
DANCE_SETS = ("DanceNet", "Dance with Melody", "GrooveNet", "AIST++")


def _paper(name: str, task: int) -> float:
    return printed.results(name)[task - 1]


def label(name: str) -> str:
    """Return a method's name as the paper prints it."""
    return methods.METHODS[name].label


def better(a: float, b: float, task: int) -> bool:
    """Return whether ``a`` is the better value in a task."""
    return a > b if HIGHER_IS_BETTER[f"task{task}"] else a < b


def relative_lead(ours: float, other: float, task: int) -> float:
    """Return the lead of ``ours`` in percent of ``other``: a gain in accuracy, or a reduction of an error."""
    return 100 * (ours / other - 1) if HIGHER_IS_BETTER[f"task{task}"] else 100 * (1 - ours / other)


def _best_rival(names: Iterable[str], task: int) -> str:
    pick = max if HIGHER_IS_BETTER[f"task{task}"] else min
    return pick(names, key=lambda name: _paper(name, task))


def _margin(names: Iterable[str], task: int, claim: str) -> Sum:
    at_least = printed.STATED[claim]
    rival, ours = _best_rival(names, task), _paper("ours", task)
    other = _paper(rival, task)
    lead = relative_lead(ours, other, task)
    fraction = f"{ours:g} / {other:g} - 1" if task == 1 else f"1 - {ours:g} / {other:g}"
    rounded = round(lead) >= at_least  # the paper rounds to whole percent
    relation = f"at least {at_least:g} %" if rounded else f"less than {at_least:g} %"
    if rounded and lead < at_least:
        relation += " after rounding"
    elif round(lead) > at_least:
        relation += f", but not equal to {at_least:g} %"
    return Sum(rounded, f"against {label(rival)}, the best of them: {fraction} = {lead:.1f} %, {relation}")


def _beaten_by(number: int, tasks: Iterable[int]) -> Sum:
    ahead = []
    for task in tasks:
        ours = _paper("ours", task)
        rows = {n: _paper(n, task) for n in methods.table(number) if n != "ours" and np.isfinite(_paper(n, task))}
        ahead += [f"{label(n)} has {v:g} on Task {task}" for n, v in rows.items() if better(v, ours, task)]
    own = ", ".join(f"{_paper('ours', t):g} on Task {t}" for t in tasks)
    return Sum(not ahead, f"ours has {own}; " + ("; ".join(ahead) if ahead else "no other row is better"))


def pretrain_pieces() -> Sum:
    count = 10 * 100 * 3 * 3
    stated = printed.STATED["setup-pretrain-pieces"]
    return Sum(count == stated, f"10 x 100 x 3 x 3 = {count:,}, not {stated:,}")


def test_pieces() -> Sum:
    count = 5 * 100 * 3 * 3
    return Sum(count == printed.STATED["setup-test-pieces"], f"5 x 100 x 3 x 3 = {count:,}")


def classes() -> Sum:
    return Sum(printed.STATED["setup-classes"] == 20 * 3 * 3, f"20 x 3 x 3 = {20 * 3 * 3}")


def dataset_seconds() -> Sum:
    seconds, stated = 20 * 3 * 100 * 10, printed.STATED["table1-seconds"]
    text = f"20 x 3 x 100 sequences of 10 s = {seconds:,} s, not {stated:,} s ({stated / seconds - 1:+.1%})"
    return Sum(seconds == stated, text)


def samples_of_other_sets() -> Sum:
    dances = {row[0]: row[3] for row in printed.TABLE1 if row[0] in DANCE_SETS}
    more = {name: n for name, n in dances.items() if n > 1}
    return Sum(not more, "Table 1 prints " + ", ".join(f"{n} for {name}" for name, n in dances.items()))


def best_of_table2() -> Sum:
    return _beaten_by(2, (1, 3))


def several_on_all_tasks() -> Sum:
    rows = methods.table(2) | methods.table(3)
    beaten = [n for n in rows if n != "ours" and all(better(_paper("ours", t), _paper(n, t), t) for t in (1, 2, 3))]
    others = [label(n) for n in rows if n != "ours" and n not in beaten]
    text = f"ours is better on all three tasks than {len(beaten)} of {len(rows) - 1} rows of Tables 2 and 3; it is not better than "
    return Sum(len(beaten) > 1, text + ", ".join(others))


def best_of_table3() -> Sum:
    return _beaten_by(3, (1, 2, 3))


def third_on_task2() -> Sum:
    rows = sorted(methods.table(2), key=lambda name: _paper(name, 2))
    first = ", ".join(f"{label(n)} {_paper(n, 2):g}" for n in rows[:4])
    place = rows.index("ours") + 1
    return Sum(place == printed.STATED["table2-third"], f"in order: {first}, ...: ours is number {place}")


def margin_general_task1() -> Sum:
    return _margin(GENERAL, 1, "table2-margin-general-task1")


def margin_general_task3() -> Sum:
    return _margin(GENERAL, 3, "table2-margin-general-task3")


def margin_dance_task1() -> Sum:
    return _margin(DANCE, 1, "table2-margin-dance-task1")


def margin_dance_task3() -> Sum:
    return _margin(DANCE, 3, "table2-margin-dance-task3")


def rows_of_dance_studies() -> Sum:
    rows = list(methods.table(2))
    place = [rows.index(name) + 1 for name in ("contrastivedance", "happyfeet")]
    return Sum(
        place == [5, 6], f"ContrastiveDance and HappyFeet are rows {place[0]} and {place[1]}; row 5 is {label(rows[4])}"
    )


def _ahead(genres: int) -> list[int]:
    return [t for t in (1, 2, 3) if better(printed.TABLE4["prompt", genres][t - 1], printed.TABLE4["finetune", genres][t - 1], t)]


def prompting_at_five() -> Sum:
    pairs = ", ".join(f"{printed.TABLE4['prompt', 5][t - 1]:g} against {printed.TABLE4['finetune', 5][t - 1]:g}" for t in (1, 2, 3))
    return Sum(_ahead(5) == [1, 2, 3], f"g = 5: {pairs}")


def prompting_in_most() -> Sum:
    count = len(_ahead(5)) + len(_ahead(1))
    behind = [
        f"Task {t}: {printed.TABLE4['prompt', 1][t - 1]:g} against {printed.TABLE4['finetune', 1][t - 1]:g}"
        for t in {1, 2, 3} - {*_ahead(1)}
    ]
    return Sum(count > 3, f"prompting is ahead in {count} of 6; at g = 1 it is behind on {'; '.join(behind) or 'none'}")


def _losses(protocol: str) -> list[float]:
    """Return the relative loss in percent from g = 1 to g = 5 for each task; it is negative for a gain."""
    return [-relative_lead(printed.TABLE4[protocol, 5][t - 1], printed.TABLE4[protocol, 1][t - 1], t) for t in (1, 2, 3)]


def finetune_falls() -> Sum:
    losses = _losses("finetune")
    one, five = printed.TABLE4["finetune", 1], printed.TABLE4["finetune", 5]
    changes = "; ".join(f"Task {i + 1}: {one[i]:g} to {five[i]:g} = {-loss:+.1f} %" for i, loss in enumerate(losses))
    mean = float(np.mean(losses))
    stated = printed.STATED["fig7-finetune-falls"]
    text = f"{changes} (minus means worse); mean {-mean:+.1f} %; {stated} % is the loss on Task 3 alone"
    return Sum(abs(mean - stated) <= 0.5, text)


def prompt_holds() -> Sum:
    prompt, tune = _losses("prompt"), _losses("finetune")
    by_task = enumerate(zip(prompt, tune, strict=True), 1)
    changes = "; ".join(f"Task {t}: prompting {-p:+.1f} %, fine-tuning {-f:+.1f} %" for t, (p, f) in by_task)
    means = [float(np.mean(losses)) for losses in (prompt, tune)]
    text = f"{changes} (minus means worse); mean: prompting {-means[0]:+.1f} %, fine-tuning {-means[1]:+.1f} %"
    return Sum(means[0] < means[1], text)


def released_pretrain_pieces() -> Sum:
    count, stated = len(splits.PRETRAIN) * 75 * 3 * 3, printed.STATED["setup-pretrain-pieces"]
    text = f"as released, the first 75 trials: {len(splits.PRETRAIN)} x 75 x 3 x 3 = {count:,}, not {stated:,}"
    return Sum(count == stated, text)


def released_test_pieces() -> Sum:
    tune, test = (len(splits.TEST) * trials * 3 * 3 for trials in (15, 10))
    count, stated = tune + test, printed.STATED["setup-test-pieces"]
    text = f"as released, 15 trials tune ({tune} pieces) and 10 test ({test}): {len(splits.TEST)} x 25 x 3 x 3 = {count:,}"
    return Sum(count == stated, f"{text}, not {stated:,}")


def released_test_music() -> Sum:
    index = pd.DataFrame({"choreography": list(MUSIC), "track": [source.track for source in MUSIC.values()]})
    heard = splits.heard_in_pretraining(index, splits.assign(index, "released"))
    shared = [f"{name} has the track of {' and '.join(others)}" for name, others in heard.items()]
    return Sum(not heard, "by ImperialDance's published music table, " + (", ".join(shared) or "no track is shared"))


ARITHMETIC: dict[str, Callable[[], Sum]] = {
    f.__name__: f
    for f in (
        pretrain_pieces, test_pieces, classes, dataset_seconds, samples_of_other_sets, best_of_table2, several_on_all_tasks,
        best_of_table3, third_on_task2, margin_general_task1, margin_general_task3, margin_dance_task1, margin_dance_task3,
        rows_of_dance_studies, prompting_at_five, prompting_in_most, finetune_falls, prompt_holds,
        released_pretrain_pieces, released_test_pieces, released_test_music,
    )
}  # fmt: skip
