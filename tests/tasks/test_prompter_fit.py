"""How the prompter is fitted: stops, cross-validation and scaling, against plain computations."""

import copy
import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import piece_set

from dancemvp_core import device
from dancemvp_core.models import texts
from dancemvp_core.models.losses import score_distribution
from dancemvp_core.models.prompter import Prompter, PrompterSettings
from dancemvp_core.pretraining import objectives
from dancemvp_core.tasks import prompting, protocols, splits
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.prompting import Choice

SETTINGS = PrompterSettings(steps=48, width=16, text_width=16)


@pytest.fixture(scope="module")
def known():
    table = piece_set(trials=6).table
    return table[table["split"] == "test"].reset_index(drop=True)


@pytest.fixture(scope="module")
def problem(known):
    """A problem of all three tasks on features that tell the classes."""
    classes, codes = protocols.class_table(known)
    rng = np.random.default_rng(0)
    hidden = torch.tensor(np.eye(len(classes))[codes] + 0.3 * rng.normal(size=(len(known), len(classes))), dtype=torch.float32)
    said = prompting.candidates(protocols.TASKS, classes)

    def new(own):
        return Prompter(None, own, said, protocols.TASKS, len(classes), "words", SETTINGS)

    target = protocols.targets(known, codes, hidden.device)
    return prompting.Problem(new, prompting.Inputs(hidden), target, splits.folds(known), classes.astype(str).to_numpy())


@given(st.integers(1, 5000))
def test_stops_double_up_to_the_longest(longest):
    found = prompting.stops(longest)
    assert found[-1] == longest and all(b // 2 == a for a, b in itertools.pairwise(found))
    assert found[0] == longest if longest < 24 else 12 <= found[0] < 24


def others(problem):
    """The parts of a cross-validation: for each fold the rows of the other folds."""
    return [np.flatnonzero(problem.fold != left_out) for left_out in np.unique(problem.fold)]


def test_a_prompter_at_a_stop_does_not_depend_on_longer_training(problem):
    parts = [*others(problem), np.arange(len(problem.fold))]
    whole = prompting.fit(problem, parts, SETTINGS, 3)
    brief = prompting.fit(problem, parts, replace(SETTINGS, steps=24), 3)
    assert list(whole) == [12, 24, 48] and list(brief) == [12, 24]
    for a, b in zip(brief[24], whole[24], strict=True):
        for name, values in a.state_dict().items():
            assert torch.equal(values, b.state_dict()[name]), name


@pytest.mark.parametrize("text", ["words", "input"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_prompter_does_not_depend_on_what_is_fitted_with_it(problem, dropout, text):
    """Together, alone and in a plain loop on a module. One part is smaller than a batch: its size is that of all batches."""
    settings = replace(SETTINGS, steps=6, dropout=dropout, learning_rate=1e-3)
    small = replace(settings, batch_size=11)
    assert settings.batch_size > 11
    classes = int(problem.target["vocabulary"].max()) + 1
    which = None if text == "words" else torch.arange(len(problem.fold)) % 3
    said = problem.new(problem.support.hidden).sentences if which is None else {"input": ["a step", "two long steps", "a turn"]}

    def new(own):
        return Prompter(None, own, said, protocols.TASKS, classes, text, settings)

    own = replace(problem, new=new, support=prompting.Inputs(problem.support.hidden, which))
    parts = [*others(problem), np.arange(11), np.arange(len(problem.fold))]
    together = prompting.fit(own, parts, settings, 5)[6]
    for i, part in enumerate(parts):
        alone = prompting.fit(own, [part], small, 5)[6][0]
        assert largest_difference(together[i], alone, own.support) < SAME
        if dropout == 0:
            plain = plain_fit(own, torch.as_tensor(part), small, 5)
            assert largest_difference(together[i], plain, own.support) < SAME
            other = prompting.fit(own, [part], small, 6)[6][0]
            assert largest_difference(plain, other, own.support) > 10 * SAME, "the check sees another draw"


def plain_fit(problem, rows, settings, seed):
    """Return the averaged prompter that a plain loop fits; it draws the batches as the package does."""
    with device.seeded(seed, torch.device("cpu")):
        prompter = problem.new(problem.support.hidden[rows])
    slow = copy.deepcopy(prompter)
    optimizer = torch.optim.AdamW(prompter.parameters(), weight_decay=settings.weight_decay)
    order = prompting.batches(rows, min(settings.batch_size, len(rows)), settings.steps, seed)
    variance = problem.target["rhythm"][rows].var().clamp(min=1e-4)
    for step, now in enumerate(order):
        optimizer.param_groups[0]["lr"] = settings.learning_rate * min(1.0, (step + 1) / 10)
        guess, truth = prompter(*(part[now] for part in problem.support if part is not None)), problem.target
        loss = torch.nn.functional.cross_entropy(guess["vocabulary"][0], truth["vocabulary"][now])
        loss = loss / np.log(guess["vocabulary"][0].shape[1]) + score_distribution(*guess["score"], truth["score"][now])
        loss = loss + torch.nn.functional.mse_loss(guess["rhythm"][0], truth["rhythm"][now]) / variance
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(prompter.parameters(), 5.0)
        optimizer.step()
        objectives.follow(slow, prompter, 1 - min(0.95, step / (step + 10)))
    return slow.eval()


def largest_difference(a, b, asked) -> float:
    """Return the largest difference of what two prompters predict; logits count without their mean, which changes no answer."""
    found = []
    for task, columns in prompting.answers_of(a, asked).items():
        for x, y in zip(columns, prompting.answers_of(b, asked)[task], strict=True):
            centred = [v - v.mean(axis=-1, keepdims=True) if v.ndim > 1 else v for v in (x, y)]
            found.append(np.abs(centred[0] - centred[1]).max())
    return max(found)


SAME = 2e-3  # AdamW makes rounding errors large where a gradient is almost zero


def test_a_pass_over_the_rows_is_a_permutation():
    rows = torch.arange(100, 123)
    found = prompting.batches(rows, 5, 9, 0)
    assert found.shape == (9, 5) and set(found.flatten().tolist()) <= set(rows.tolist())
    assert len(set(found[:4].flatten().tolist())) == 20 == len(set(found[4:8].flatten().tolist()))
    assert not torch.equal(found[:4], found[4:8])


def test_averaged_weights_are_those_of_a_loop(problem):
    """The weights that a stop yields: the moving average, written down step by step."""
    seen = []
    step = torch.optim.AdamW.step

    def watched(self, *arguments, **keywords):
        out = step(self, *arguments, **keywords)
        seen.append(self.param_groups[0]["params"][0].detach().double().clone())
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", watched)
        fitted = prompting.fit(problem, others(problem), replace(SETTINGS, steps=12), 0)
    assert len(seen) == 12
    slow = seen[0]
    for i, weights in enumerate(seen[1:], start=1):
        keep = min(0.95, i / (i + 10))
        slow = keep * slow + (1 - keep) * weights
    for expected, prompter in zip(slow, fitted[12], strict=True):
        got = torch.nn.utils.parameters_to_vector(prompter.parameters())
        torch.testing.assert_close(got.double(), expected, atol=1e-5, rtol=1e-4)


def test_a_left_out_answer_has_not_seen_its_performance(problem):
    """Other labels of a fold change the answers for the other folds, and not a bit of its own."""

    def answers(problem):
        return prompting.left_out_answers(prompting.fit(problem, others(problem), SETTINGS, 0), problem)

    fold, before = problem.fold, answers(problem)
    changed = {task: values.clone() for task, values in problem.target.items()}
    for values in changed.values():
        values[torch.as_tensor(fold == 1)] = values[torch.as_tensor(fold == 1)].flip(0)
    after = answers(replace(problem, target=changed))
    for stop in before:
        for task in before[stop]:
            a, b = before[stop][task][0], after[stop][task][0]
            np.testing.assert_array_equal(a[fold == 1], b[fold == 1])
            assert not np.array_equal(a[fold != 1], b[fold != 1])


def test_each_task_has_its_own_best_stop_and_scale():
    """Answers made by hand: Task 1 is best late, Task 2 early and too narrow, Task 3 late and twice too steep."""
    rng = np.random.default_rng(0)
    codes, score, rate = rng.integers(0, 3, 60), rng.uniform(size=60), rng.uniform(size=60)
    right = np.eye(3)[codes]
    truth = {"vocabulary": torch.tensor(codes), "score": torch.tensor(score), "rhythm": torch.tensor(rate)}
    error, steep = rng.normal(0, 0.1, 60), 2 * rate - 0.4
    early = {
        "vocabulary": (np.roll(right, 1, axis=1),), "score": (score + error, np.full(60, np.log(0.1**2 / 9))),
        "rhythm": (rng.uniform(size=60),),
    }  # fmt: skip
    late = {"vocabulary": (right,), "score": (rng.uniform(size=60), np.full(60, -9.0)), "rhythm": (steep,)}
    found = prompting.choose({10: early, 20: late}, truth, np.array([["a"], ["b"], ["c"]]), np.arange(60) % 5)
    assert {task: choice.stop for task, choice in found.items()} == {"vocabulary": 20, "score": 10, "rhythm": 20}
    slope, constant = np.polyfit(score + error, score, 1)
    assert found["score"].slope == pytest.approx(slope) and found["score"].constant == pytest.approx(constant)
    rest = score - slope * (score + error) - constant
    assert found["score"].widening == pytest.approx((rest**2).mean() / (0.1**2 / 9))
    assert found["rhythm"].slope == pytest.approx(0.5)
    scaled = prompting.scaled("rhythm", late["rhythm"], found["rhythm"])[0]
    np.testing.assert_allclose(scaled, rate, atol=1e-12)
    mean, log_var = prompting.scaled("score", early["score"], found["score"])
    np.testing.assert_allclose(np.exp(log_var), (rest**2).mean())
    np.testing.assert_allclose(mean, slope * (score + error) + constant)


def test_without_a_relation_the_prediction_is_the_mean():
    answer = np.array([0.1, 0.5, 0.9, 0.3])
    truth = {"rhythm": torch.tensor([0.8, 0.5, 0.2, 0.7], dtype=torch.float64)}
    found = prompting.choose({5: {"rhythm": (answer,)}}, truth, None, np.arange(4))["rhythm"]
    assert found == Choice(5, 0.0, pytest.approx(0.55))


def test_equal_accuracy_goes_to_more_right_attributes_then_to_the_first():
    attributes = np.array([["x", "1"], ["x", "2"], ["y", "3"]])
    truth = {"vocabulary": torch.tensor([0, 0])}
    far, near = np.array([[0, 0, 1.0]] * 2), np.array([[0, 1.0, 0]] * 2)
    stops = {1: {"vocabulary": (far,)}, 2: {"vocabulary": (near,)}, 3: {"vocabulary": (near,)}}
    assert prompting.choose(stops, truth, attributes, np.array([0, 1]))["vocabulary"].stop == 2
    # Where the class is in one fold only, the rest knows no example of it: nothing is chosen, and the training is the longest.
    assert prompting.choose(stops, truth, attributes, np.array([0, 0]))["vocabulary"].stop == 3


def test_only_pieces_count_whose_class_the_rest_knows():
    """The two pieces of class 0 are in two folds, and the three of class 1 in one."""
    truth = {"vocabulary": torch.tensor([0, 0, 1, 1, 1])}
    first, second = (np.eye(2)[codes] for codes in ([0, 0, 0, 0, 0], [1, 1, 1, 1, 1]))
    stops = {10: {"vocabulary": (first,)}, 20: {"vocabulary": (second,)}}
    assert prompting.choose(stops, truth, None, np.array([0, 1, 0, 0, 0]))["vocabulary"].stop == 10


def test_a_single_performance_needs_no_cross_validation(known, problem):
    own = known["sequence"] == known["sequence"].iloc[0]
    rows = np.flatnonzero(own)
    target = {task: values[torch.as_tensor(rows)] for task, values in problem.target.items()}
    one = replace(problem, support=problem.support.part(rows), target=target, fold=splits.folds(known[own]))
    found = prompting.answer(one, problem.support, protocols.TASKS, replace(SETTINGS, steps=24), 0)
    _, choices = prompting.fit_and_choose(one, protocols.TASKS, replace(SETTINGS, steps=24), 0)
    assert choices == {"vocabulary": Choice(24), "score": Choice(12), "rhythm": Choice(12)}
    assert set(found) == set(protocols.TASKS) and all(np.isfinite(c).all() for columns in found.values() for c in columns)


def test_a_class_has_the_product_of_its_values_probabilities(known):
    classes, _ = protocols.class_table(known)
    said, values = prompting.attributes(classes)
    assert said["primitive"] == [f"The performed dance primitive is {i}" for i in (1, 2, 3)]
    assert "The performed dance genre is ballet" in said["genre"]
    for name, place in zip(protocols.CLASS_COLUMNS, values.T, strict=True):
        if name in ("genre", "level"):
            assert [said[name][i].endswith(f" {value}") for i, value in zip(place, classes[name], strict=True)]
    rng = np.random.default_rng(0)
    found = {name: (rng.normal(size=(4, len(said[name]))),) for name in said}
    got = protocols.answers(found, classes, values).probabilities
    expected = np.ones((4, len(classes)))
    for name, place in zip(said, values.T, strict=True):
        logits = found[name][0]
        share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        for c, value in enumerate(place):
            expected[:, c] *= share[:, value]
    np.testing.assert_allclose(got, expected / expected.sum(axis=1, keepdims=True))


def test_all_classes_of_the_data_are_candidates(known):
    first = known["choreography"].iloc[0]
    own = np.flatnonzero(known["choreography"] == first)
    episode = protocols.Episode(known, own[::2], own[1::2])
    features = Features(torch.randn(len(known), 8, generator=torch.Generator().manual_seed(0)))
    found = protocols.run("prompt-all-classes", features, episode, 0, replace(SETTINGS, steps=3), ("vocabulary",))
    assert set(found.classes["choreography"]) == set(known["choreography"])
    fewer = protocols.run("prompt", features, episode, 0, replace(SETTINGS, steps=3), ("vocabulary",))
    assert set(fewer.classes["choreography"]) == {first} and len(fewer.classes) < len(found.classes)


def test_sentence_vectors_are_frozen_and_near_for_near_sentences():
    said = ["The performance score is 85", "The performance score is 80", "Ballet, choreography 1, expert and move 2"]
    tower = texts.MiniLM(said, 8)
    assert tower().shape == (3, 8)
    torch.testing.assert_close(tower(torch.tensor([2, 0])), tower()[[2, 0]])
    assert [name for name, _ in tower.named_parameters()] == ["project.weight", "project.bias"]
    near, far, _ = (float(torch.cosine_similarity(tower.frozen[0], other, dim=0)) for other in tower.frozen[[1, 2, 0]])
    assert near > 0.8 > far


def test_the_first_use_of_the_sentence_encoder_draws_no_random_number():
    weights = []
    texts.minilm_vectors.cache_clear()
    for _ in range(2):
        torch.manual_seed(0)
        weights.append(texts.MiniLM(["The performance score is 85"], 8).project.weight)
    assert torch.equal(*weights)


def test_the_query_is_not_part_of_the_candidate_classes(known):
    table = pd.concat([known, known.iloc[:3].assign(choreography="zz9")], ignore_index=True)
    query = np.arange(len(known), len(table))
    episode = protocols.Episode(table, np.arange(30), query)
    features = Features(torch.zeros(len(table), 4))
    found = protocols.run("prompt-all-classes", features, episode, 0, replace(SETTINGS, steps=2), ("vocabulary",))
    assert "zz9" not in set(found.classes["choreography"])


def test_one_text_for_all_pieces_says_nothing_in_training_and_after_it(problem):
    """A control must not read more, or other, numbers from its only text when it predicts than when it learned."""
    own = replace(problem, new=lambda own: Prompter(None, own, {"input": ["a question"]}, protocols.TASKS, 12, "input", SETTINGS),
                  support=prompting.Inputs(problem.support.hidden, torch.zeros(len(problem.fold), dtype=torch.long)))  # fmt: skip
    fitted = prompting.fit(own, [np.arange(len(problem.fold))], SETTINGS, 0)[SETTINGS.steps][0]
    for mode in (True, False):
        assert fitted.train(mode).encode_texts(own.support.which)["input"].abs().max() < 1e-3
    right = prompting.answers_of(fitted.eval(), own.support)["vocabulary"][0].argmax(axis=1) == problem.target["vocabulary"].numpy()
    assert right.mean() > 0.5, "it still reads the features"
