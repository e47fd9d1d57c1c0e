"""Downstream protocols ("Transformer-based Text Prompting") for three tasks: "Dance Vocabulary Recognition", "Dance Performance
Scoring", "Dance Rhythm Evaluation".

A protocol is a function of frozen features and of an ``Episode``: labelled support pieces and query pieces to predict. The
encoders are frozen; ``prompt`` trains the text encoder, the MLP's last layer and the heads. At test time its texts are all
candidates and never the answer alone. ``prompt-oracle`` receives the answer; only the leak audit uses it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from scipy.special import log_softmax, softmax
from torch import Tensor

from dancemvp_core.device import repeatable
from dancemvp_core.labels import POINTS, Scores
from dancemvp_core.models.prompter import SMALLEST_SPREAD, Prompter, PrompterSettings
from dancemvp_core.tasks import linear_heads, prompting, splits
from dancemvp_core.tasks.features import Features

TASKS = ("vocabulary", "score", "rhythm")  # Tasks 1, 2 and 3
FAIR = ("prompt", "prompt-query", "prompt-id", "prompt-minilm", "prompt-attributes", "prompt-all-classes", "finetune")
LEAKING = ("prompt-oracle",)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for the Q query pieces; None for a task that the data do not support.

    ``probabilities`` (Q, C) of the ``classes`` (C rows of ``class_table``); ``score`` and
    ``score_var`` (Q,) on score/100; ``rate`` (Q,) on 0..1.
    """

    classes: pd.DataFrame | None = None
    probabilities: np.ndarray | None = None
    score: np.ndarray | None = None
    score_var: np.ndarray | None = None
    rate: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Episode:
    """The data of a protocol: ``support`` and ``query`` are row numbers of ``table``, which has one row for each piece.

    ``scores`` is the range of the score, for its sentences. Raises ValueError if support and query share pieces.
    """

    table: pd.DataFrame
    support: np.ndarray
    query: np.ndarray
    scores: Scores = POINTS

    def __post_init__(self):
        if np.intersect1d(self.support, self.query).size:
            raise ValueError("support and query share pieces")

    @property
    def known(self) -> pd.DataFrame:
        """The labels of the support."""
        return self.table.iloc[self.support]


CLASS_COLUMNS = ["genre", "choreography", "level", "primitive"]


def class_table(table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the sorted Task 1 classes (CLASS_COLUMNS) of the pieces in ``table``, and the class number of each piece.

    A genre or level that some of the pieces lack is "" in all classes: they are those of the other labels.
    """
    names = table[CLASS_COLUMNS].astype({"primitive": int})
    names = names.assign(**{name: "" for name in ("genre", "level") if names[name].isna().any()})
    classes = names.drop_duplicates().sort_values(CLASS_COLUMNS[1:]).reset_index(drop=True)
    place = {key: i for i, key in enumerate(classes.itertuples(index=False, name=None))}
    return classes, np.array([place[key] for key in names.itertuples(index=False, name=None)])


def supported_tasks(support: pd.DataFrame) -> tuple[str, ...]:
    """Return the tasks for which all support pieces have labels: choreography and primitive, the score, or BAR."""
    has = {
        "vocabulary": support[["choreography", "primitive"]].notna().all(axis=None),
        "score": support["score"].notna().all(),
        "rhythm": support["bar"].notna().all(),
    }
    return tuple(task for task in TASKS if has[task])


def run(
    protocol: str,
    features: Features,
    episode: Episode,
    seed: int = 0,
    settings: PrompterSettings | None = None,
    tasks: tuple[str, ...] = TASKS,
) -> Predictions:
    """Fit a protocol on the support of an episode, and return its predictions for the query.

    ``protocol`` is one of ``PROTOCOLS``. It learns those ``tasks`` jointly for which the support has labels. A fair
    protocol reads only the ``features`` of the query pieces. Raises ValueError for an unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no protocol {protocol!r}; there are {', '.join(PROTOCOLS)}")
    tasks = tuple(t for t in tasks if t in supported_tasks(episode.known))
    return PROTOCOLS[protocol](features, episode, seed, settings or PrompterSettings(), tasks)


def chance(features, episode, seed, settings, tasks) -> Predictions:
    """Floor: predict the support's class frequencies, mean and variance for every query piece."""
    known, n = episode.known, len(episode.query)
    out = Predictions()
    if "vocabulary" in tasks:
        classes, codes = class_table(known)
        share = np.bincount(codes) / len(codes)
        out = replace(out, classes=classes, probabilities=np.tile(share, (n, 1)))
    if "score" in tasks:
        score = known["score"].to_numpy() / 100
        out = replace(out, score=np.full(n, score.mean()), score_var=np.full(n, max(score.var(), SMALLEST_SPREAD**2)))
    if "rhythm" in tasks:
        out = replace(out, rate=np.full(n, known["bar"].mean() / 100))
    return out


def finetune(features, episode, seed, settings, tasks) -> Predictions:
    """Logistic and ridge heads on frozen features: the protocol that the paper compares with prompting (Table 4).

    The features are z or, like the prompter's, the input of the MLP's last layer. Cross-validation over the support's
    performances chooses them, the penalty and the form of Task 1's head (``linear_heads``). The error of the score on
    left-out performances is also its predicted variance.
    """
    known, fold = episode.known, splits.folds(episode.known)
    supports, queries = [], []
    for own in [features.z] if features.last is None else [features.z, features.hidden]:
        values, scale = own.double().cpu().numpy(), linear_heads.Scale()
        supports.append(scale.fit_transform(values[episode.support]))
        queries.append(scale.transform(values[episode.query]))
    out = Predictions()
    if "vocabulary" in tasks:
        classes, codes = class_table(known)
        out = replace(out, classes=classes, probabilities=linear_heads.classify(supports, queries, codes, classes, fold))
    if "score" in tasks:
        mean, error = linear_heads.regress(supports, queries, known["score"].to_numpy() / 100, fold)
        out = replace(out, score=mean, score_var=np.full(len(mean), max(error, SMALLEST_SPREAD**2)))
    if "rhythm" in tasks:
        out = replace(out, rate=linear_heads.regress(supports, queries, known["bar"].to_numpy() / 100, fold)[0])
    return out


@repeatable()
def prompted(features, episode, seed, settings, tasks, form="words") -> Predictions:
    """Fit a ``Prompter`` on the support (``tasks.prompting``), and return its predictions for the query.

    ``form`` is the ``text`` of a prompter; or "attributes": Task 1 has candidates for each attribute instead of one for each
    class; "all classes": the candidates are the classes of all pieces in the table, the query aside, instead of the
    support's; "oracle": the input is the ground truth.
    """
    device, known = features.hidden.device, episode.known
    text = {"attributes": "words", "all classes": "words", "oracle": "input"}.get(form, form)
    classes, codes = None, np.zeros(len(known), int)
    if "vocabulary" in tasks:
        classes, codes = _candidate_classes(episode, form == "all classes")
    target, said, values = targets(known, codes, device), prompting.candidates(tasks, classes, episode.scores), None
    if form == "attributes" and classes is not None:
        attributes, values = prompting.attributes(classes)
        target |= {name: torch.as_tensor(values[codes, i], device=device) for i, name in enumerate(attributes)}
        said = attributes | {task: said[task] for task in tasks if task != "vocabulary"}
    asked = tuple(said)
    which = which_query = None
    if text == "input":
        said, number = _inputs(episode, form == "oracle")
        which, which_query = torch.as_tensor(number, device=device).tensor_split([len(known)])
    count = 0 if classes is None else len(classes)
    support, query = (features.hidden[torch.as_tensor(rows, device=device)] for rows in (episode.support, episode.query))

    def new(hidden: Tensor) -> Prompter:
        return Prompter(features.last, hidden, said, asked, count, text, settings)

    named = None if classes is None else classes.astype(str).to_numpy()
    problem = prompting.Problem(new, prompting.Inputs(support, which), target, splits.folds(known), named)
    found = prompting.answer(problem, prompting.Inputs(query, which_query), asked, settings, seed)
    return answers(found, classes, values)


def _inputs(episode: Episode, oracle: bool) -> tuple[dict[str, list[str]], np.ndarray]:
    """Return the distinct texts that are an input, and the text of each piece of the support, then of the query."""
    rows = np.concatenate([episode.support, episode.query])
    labels = (row for _, row in episode.table.iloc[rows].iterrows())
    inputs = [prompting.full_text(row, episode.scores) for row in labels] if oracle else [prompting.QUESTION] * len(rows)
    distinct, number = np.unique(inputs, return_inverse=True)
    return {"input": list(distinct)}, number


def _candidate_classes(episode: Episode, of_all: bool) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the candidate classes of Task 1, and the class of each support piece."""
    if not of_all:
        return class_table(episode.known)
    labels = [name for name in CLASS_COLUMNS if episode.known[name].notna().all()]
    labelled = episode.table.drop(index=episode.table.index[episode.query]).dropna(subset=labels)
    classes, codes = class_table(labelled)
    return classes, codes[labelled.index.get_indexer(episode.known.index)]


def targets(known: pd.DataFrame, codes: np.ndarray, device: torch.device) -> dict[str, Tensor]:
    """Return the targets of a prompter, (N,) for each task: the number of the class, score/100 and BAR/100."""
    values = {task: known[column].to_numpy(dtype=np.float32) / 100 for task, column in (("score", "score"), ("rhythm", "bar"))}
    return {task: torch.as_tensor(value, device=device) for task, value in ({"vocabulary": codes} | values).items()}


def answers(found: prompting.Answers, classes: pd.DataFrame | None, values: np.ndarray | None = None) -> Predictions:
    """Return a prompter's answers as ``Predictions``.

    With ``values`` (C, A), the value of each attribute for each class, the probability of a class is the product of the
    probabilities of its values.
    """
    out = Predictions()
    if classes is not None:
        logits = found["vocabulary"][0] if values is None else sum(
            log_softmax(found[name][0], axis=1)[:, value] for name, value in zip(prompting.named(classes), values.T, strict=True)
        )  # fmt: skip
        out = replace(out, classes=classes, probabilities=softmax(logits, axis=1))
    if "score" in found:
        mean, log_var = found["score"]
        out = replace(out, score=mean, score_var=np.exp(np.clip(log_var, 2 * np.log(SMALLEST_SPREAD), 10)))
    if "rhythm" in found:
        out = replace(out, rate=found["rhythm"][0])
    return out


def prompt(*arguments) -> Predictions:
    """The method: score every candidate's text against the dance."""
    return prompted(*arguments)


def prompt_query(*arguments) -> Predictions:
    """Control: one question for all pieces, so that only the trained last layer and the heads can help."""
    return prompted(*arguments, form="input")


def prompt_id(*arguments) -> Predictions:
    """Control: as ``prompt``, but with a learned vector instead of each candidate's text."""
    return prompted(*arguments, form="vectors")


def prompt_minilm(*arguments) -> Predictions:
    """Extra: as ``prompt``, with the vectors of a sentence encoder that has learned English (``texts.MiniLM``)."""
    return prompted(*arguments, form="pre-trained")


def prompt_attributes(*arguments) -> Predictions:
    """The paper's other form: one sentence for each attribute ("The performed dance genre is ..."), product of the heads."""
    return prompted(*arguments, form="attributes")


def prompt_all_classes(*arguments) -> Predictions:
    """The paper's other form: all classes of the data are candidates (180 in ImperialDance), not only the support's."""
    return prompted(*arguments, form="all classes")


def prompt_oracle(*arguments) -> Predictions:
    """A leaking protocol on purpose: the text with the ground truth is the input, at test time too."""
    return prompted(*arguments, form="oracle")


def direct(features, episode, seed, settings, tasks) -> Predictions:
    """Floor for Task 3 only: BAR computed from the piece. A piece without a music peak gets the support's mean."""
    if "rhythm" not in tasks:
        return Predictions()
    heard, known = _heard(episode)
    fill = known.mean() if known.notna().any() else episode.known["bar"].mean() / 100
    return Predictions(rate=heard.fillna(fill).to_numpy())


def direct_calibrated(features, episode, seed, settings, tasks) -> Predictions:
    """Floor for Task 3 only: ``direct`` on the label's scale, by a line that least squares fits on the support.

    The label is the BAR of the whole performance, and ``direct`` that of one piece of it: it spreads more. Without a slope
    (fewer than two distinct values), and for a piece without a music peak, the prediction is the support's mean label.
    """
    if "rhythm" not in tasks:
        return Predictions()
    heard, known = _heard(episode)
    label = episode.known["bar"] / 100
    there = known.notna()
    if known[there].nunique() < 2:
        return Predictions(rate=np.full(len(heard), label.mean()))
    slope, constant = np.polyfit(known[there], label[there], 1)
    return Predictions(rate=(constant + slope * heard).fillna(label.mean()).to_numpy())


def _heard(episode: Episode) -> tuple[pd.Series, pd.Series]:
    """Return BAR on 0..1 as computed from each piece of the query and of the support; nan without a music peak."""
    own = episode.table["bar_direct"] / 100
    return own.iloc[episode.query], own.iloc[episode.support]


PROTOCOLS = {
    "prompt": prompt,
    "prompt-query": prompt_query,
    "prompt-id": prompt_id,
    "prompt-minilm": prompt_minilm,
    "prompt-attributes": prompt_attributes,
    "prompt-all-classes": prompt_all_classes,
    "prompt-oracle": prompt_oracle,
    "finetune": finetune,
    "chance": chance,
    "direct": direct,
    "direct_calibrated": direct_calibrated,
}
LOOK_AT_NOTHING = ("chance", "direct", "direct_calibrated")  # protocols that read no features
