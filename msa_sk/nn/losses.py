"""Losses as pure functions of (output, target): one value per example of the batch.

Each is a mean over what is valid in the example, so that neither padding nor the length of
an example changes its weight.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def frame_mask(lengths: Tensor, n_frames: int) -> Tensor:
    """Return (n_batch, n_frames): 1 for frames that are there, 0 for padding."""
    return (torch.arange(n_frames, device=lengths.device) < lengths[:, None]).float()


def deep_clustering_loss(
    embedding: Tensor, dominant: Tensor, weight: Tensor, n_sources: int
) -> Tensor:
    """Distance of the affinities that an embedding implies from the true ones (eq. 3.1).

    ``||VV' - YY'||^2`` is computed as ``||V'V||^2 - 2 ||V'Y||^2 + ||Y'Y||^2``, which never
    builds a matrix of bins by bins, and divided by the squared total weight of the bins. The
    terms nearly cancel, so it is computed in float32 or better whatever the precision of V.
    V alone gets a gradient.

    Parameters
    ----------
    embedding : Tensor of shape (n_batch, n_frames, n_bins, n_dimensions)
        V, of unit length.
    dominant : int Tensor of shape (n_batch, n_frames, n_bins)
        The index of each bin's loudest source: the column of Y that holds its 1.
    weight : Tensor of shape (n_batch, n_frames, n_bins)
        0 for bins that do not count: silence and padding.
    n_sources : int

    Returns
    -------
    loss : Tensor of shape (n_batch,)
        0 where no bin counts.
    """
    embedding = embedding.to(torch.promote_types(embedding.dtype, torch.float32))
    return _DeepClustering.apply(embedding, dominant, weight, n_sources)


class _DeepClustering(torch.autograd.Function):
    """With Z = [V Y], G = Z'Z and S = diag(1, ..., 1, -1, ..., -1), ``VV' - YY'`` is ZSZ'.

    The loss is then the sum of G * SGS, one small matrix for its three terms, and its gradient
    by Z is 4 Z SGS: one product, where autograd takes two for each term.
    """

    @staticmethod
    def forward(
        ctx: Any, embedding: Tensor, dominant: Tensor, weight: Tensor, n_sources: int
    ) -> Tensor:
        total = weight.flatten(1).sum(1).clamp(min=1e-12)
        root = (weight / total[:, None, None]).sqrt()[..., None]
        z = torch.cat([embedding, torch.nn.functional.one_hot(dominant, n_sources)], -1)
        z = z.mul_(root).flatten(1, 2)
        sign = torch.ones_like(z[0, 0])
        sign[-n_sources:] = -1
        with torch.autocast(z.device.type, enabled=False):
            gram = z.mT @ z
        signed = sign * gram * sign[:, None]
        ctx.save_for_backward(z, signed[..., :-n_sources], root)
        return (gram * signed).sum((1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        z, signed, root = ctx.saved_tensors
        with torch.autocast(z.device.type, enabled=False):
            gradient = z @ (4 * slope[:, None, None] * signed)
        return gradient.unflatten(1, root.shape[1:3]).mul_(root), None, None, None


def whitened_clustering_loss(
    embedding: Tensor, dominant: Tensor, weight: Tensor, n_sources: int
) -> Tensor:
    """Deep clustering that does not depend on how embeddings spread or how many bins a source has.

    Embeddings are whitened, and what of them their sources' means do not explain is the loss:
    ``D - tr((V'V)^-1 V'Y (Y'Y)^-1 Y'V)``, of which the mean over the D dimensions is returned
    (Wang, Le Roux and Hershey, "Alternative objective functions for deep clustering", ICASSP
    2018). It lies between 1 - n_sources / D and 1, and is 1 - 1 / D where all embeddings are one.
    Parameters are as in `deep_clustering_loss`.

    Returns
    -------
    loss : Tensor of shape (n_batch,)
        0 where no bin counts.
    """
    v = embedding.to(torch.promote_types(embedding.dtype, torch.float32))
    y = torch.nn.functional.one_hot(dominant, n_sources).to(v.dtype)
    total = weight.flatten(1).sum(1)
    root = (weight / total.clamp(min=1e-12)[:, None, None]).sqrt()[..., None]
    v, y = (v * root).flatten(1, 2), (y * root).flatten(1, 2)
    with torch.autocast(v.device.type, enabled=False):
        n_dimensions = v.shape[-1]
        # Embeddings of one direction alone cannot be whitened.
        slack = 1e-4 * torch.eye(n_dimensions, dtype=v.dtype, device=v.device)
        sums = v.mT @ y
        means = sums / y.square().sum(1).clamp(min=1e-12)[:, None]
        explained = torch.linalg.solve(v.mT @ v + slack, means @ sums.mT)
        loss = 1 - explained.diagonal(dim1=-2, dim2=-1).sum(-1) / n_dimensions
        return loss * (total > 0)


def mask_loss(mask: Tensor, magnitude: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute error of masked magnitudes (eq. 3.2).

    Parameters
    ----------
    mask, target : Tensor of shape (n_batch, n_sources, n_bins, n_frames)
        With the target clip(Re(S conj X) / |X|, 0, |X|) it is the truncated phase-sensitive
        approximation.
    magnitude : Tensor of shape (n_batch, n_bins, n_frames)
        Of the mixture.
    valid : Tensor of shape (n_batch, n_frames)

    Returns
    -------
    loss : Tensor of shape (n_batch,)
    """
    error = (mask * magnitude[:, None] - target).abs().mean((1, 2))
    return _mean_over_frames(error, valid)


def roll_loss(scores: Tensor, roll: Tensor, valid: Tensor, kind: str = "mse") -> Tensor:
    """Mean squared error (section 3.2.4), or mean cross-entropy, of piano rolls.

    Parameters
    ----------
    scores, roll : Tensor of shape (n_batch, n_sources, n_pitches, n_frames)
        Scores are the logits of posteriors.
    valid : Tensor of shape (n_batch, n_frames)
    kind : {"mse", "bce", "leaky_mse"}, default="mse"
        "leaky_mse" is the squared error of what a leaky ReLU makes of scores, which are then no
        logits (section 6.2).

    Returns
    -------
    loss : Tensor of shape (n_batch,)
    """
    if kind == "mse":
        error = (torch.sigmoid(scores) - roll) ** 2
    elif kind == "leaky_mse":
        error = (torch.nn.functional.leaky_relu(scores) - roll) ** 2
    else:
        error = torch.nn.functional.binary_cross_entropy_with_logits(
            scores, roll, reduction="none"
        )
    return _mean_over_frames(error.mean((1, 2)), valid)


def _mean_over_frames(values: Tensor, valid: Tensor) -> Tensor:
    return (values * valid).sum(1) / valid.sum(1).clamp(min=1)
