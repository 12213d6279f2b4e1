"""Networks that are told, frame by frame, of each source: its score, or its sound (chapter 4)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from msa_sk.nn.bodies import BLSTM, InputNorm, clean_frames
from msa_sk.nn.heads import MaskHead, RollHead
from msa_sk.nn.inputs import StandardisedInput
from msa_sk.nn.losses import frame_mask

# What the evidence of harmonics weighs to begin with, in logits.
_GAIN = 2.0


class HintModule(nn.Module):
    """What makes features of hints, frame by frame (figures 4.3b and 4.3c).

    Recurrent layers, and a linear one with a leaky ReLU. The skip around them is linear, since
    hints and features differ in number.

    Parameters
    ----------
    n_hints : int
        Numbers per frame.
    hidden_size, n_layers, dropout
        Of the recurrent layers, as in `BLSTM`.
    n_features : int
    residual : bool
        Whether there is a skip.
    """

    def __init__(
        self,
        n_hints: int,
        hidden_size: int,
        n_layers: int,
        dropout: float,
        n_features: int,
        residual: bool,
    ):
        super().__init__()
        self.body = BLSTM(n_hints, hidden_size, n_layers, dropout)
        self.linear = nn.Linear(self.body.n_features, n_features)
        self.skip = nn.Linear(n_hints, n_features, bias=False) if residual else None

    def forward(self, hints: Tensor, lengths: Tensor) -> Tensor:
        """Return (n_batch, n_frames, n_features) of hints (n_batch, n_frames, n_hints)."""
        told = nn.functional.leaky_relu(self.linear(self.body(hints, lengths)))
        return told if self.skip is None else told + self.skip(hints)


class InformedModule(StandardisedInput):
    """Base class of networks whose body sees the mixture and hints of each source, side by side.

    A subclass makes its ``heads`` and says in `hints_of` what hints are.

    Parameters
    ----------
    n_bins : int
    n_hints : int
        Numbers per frame that the network is told.
    variant : {"vanilla", "processed", "residual"}
        Whether hints go to the body as they are, through a `HintModule`, or through one with a
        skip.
    hidden_size, n_layers, dropout
        Of the body, as in `BLSTM`.
    batch_norm : bool
        Whether the mixture's bins, and hints by one scale, are normalized in each batch.
    hint_size, hint_layers, hint_features : int
        Of the `HintModule`.
    input_scale : {"log", "magnitude"}
    """

    def __init__(
        self,
        n_bins: int,
        n_hints: int,
        *,
        variant: str,
        hidden_size: int,
        n_layers: int,
        dropout: float,
        batch_norm: bool,
        hint_size: int,
        hint_layers: int,
        hint_features: int,
        input_scale: str,
    ):
        super().__init__(n_bins, input_scale)
        self.norm = InputNorm(n_bins) if batch_norm else nn.Identity()
        self.hint_norm = SharedNorm(batch_norm)
        self.hints: HintModule | None = None
        if variant != "vanilla":
            self.hints = HintModule(
                n_hints, hint_size, hint_layers, dropout, hint_features, variant == "residual"
            )
        n_told = n_hints if self.hints is None else hint_features
        self.body = BLSTM(n_bins + n_told, hidden_size, n_layers, dropout)
        self.heads = nn.ModuleDict()

    def hints_of(self, told: Tensor) -> Tensor:
        """Return hints, of any shape, before they are normalized."""
        return told

    def standardise_hints(self, told: Sequence[Tensor]) -> None:
        """Bring these to mean 0 and variance 1, wherever they are; after `standardise`."""
        device = self.input_mean.device
        self.hint_norm.standardise([self.hints_of(one.to(device)) for one in told])

    def features_of(self, magnitude: Tensor, hints: Tensor, lengths: Tensor) -> Tensor:
        """Return what the body makes of mixtures and hints.

        Parameters
        ----------
        magnitude : Tensor of shape (n_batch, n_bins, n_frames)
        hints : Tensor of shape (n_batch, n_frames, n_hints)
        lengths : Tensor of shape (n_batch,)
            In frames.

        Returns
        -------
        features : Tensor of shape (n_batch, n_frames, n_features)
        """
        there = frame_mask(lengths, hints.shape[1]).bool()
        frames = clean_frames(self.frames_of(magnitude), there, self.norm)
        told = clean_frames(hints, there, self.hint_norm)
        if self.hints is not None:
            told = self.hints(told, lengths)
        return self.body(torch.cat([frames, told], 2), lengths)


class SharedNorm(nn.Module):
    """Bring all inputs to mean 0 and variance 1 together, by one mean and one variance.

    Of a roll each pitch by itself would not do: those that training has not heard have variance
    0, and what is rare would be loud. So it is with the bins of sources, most of which are silent
    most of the time.

    Parameters
    ----------
    batch_norm : bool
        Whether the mean and the variance are those of each batch in training; else, and first
        of all, they are those of the training data.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, batch_norm: bool):
        super().__init__()
        self.norm = InputNorm(1) if batch_norm else nn.Identity()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    def standardise(self, inputs: Sequence[Tensor]) -> None:
        """Take the mean and the variance of these, of whatever shapes."""
        values = torch.cat([one.flatten() for one in inputs])
        self.mean.copy_(values.mean())
        self.std.copy_(values.std(correction=0).clamp(min=1e-3))  # there may be no note

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs of whatever shape, normalized."""
        return self.norm(((inputs - self.mean) / self.std)[..., None])[..., 0]


class ScoreInformedModule(InformedModule):
    """Masks for the sources of a mixture whose score is known (figure 4.3).

    Parameters
    ----------
    n_bins, n_instruments, n_sources, n_pitches : int
        Of a score there are `n_instruments` rolls of `n_pitches` rows, for the first of the
        sources.
    mask_activation : {"softmax", "sigmoid", "leaky_relu"}
        As in `MaskHead`.
    harmonics : Tensor of shape (n_instruments, n_pitches, n_bins), default=None
        How much each bin belongs to a pitch, 0 to 1. Where it is given, bins are a source's by so
        much more while its notes are on: that is added to masks before their activation, times
        gains of each source's bins, which are learnt.
    **parameters
        Of the `InformedModule`.
    """

    def __init__(
        self,
        n_bins: int,
        n_instruments: int,
        n_sources: int,
        n_pitches: int,
        *,
        mask_activation: str,
        harmonics: Tensor | None = None,
        **parameters: Any,
    ):
        super().__init__(n_bins, n_instruments * n_pitches, **parameters)
        head = MaskHead(self.body.n_features, n_bins, n_sources, mask_activation)
        self.heads["mask"] = head
        self.gain = None
        if harmonics is not None:
            self.gain = nn.Parameter(torch.full((n_instruments, n_bins), _GAIN))
        self.register_buffer("harmonics", harmonics, persistent=False)

    def forward(
        self,
        magnitude: Tensor,
        lengths: Tensor,
        score: Tensor,
        wanted: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Return the masks of mixtures.

        Parameters
        ----------
        magnitude : Tensor of shape (n_batch, n_bins, n_frames)
        lengths : Tensor of shape (n_batch,)
            In frames.
        score : Tensor of shape (n_batch, n_instruments, n_pitches, n_frames)
            Rolls: 1 where a note is on, else 0.
        wanted : sequence of str, default=None
            There is but one head.

        Returns
        -------
        heads : dict
            ``"mask"`` (n_batch, n_sources, n_bins, n_frames).
        """
        features = self.features_of(magnitude, score.flatten(1, 2).mT, lengths)
        return {"mask": self.heads["mask"](features, self.evidence(score))}

    def evidence(self, score: Tensor) -> Tensor | None:
        """Return what a score says of bins, (n_batch, n_frames, n_instruments, n_bins)."""
        if self.gain is None:
            return None
        shares = torch.einsum("bipt,ipf->btif", score, self.harmonics)
        return self.gain * shares.clamp(max=1)


class SourceInformedModule(InformedModule):
    """Piano rolls of instruments whose sound is known, besides the mixture (section 4.2.2).

    Parameters
    ----------
    n_bins, n_instruments, n_pitches : int
    leaky_rolls : bool
        As in `RollHead`.
    **parameters
        Of the `InformedModule`.
    """

    def __init__(
        self,
        n_bins: int,
        n_instruments: int,
        n_pitches: int,
        *,
        leaky_rolls: bool,
        **parameters: Any,
    ):
        super().__init__(n_bins, n_instruments * n_bins, **parameters)
        self.heads["roll"] = RollHead(
            self.body.n_features, n_pitches, n_instruments, leaky=leaky_rolls
        )

    def hints_of(self, told: Tensor) -> Tensor:
        """Return frames of sources (..., n_frames, n_bins), as those of the mixture are seen."""
        return self.frames_of(told.flatten(0, -3)).unflatten(0, told.shape[:-2])

    def forward(
        self,
        magnitude: Tensor,
        lengths: Tensor,
        sources: Tensor,
        wanted: Sequence[str] | None = None,
    ) -> dict[str, Tensor]:
        """Return the rolls of mixtures.

        Parameters
        ----------
        magnitude, lengths, wanted
            As in `ScoreInformedModule`.
        sources : Tensor of shape (n_batch, n_instruments, n_bins, n_frames)
            Magnitudes, on the scale of the mixture's.

        Returns
        -------
        heads : dict
            ``"roll"`` (n_batch, n_instruments, n_pitches, n_frames), as `RollHead` gives them.
        """
        hints = self.hints_of(sources).transpose(1, 2).flatten(2)
        return {"roll": self.heads["roll"](self.features_of(magnitude, hints, lengths))}
