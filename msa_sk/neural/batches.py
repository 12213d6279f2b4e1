"""Which examples make each step of an epoch."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import BatchSampler, Sampler

from msa_sk.neural.checkpoint import Resumable
from msa_sk.neural.data import SceneDataset
from msa_sk.neural.parallel import share_of


class ShuffledBatches(Sampler[list[int]], Resumable):
    """Batches of shuffled examples, a new order in each epoch; an epoch can begin amid it.

    Chunks are shuffled, and then the windows of as many chunks as the dataset keeps.

    Parameters
    ----------
    dataset : SceneDataset
    batch_size : int
    generator : Generator
        What shuffles; whoever else draws from it within an epoch draws the same again when
        that epoch is resumed.

    Attributes
    ----------
    n_done : int
        Batches of this epoch that training is through with; they are not given again.
    n_skipped : int
        Examples that this epoch was to learn from and could not.
    plan : list of list of int
        The batches of the epoch.
    """

    def __init__(self, dataset: SceneDataset, batch_size: int, generator: torch.Generator):
        self.dataset, self.batch_size, self.generator = dataset, batch_size, generator
        self.n_done = self.n_skipped = 0
        self.plan: list[list[int]] = []
        self._at_begin = generator.get_state()

    def begin(self) -> None:
        """Begin an epoch, or begin again the one of which some batches are done."""
        if self.n_done:
            self.generator.set_state(self._at_begin)
        else:
            self._at_begin = self.generator.get_state()

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size) - self.n_done

    def __iter__(self) -> Iterator[list[int]]:
        self.plan = list(BatchSampler(self._shuffled(), self.batch_size, drop_last=False))
        for batch in self.plan[self.n_done :]:
            yield share_of(batch) or batch[:1]  # which then has no weight

    def _shuffled(self) -> Iterator[int]:
        chunks = torch.randperm(len(self.dataset.chunks), generator=self.generator)
        for kept in chunks.split(self.dataset.KEPT):
            windows = [index for chunk in kept for index in self.dataset.windows_of(int(chunk))]
            for i in torch.randperm(len(windows), generator=self.generator):
                yield windows[i]

    def state_dict(self) -> dict[str, Any]:
        now = self.generator.get_state()
        generator = self._at_begin if self.n_done else now
        return {"n_done": self.n_done, "n_skipped": self.n_skipped, "generator": generator}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.n_done, self._at_begin = state["n_done"], state["generator"]
        self.n_skipped = state.get("n_skipped", 0)
        self.generator.set_state(self._at_begin)
