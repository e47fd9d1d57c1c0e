"""Augmentations: each does what its name says, keeps shapes, and repeats with its seed."""

from dataclasses import fields

import pytest
import torch

from dancemvp_core.dance.skeleton import IMPERIALDANCE21
from dancemvp_core.models.encoders import velocity
from dancemvp_core.pretraining.augment import Augmentation

STILL = Augmentation()


@pytest.fixture
def pieces():
    generator = torch.Generator().manual_seed(3)
    return {
        "motion": torch.randn(6, 3, 30, 21, generator=generator).cumsum(dim=2),
        "music": torch.randn(6, 54, 30, generator=generator),
        "seconds": torch.full((6,), 3.0),
    }


def view(augmentation, pieces, seed=0):
    return augmentation(pieces, torch.Generator().manual_seed(seed), IMPERIALDANCE21.mirror)


def test_nothing_asked_for_is_nothing_done(pieces):
    out = view(STILL, pieces)
    assert torch.equal(out["motion"], pieces["motion"]) and torch.equal(out["music"], pieces["music"])


@pytest.mark.parametrize("family", [f.name for f in fields(Augmentation)])
def test_each_family_changes_its_modality_and_repeats_with_its_seed(family, pieces):
    augmentation = Augmentation(**{family: 90.0 if family == "turn" else 0.5})
    first, again, other = (view(augmentation, pieces, seed) for seed in (0, 0, 1))
    target = "music" if family.startswith("music") else "motion"
    assert first[target].shape == pieces[target].shape
    assert not torch.allclose(first[target], pieces[target])
    assert torch.equal(first[target], again[target]) and not torch.equal(first[target], other[target])
    if family != "crop":
        untouched = "motion" if target == "music" else "music"
        assert torch.equal(first[untouched], pieces[untouched])


def test_a_turn_keeps_heights_and_distances(pieces):
    turned = view(Augmentation(turn=180.0), pieces)["motion"]
    assert torch.allclose(turned[:, 1], pieces["motion"][:, 1], atol=1e-4)
    assert torch.allclose(turned.norm(dim=1), pieces["motion"].norm(dim=1), atol=1e-3)


def test_a_mirrored_dancer_exchanges_left_and_right(pieces):
    out = view(Augmentation(mirror=1.0), pieces)["motion"]
    left, right = IMPERIALDANCE21.index("LHand"), IMPERIALDANCE21.index("RHand")
    assert torch.allclose(out[:, 0, :, left], -pieces["motion"][:, 0, :, right])
    assert torch.allclose(out[:, 1:, :, left], pieces["motion"][:, 1:, :, right])


def test_a_crop_shows_part_of_the_piece_at_full_length():
    ramp = torch.linspace(0, 1, 50).expand(4, 3, 50).unsqueeze(-1).repeat(1, 1, 1, 21)
    pieces = {"motion": ramp, "music": ramp[:, :1, :, 0].repeat(1, 54, 1), "seconds": torch.full((4,), 3.0)}
    out = view(Augmentation(crop=0.5), pieces)
    spans = out["motion"][:, 0, -1, 0] - out["motion"][:, 0, 0, 0]
    assert ((spans > 0.49) & (spans <= 1.0)).all() and spans.std() > 0
    assert torch.allclose(out["music"][:, 0], out["motion"][:, 0, :, 0], atol=1e-5)  # still in step
    assert torch.allclose(out["seconds"], 3.0 * spans)
    speeds = [velocity(p["motion"], p["seconds"])[:, :, 1:] for p in (pieces, out)]
    assert torch.allclose(*speeds, atol=1e-4), "part of a dance is as fast as the dance"


def test_every_augmentation_at_once_gives_finite_views(pieces):
    everything = Augmentation(turn=30.0, shear=0.5, crop=0.25, mirror=0.5, noise=0.01, joints=0.2)
    assert torch.isfinite(view(everything, pieces)["motion"]).all()
