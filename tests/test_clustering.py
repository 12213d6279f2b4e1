"""Masks from embeddings."""

import numpy as np

from msa_sk.clustering import audible_bins, cluster_centres, cluster_masks


def test_a_solo_is_not_split_between_clusters():
    random = np.random.default_rng(0)
    solo = np.eye(3)[0] + random.normal(0, 0.02, (10, 7, 3))
    centres = cluster_centres(solo.reshape(-1, 3), np.eye(2, 3))
    np.testing.assert_array_equal(centres[1], [0, 1, 0])
    np.testing.assert_array_equal(cluster_masks(solo, centres).mean(axis=(1, 2)), [1, 0])


def test_clusters_follow_their_song():
    """Embeddings that lie apart from what training found still go to the nearer cluster."""
    embedding = np.empty((6, 2, 2))
    embedding[:, 0], embedding[:, 1] = [0.9, 0.1], [0.45, 0.55]
    start = np.eye(2)
    centres = cluster_centres(embedding.reshape(-1, 2), start)
    masks = cluster_masks(embedding, centres)
    np.testing.assert_array_equal(masks[0], [[1] * 6, [0] * 6])
    np.testing.assert_array_equal(start, np.eye(2))


def test_centres_are_means_by_weight():
    points = np.array([[1.0, 0], [0.8, 0], [0, 1], [0, 0.6]])
    alike = cluster_centres(points, np.eye(2))
    np.testing.assert_allclose(alike, [[0.9, 0], [0, 0.8]])
    weighted = cluster_centres(points, np.eye(2), np.array([3.0, 1, 1, 0]))
    np.testing.assert_allclose(weighted, [[0.95, 0], [0, 1]])


def test_a_source_that_training_never_heard_gets_no_bin():
    """However far embeddings are from what it did hear."""
    embedding = np.eye(3)[[[0, 0], [1, 1], [2, 2]]]
    start = np.array([[1, 0, 0], [np.nan] * 3, [0, 0.9, 0.1]])
    centres = cluster_centres(embedding.reshape(-1, 3), start)
    assert np.isnan(centres[1]).all()
    masks = cluster_masks(embedding, centres)
    assert not masks[1].any()
    np.testing.assert_array_equal(masks.sum(axis=0), np.ones((2, 3)))


def test_equal_points_give_equal_bytes():
    """Threads of k-means would add up in any order."""
    points = np.random.default_rng(0).normal(size=(20000, 8)).astype(np.float32)
    centres = [cluster_centres(points, points[:3]).tobytes() for _ in range(5)]
    assert len(set(centres)) == 1


def test_bins_are_audible_down_to_40_db():
    np.testing.assert_array_equal(audible_bins(np.array([1, 0.011, 0.009])), [True, True, False])
    assert not audible_bins(np.zeros(3)).any()
