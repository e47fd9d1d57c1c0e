"""The separation measures are right on clusters whose answer is known, and rows for the maps are spread evenly."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import silhouette_samples
from tiny import piece_set

from dancemvp_core import datasets
from dancemvp_core.dance.pieces import Cutting
from dancemvp_core.dance.skeleton import COCO17, IMPERIALDANCE21, bone_lengths
from dancemvp_core.datasets import synthdance
from dancemvp_core.paper import embeddings
from dancemvp_core.pretraining import methods, networks, training


def clusters(apart: float, seed=0, performances=20):
    """Pieces in three genres and three primitives: genre clusters ``apart`` from each other, the rest noise."""
    rng = np.random.default_rng(seed)
    rows = [
        {"sequence": 100 * g + s, "genre": "abc"[g], "level": "xy"[s % 2], "primitive": p}
        for g in range(3) for s in range(performances) for p in range(3)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    centres = apart * np.eye(8)[:3]
    return centres[pd.factorize(table["genre"])[0]] + rng.normal(size=(len(table), 8)) / np.sqrt(8), table


def test_silhouette_is_the_library_s_and_purity_a_hand_count():
    x, table = clusters(1.0)
    unit = embeddings.on_sphere(x)
    distances = 1 - unit @ unit.T
    np.fill_diagonal(distances, 0)
    codes = pd.factorize(table["genre"])[0]
    codes[:4], codes[4] = 3, 4  # uneven classes, one of a single point
    expected = silhouette_samples(distances, codes, metric="precomputed")
    assert np.allclose(embeddings.silhouette(distances, codes), expected, atol=1e-12)
    nearest = np.array([[1, 2], [0, 2], [0, 1]])
    assert embeddings.purity(nearest, np.array([0, 0, 1])).tolist() == [0.5, 0.5, 0.0]


def test_separation_sees_clusters_and_stays_at_chance_without():
    report = embeddings.separation(*clusters(5.0)).set_index("attribute")
    assert list(report.index) == list(embeddings.ATTRIBUTES)
    genre = report.loc["genre"]
    assert genre["silhouette"] > 0.5 and genre["purity"] > 0.99
    assert genre["silhouette_p"] == genre["purity_p"] == 1 / 200
    assert genre["purity_chance"] == pytest.approx(1 / 3, abs=0.05) and abs(genre["silhouette_chance"]) < 0.05
    for other in report.index.drop("genre"):  # noise
        assert report.loc[other, "purity"] == pytest.approx(report.loc[other, "purity_chance"], abs=0.08)
        assert report.loc[other, ["silhouette_p", "purity_p"]].min() > 0.004
    assert embeddings.separation(*clusters(5.0)).equals(embeddings.separation(*clusters(5.0)))


def test_p_values_without_structure_are_uniform():
    p = [embeddings.separation(*clusters(0.0, seed, 8), permutations=19).set_index("attribute") for seed in range(60)]
    for attribute in ("genre", "level | genre, primitive"):
        share = np.mean([report.loc[attribute, "purity_p"] <= 0.1 for report in p])
        assert share < 0.25, f"{attribute}: {share} below 0.1"  # binomial(60, 0.1): one in 2,000


def test_levels_that_separate_within_a_dance_only_are_seen_there():
    x, table = clusters(5.0)
    x[:, 5] += np.where(table["level"] == "x", 1.0, -1.0)
    report = embeddings.separation(x, table).set_index("attribute")
    within = report.loc["level | genre, primitive"]
    assert within["silhouette"] > report.loc["level", "silhouette"] + 0.05 and within["silhouette_p"] == 1 / 200


def test_whole_performances_are_permuted():
    rng, units = np.random.default_rng(0), np.repeat(np.arange(10), 3)
    codes = np.repeat([0, 1], 15)
    mixed = embeddings.permuted(codes, units, rng)
    assert (mixed.reshape(10, 3) == mixed.reshape(10, 3)[:, :1]).all() and mixed.sum() == 15
    assert not np.array_equal(mixed, codes)
    primitives = np.tile([0, 1, 2], 10)
    assert sorted(embeddings.permuted(primitives, units, rng)) == sorted(primitives)


def test_unknown_labels_are_left_out():
    x, table = clusters(3.0)
    report = embeddings.separation(x, table.assign(level=None), permutations=9)
    assert report["attribute"].tolist() == ["genre", "primitive"]


def test_rows_are_spread_evenly_and_choreographies_one_a_genre():
    table = piece_set(trials=6).table
    rows = embeddings.spread_rows(table, np.flatnonzero(table["split"] == "test"), 24)
    counts = table.iloc[rows].groupby(["genre", "level", "primitive"]).size()
    assert len(counts) == 12 and (counts == 2).all()
    assert embeddings.one_choreography_each(table, "pretrain", 3) == ["b0", "k0"]
    assert embeddings.one_choreography_each(table, "pretrain", 1, ["k-pop"]) == ["k0"]
    assert embeddings.one_choreography_each(table, "validation", 3) == []


def test_another_data_set_comes_onto_our_body(tmp_path):
    synthdance.write_aistpp(tmp_path / "aist", dancers=2, routines=1)
    dataset = datasets.load(tmp_path / "aist")
    ours = embeddings.foreign_pieces(dataset, IMPERIALDANCE21, Cutting(16), 3, 100)
    assert ours.motion.shape == (18, 3, 16, 21) and ours.table["genre"].nunique() == 3
    lengths = bone_lengths(ours.motion[0].numpy(), IMPERIALDANCE21)
    assert np.allclose(lengths[1:], np.asarray(IMPERIALDANCE21.lengths)[1:], atol=1e-4)
    same = embeddings.foreign_pieces(dataset, COCO17, Cutting(16), 2, 6)
    assert same.motion.shape == (6, 3, 16, 17) and same.table["genre"].nunique() == 2
    encoder = networks.build_encoder(methods.METHODS["ours"], IMPERIALDANCE21, networks.Width((8,), 16, 12))
    features = embeddings.motion_features(encoder, ours, np.arange(18))
    assert features.shape == (18, 16) and torch.isfinite(features).all()
    assert training.encode(encoder, ours)[1].shape == (18, 12)  # music absent is a row of zeros
