"""Protocols and their measures: they learn what is there, and no label reaches a prediction."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from tiny import piece_set

from dancemvp_core.controls import leak_audit
from dancemvp_core.models import prompter, texts
from dancemvp_core.models.prompter import PrompterSettings
from dancemvp_core.tasks import metrics, prompting, protocols
from dancemvp_core.tasks.features import Features
from dancemvp_core.tasks.protocols import Episode, Predictions

QUICK = PrompterSettings(steps=80, batch_size=32, width=64, text_width=32)


@pytest.fixture(scope="module")
def task():
    """Features that carry class, score and rate, and an episode: what is learned from and asked about."""
    pieces = piece_set(trials=16)
    table = pieces.table[pieces.table["split"] == "test"].reset_index(drop=True)
    rng = np.random.default_rng(0)
    _, codes = protocols.class_table(table)
    hidden = rng.normal(size=(codes.max() + 1, 32))[codes] + 0.3 * rng.normal(size=(len(table), 32))
    hidden[:, 0] = table["score"] / 30 + 0.05 * rng.normal(size=len(table))
    torch.manual_seed(0)
    features = Features(torch.tensor(hidden, dtype=torch.float32), torch.nn.Linear(32, 24))
    late = (table["trial"] >= 8).to_numpy()
    return features, Episode(table, np.flatnonzero(~late), np.flatnonzero(late))


@pytest.mark.parametrize("protocol", protocols.FAIR)
def test_fair_protocols_learn(protocol, task):
    features, episode = task
    first = protocols.run(protocol, features, episode, 3, QUICK)
    value = metrics.summary(metrics.per_piece(first, episode.table.iloc[episode.query])).set_index(["task", "metric"])["value"]
    assert value[1, "accuracy"] > 60 and value[1, "level_within"] > 80
    assert value[2, "spearman"] > 0.5 and value[3, "spearman"] > 0.5
    assert np.allclose(first.probabilities.sum(axis=1), 1) and (first.score_var >= 0.01**2 - 1e-12).all()


@pytest.mark.parametrize("protocol", ["prompt", "prompt-attributes", "prompt-all-classes", "finetune", "chance"])
@pytest.mark.parametrize("missing", [["level"], ["genre", "level"]])
def test_without_levels_and_genres_the_other_labels_are_recognised(protocol, missing, task):
    features, episode = task
    episode = replace(episode, table=episode.table.assign(**dict.fromkeys(missing)))
    found = protocols.run(protocol, features, episode, 3, QUICK)
    pieces = metrics.per_piece(found, episode.table.iloc[episode.query])
    value = metrics.summary(pieces).set_index(["task", "metric"])["value"]
    assert not {"level_within", *missing} & set(value.index.get_level_values(1)), "nothing is said of what is unknown"
    assert {(1, "accuracy"), (1, "choreography"), (1, "primitive"), (2, "l2"), (3, "mse")} <= set(value.index)
    assert (found.classes[missing] == "").all(axis=None) and np.allclose(found.probabilities.sum(axis=1), 1)
    assert protocol == "chance" or value[1, "accuracy"] > 60


def test_a_level_that_some_performances_lack_is_no_class(task):
    """Labels of the query change nothing: what the support lacks decides."""
    _, episode = task
    some = episode.table.assign(level=episode.table["level"].where(episode.table["trial"] > 0))
    classes, codes = protocols.class_table(some.iloc[episode.support])
    assert (classes["level"] == "").all() and len(classes) == codes.max() + 1 == 6
    assert protocols.supported_tasks(some.iloc[episode.support]) == protocols.TASKS


def test_the_audit_has_power_without_levels(task, monkeypatch):
    monkeypatch.setattr(leak_audit, "FAIR", ("finetune",))  # all protocols: the next test of a whole audit
    monkeypatch.setattr(leak_audit, "LEAKING", ())
    features, episode = task
    report = leak_audit.audit(features, replace(episode, table=episode.table.assign(level=None)), QUICK)
    leak_audit.enforce(report)
    assert leak_audit.PLANTED.format("choreography") in set(report["protocol"])


def test_sentences_leave_out_what_is_unknown():
    from dancemvp_core.tasks.prompting import vocabulary_text

    assert vocabulary_text("ballet", "b1", "beginner", 1) == "Ballet, choreography 1, beginner and move 2"
    assert vocabulary_text("ballet", "b1", "", 1) == "Ballet, choreography 1 and move 2"
    assert vocabulary_text("", "b1", None, 0) == "Choreography b1 and move 1", "its number counts within its genre"


@pytest.mark.parametrize("pieces", [3, 200])
def test_the_last_layer_starts_as_pre_training_left_it_on_whitened_features(pieces):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(pieces, 12, generator=generator) * torch.logspace(-1, 1, 12) + 5
    last = torch.nn.Linear(12, 8)
    layer = prompter.LastLayer(last, hidden, shrinkage=1e-8)
    other = torch.randn(20, 12, generator=generator)
    torch.testing.assert_close(layer(hidden), last(hidden), atol=2e-3, rtol=1e-3)
    white = (hidden - layer.centre) @ layer.whiten
    spread = torch.linalg.eigvalsh(torch.cov(white.T))
    known = min(pieces - 1, 12)  # so many directions do three pieces tell of
    assert spread[-known:].min() > 0.9 and spread.max() < 1.1 and spread[:-known].abs().sum() < 1e-3
    with torch.no_grad():
        layer.layer.weight.normal_(generator=generator)
        weight, bias = layer.folded()
        wide = prompter.LastLayer(last, hidden, shrinkage=0.1)
        assert torch.linalg.eigvalsh(torch.cov(((hidden - wide.centre) @ wide.whiten).T))[-1] == pytest.approx(1 / 1.1, rel=1e-3)
        torch.testing.assert_close(other @ weight.T + bias, layer(other), rtol=1e-2, atol=1e-1)


@pytest.mark.parametrize("protocol", protocols.FAIR)
def test_fits_repeat_and_replaced_query_labels_change_no_bit(protocol, task):
    """``exact`` fits twice: it would also fail if a fit did not repeat bit for bit."""
    features, episode = task

    def predict(features, episode):
        return protocols.run(protocol, features, episode, 0, PrompterSettings(steps=5))

    assert leak_audit.exact(predict, features, episode)


def test_the_audit_passes_the_fair_and_marks_the_oracle(task):
    features, episode = task
    report = leak_audit.audit(features, episode, PrompterSettings(40, 32, learning_rate=1e-2, width=64, text_width=32))
    leak_audit.enforce(report)
    oracle, planted = (report.set_index("protocol").loc[name] for name in ("prompt-oracle", leak_audit.PLANTED.format("level")))
    assert not oracle["bit_identical"] and not oracle["at_chance"] and oracle["accuracy"] > 0.6 > 5 * oracle["chance"]
    assert not planted["at_chance"] and planted["p_value"] < 1e-6


@pytest.mark.parametrize("leak", ["prompt-oracle", leak_audit.PLANTED.format("level")])
def test_an_audit_without_power_fails(leak):
    row = {"protocol": leak, "fair": False, "bit_identical": None, "at_chance": True}
    with pytest.raises(leak_audit.LeakError, match=f"leak of {leak}"):
        leak_audit.enforce(pd.DataFrame([row]))


def test_the_audit_catches_labels_appended_to_features(task):
    features, episode = task

    def leaky(features, episode):
        labels = pd.get_dummies(episode.table[protocols.CLASS_COLUMNS].astype(str)).to_numpy(np.float32)
        return protocols.run("finetune", Features(torch.cat([features.hidden, torch.tensor(3 * labels)], 1)), episode)

    caught(leaky, features, episode)


def test_the_audit_catches_a_label_read_at_prediction(task):
    features, episode = task

    def leaky(features, episode):
        honest = protocols.run("finetune", features, episode)
        return replace(honest, score=episode.table["score"].to_numpy()[episode.query] / 100)

    caught(leaky, features, episode)


def caught(leaky, features, episode):
    identical = leak_audit.exact(leaky, features, episode)
    verdict = leak_audit.statistical(leaky, episode)
    assert not identical and not verdict["at_chance"]
    row = {"protocol": "planted", "fair": True, "bit_identical": identical} | verdict
    with pytest.raises(leak_audit.LeakError, match="planted"):
        leak_audit.enforce(pd.DataFrame([row]))


def test_an_audit_that_cannot_see_the_oracle_fails():
    row = {"protocol": "prompt-oracle", "fair": False, "bit_identical": True, "at_chance": False}
    with pytest.raises(leak_audit.LeakError, match="not valid"):
        leak_audit.enforce(pd.DataFrame([row]))


def test_a_linear_head_over_candidates_would_be_blind_to_the_dance():
    """Why the head is not linear: without the GELU the dance's term is the same for all candidates."""
    torch.manual_seed(0)
    join, head = prompter.Join(6, 4, 8), torch.nn.Linear(8, 1)
    z, t = torch.randn(5, 6), torch.randn(3, 4)
    linear = head(join.dance(z)[:, None] + join.text(t)[None]).squeeze(-1).softmax(dim=1)
    assert torch.allclose(linear, linear[:1].expand_as(linear), atol=1e-6)
    curved = head(join(z, t, every_pair=True)).squeeze(-1).softmax(dim=1)
    assert not torch.allclose(curved, curved[:1].expand_as(curved), atol=1e-3)


def test_join_of_pairs_is_the_diagonal_of_all_pairs():
    torch.manual_seed(0)
    join, z, t = prompter.Join(6, 4, 8), torch.randn(5, 6), torch.randn(5, 4)
    every = join(z, t, every_pair=True)
    assert torch.allclose(join(z, t, every_pair=False), every[torch.arange(5), torch.arange(5)], atol=1e-6)


def test_tasks_without_labels_are_left_out(task):
    features, episode = task
    episode = replace(episode, table=episode.table.assign(score=np.nan))
    out = protocols.run("prompt", features, episode, 0, PrompterSettings(steps=3))
    assert out.score is None and out.probabilities is not None and out.rate is not None
    alone = protocols.run("prompt", features, episode, 0, PrompterSettings(steps=3), tasks=("rhythm",))
    assert alone.probabilities is None and alone.rate is not None


def test_run_refuses_overlap_and_unknown_names(task):
    features, episode = task
    with pytest.raises(ValueError, match="share pieces"):
        Episode(episode.table, episode.support, episode.support[:1])
    with pytest.raises(ValueError, match="no protocol 'prompting'; there are prompt,"):
        protocols.run("prompting", features, episode)


def test_chance_is_the_support_frequencies(task):
    features, episode = task
    out = protocols.run("chance", features, episode)
    assert np.allclose(out.probabilities, 1 / len(out.classes))
    assert out.score[0] == pytest.approx(episode.known["score"].mean() / 100)


def test_constant_features_leave_linear_heads_at_chance(task):
    """A constant with rounding noise, as bone lengths on the canonical body are, must not be blown up."""
    _, episode = task
    rounding = np.random.default_rng(0).normal(size=(len(episode.table), 4)) * 1e-7
    rounding[:, 0] = 1e-7 * (episode.table["level"] == "expert")
    out = protocols.run("finetune", Features(torch.tensor(0.5 + rounding)), episode)
    assert metrics.per_piece(out, episode.table.iloc[episode.query])["accuracy"].mean() < 0.2


def test_measures_against_hand_computed_values():
    truth = pd.DataFrame(
        {
            "genre": ["ballet"] * 3, "choreography": ["b4"] * 3, "level": ["expert", "beginner", "expert"],
            "primitive": [0, 0, 1], "score": [50.0, 60.0, 70.0], "bar": [80.0, 60.0, 40.0],
        }
    )  # fmt: skip
    classes = pd.DataFrame(
        [("ballet", "b4", "beginner", 0), ("ballet", "b4", "expert", 0), ("ballet", "b4", "expert", 1)],
        columns=protocols.CLASS_COLUMNS,
    )
    probabilities = np.array([[0.2, 0.7, 0.1], [0.3, 0.2, 0.5], [0.1, 0.6, 0.3]])
    predictions = Predictions(
        classes, probabilities, np.array([0.5, 0.5, 0.8]), np.array([0.01, 0.01, 0.0025]), np.array([0.8, 0.7, 0.4])
    )
    value = metrics.summary(metrics.per_piece(predictions, truth)).set_index(["task", "metric"])["value"]
    assert value[1, "accuracy"] == pytest.approx(100 / 3)
    assert value[1, "level"] == pytest.approx(200 / 3) and value[1, "primitive"] == pytest.approx(100 / 3)
    assert value[1, "level_within"] == pytest.approx(100)
    l2 = [0.5 * np.log(0.01), 0.5 + 0.5 * np.log(0.01), 0.5 * 4 + 0.5 * np.log(0.0025)]
    assert value[2, "l2"] == pytest.approx(np.mean(l2))
    assert value[2, "mse"] == pytest.approx(0.02 / 3) and value[2, "relative_l2"] == pytest.approx(0.02 / 3 / 0.04)
    assert value[2, "coverage_90"] == pytest.approx(200 / 3)
    assert value[3, "mse"] == pytest.approx(100 / 3) and value[3, "spearman"] == pytest.approx(1.0)


def test_sentences_are_the_papers():
    assert prompting.vocabulary_text("ballet", "b1", "beginner", 1) == "Ballet, choreography 1, beginner and move 2"
    assert prompting.score_text(0.85) == "The performance score is 85"
    assert texts.tokenize(["K-pop, 10"]) == [["k", "-", "pop", ",", "1", "0"]]


def test_the_text_encoder_is_bert():
    """The same weights in transformers' BERT, which reads each sentence alone and without padding."""
    said = ["a longer sentence than the other", "short", "The performance score is 85", "a short sentence, the 2nd"]
    torch.manual_seed(0)
    ours = texts.TextEncoder(said, 16)
    torch.nn.utils.vector_to_parameters(0.3 * torch.randn(sum(p.numel() for p in ours.parameters())), ours.parameters())
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=ours.words.num_embeddings, hidden_dropout_prob=0.0, **size)
    bert = transformers.BertModel(config, add_pooling_layer=False).eval()
    layer, mine = bert.encoder.layer[0], ours.attention
    own = layer.attention.self
    pairs = [(layer.attention.output.dense, ours.joined), (layer.intermediate.dense, ours.up), (layer.output.dense, ours.down)]
    norms = (bert.embeddings.LayerNorm, layer.attention.output.LayerNorm, layer.output.LayerNorm)
    with torch.no_grad():
        for theirs, part in (*pairs, *zip(norms, ours.norms, strict=True)):
            theirs.load_state_dict(part.state_dict())
        for theirs, weight, bias in zip((own.query, own.key, own.value), mine.weight.chunk(3), mine.bias.chunk(3), strict=True):
            theirs.weight.copy_(weight), theirs.bias.copy_(bias)
        bert.embeddings.word_embeddings.weight.copy_(ours.words.weight)
        bert.embeddings.position_embeddings.weight[: len(ours.places.weight)] = ours.places.weight
        bert.embeddings.token_type_embeddings.weight[:1] = ours.segment
        expected = [bert(ours.word[row[row >= 0]][None]).last_hidden_state[0].mean(dim=0) for row in ours.tokens]
        torch.testing.assert_close(ours(), torch.stack(expected), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours(torch.tensor([3, 1])), ours()[[3, 1]], atol=1e-6, rtol=1e-6)
