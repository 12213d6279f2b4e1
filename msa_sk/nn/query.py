"""Networks that are told by example what to look for (dissertation, section 2.3.5)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from msa_sk.nn.bodies import BLSTM
from msa_sk.nn.inputs import StandardisedInput
from msa_sk.nn.levels import LevelModule

#: Bins of a query count that are louder than this, relative to its loudest.
PRESENCE_DB = -60.0


class QueryNet(StandardisedInput):
    """Make of a query its anchor: the mean embedding of the bins in which it sounds (eq. 2.5).

    Parameters
    ----------
    n_bins : int
    hidden_size, n_layers, dropout
        Of the body, as in `BLSTM`.
    embedding_size : int
        Dimensions of a bin's embedding, and of the anchor.
    input_scale : {"log", "magnitude"}
    """

    def __init__(
        self,
        n_bins: int,
        *,
        hidden_size: int,
        n_layers: int,
        dropout: float,
        embedding_size: int,
        input_scale: str,
    ):
        super().__init__(n_bins, input_scale)
        self.body = BLSTM(n_bins, hidden_size, n_layers, dropout)
        self.embed = nn.Linear(self.body.n_features, n_bins * embedding_size)

    def forward(self, query: Tensor, lengths: Tensor) -> Tensor:
        """Return anchors (n_batch, embedding_size) of queries (n_batch, n_bins, n_frames).

        The embedding of a bin is linear in its frame's features, so that the mean may be taken
        of these: what comes is the same, and embeddings need not be made of all frames.
        """
        features = self.body(self.frames_of(query), lengths)
        with torch.autocast(query.device.type, enabled=False):
            presence = present(query)
            share = presence / presence.sum((1, 2), keepdim=True).clamp(min=1)
            weight = self.embed.weight.unflatten(0, (query.shape[1], -1))
            bias = self.embed.bias.unflatten(0, (query.shape[1], -1))
            by_bin = torch.einsum("bft,btc->fbc", share, features.float())
            # Bin by bin: an einsum over both bins and features would first copy the weights.
            return torch.bmm(by_bin, weight.transpose(1, 2)).sum(0) + share.sum(2) @ bias

    def standardise_anchors(self, queries: Sequence[Tensor]) -> None:
        """Give the anchors of these queries (n_bins, n_frames) mean 0 and variance 1.

        It is done to the weights that make them. An anchor is a mean over many bins, and varies by
        a hundredth at first: a factor beside the weights would multiply all their steps, too.
        """
        is_training, device = self.training, self.embed.weight.device
        self.eval()
        with torch.no_grad():
            anchors = torch.cat(
                [self(one[None].to(device), torch.tensor([one.shape[1]])) for one in queries]
            )
            spread = anchors.std(0, correction=0)
            # Where all queries are one there is no spread, and nothing to tell apart.
            spread = spread.clamp(min=0.1 * float(spread.mean()))
            spread[spread < 1e-6] = 1.0
            n_bins = len(self.input_mean)
            weight = self.embed.weight.unflatten(0, (n_bins, -1))
            bias = self.embed.bias.unflatten(0, (n_bins, -1))
            weight.div_(spread[:, None])
            bias.sub_(anchors.mean(0)).div_(spread)  # the shares of the bins add up to 1
        self.train(is_training)


def present(query: Tensor) -> Tensor:
    """Return 1 for the bins of magnitudes (n_batch, n_bins, n_frames) that count, and 0."""
    loudest = query.amax((1, 2), keepdim=True)
    return (query > loudest * 10 ** (PRESENCE_DB / 20)).float()


class QueryModule(LevelModule):
    """A query network, and a network for masks that sees its anchor in every frame.

    The mixture's bins have variance 1, and so have the anchors that training begins with; but
    there are far more bins. So anchors are multiplied: all of one has as much power as all bins.

    Parameters
    ----------
    n_bins, n_levels : int
    query_size, query_layers : int
        Of the query network's body.
    embedding_size : int
        As in `QueryNet`.
    dropout, input_scale
        Of both networks.
    **parameters
        Of the `LevelModule`.
    """

    def __init__(
        self,
        n_bins: int,
        n_levels: int,
        *,
        query_size: int,
        query_layers: int,
        embedding_size: int,
        dropout: float,
        input_scale: str,
        **parameters: Any,
    ):
        shared: dict[str, Any] = {"dropout": dropout, "input_scale": input_scale}
        super().__init__(n_bins, n_levels, n_beside=embedding_size, **shared, **parameters)
        self.query = QueryNet(
            n_bins,
            hidden_size=query_size,
            n_layers=query_layers,
            embedding_size=embedding_size,
            **shared,
        )
        self.gain = math.sqrt(n_bins / embedding_size)

    def forward(  # type: ignore[override]
        self,
        magnitude: Tensor | None = None,
        lengths: Tensor | None = None,
        query: Tensor | None = None,
        query_lengths: Tensor | None = None,
        anchor: Tensor | None = None,
        wanted: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Return the masks of mixtures, or the anchors of queries.

        Parameters
        ----------
        magnitude : Tensor of shape (n_batch, n_bins, n_frames), default=None
            May be missing where only anchors are wanted.
        lengths : Tensor of shape (n_batch,), default=None
            Of the mixtures, in frames.
        query : Tensor of shape (n_batch, n_bins, n_query_frames), default=None
            May be missing where anchors are given.
        query_lengths : Tensor of shape (n_batch,), default=None
        anchor : Tensor of shape (n_batch, embedding_size), default=None
            What to look for, in place of queries.
        wanted : sequence of {"mask", "anchor"}, default=None
            None wants masks.

        Returns
        -------
        heads : dict
            ``"mask"`` (n_batch, n_levels, n_bins, n_frames),
            ``"anchor"`` (n_batch, embedding_size).
        """
        if anchor is None:
            anchor = self.query(query, query_lengths)
        heads = {"anchor": anchor} if wanted and "anchor" in wanted else {}
        if wanted and "mask" not in wanted:
            return heads
        assert magnitude is not None
        assert lengths is not None
        frames = self.frames_of(magnitude)
        told = (self.gain * anchor)[:, None].expand(-1, frames.shape[1], -1)
        frames = torch.cat([frames, told], 2)
        return {**heads, **self.masks_of(frames, lengths)}
