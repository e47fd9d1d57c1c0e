"""The separation measures are right on clusters whose answer is known, and rows for the maps are spread evenly."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import written_data
from scipy import stats
from sklearn.metrics import silhouette_samples
from tiny import piece_set

from dancemvp_core import datasets
from dancemvp_core.dance.pieces import Cutting, build, spread_recordings
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
    several = np.stack([codes, np.random.default_rng(0).permutation(codes)])
    second = silhouette_samples(distances, several[1], metric="precomputed")
    assert np.allclose(embeddings.silhouette(distances, several), [expected, second], atol=1e-12)
    nearest = np.array([[1, 2], [0, 2], [0, 1]])
    assert embeddings.purity(nearest, np.array([0, 0, 1])).tolist() == [0.5, 0.5, 0.0]
    assert embeddings.purity(nearest, np.array([[0, 0, 1], [0, 0, 0]])).tolist() == [[0.5, 0.5, 0.0], [1.0, 1.0, 1.0]]


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


def test_the_lead_over_another_encoder_has_the_sign_of_the_difference():
    (far, table), (near, _) = clusters(5.0), clusters(1.0)
    ahead = embeddings.lead(far, near, table).set_index("attribute")
    both = [embeddings.separation(x, table, permutations=1).set_index("attribute") for x in (far, near)]
    assert list(ahead.index) == list(embeddings.ATTRIBUTES)
    for kind in ("silhouette", "purity"):
        assert np.allclose(ahead[f"{kind}_lead"], both[0][kind] - both[1][kind]), "the mean difference over the points"
    assert ahead.loc["genre", "silhouette_lead_low"] > 0
    assert embeddings.lead(near, far, table).set_index("attribute").loc["genre", "silhouette_lead_high"] < 0
    assert (embeddings.lead(far, far, table).filter(like="lead") == 0).all(axis=None)


def test_the_interval_of_a_lead_is_over_performances():
    x, table = clusters(1.0)
    others = np.random.default_rng(1).normal(size=x.shape)
    (own,), (other,) = (embeddings._cells(features, table, 10)["genre"] for features in (x, others))
    difference = embeddings.purity(own.neighbours, own.codes) - embeddings.purity(other.neighbours, other.codes)
    means = [difference[table["sequence"] == s].mean() for s in table["sequence"].unique()]
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    row = embeddings.lead(x, others, table).set_index("attribute").loc["genre"]
    assert row[["purity_lead_low", "purity_lead_high"]].tolist() == pytest.approx([expected.low, expected.high])


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
    assert ours.motion.shape[1:] == (3, 16, 21) and ours.table["genre"].nunique() == 3
    assert ours.table.groupby("sequence").size().tolist() == [int(s.duration_s // 3) for s in dataset]  # no music: 3 s each
    lengths = bone_lengths(ours.motion[0].numpy(), IMPERIALDANCE21)
    assert np.allclose(lengths[1:], np.asarray(IMPERIALDANCE21.lengths)[1:], atol=1e-4)
    same = embeddings.foreign_pieces(dataset, COCO17, Cutting(16), 2, 6)
    assert same.motion.shape[1:] == (3, 16, 17) and same.table["genre"].nunique() == same.table["sequence"].nunique() == 2
    encoder = networks.build_encoder(methods.METHODS["ours"], IMPERIALDANCE21, networks.Width((8,), 16, 12))
    features = embeddings.motion_features(encoder, ours, np.arange(len(ours)))
    assert features.shape == (len(ours), 16) and torch.isfinite(features).all()
    assert training.encode(encoder, ours)[1].shape == (len(ours), 12)  # music absent is a row of zeros


@pytest.fixture(scope="module")
def danced(tmp_path_factory):
    """Four choreographies of three trials, b4 for the test, and the folder of their music's analyses."""
    root = tmp_path_factory.mktemp("danced")
    written_data.write_imperialdance(root, ("b0", "b1", "k0", "b4"))
    for i, name in enumerate(("b_ch0", "b_ch1", "k_ch0", "b_ch4")):
        written_data.write_music(root / "music" / f"{name}.wav", beat_s=0.4 + 0.03 * i)
    dataset = datasets.load(root)
    return dataset, pd.Series(np.where(dataset.index["choreography"] == "b4", "test", "pretrain")), root / "analyses"


@pytest.mark.parametrize("known_body", [True, False])
def test_trials_beyond_pretraining_are_cut_as_its_pieces_are(danced, known_body):
    dataset, splits, cache = danced
    if not known_body:  # then the canonical body is the median of the whole data set
        dataset = replace(dataset, skeleton=replace(dataset.skeleton, lengths=()))
    cutting = Cutting(16)
    files = dataset.index[splits == "pretrain"].groupby(["choreography", "level"]).ngroups
    few, every = (build(dataset, splits, spread_recordings(dataset.index, splits, n * files), cutting, cache) for n in (1, 3))
    seen, trained = embeddings.seen_pieces(dataset, few, cutting, 36, cache)
    assert set(seen.table["choreography"]) == {"b0", "k0"} and len(seen) == 36, "2 genres x 2 levels x 3 primitives x 3 trials"
    assert trained.sum() == 12 and set(seen.table["sequence"][trained]) <= set(few.table["sequence"])
    place = every.table.reset_index().set_index(["sequence", "primitive"])["index"]
    rows = place.loc[pd.MultiIndex.from_frame(seen.table[["sequence", "primitive"]])].to_numpy(copy=True)
    whole, part = every.batch(rows), seen.batch(range(36))
    torch.testing.assert_close(part["motion"], whole["motion"])
    torch.testing.assert_close(part["music"], whole["music"])
    fewer, _ = embeddings.seen_pieces(dataset, few, cutting, 24, cache)
    assert (fewer.table.groupby(["choreography", "level", "primitive"]).size() == 2).all()


def test_a_collapsed_encoder_has_no_map_and_ends_nothing(capsys):
    """The encoder's answer is the same for all pieces; the tables are there, and empty."""
    pieces = piece_set()
    flat = networks.build_encoder(methods.METHODS["ours"], IMPERIALDANCE21, networks.Width((8,), 16, 12))
    with torch.no_grad():
        for weights in flat.parameters():
            weights.zero_()
    maps = embeddings.Maps({"ours": flat, "random_init": flat})
    dataset = SimpleNamespace(name="tiny", synthetic=True)
    assert maps.add("5a", pieces, range(len(pieces)), dataset) is None
    assert "are equal" in capsys.readouterr().out and maps.measured("5a") is None
    points, measures = maps.tables()
    assert list(points)[:3] == ["panel", "x", "y"] and list(measures) == ["panel", "encoder", "attribute"]
    assert len(points) == len(measures) == 0
