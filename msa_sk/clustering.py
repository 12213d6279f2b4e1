"""Masks from embeddings: each bin belongs to the cluster that its embedding is in.

Source: dissertation, section 3.2.1 (deep clustering); Hershey et al., "Deep clustering", ICASSP
2016.
"""

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

#: Bins this far below the loudest of their example count as silent, in dB (Hershey et al.).
SILENT_DB = -40.0


def audible_bins(magnitude: np.ndarray) -> np.ndarray:
    """Return which bins are less than 40 dB below the loudest.

    Parameters
    ----------
    magnitude : ndarray

    Returns
    -------
    audible : ndarray of bool, same shape
        All false where there is silence only.
    """
    return magnitude > magnitude.max(initial=0) * 10 ** (SILENT_DB / 20)


def cluster_centres(
    points: np.ndarray, start: np.ndarray, weight: np.ndarray | None = None
) -> np.ndarray:
    """Return the centres of clusters that k-means finds from given ones.

    Parameters
    ----------
    points : ndarray of shape (n_points, embedding_size)
    start : ndarray of shape (n_sources, embedding_size)
        Where no point is nearest to a centre, it stays as it is; none is to one that is NaN.
    weight : ndarray of shape (n_points,), default=None
        How much each point counts in the mean that a centre is; None lets all count alike.

    Returns
    -------
    centres : ndarray of shape (n_sources, embedding_size)
    """
    centres = start.copy()
    # Centres that own no point stay out: k-means would move them into other clusters.
    owners = np.unique(_nearest(points, centres))
    if len(owners) > 1:
        k_means = KMeans(len(owners), init=centres[owners], n_init=1, random_state=0)
        # Threads of k-means add up in any order, so that equal input would give other bytes.
        with threadpool_limits(1, "openmp"):
            centres[owners] = k_means.fit(points, sample_weight=weight).cluster_centers_
    return centres


def cluster_masks(embedding: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return binary masks: each bin belongs to the nearest centre.

    Parameters
    ----------
    embedding : ndarray of shape (n_frames, n_bins, embedding_size)
    centres : ndarray of shape (n_sources, embedding_size)
        One that is NaN gets no bin.

    Returns
    -------
    masks : ndarray of float32 and shape (n_sources, n_bins, n_frames)
        0 or 1; they sum to one.
    """
    points = embedding.reshape(-1, embedding.shape[-1])
    labels = _nearest(points, centres).reshape(embedding.shape[:2])
    return np.stack([source == labels.T for source in range(len(centres))]).astype(np.float32)


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    distance = (centres**2).sum(axis=1) - 2 * points @ centres.T
    return np.nan_to_num(distance, nan=np.inf).argmin(axis=1)
