"""The training loop and the objectives it drives: repeatable, resumable, and each true to its invariants."""

import math
from dataclasses import replace

import pytest
import torch
from tiny import piece_set

from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.pretraining import methods, networks, objectives, pretrained, training
from dancemvp_core.pretraining.augment import Augmentation
from dancemvp_core.pretraining.objectives import SVT, MoCo
from dancemvp_core.pretraining.training import Hooks
from dancemvp_core.runs import profiles

AUGMENTATION = Augmentation(turn=30.0, noise=0.05, music_noise=0.2)
TRAINING = training.Training(epochs=3, batch_size=8)


def objective(method, seed=0):
    torch.manual_seed(seed)
    encoder = networks.build_encoder(method, IMPERIALDANCE21, networks.Width((8, 16), 16, 12))
    return networks.build_objective(method, encoder, classes=12)


def weights(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(
    "name", ["ours", "moco", "svt", "crossentropy", "stgcn-lstm-supcon", "happyfeet", "dance_with_melody"]
)
def test_every_objective_learns_and_repeats_with_its_seed(name):
    pieces, runs = piece_set(trials=4), []
    for _ in range(2):
        learner = objective(methods.METHODS[name])
        history = training.train(learner, pieces, TRAINING, AUGMENTATION, seed=1)
        runs.append((weights(learner), history["loss"].tolist()))
    assert same(runs[0][0], runs[1][0]) and runs[0][1] == runs[1][1]
    assert all(map(math.isfinite, runs[0][1]))
    assert not same(runs[0][0], weights(objective(methods.METHODS[name])))


def test_a_row_has_the_passes_of_its_kind():
    params = profiles.validate("03_pretraining", epochs=3, epochs_resnet50=5, epochs_slow=7)
    passes = {name: pretrained.training_of(name, params).epochs for name in methods.pretrainings()}
    assert {passes[name] for name in passes if "res50" in name} == {5}
    slow = {"res18-lstm-crossentropy", "cnn1d-none-crossentropy", "none-melody-reconstruction"}
    assert {name for name in passes if passes[name] == 7} == slow
    assert passes["stgcn-lstm-supcon"] == passes["stgcn-lstm-infonce-crop"] == 3


def test_motion_that_music_must_predict_is_not_changed_at_random():
    """No music says where a dancer was turned, or which joints were hidden: such a target leaves only its mean to learn."""
    for method in methods.everyone().values():
        if method.objective == "reconstruction":
            assert set(methods.settings(method)["augmentation"]) <= {"crop", "music_noise", "music_mask"}


def test_ours_learns_to_tell_pieces_apart():
    pieces, learner = piece_set(), objective(methods.METHODS["ours"])
    history = training.train(
        learner, pieces, training.Training(epochs=8, batch_size=16, learning_rate=3e-3), AUGMENTATION, 0
    )
    assert history["loss"].iloc[-1] < 0.7 * history["loss"].iloc[0]
    hidden, z = training.encode(learner.encoder, pieces, pieces.rows("test"))
    table = pieces.table.iloc[pieces.rows("test")].reset_index(drop=True)
    accuracy = training.nearest_neighbour_accuracy(z.numpy(), table)
    assert hidden.shape == (96, 32) and z.shape == (96, 12)
    assert accuracy["knn_choreography"] > 0.9 and accuracy["knn_primitive"] > 0.9


@pytest.mark.parametrize(("pieces", "epochs"), [(900, 8), (90, 112), (31, 224), (1, 224), (5000, 8)])
def test_few_pieces_get_as_many_steps(pieces, epochs):
    asked = training.Training(epochs=8, batch_size=32, least_steps=224)
    assert asked.on(pieces).epochs == epochs
    assert replace(asked, least_steps=0).on(pieces).epochs == 8


def test_the_history_has_a_row_for_each_of_the_passes_that_few_pieces_need():
    pieces, learner = piece_set(trials=1), objective(methods.METHODS["happyfeet"])
    steps = len(pieces.rows("pretrain")) // TRAINING.batch_size
    history = training.train(learner, pieces, replace(TRAINING, least_steps=5 * steps), AUGMENTATION, 0)
    assert len(history) == 5 and history["learning_rate"].iloc[-1] == pytest.approx(0, abs=1e-9)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("name", ["ours", "moco", "ours-sync"])
def test_a_resumed_run_ends_at_the_same_weights(name, tmp_path):
    def stop_after_two(epochs):
        for epoch in epochs:
            if epoch == 2:
                raise Interrupted
            yield epoch

    pieces, method = piece_set(trials=4), methods.everyone()[name]
    whole, halves = objective(method), objective(method)
    expected = training.train(whole, pieces, TRAINING, AUGMENTATION, 5)
    checkpoint = tmp_path / "run.safetensors"
    each_epoch = Hooks(checkpoint, checkpoint_every_s=0)
    with pytest.raises(Interrupted):
        training.train(halves, pieces, TRAINING, AUGMENTATION, 5, hooks=replace(each_epoch, progress=stop_after_two))
    fresh = objective(method, seed=9)  # everything must come from the checkpoint
    history = training.train(fresh, pieces, TRAINING, AUGMENTATION, 5, hooks=each_epoch)
    assert same(weights(whole), weights(fresh))
    assert history["loss"].tolist() == expected["loss"].tolist()
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_a_checkpoint_of_other_settings_is_not_resumed(tmp_path):
    pieces, checkpoint = piece_set(trials=2), tmp_path / "run.safetensors"
    for seed in (0, 1):
        history = training.train(
            objective(methods.METHODS["ours"]), pieces, TRAINING, AUGMENTATION, seed,
            hooks=Hooks(checkpoint, checkpoint_every_s=0),
        )
        assert len(history) == TRAINING.epochs
    alone = training.train(objective(methods.METHODS["ours"]), pieces, TRAINING, AUGMENTATION, 1)
    assert history["loss"].tolist() == alone["loss"].tolist()


def test_a_memory_is_a_share_of_the_run_and_at_least_ten_steps():
    assert objectives.slow_momentum(0.02, 50_000) == pytest.approx(0.999)
    assert objectives.slow_momentum(0.02, 2_000) == pytest.approx(1 - 1 / 40)
    assert objectives.slow_momentum(0.02, 100) == objectives.slow_momentum(0.003, 1) == 0.9


def test_moco_queue_is_first_in_first_out_and_keys_follow_slowly():
    torch.manual_seed(0)
    encoder = networks.build_encoder(methods.METHODS["ours"], IMPERIALDANCE21, networks.Width((8,), 16, 12))
    moco, pieces = MoCo(encoder, 12, inertia=0.1, queue=10), piece_set(trials=4)
    before = moco.queue.clone()
    for step in range(3):
        view = pieces.batch(torch.arange(4) + 4 * step)
        moco.loss((view, view), torch.zeros(4)).backward()
        newest = moco.fresh.clone()
        moco.after_step(moco.pace(0.0, 40))
        place = (torch.arange(4) + 4 * step) % 10
        assert torch.equal(moco.queue[place], newest)
        assert torch.allclose(moco.queue.norm(dim=1), torch.ones(10), atol=1e-5)
    assert not torch.equal(moco.queue[8:], before[8:]) and int(moco.head) == 2
    assert all(p.grad is None for p in moco.key_encoder.parameters())
    with torch.no_grad():
        for p in moco.encoder.parameters():
            p.add_(1.0)
    frozen = weights(moco.key_encoder)
    moco.after_step(moco.pace(0.0, 400))  # a memory of 40 steps
    for name, p in moco.encoder.named_parameters():
        assert torch.allclose(moco.key_encoder.state_dict()[name], 0.975 * frozen[name] + 0.025 * p, atol=1e-6)


def test_svt_views_differ_in_rate_and_its_centre_follows_the_teacher():
    torch.manual_seed(0)
    encoder = networks.build_encoder(methods.METHODS["svt"], IMPERIALDANCE21, networks.Width((8,), 16, 12))
    svt, pieces = SVT(encoder, 12, prototypes=32), piece_set(trials=2)
    view = pieces.batch(torch.arange(6))
    whole, parts = svt.temporal_views((view, view))
    assert torch.equal(whole[1]["motion"], view["motion"][:, :, ::2])
    assert torch.equal(torch.cat([p["motion"] for p in parts], dim=2), view["motion"])
    svt.loss((view, view), torch.zeros(6)).backward()
    assert all(p.grad is None for p in svt.teacher.parameters())
    centre = svt.centre.clone()
    svt.after_step(svt.pace(0.0, 100))
    assert torch.allclose(svt.centre, 0.9 * centre + 0.1 * svt.seen)
    slow = weights(svt.teacher)
    with torch.no_grad():
        svt.head.mlp[0].weight.add_(1.0)
    svt.after_step(svt.pace(1.0, 100))  # at the end of the run the teacher stands still
    assert torch.allclose(svt.teacher[1].mlp[0].weight, slow["1.mlp.0.weight"])
    svt.after_step(svt.pace(0.0, 100))
    assert torch.allclose(svt.teacher[1].mlp[0].weight, slow["1.mlp.0.weight"] + 0.1, atol=1e-6)


def test_prototype_scores_are_cosines():
    torch.manual_seed(0)
    head, z = objectives.Prototypes(12, 7), torch.randn(5, 12)
    scores = head(z)
    assert scores.shape == (5, 7) and float(scores.detach().abs().max()) <= 1 + 1e-6
    expected = torch.cosine_similarity(head.mlp(z)[:, None], head.prototypes[None], dim=2)
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize("name", ["moco", "svt"])
def test_moco_and_svt_leave_the_loss_of_constant_features(name):
    pieces, learner = piece_set(trials=8), objective(methods.METHODS[name])
    history = training.train(learner, pieces, training.Training(epochs=6, batch_size=16, learning_rate=3e-3), AUGMENTATION, 0)
    last = history.iloc[-1]
    assert last["loss"] < 0.85 * last["trivial_loss"]


def test_the_training_takes_denormal_numbers_as_zero_and_nothing_after_it():
    if not torch.set_flush_denormal(False):
        pytest.skip("this processor has no switch for denormal numbers")
    learner, products = objective(methods.METHODS["ours"]), []
    learner.after_step = lambda pace: products.append(torch.tensor([1e-40]) * 0.5)
    training.train(learner, piece_set(trials=2), replace(TRAINING, epochs=1), AUGMENTATION, 0)
    assert products and not torch.cat(products).any()
    assert torch.tensor([1e-40]) * 0.5 > 0


def test_a_checkpoint_is_written_at_most_once_in_its_interval(tmp_path):
    checkpoint = tmp_path / "run.safetensors"
    hooks = Hooks(checkpoint, checkpoint_every_s=3600)
    training.train(objective(methods.METHODS["ours"]), piece_set(trials=2), TRAINING, AUGMENTATION, 0, hooks=hooks)
    assert not checkpoint.exists()


def test_a_diverging_run_says_what_is_not_finite():
    where = r"epoch 1, step \d+: the (output|gradient|weight|loss).*\(on cpu, in (float32|bfloat16)\)"  # as the processor has it
    with pytest.raises(FloatingPointError, match=where):
        wild = training.Training(epochs=4, batch_size=8, learning_rate=1e30, schedule="constant")
        training.train(objective(methods.METHODS["ours"]), piece_set(trials=2), wild, AUGMENTATION, 0)


def test_a_piece_that_is_not_finite_is_named_and_not_the_learning_rate():
    pieces = piece_set(trials=2)
    pieces.motion[pieces.rows("pretrain")[3], 0, 2, 5] = math.nan
    with pytest.raises(FloatingPointError, match="the input motion of view 1 is not a finite number"):
        training.train(objective(methods.METHODS["ours"]), pieces, TRAINING, AUGMENTATION, 0)


def test_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="expected constant or cosine"):
        training.Training(epochs=1, schedule="linear").rate(0.5)


@pytest.mark.parametrize("together", [1, 4, 5])
def test_shuffling_keeps_every_piece_and_runs_of_the_same_music(together):
    rows, windows = torch.arange(100, 160), torch.arange(60) % 3
    first, again, other = (
        training.shuffle(rows, windows, together, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first.sort().values, rows)
    assert torch.equal(first, again) and not torch.equal(first, other)
    runs = windows[first - 100].view(-1, together)
    assert together == 1 or (runs == runs[:, :1]).all()


@pytest.mark.parametrize("name", ["ours", "res18-res18-infonce", "motion_only", "dance_with_melody"])
def test_music_is_encoded_once_a_window(name):
    """Also for rows in any order, and for pieces without music (window -1)."""
    pieces = piece_set(trials=2)
    pieces.table.loc[[5, 40], "window"] = -1
    torch.manual_seed(0)
    encoder = networks.build_encoder(methods.everyone()[name], IMPERIALDANCE21, networks.Width((8, 16), 16, 12)).eval()
    rows, heard = torch.randperm(len(pieces)).tolist(), []
    with torch.no_grad():
        hidden = encoder.hidden(pieces.batch(rows))
        z = encoder.last(hidden)
    if "music" in getattr(encoder, "encoders", ()):
        encoder.encoders["music"].register_forward_pre_hook(lambda _, inputs: heard.append(len(inputs[0])))
    ours = training.encode(encoder, pieces, rows, batch_size=7)
    assert sum(heard) == (len(pieces.music) if heard else 0)
    for mine, theirs in zip(ours, (hidden, z), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5 * float(theirs.abs().max()))
