"""The released networks, against plain loops; and its checkpoint: read without running code, refused in one line."""

import os
import pickle
import re

import numpy as np
import pytest
import torch
from released_checkpoint import saved, trained_looking

from dancemvp_core.dance.sequences import DataError
from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.released import encoder, load_checkpoint

JOINTS = IMPERIALDANCE21.joints


# --- the graph -------------------------------------------------------------------------------------------------------


def test_the_right_lower_leg_is_cut_off():
    bones = encoder.edges()
    assert len(bones) == 19 and len(encoder.edges(knee=True)) == 20
    reached, before = {JOINTS.index("Hip")}, set()
    while reached != before:
        before = set(reached)
        reached |= {j for a, b in bones for j in (a, b) if {a, b} & before}
    assert {JOINTS[j] for j in set(range(21)) - reached} == {"RShin", "RFoot", "RToe"}


def test_partitions_by_definition():
    """A chain 0 - 1 - 2 - 3 with centre 0: joints 2 and 3 are both infinitely far, so each counts as equally far to the other."""
    parts = encoder.partitions(4, [(0, 1), (1, 2), (2, 3)], 0)
    share = [1 / 2, 1 / 3, 1 / 3, 1 / 2]  # of each column, by the joint that takes
    assert np.allclose(np.diag(parts[0]), share) and np.count_nonzero(parts[0]) == 4
    takes_from = {(v, w): k for k in (1, 2) for v, w in zip(*np.nonzero(parts[k]), strict=True)}
    assert takes_from == {(1, 0): 1, (0, 1): 2, (2, 1): 1, (1, 2): 2, (3, 2): 1, (2, 3): 1}
    assert np.allclose(parts.sum(axis=(0, 1)), 1)


# --- the networks ----------------------------------------------------------------------------------------------------


def norm(x, layer, axis):
    """Batch norm in evaluation, by its formula."""
    shape = [1] * x.ndim
    shape[axis] = -1
    mean, var, weight, bias = (v.detach().double().numpy().reshape(shape) for v in (
        layer.running_mean, layer.running_var, layer.weight, layer.bias))  # fmt: skip
    return (x - mean) / np.sqrt(var + layer.eps) * weight + bias


def plain_block(x, block, graph):
    """One block on (3 or C, T, V) by loops over partitions, taps and frames, float64."""
    conv, (norm_1, _, temporal, norm_2, _) = block.gcn.conv, block.tcn
    weight, bias = conv.weight.detach().double().numpy()[..., 0, 0], conv.bias.detach().double().numpy()
    channels = len(weight) // 3
    out = np.zeros((channels, *x.shape[1:]))
    for k in range(3):
        rows = slice(k * channels, (k + 1) * channels)
        mixed = np.einsum("oc,ctv->otv", weight[rows], x) + bias[rows][:, None, None]
        for w in range(graph.shape[2]):
            for v in range(graph.shape[1]):
                out[:, :, w] += mixed[:, :, v] * graph[k, v, w]
    out = np.maximum(norm(out, norm_1, 0), 0)
    taps, stride = temporal.weight.detach().double().numpy()[..., 0], temporal.stride[0]
    padded = np.pad(out, ((0, 0), (4, 4), (0, 0)))
    frames = range(0, out.shape[1], stride)
    moved = np.stack([np.einsum("ock,ckv->ov", taps, padded[:, t : t + 9]) for t in frames], axis=1)
    moved = norm(moved + temporal.bias.detach().double().numpy()[:, None, None], norm_2, 0)
    if block.with_residual:
        skip = x
        if not isinstance(block.residual, torch.nn.Identity):
            one, after = block.residual
            skip = np.einsum("oc,ctv->otv", one.weight.detach().double().numpy()[..., 0, 0], x[:, ::stride])
            skip = norm(skip + one.bias.detach().double().numpy()[:, None, None], after, 0)
        moved = moved + skip
    return np.maximum(moved, 0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def plain_lstm(rows, lstm):
    """The last output of a stacked LSTM on (R, 130), gate by gate, float64."""
    for layer in range(lstm.num_layers):
        w_in, w_own, b_in, b_own = (getattr(lstm, f"{name}_l{layer}").detach().double().numpy() for name in (
            "weight_ih", "weight_hh", "bias_ih", "bias_hh"))  # fmt: skip
        h, c, out = np.zeros(lstm.hidden_size), np.zeros(lstm.hidden_size), []
        for row in rows:
            i, f, g, o = np.split(w_in @ row + b_in + w_own @ h + b_own, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            out.append(h)
        rows = np.stack(out)
    return rows[-1]


def test_a_checkpoint_s_weights_give_what_plain_loops_give(tmp_path):
    made = saved(tmp_path / "x.pth.tar")
    loaded = load_checkpoint(tmp_path / "x.pth.tar")
    generator = torch.Generator().manual_seed(3)
    motion = torch.randn(2, 3, 40, 21, generator=generator)
    music = torch.randn(2, 12, 130, generator=generator)
    with torch.inference_mode():
        z = loaded({"motion": motion, "music": music}).double().numpy()
        assert torch.equal(made({"motion": motion, "music": music}), loaded({"motion": motion, "music": music}))
    for n in range(2):
        x = motion[n].double().numpy()
        flat = norm(x.transpose(2, 0, 1).reshape(63, 40), loaded.motion.data_bn, 0)
        x = flat.reshape(21, 3, 40).transpose(1, 2, 0)
        for block, importance in zip(loaded.motion.st_gcn_networks, loaded.motion.edge_importance, strict=True):
            x = plain_block(x, block, (loaded.motion.A * importance).detach().double().numpy())
        music_code = plain_lstm(music[n].double().numpy(), loaded.music.lstm)
        joined = [x.mean(axis=(1, 2)), loaded.music.fc.weight.detach().double().numpy() @ music_code
                  + loaded.music.fc.bias.detach().double().numpy()]  # fmt: skip
        h = np.concatenate(joined)
        for layer, last in ((loaded.mlp.input_fc, False), (loaded.mlp.hidden_fc, False), (loaded.mlp.output_fc, True)):
            h = layer.weight.detach().double().numpy() @ h + layer.bias.detach().double().numpy()
            h = h if last else np.maximum(h, 0)
        np.testing.assert_allclose(z[n], h, atol=1e-4)


def test_shapes_are_the_published_ones():
    made = trained_looking()
    with torch.inference_mode():
        z = made({"motion": torch.zeros(1, 3, 300, 21), "music": torch.zeros(1, 549, 130)})
        hidden = made.hidden({"motion": torch.zeros(1, 3, 300, 21), "music": torch.zeros(1, 549, 130)})
        assert z.shape == hidden.shape == (1, 256) and torch.equal(made.last(hidden), z)


# --- hostile checkpoints ---------------------------------------------------------------------------------------------


class Opens:
    """A pickle that runs a command when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def refused(path, words):
    with pytest.raises(DataError) as fault:
        load_checkpoint(path)
    text = str(fault.value)
    assert "\n" not in text and text.startswith(f"{path}: ") and re.search(words, text), text


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    ran = tmp_path / "ran"
    for name, write in (("torch.pth.tar", torch.save), ("plain.pth.tar", lambda x, p: p.write_bytes(pickle.dumps(x)))):
        write({"state_dict_mo": Opens(ran)}, tmp_path / name)
        refused(tmp_path / name, "holds more than weights.*expected a checkpoint with state_dict_mo")
    assert not ran.exists()


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "x.pth.tar"
    refused(path, "no such file")
    for content in (b"", b"this is a text file\n", b"PK\x03\x04 but not a zip", os.urandom(4000)):
        path.write_bytes(content)
        refused(path, "not a checkpoint|truncated|more than weights")
    saved(path)
    whole = path.read_bytes()
    for share in (0.2, 0.9, 0.9999):
        path.write_bytes(whole[: int(share * len(whole))])
        refused(path, "truncated or damaged|not a checkpoint")
    path.unlink()
    path.mkdir()
    refused(path, "cannot be read|not a checkpoint")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("state_dict_mu"), "no state_dict_mu in it"),
        (lambda c: c["state_dict_mlp"].pop("output_fc.weight"), r"no weight output_fc.weight, expected \(256, 256\)"),
        (lambda c: c["state_dict_mlp"].update({"output_fc.bias": torch.zeros(9)}), r"output_fc.bias is \(9,\), expected \(256,\)"),
        (lambda c: c["state_dict_mo"].update({"A": "graph"}), "state_dict_mo: no weight A"),
        (lambda c: c["state_dict_mu"].update({"lstm.extra": torch.zeros(1)}), "unknown weight lstm.extra"),
        (lambda c: c.update(state_dict_mo=[1, 2]), "no state_dict_mo in it"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, change, words):
    saved(tmp_path / "x.pth.tar", change)
    refused(tmp_path / "x.pth.tar", words)


def test_a_checkpoint_that_holds_a_list_is_refused(tmp_path):
    torch.save([1, 2, 3], tmp_path / "x.pth.tar")
    refused(tmp_path / "x.pth.tar", "no state_dict_mo in it")
