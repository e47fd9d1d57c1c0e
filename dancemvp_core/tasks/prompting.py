"""How the prompter is used ("Transformer-based Text Prompting"): the sentences of the tasks, and a fit with cross-validation.

The three tasks want different lengths of training: Task 1 needs long training, and the score's variance is too small after
it. So the fit makes ``stops``. Cross-validation leaves whole performances out, as for the linear heads, and chooses a stop
for each task. Its answers on the left-out performances also tell how far an answer must move towards the support's mean, and
how much wider the variance of a score must be.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from dancemvp_core.device import seeded
from dancemvp_core.labels import POINTS, Scores
from dancemvp_core.models.losses import score_distribution
from dancemvp_core.models.prompter import LEVELS, Prompter, PrompterSettings
from dancemvp_core.tasks.splits import learnable

# --- sentences -------------------------------------------------------------------------------------------------------


QUESTION = "Which genre, choreography, level and move is this?"


def vocabulary_text(genre: str, choreography: str, level: str, primitive: int) -> str:
    """Return Task 1's sentence as in Fig. 2, e.g. "Ballet, choreography 1, beginner and move 2".

    Unknown labels are left out. Without a genre, a choreography has its whole name, because its number counts within its genre.
    """
    has_genre = pd.notna(genre) and genre != ""
    number = re.sub(r"^\D+", "", str(choreography)) if has_genre else ""
    known = [str(text) for text in (genre, f"choreography {number or choreography}", level) if pd.notna(text) and text != ""]
    return f"{', '.join([known[0].capitalize(), *known[1:]])} and move {int(primitive) + 1}"


def named(classes: pd.DataFrame) -> list[str]:
    """Return the labels that the classes of Task 1 have (``protocols.class_table``); an unknown one is "" in all of them."""
    return [name for name in classes if (classes[name] != "").any()]


def attributes(classes: pd.DataFrame) -> tuple[dict[str, list[str]], np.ndarray]:
    """Return each attribute's candidates as sentences, and the candidate of each class for each attribute, (C, A).

    The A attributes are the labels that the classes have (``named``). The form is the paper's: "The performed dance genre is
    ballet". A choreography's number counts within its genre, so choreographies of several genres share a candidate; without
    genres, they have their whole names.
    """
    number = classes["choreography"].astype(str)
    if "genre" in named(classes):
        number = number.str.replace(r"^\D+(?=\d)", "", regex=True)
    values = classes.assign(choreography=number, primitive=classes["primitive"].astype(int) + 1).astype(str)[named(classes)]
    coded = {name: pd.factorize(values[name], sort=True) for name in values}
    said = {name: [f"The performed dance {name} is {value}" for value in distinct] for name, (_, distinct) in coded.items()}
    return said, np.stack([codes for codes, _ in coded.values()], axis=1)


def score_text(score: float, scores: Scores = POINTS) -> str:
    """Return Task 2's sentence for a score on 0..1, in the range of the data's scores."""
    return f"The performance score is {round(scores.shown(100 * score), 2):g}"


def rate_text(rate: float) -> str:
    """Return Task 3's sentence for a beat alignment rate on 0..1."""
    return f"The beat alignment rate is {round(100 * rate)} percent"


def candidates(tasks: Iterable[str], classes: pd.DataFrame | None, scores: Scores = POINTS) -> dict[str, list[str]]:
    """Return each task's candidates as sentences: one for each class of Task 1, one for each of 21 values of Tasks 2 and 3.

    ``classes``: genre, choreography, level and primitive, one row for each class of Task 1.
    """
    every = {
        "vocabulary": lambda: [vocabulary_text(*row) for row in classes.itertuples(index=False)],
        "score": lambda: [score_text(value, scores) for value in LEVELS],
        "rhythm": lambda: [rate_text(value) for value in LEVELS],
    }
    return {task: every[task]() for task in every if task in tasks}


def full_text(row: pd.Series, scores: Scores = POINTS) -> str:
    """Return all labels of a piece in words, rounded to the nearest candidates: the input of the leaking protocol."""
    parts = [vocabulary_text(row["genre"], row["choreography"], row["level"], row["primitive"])]
    nearest = lambda value: np.round(20 * value) / 20  # noqa: E731
    if np.isfinite(row["score"]):
        parts.append(score_text(nearest(row["score"] / 100), scores))
    if np.isfinite(row["bar"]):
        parts.append(rate_text(nearest(row["bar"] / 100)))
    return ". ".join(parts)


# --- fit -------------------------------------------------------------------------------------------------------------


FIRST_STOP = 12  # steps; an earlier stop is never chosen
WARM_UP = 10  # steps in which the learning rate rises
MEMORY = 0.95  # momentum of the averaged weights
LONGEST_GRADIENT = 5.0  # a longer gradient is shortened to this norm

Answers = dict[str, tuple[np.ndarray, ...]]  # task -> (logits (N, C),), (mean (N,), log-variance (N,)) or (rate (N,),)
Targets = dict[str, Tensor]  # task -> (N,): the number of the class, score/100, BAR/100


class Inputs(NamedTuple):
    """The input of a prompter: frozen features (N, H), and the number of each piece's text (N,) if the text is an input."""

    hidden: Tensor
    which: Tensor | None = None

    def part(self, rows: np.ndarray | Tensor) -> Inputs:
        """Return the pieces in some rows."""
        rows = torch.as_tensor(rows, device=self.hidden.device)
        return Inputs(self.hidden[rows], None if self.which is None else self.which[rows])


@dataclass(frozen=True, eq=False)
class Problem:
    """What a prompter is fitted for.

    ``new`` makes a prompter from the support's frozen features (N, H). ``fold`` (N,): the fold of each support piece
    (``splits.folds``). ``attributes`` (C, A): those of each class of Task 1, None without Task 1.
    """

    new: Callable[[Tensor], Prompter]
    support: Inputs
    target: Targets
    fold: np.ndarray
    attributes: np.ndarray | None


class Choice(NamedTuple):
    """What cross-validation chose for a task: where to stop, and how to scale.

    The answer becomes constant + slope * answer, and the variance of a score becomes ``widening`` times as large.
    """

    stop: int
    slope: float = 1.0
    constant: float = 0.0
    widening: float = 1.0


def stops(longest: int) -> list[int]:
    """Return the steps after which a fit may stop: ``longest``, its half, its quarter, ..., in rising order."""
    found = [longest]
    while found[0] // 2 >= FIRST_STOP:
        found.insert(0, found[0] // 2)
    return found


def batches(rows: Tensor, at_once: int, steps: int, seed: int) -> Tensor:
    """Return the rows of each step's batch, (steps, at_once). A pass over the rows permutes them and drops an incomplete batch."""
    drawn = torch.Generator(rows.device).manual_seed(seed)
    whole = len(rows) // at_once * at_once
    passes = [
        rows[torch.randperm(len(rows), generator=drawn, device=rows.device)[:whole]] for _ in range(0, steps * at_once, whole)
    ]
    return torch.cat(passes).view(-1, at_once)[:steps]


def fit(problem: Problem, parts: list[np.ndarray], settings: PrompterSettings, seed: int) -> dict[int, list[Prompter]]:
    """Fit a new prompter on each part of the support (its rows), and return the prompters at each of ``stops``.

    The seed draws a prompter's weights, batches and dropout. All parts are fitted together: one step is a step of all their
    prompters. So they share the batch size, that of the settings or the smallest part's size; but for this, a prompter does not
    depend on the other parts, rounding aside. A stop yields averaged weights, which follow those of the last 20 steps or so: with
    them a stop needs no falling learning rate.
    """
    support, device, found = problem.support, problem.support.hidden.device, {}
    rows = [torch.as_tensor(part, device=device) for part in parts]
    at_once = min(settings.batch_size, *map(len, parts))
    order = torch.stack([batches(own, at_once, settings.steps, seed) for own in rows], dim=1)
    rate_variance = torch.stack([problem.target["rhythm"][own].var().clamp(min=1e-4) for own in rows])[:, None]
    with seeded(seed, device):
        stack = Stack([_seeded_prompter(problem, own, seed) for own in rows])
        optimizer = torch.optim.AdamW([stack.weights], weight_decay=settings.weight_decay, fused=True)
        averaged = stack.weights.detach().clone()
        for step, now in enumerate(order, start=1):
            optimizer.param_groups[0]["lr"] = settings.learning_rate * min(1.0, step / WARM_UP)
            target = {task: values[now] for task, values in problem.target.items()}
            optimizer.zero_grad(set_to_none=True)
            loss(stack(*(part[now] for part in support if part is not None)), target, rate_variance).backward()
            gradient = stack.weights.grad
            gradient.mul_((LONGEST_GRADIENT / (gradient.norm(dim=1, keepdim=True) + 1e-6)).clamp(max=1.0))
            optimizer.step()
            averaged.lerp_(stack.weights.detach(), 1 - min(MEMORY, (step - 1) / (step - 1 + WARM_UP)))
            if step in stops(settings.steps):
                found[step] = stack.prompters(averaged)
    return found


def _seeded_prompter(problem: Problem, rows: Tensor, seed: int) -> Prompter:
    torch.manual_seed(seed)
    return problem.new(problem.support.hidden[rows])


class Stack:
    """Prompters of one shape that compute together: the weights of the P prompters are the rows of one tensor."""

    def __init__(self, prompters: list[Prompter]):
        self.like = prompters[0].train()
        self.shapes = {name: p.shape for name, p in self.like.named_parameters()}
        states = [prompter.state_dict() for prompter in prompters]
        self.buffers = {name: torch.stack([s[name] for s in states]) for name in states[0] if name not in self.shapes}
        self.weights = torch.stack([torch.cat([s[name].flatten() for name in self.shapes]) for s in states]).requires_grad_()
        self._guesses = torch.func.vmap(self._guess, randomness="same")  # all prompters drop out the same numbers

    def __call__(self, *batch: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """Return what each prompter predicts for its own batch: P comes first in all shapes."""
        return self._guesses(self.weights, self.buffers, *batch)

    def prompters(self, weights: Tensor) -> list[Prompter]:
        """Return prompters that do not learn any more, with other weights than those of the stack."""
        found = []
        for i, own in enumerate(weights):
            found.append(copy.deepcopy(self.like).eval())
            found[i].load_state_dict(self._named(own) | {name: values[i] for name, values in self.buffers.items()})
        return found

    def _guess(self, weights: Tensor, buffers: dict[str, Tensor], *batch: Tensor) -> dict[str, tuple[Tensor, ...]]:
        return torch.func.functional_call(self.like, self._named(weights) | buffers, batch)

    def _named(self, weights: Tensor) -> dict[str, Tensor]:
        parts = weights.split([shape.numel() for shape in self.shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}


def loss(guess: dict[str, tuple[Tensor, ...]], target: Targets, rate_variance: Tensor) -> Tensor:
    """Return the sum over P prompters of their losses. ``guess``: (P, B, C) or (P, B); target (P, B); rate_variance (P, 1).

    The loss of a prompter is the sum of the tasks' losses. A cross-entropy is divided by the logarithm of the number of classes
    (with one for each attribute, it is their mean), and BAR's squared error by the variance of BAR. The score's
    log-likelihood has no divisor.
    """
    total = rate_variance.new_zeros(())
    named = [task for task in guess if task not in ("score", "rhythm")]
    for task in named:
        logits = guess[task][0].flatten(0, 1)
        total = total + F.cross_entropy(logits, target[task].flatten()) / np.log(max(logits.shape[1], 2)) / len(named)
    if "score" in guess:
        total = total + score_distribution(*guess["score"], target["score"])
    if "rhythm" in guess:
        total = total + ((guess["rhythm"][0] - target["rhythm"]) ** 2 / rate_variance).mean()
    return len(rate_variance) * total


def answers_of(prompter: Prompter, asked: Inputs) -> Answers:
    """Return a prompter's answers for the ``asked`` pieces."""
    predicted = prompter.predict(asked.hidden, asked.which)
    return {task: tuple(c.cpu().numpy().astype(np.float64) for c in columns) for task, columns in predicted.items()}


def left_out_answers(fitted: dict[int, list[Prompter]], problem: Problem) -> dict[int, Answers]:
    """Return the answers for the support at each stop, each from the prompter that has not seen the piece's fold.

    ``fitted``: the prompters of each stop, one for each fold, fitted on the other folds.
    """
    folds = [np.flatnonzero(problem.fold == left_out) for left_out in np.unique(problem.fold)]
    place = np.argsort(np.concatenate(folds))
    out = {}
    for step, prompters in fitted.items():
        parts = [answers_of(p, problem.support.part(own)) for p, own in zip(prompters, folds, strict=True)]
        out[step] = {
            task: tuple(np.concatenate(c)[place] for c in zip(*(p[task] for p in parts), strict=True)) for task in parts[0]
        }
    return out


def choose(
    left_out: dict[int, Answers], target: Targets, attributes: np.ndarray | None, fold: np.ndarray
) -> dict[str, Choice]:
    """Return the best choice for each task, by the answers on left-out performances (``left_out_answers``).

    Task 1: the stop with the most right classes, and among equals with the most right ``attributes`` (C, A) of the classes. With
    the ``fold`` (N,) of each support piece, only pieces count whose class the rest knows (``splits.learnable``); with one shot
    there are none, and the longest training is chosen. Task 2: the smallest L2 after scaling. Task 3: the smallest squared error
    after scaling. Among equals, the first stop.
    """
    last = max(left_out)
    truth = {task: values.cpu().numpy() for task, values in target.items()}
    best: dict[str, tuple[tuple, Choice]] = {}
    for step, answers in left_out.items():
        for task, columns in answers.items():
            if task not in ("score", "rhythm"):
                counts = learnable(truth[task], fold)
                guess, true = columns[0].argmax(axis=1)[counts], truth[task][counts]
                wrong = _wrong(guess, true, attributes if task == "vocabulary" else None) if counts.any() else (step < last,)
                choice, loss = Choice(step), wrong
            else:
                slope, constant = _line(columns[0], truth[task])
                error = (truth[task] - constant - slope * columns[0]) ** 2
                if task == "score":  # the L2 of the widened variance, without its constant terms
                    widening = max(float((error / np.exp(columns[1])).mean()), 1e-6)
                    choice, loss = Choice(step, slope, constant, widening), (columns[1].mean() + np.log(widening),)
                else:
                    choice, loss = Choice(step, slope, constant), (error.mean(),)
            if task not in best or loss < best[task][0]:
                best[task] = loss, choice
    return {task: choice for task, (_, choice) in best.items()}


def _wrong(guess: np.ndarray, truth: np.ndarray, attributes: np.ndarray | None) -> tuple[float, ...]:
    wrong = float((guess != truth).mean())
    return (wrong,) if attributes is None else (wrong, float((attributes[guess] != attributes[truth]).mean()))


def _line(answer: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return slope and constant of the least-squares line from answers to truth; the slope is at least 0 and at most 1."""
    spread = answer.var()
    slope = float(np.clip(np.mean((answer - answer.mean()) * (truth - truth.mean())) / spread, 0.0, 1.0)) if spread > 0 else 0.0
    return slope, float(truth.mean() - slope * answer.mean())


def fit_and_choose(
    problem: Problem, tasks: Iterable[str], settings: PrompterSettings, seed: int
) -> tuple[dict[int, Prompter], dict[str, Choice]]:
    """Return the prompter at each stop, fitted on the whole support, and the choice for each task by cross-validation.

    A support of a single performance has nothing to leave out: classifications train longest, Tasks 2 and 3 stop first.
    """
    folds, everything = np.unique(problem.fold), np.arange(len(problem.fold))
    others = [np.flatnonzero(problem.fold != left_out) for left_out in folds] if len(folds) > 1 else []
    fitted = fit(problem, [*others, everything], settings, seed)
    whole = {stop: prompters.pop() for stop, prompters in fitted.items()}
    if others:
        return whole, choose(left_out_answers(fitted, problem), problem.target, problem.attributes, problem.fold)
    return whole, {task: Choice(min(whole) if task in ("score", "rhythm") else max(whole)) for task in tasks}


def answer(problem: Problem, query: Inputs, tasks: Iterable[str], settings: PrompterSettings, seed: int) -> Answers:
    """Return a prompter's answers for the query: each task at its own stop, scaled, as cross-validation chose."""
    whole, choices = fit_and_choose(problem, tasks, settings, seed)
    at = {stop: answers_of(whole[stop], query) for stop in {choice.stop for choice in choices.values()}}
    return {task: scaled(task, at[choice.stop][task], choice) for task, choice in choices.items()}


def fit_until_best(problem: Problem, task: str, settings: PrompterSettings, seed: int) -> Prompter:
    """Return one prompter for all tasks, fitted on the support until the stop that is best for one ``task``."""
    whole, choices = fit_and_choose(problem, (task,), settings, seed)
    return whole[choices[task].stop]


def scaled(task: str, columns: tuple[np.ndarray, ...], choice: Choice) -> tuple[np.ndarray, ...]:
    """Return a task's answers on the scale of ``choice``."""
    if task not in ("score", "rhythm"):
        return columns
    first = choice.constant + choice.slope * columns[0]
    return (first, columns[1] + np.log(choice.widening)) if task == "score" else (first,)
