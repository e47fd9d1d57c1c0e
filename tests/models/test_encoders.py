"""Encoders: the graph convolution against a naive loop, shapes, and what the builder refuses."""

import numpy as np
import pytest
import torch

from dancemvp_core.dance.skeleton import COCO17, IMPERIALDANCE21, Skeleton, spatial_partitions
from dancemvp_core.models import encoders


def test_partitions_follow_the_tree():
    chain = Skeleton("chain", ("a", "b", "c"), (-1, 0, 1))
    graph = spatial_partitions(chain)
    expected = np.zeros((3, 3, 3))
    for joint, neighbours in {0: [0, 1], 1: [0, 1, 2], 2: [1, 2]}.items():
        for other in neighbours:
            kind = 0 if other == joint else 1 if other < joint else 2
            expected[kind, other, joint] = 1 / len(neighbours)
    assert np.allclose(graph, expected)


@pytest.mark.parametrize("skeleton", [IMPERIALDANCE21, COCO17], ids=lambda s: s.name)
def test_every_joint_averages_over_its_neighbourhood(skeleton):
    graph = spatial_partitions(skeleton)
    assert np.allclose(graph.sum(axis=(0, 1)), 1)
    assert (graph[1:] > 0).sum() == 2 * len(skeleton.bones)


def test_graph_convolution_is_the_sum_over_partitions():
    torch.manual_seed(0)
    graph = torch.from_numpy(spatial_partitions(COCO17)).double()
    layer = encoders.GraphConvolution(2, 3, graph).double()
    torch.nn.init.uniform_(layer.edge_weight)
    x = torch.randn(2, 2, 4, 17, dtype=torch.float64)
    weight = layer.mix.weight.view(3, len(graph), 2)
    naive = torch.zeros(2, 3, 4, 17, dtype=torch.float64)
    for n in range(2):
        for o in range(3):
            for t in range(4):
                for w in range(17):
                    value = float(layer.mix.bias[o].detach())
                    for k in range(len(graph)):
                        for c in range(2):
                            for v in range(17):
                                value += float(weight[o, k, c] * graph[k, v, w] * layer.edge_weight[k, v, w] * x[n, c, t, v])
                    naive[n, o, t, w] = value
    assert torch.allclose(layer(x), naive, atol=1e-10)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("channels", [2, 20])  # fewer and more than joints
def test_graph_convolution_has_the_gradient_of_the_sum(channels, dtype, tolerance):
    torch.manual_seed(0)
    layer = encoders.GraphConvolution(channels, 3, torch.from_numpy(spatial_partitions(COCO17))).to(dtype)
    x = torch.randn(2, channels, 4, 17, dtype=dtype, requires_grad=True)
    weight = layer.mix.weight.view(3, len(layer.graph), channels)
    plain = torch.einsum("nctv,kvw,okc->notw", x, layer.graph * layer.edge_weight, weight) + layer.mix.bias[:, None, None]
    ours = layer(x)
    assert torch.allclose(ours, plain, atol=tolerance)
    gradients = [torch.autograd.grad(out.sin().sum(), (x, *layer.parameters()), retain_graph=True) for out in (ours, plain)]
    for mine, theirs in zip(*gradients, strict=True):
        assert torch.allclose(mine, theirs, atol=tolerance * float(theirs.abs().max()))


@pytest.mark.parametrize("name", encoders.ENCODERS)
def test_every_encoder_maps_pieces_to_vectors(name):
    inputs = {"motion": torch.randn(2, 3, 40, 21), "music": torch.randn(2, encoders.MUSIC_FEATURES, 40)}
    for modality in encoders.ENCODERS[name][0]:
        out = encoders.build(name, modality, dim=32)(inputs[modality])
        assert out.shape == (2, 32) and torch.isfinite(out).all()


def test_full_width_stgcn_has_the_published_size():
    parameters = sum(p.numel() for p in encoders.build("stgcn").parameters())
    assert 3.0e6 < parameters < 3.3e6


def test_stgcn_takes_any_skeleton():
    narrow = encoders.build("stgcn", skeleton=COCO17, channels=(8, 16), dim=12)
    assert narrow(torch.randn(3, 3, 30, 17)).shape == (3, 12)


def test_lstm_reads_the_order_of_frames():
    lstm, music = encoders.build("lstm", dim=16), torch.randn(2, encoders.MUSIC_FEATURES, 30)
    assert not torch.allclose(lstm(music), lstm(music.flip(2)), atol=1e-4)


def test_builder_refuses_by_name():
    with pytest.raises(ValueError, match="no encoder 'st-gcn'; there are stgcn"):
        encoders.build("st-gcn")
    with pytest.raises(ValueError, match="reads motion, not 'music'"):
        encoders.build("stgcn", modality="music")
    with pytest.raises(TypeError):
        encoders.build("stgcn", chanels=(8,))


def test_fusion_leaves_out_a_missing_modality():
    torch.manual_seed(0)
    deaf = encoders.DanceEncoder(encoders.build("stgcn", channels=(8,), dim=16), None, dim=16, features=8).eval()
    motion, seconds = torch.randn(2, 3, 20, 21), torch.ones(2)
    sounds = torch.randn(2, 2, encoders.MUSIC_FEATURES, 20)
    z = [deaf({"motion": motion, "music": sound, "seconds": seconds}) for sound in sounds]
    assert z[0].shape == (2, 8) and torch.equal(*z)


@pytest.mark.parametrize(("layers", "hidden"), [(1, 32), (2, 16)])
def test_the_last_layer_of_the_mlp_stands_apart(layers, hidden):
    net = encoders.DanceEncoder(
        encoders.build("stgcn", channels=(8,), dim=16), encoders.build("lstm", dim=16), 16, 8, mlp_layers=layers
    ).eval()
    pieces = {"motion": torch.randn(2, 3, 20, 21), "music": torch.randn(2, encoders.MUSIC_FEATURES, 20), "seconds": torch.ones(2)}
    assert net.hidden(pieces).shape == (2, hidden) and torch.equal(net.last(net.hidden(pieces)), net(pieces))
    with pytest.raises(ValueError, match="MLP of 3 layers"):
        encoders.DanceEncoder(None, encoders.build("lstm", dim=16), 16, 8, mlp_layers=3)


def test_velocities_are_in_seconds_whatever_the_piece_lasts():
    seconds = torch.tensor([1.0, 4.0])
    motion = torch.linspace(0, 1, 41).reshape(1, 1, 41, 1).expand(2, 3, 41, 21)  # as far in one second as in four
    found = encoders.velocity(motion, seconds)
    assert torch.equal(found[:, :, 0], torch.zeros(2, 3, 21))
    assert torch.allclose(found[0, :, 1:], torch.tensor(41 / 40), atol=1e-4)
    assert torch.allclose(found[1], found[0] / 4, atol=1e-5)
