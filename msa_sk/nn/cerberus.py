"""The network of Cerberus and its loss (dissertation, figure 3.1 and eq. 3.4)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from msa_sk.nn.bodies import BLSTM
from msa_sk.nn.heads import EmbeddingHead, MaskHead, RollHead
from msa_sk.nn.inputs import StandardisedInput
from msa_sk.nn.losses import (
    deep_clustering_loss,
    frame_mask,
    mask_loss,
    roll_loss,
    whitened_clustering_loss,
)

_CLUSTERING_LOSSES = {"affinity": deep_clustering_loss, "whitened": whitened_clustering_loss}


class CerberusModule(StandardisedInput):
    """The network of figure 3.1; shapes are in `forward`.

    Parameters
    ----------
    n_bins, n_sources : int
    hidden_size, n_layers, dropout, batch_norm
        Of the body, as in `BLSTM`.
    embedding_size : int
    embedding_stride : int
        In training, only each so-many-th frame is embedded.
    input_scale : {"log", "magnitude"}
    heads : sequence of {"embedding", "mask", "roll"}
        Those that are needed; the body's initial weights do not depend on them.
    n_transcribed : int
        Sources that have notes: the first ones.
    n_pitches : int
        Rows of a piano roll.
    leaky_rolls : bool, default=False
        As in `RollHead`.
    body : class
        What makes features of frames: `BLSTM`, or a class as in `msa_sk.neural.bodies`.
    """

    def __init__(
        self,
        n_bins: int,
        n_sources: int,
        *,
        hidden_size: int,
        n_layers: int,
        dropout: float,
        batch_norm: bool,
        embedding_size: int,
        embedding_stride: int,
        input_scale: str,
        heads: Sequence[str],
        n_transcribed: int,
        n_pitches: int,
        leaky_rolls: bool = False,
        body: Callable[..., nn.Module] = BLSTM,
    ):
        super().__init__(n_bins, input_scale)
        self.embedding_stride = embedding_stride
        self.body = body(n_bins, hidden_size, n_layers, dropout, batch_norm)
        n_features: int = self.body.n_features  # type: ignore[assignment]
        make = {
            "embedding": lambda: EmbeddingHead(n_features, n_bins, embedding_size),
            "mask": lambda: MaskHead(n_features, n_bins, n_sources),
            "roll": lambda: RollHead(n_features, n_pitches, n_transcribed, leaky=leaky_rolls),
        }
        self.heads = nn.ModuleDict()
        for name in heads:
            # Each head is drawn from the same state, whatever other heads there are.
            with torch.random.fork_rng(devices=[]):
                self.heads[name] = make[name]()

    def forward(
        self, magnitude: Tensor, lengths: Tensor, wanted: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the heads of mixtures.

        Parameters
        ----------
        magnitude : Tensor of shape (n_batch, n_bins, n_frames)
        lengths : Tensor of shape (n_batch,)
            In frames.
        wanted : sequence of str, default=None
            The heads to compute, of those there are; None wants all.

        Returns
        -------
        heads : dict
            ``"embedding"`` (n_batch, n_frames, n_bins, embedding_size), of unit length, in
            training with every `embedding_stride`-th frame;
            ``"mask"`` (n_batch, n_sources, n_bins, n_frames), adding up to one over sources;
            ``"roll"`` (n_batch, n_transcribed, n_pitches, n_frames), as `RollHead` gives them.
        """
        features = self.body(self.frames_of(magnitude), lengths)
        stride = self.embedding_stride if self.training else 1
        return {
            name: head(features[:, ::stride] if name == "embedding" else features)
            for name, head in self.heads.items()
            if wanted is None or name in wanted
        }


class CerberusLoss:
    """The weighted terms of eq. 3.4; their sum is the loss.

    Each term is a mean over examples that does not depend on level, length or padding; an
    example whose sources or notes are unknown has no say in the terms that need them, and a
    term that no example of a batch knows is left out.
    """

    def __init__(
        self,
        dc_weight: float,
        mi_weight: float,
        tr_weight: float,
        transcription_loss: str = "mse",
        embedding_stride: int = 1,
        clustering_loss: str = "affinity",
    ):
        self.weights = {"dc": dc_weight, "mi": mi_weight, "tr": tr_weight}
        self.transcription_loss = transcription_loss
        self.embedding_stride = embedding_stride
        self.clustering_loss = _CLUSTERING_LOSSES[clustering_loss]

    def __call__(self, heads: dict[str, Tensor], target: dict[str, Tensor]) -> dict[str, Tensor]:
        valid = frame_mask(target["lengths"], target["magnitude"].shape[-1])
        terms = {}
        if "embedding" in heads:
            # In training the module skips frames.
            all_embedded = heads["embedding"].shape[1] == valid.shape[1]
            frames = slice(None, None, 1 if all_embedded else self.embedding_stride)
            weight = (target["bin_weight"].mT * valid[..., None])[:, frames]
            loss = self.clustering_loss(
                heads["embedding"],
                target["dominant"].mT[:, frames].long(),
                weight,
                target["mask_target"].shape[1],
            )
            terms["dc"] = _mean_of_known(loss, target["has_sources"])
        if "mask" in heads:
            loss = mask_loss(heads["mask"], target["magnitude"], target["mask_target"], valid)
            terms["mi"] = _mean_of_known(loss, target["has_sources"])
        if "roll" in heads:
            loss = roll_loss(heads["roll"], target["roll"], valid, self.transcription_loss)
            terms["tr"] = _mean_of_known(loss, target["has_notes"])
        return {
            name: self.weights[name] * term for name, term in terms.items() if term is not None
        }


def _mean_of_known(loss: Tensor, known: Tensor) -> Tensor | None:
    return (loss * known).sum() / known.sum() if known.any() else None
