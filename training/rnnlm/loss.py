"""Cross entropy of an affine output layer, without holding all of its logits at once.

2,000 positions times 16,000 words would be 130 MB of logits, and as much again for their gradient. The forward pass therefore takes a
few rows at a time, and computes their gradient while their logits are still in the cache.
"""

from __future__ import annotations

import torch

ROWS_PER_CHUNK = 256


class LinearCrossEntropy(torch.autograd.Function):
    """Summed -ln p(column) over rows.

    hidden `[rows, hidden]`, weight `[columns, hidden]`, bias `[columns]`, targets `[rows]` (columns), correction `[columns]` or
    None: it is added to every logit of a row except its target's. Products are in `dtype`, sums and exponentials in f32.
    """

    @staticmethod
    def forward(ctx, hidden, weight, bias, targets, correction, dtype):
        low_weight = weight.to(dtype)
        low_hidden = hidden.to(dtype)
        hidden_grad = torch.empty(hidden.shape, dtype=torch.float32, device=hidden.device)
        weight_grad = torch.zeros(weight.shape, dtype=torch.float32, device=hidden.device)
        bias_grad = torch.zeros(bias.shape, dtype=torch.float32, device=hidden.device)
        loss = 0.0
        for first in range(0, len(hidden), ROWS_PER_CHUNK):
            rows = slice(first, first + ROWS_PER_CHUNK)
            column = targets[rows, None]
            logits = (low_hidden[rows] @ low_weight.t()).float().add_(bias)
            own = logits.gather(1, column)
            if correction is not None:
                logits.add_(correction).scatter_(1, column, own)
            log_sum = logits.logsumexp(1, keepdim=True)
            loss += (log_sum - own).sum(dtype=torch.float64)
            grad = logits.sub_(log_sum).exp_().scatter_add_(1, column, own.new_full(own.shape, -1.0))
            bias_grad += grad.sum(0)
            grad = grad.to(dtype)
            hidden_grad[rows] = grad @ low_weight
            weight_grad += grad.t() @ low_hidden[rows]
        ctx.save_for_backward(hidden_grad, weight_grad, bias_grad)
        ctx.hidden_dtype = hidden.dtype
        return loss.float()

    @staticmethod
    def backward(ctx, scale):
        hidden_grad, weight_grad, bias_grad = ctx.saved_tensors
        return (hidden_grad * scale).to(ctx.hidden_dtype), weight_grad * scale, bias_grad * scale, None, None, None


def full_loss(hidden: torch.Tensor, decoder: torch.nn.Linear, targets: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Summed loss over the whole vocabulary; hidden `[steps, batch, hidden]`, targets `[steps, batch]`."""
    return LinearCrossEntropy.apply(hidden.flatten(0, 1), decoder.weight, decoder.bias, targets.flatten(), None, dtype)


def sampled_loss(hidden: torch.Tensor, decoder: torch.nn.Linear, candidates, dtype: torch.dtype) -> torch.Tensor:
    """The loss, estimated from `candidates` that were drawn for the flattened targets."""
    weight = decoder.weight.index_select(0, candidates.ids)
    bias = decoder.bias.index_select(0, candidates.ids)
    return LinearCrossEntropy.apply(hidden.flatten(0, 1), weight, bias, candidates.columns, candidates.correction, dtype)
