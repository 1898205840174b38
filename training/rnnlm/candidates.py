"""Which logits a step of training computes when a large softmax is estimated from a part of the vocabulary.

Ids are ordered by falling frequency (`build_vocabulary`). The first `head` of them, which hold most of the probability, are always
computed. From the rest, `samples` are drawn with replacement in proportion to their frequency, and each stands for
1 / (expected count) words through a correction added to its logit (Bengio and Senecal 2008; Jean et al. 2015). This estimates the sum
over the vocabulary without bias and, because only its tail is sampled, with little variance.
"""

from __future__ import annotations

import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Columns of a reduced output layer."""

    ids: torch.Tensor  # [columns] vocabulary ids, each once
    correction: torch.Tensor  # [columns] added to the logits of every row except where the column is the row's target
    columns: torch.Tensor  # [rows] the column of each row's target

    def to(self, device: str) -> Candidates:
        """The same on another device."""
        return Candidates(self.ids.to(device), self.correction.to(device), self.columns.to(device))


class CandidateSampler:
    """Draws candidates for the targets of one step."""

    def __init__(self, counts: torch.Tensor, head: int, samples: int) -> None:
        self.head = head
        self.samples = samples
        # Counts start at 1, so that a word that the corpus lacks (a special token) can be drawn.
        self.tail_prob = counts[head:].double().clamp(min=1) / counts[head:].double().clamp(min=1).sum()
        self.cumulative = self.tail_prob.cumsum(0)

    def draw(self, targets: torch.Tensor, generator: torch.Generator) -> Candidates:
        """Candidates for `targets [rows]`: the head, the drawn words, and the targets that were not drawn.

        The last have the correction -inf: they take part in their own row only; otherwise the words of a batch would count too often.
        """
        uniform = torch.rand(self.samples, dtype=torch.float64, generator=generator)
        drawn = torch.searchsorted(self.cumulative, uniform).clamp(max=len(self.cumulative) - 1)
        drawn, drawn_counts = drawn.unique(return_counts=True)
        correction = torch.log(drawn_counts / (self.samples * self.tail_prob[drawn]))
        tail = targets[targets >= self.head].unique()
        own = tail[~torch.isin(tail, drawn + self.head)]
        ids = torch.cat([torch.arange(self.head), drawn + self.head, own])
        column_of = torch.empty(self.head + len(self.tail_prob), dtype=torch.int64)
        column_of[ids] = torch.arange(len(ids))
        corrections = torch.cat([torch.zeros(self.head), correction.float(), torch.full((len(own),), -torch.inf)])
        return Candidates(ids=ids, correction=corrections, columns=column_of[targets])
