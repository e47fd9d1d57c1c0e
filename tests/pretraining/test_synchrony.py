"""The interaction of motion and music: against a plain loop, what does not matter to it, and whether it learns to listen."""

import numpy as np
import pytest
import torch
from tiny import piece_set

from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.models.encoders import MUSIC_FEATURES
from dancemvp_core.pretraining import methods, networks, synchrony
from dancemvp_core.pretraining.synchrony import Synchrony

WIDTH = networks.Width((8, 16), 16, 12)


def pieces(count=3, frames=48, joints=21, seed=0):
    generator = torch.Generator().manual_seed(seed)
    motion = torch.randn(count, 3, frames, joints, generator=generator).cumsum(dim=2) * 0.1
    music = torch.randn(count, MUSIC_FEATURES, frames, generator=generator)
    return {"motion": motion, "music": music, "seconds": torch.full((count,), 3.0)}


@pytest.fixture()
def listener():
    torch.manual_seed(0)
    return Synchrony(21).eval()


@pytest.mark.parametrize("frames", [32, 50, 100])
def test_strokes_are_those_of_a_loop(listener, frames):
    own = pieces(2, frames)
    with torch.no_grad():
        lags, at = listener.strokes(own)
        heard, danced = (stream.double().numpy() for stream in listener.streams(own))
    beat = round(frames / 8)
    for i in range(2):
        weight = 1 / (1 + np.exp(-4.0 * (heard[i] - 1.25)))
        weight /= weight.sum()
        by_lag, by_frame = np.zeros(2 * beat + 2), np.zeros(frames)
        for t in range(frames):
            inside = [t + lag for lag in range(-beat, beat + 1)]
            scores = [np.exp(4.0 * danced[i, k]) if 0 <= k < frames else 0.0 for k in inside] + [np.exp(1.0)]
            for j, score in enumerate(scores):
                by_lag[j] += weight[t] * score / sum(scores)
                if j <= 2 * beat and 0 <= inside[j] < frames:
                    by_frame[inside[j]] += weight[t] * score / sum(scores)
        assert float(lags[i].sum()) == pytest.approx(1, abs=1e-4)
        assert float(lags[i, -1]) == pytest.approx(by_lag[-1], abs=1e-4)
        shared = np.stack([np.interp(np.linspace(0, 12, 2 * beat + 1), range(13), row) for row in np.eye(13)], axis=1)
        np.testing.assert_allclose(lags[i, :-1], by_lag[:-1] @ shared, atol=1e-4)
        np.testing.assert_allclose(at[i], by_frame / by_frame.sum(), atol=1e-4)


def test_turned_and_larger_dances_have_the_same_strokes(listener):
    own = pieces()
    c, s = np.cos(1.0), np.sin(1.0)
    turn = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float32)
    turned = own | {"motion": 1.7 * torch.einsum("ij,njtv->nitv", turn, own["motion"])}
    louder = own | {"music": 3.0 * own["music"] + 2.0}
    with torch.no_grad():
        expected = listener.strokes(own)
        for other in (turned, louder):
            for a, b in zip(expected, listener.strokes(other), strict=True):
                torch.testing.assert_close(a, b, atol=2e-3, rtol=1e-2)


def pulses(count=64, frames=48, late=2, seed=0):
    """Music with pulses at drawn times in one feature, and a body that moves ``late`` frames after each pulse."""
    rng = np.random.default_rng(seed)
    music, speed = np.zeros((count, MUSIC_FEATURES, frames)), np.full((count, frames), 0.05)
    for i in range(count):
        for t in rng.choice(np.arange(4, frames - 6), size=5, replace=False):
            music[i, 53, t] = 1.0
            speed[i, t + late] += 1.0
    music += 0.05 * rng.normal(size=music.shape)
    motion = np.zeros((count, 3, frames, 21))
    motion[:, 0] = np.cumsum(speed, axis=1)[:, :, None] * rng.uniform(0.5, 1.5, 21)
    return {name: torch.tensor(value, dtype=torch.float32) for name, value in (("motion", motion), ("music", music))}


def test_it_learns_to_listen_and_finds_the_lag():
    torch.manual_seed(0)
    listener, own = Synchrony(21), pulses()
    optimizer = torch.optim.AdamW(listener.parameters(), 1e-2)
    first = None
    for _ in range(150):
        loss = listener.loss(own)
        first = first or float(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    listener.eval()
    other = pulses(seed=1)
    with torch.no_grad():
        assert first > 2.0 and float(listener.loss(other)) < 1.0, "unheard pieces are in time"
        late = other | {"motion": torch.roll(other["motion"], 3, dims=2)}
        assert float(listener.loss(late)) > 2 * float(listener.loss(other)), "and three frames later they are not"


def test_features_say_when_and_need_no_gradient():
    torch.manual_seed(0)
    encoder = networks.build_encoder(methods.EXTENSIONS["ours-sync"], IMPERIALDANCE21, WIDTH)
    hidden = encoder.hidden(pieces())
    assert hidden.shape == (3, 2 * 16 + synchrony.LAGS + 1 + 42) and encoder.last.in_features == hidden.shape[1]
    interaction = encoder.interaction(pieces())
    assert not interaction.requires_grad
    torch.testing.assert_close(encoder.eval().hidden(pieces())[:, -interaction.shape[1] :], encoder.interaction(pieces()))


def test_the_objective_reads_no_label_and_trains_everything():
    data = piece_set(trials=2)
    objective = networks.new_objective("stgcn-lstm-synchrony", 0, WIDTH, data, IMPERIALDANCE21)
    batch = data.batch(data.rows("pretrain")[:6])
    losses = []
    for labels in (torch.zeros(6, dtype=torch.long), torch.arange(6)):
        torch.manual_seed(1)
        losses.append(objective.loss((batch, batch), labels))
    assert torch.equal(*losses)
    losses[0].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in objective.parameters())
