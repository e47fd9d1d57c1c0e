"""Maps repeat bit for bit, keep clusters together, and colour each value of an attribute."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import silhouette_samples

from dancemvp_core import style
from dancemvp_core.dance.sequences import DataError
from dancemvp_core.tasks import feature_maps


def clusters(apart: float, seed=0, each=60):
    """Points in three clusters, ``apart`` from each other, and the number of each point's cluster."""
    codes = np.repeat(np.arange(3), each)
    noise = np.random.default_rng(seed).normal(size=(len(codes), 8)) / np.sqrt(8)
    return apart * np.eye(8)[:3][codes] + noise, codes


def test_the_map_repeats_bit_for_bit_and_keeps_clusters_together():
    x, codes = clusters(4.0)
    first, again = feature_maps.tsne(x, seed=1), feature_maps.tsne(x, seed=1)
    assert first.shape == (len(x), 2) and np.array_equal(first, again)
    assert silhouette_samples(first, codes).mean() > 0.5


def test_few_points_can_be_mapped_and_too_few_are_refused():
    x, _ = clusters(1.0)
    assert np.isfinite(feature_maps.tsne(x[:12])).all()
    with pytest.raises(ValueError, match="at least 5"):
        feature_maps.tsne(x[:4])


def test_a_choreography_has_its_genre_s_colour_where_that_is_clear():
    table = pd.DataFrame({"choreography": ["k1", "b1", "k1"], "genre": ["k-pop", "ballet", "k-pop"], "level": "expert"})
    own = style.GENRE_COLOURS
    assert feature_maps.palette(table, "choreography") == {"b1": own["ballet"], "k1": own["k-pop"]}
    assert feature_maps.palette(table, "level") == {"expert": style.LEVEL_COLOURS["expert"]}
    two_of_a_genre = feature_maps.palette(table.assign(genre="ballet"), "choreography")
    assert len(set(two_of_a_genre.values())) == 2 and list(two_of_a_genre) == ["b1", "k1"]
    assert feature_maps.palette(table.assign(level=None), "level") == {"": style.GREY}


def test_features_that_no_map_can_show_are_refused_in_one_sentence():
    with pytest.raises(DataError, match="the features of all 20 points are equal"):
        feature_maps.tsne(np.ones((20, 4)))
    with pytest.raises(DataError, match="the features of all 20 points are equal"):
        feature_maps.tsne(np.arange(1.0, 21)[:, None])  # compared by direction, as all maps do
    with pytest.raises(DataError, match="4 points, expected at least 5"):
        feature_maps.tsne(np.eye(4))


def test_features_of_one_column_make_a_map():
    column = np.where(np.arange(24) % 2, 1.0, -1.0)[:, None] * np.arange(1, 25)[:, None]
    assert np.isfinite(feature_maps.tsne(column)).all()
