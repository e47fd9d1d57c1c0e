"""ResNet: its convolutions against torch's at every shape they meet, the whole against another implementation, and views."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import ResNetConfig, ResNetModel

from dancemvp_core.convolution import Conv2d
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.models import encoders, resnet
from dancemvp_core.pretraining import methods, networks
from dancemvp_core.runs import profiles

FRAMES = sorted({profile.piece_frames for profile in profiles.PROFILES.values()})


def shapes(frames):
    """(convolution, shape of its input) for every convolution of both depths, on motion and on music of so many frames."""
    met = {}

    def note(layer, inputs):
        key = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, tuple(inputs[0].shape))
        met.setdefault(key, layer)

    for depth in (18, 50):
        for image in ((2, 3, frames, 21), (2, 1, encoders.MUSIC_FEATURES, frames)):
            net = resnet.ResNet(depth, image[1], 8).eval()
            for layer in filter(lambda module: isinstance(module, Conv2d), net.modules()):
                layer.register_forward_pre_hook(note)
            with torch.no_grad():
                net(torch.zeros(image))
    return [(layer, key[-1]) for key, layer in met.items()]


@pytest.mark.parametrize(
    "frames, dtype, tolerance", [(FRAMES[0], torch.float64, 1e-10), *((frames, torch.float32, 1e-5) for frames in FRAMES)]
)
def test_every_convolution_is_the_one_of_torch(frames, dtype, tolerance):
    torch.manual_seed(0)
    products = 0
    for layer, shape in shapes(frames):
        layer.to(dtype)
        x = torch.randn(shape, dtype=dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
        ours, plain = layer(x), F.conv2d(x, layer.weight, None, layer.stride, layer.padding)
        products += type(ours.grad_fn).__name__ != type(plain.grad_fn).__name__
        scale = plain.detach().abs().max()
        assert torch.allclose(ours, plain, atol=float(tolerance * scale))
        up = torch.randn_like(plain)
        gradients = [torch.autograd.grad(out, (x, layer.weight), up) for out in (ours, plain)]
        for mine, theirs in zip(*gradients, strict=True):
            assert torch.allclose(mine, theirs, atol=float(tolerance * theirs.abs().max()))
    assert products > 5  # the small images, at least, are matrix products


@pytest.mark.parametrize("depth", [18, 50])
def test_the_network_is_the_published_one(depth):
    basic = depth == 18
    config = ResNetConfig(
        num_channels=3, embedding_size=64, depths=list(resnet.DEPTHS[depth]), layer_type="basic" if basic else "bottleneck",
        hidden_sizes=[64, 128, 256, 512] if basic else [256, 512, 1024, 2048],
    )  # fmt: skip
    torch.manual_seed(0)
    theirs, ours = ResNetModel(config).eval(), resnet.ResNet(depth, 3, 7).eval()

    def pair(net):
        """(convolution, batch norm) in the order of computation, shortcuts after their block."""
        if isinstance(net, resnet.ResNet):
            yield net.stem, net.stem_norm
            for block in net.blocks:
                yield from zip(block.convolutions, block.norms, strict=True)
                if block.skip is not None:
                    yield block.skip, block.skip_norm
            return
        yield net.embedder.embedder.convolution, net.embedder.embedder.normalization
        for block in (block for stage in net.encoder.stages for block in stage.layers):
            yield from ((part.convolution, part.normalization) for part in block.layer)
            if not isinstance(block.shortcut, nn.Identity):
                yield block.shortcut.convolution, block.shortcut.normalization

    for (conv, norm), (their_conv, their_norm) in zip(pair(ours), pair(theirs), strict=True):
        conv.load_state_dict(their_conv.state_dict())
        nn.init.uniform_(their_norm.running_mean, -0.1, 0.1)
        norm.load_state_dict(their_norm.state_dict())
    image = torch.randn(2, 3, 50, 21)
    with torch.no_grad():
        expected = ours.out(theirs(image).pooler_output.flatten(1))
        assert torch.allclose(ours(image), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("res18-res18-infonce", "cpu"),
        ("stgcn-res18-infonce", "cpu"),
        *((n, w) for n in ("ours", "tx-tx-infonce") for w in ("cpu", "gpu")),
    ],
)
def test_both_views_at_once_are_two_calls(name, where, shared, monkeypatch):
    """Also where no augmentation changed the music, so that both views share it; on the CPU, and as a GPU joins them."""
    if where == "gpu":
        monkeypatch.setattr(encoders, "JOINS_VIEWS", {})
    torch.manual_seed(0)
    at_once = networks.build_encoder(methods.METHODS[name], IMPERIALDANCE21, networks.Width((8, 16), 16, 12))
    apart = copy.deepcopy(at_once)
    calls = {"motion": 0, "music": 0}
    for part, net in at_once.encoders.items():
        net.register_forward_hook(lambda *_, part=part: calls.update({part: calls[part] + 1}))
    shapes = {"motion": (6, 3, 32, 21), "music": (6, 54, 32)}
    views = tuple({part: torch.randn(shape) for part, shape in shapes.items()} | {"seconds": torch.full((6,), 3.0)} for _ in "ab")
    if shared:
        views[1]["music"] = views[0]["music"]
    results = []
    for encoder, z in ((at_once, at_once.both(views)), (apart, tuple(apart(view) for view in views))):
        sum((half**2).sum() for half in z).backward()
        results.append((z, encoder))
    assert calls["motion"] == (1 if where == "gpu" or name.startswith("res18") else 2)
    assert calls["music"] == (1 if where == "gpu" or shared or "-res18-infonce" in name else 2)
    for mine, theirs in zip(results[0][0], results[1][0], strict=True):
        assert torch.allclose(mine, theirs, atol=1e-4)
    theirs = dict(apart.named_parameters())
    for key, p in at_once.named_parameters():
        assert torch.allclose(p.grad, theirs[key].grad, atol=1e-3 * float(theirs[key].grad.abs().max()) + 1e-5), key
    buffers = dict(apart.named_buffers())
    assert all(torch.allclose(b.float(), buffers[key].float(), atol=1e-4) for key, b in at_once.named_buffers())
