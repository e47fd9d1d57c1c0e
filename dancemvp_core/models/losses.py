"""Losses: InfoNCE (Eq. 1), SupCon, the score distribution (L2), and those of MoCo and DINO, each as in the cited paper.

The contrastive losses L2-normalise their inputs. All losses compute in float32 (or float64, for such inputs), also under
autocast: in bfloat16, the rounding error of sums of exponentials is almost as large as the gradient of a small loss.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from dancemvp_core.device import in_full_precision

BLOCK = 128  # rows of the similarity matrix at a time
MAX_LOG_VAR = 10.0  # keeps a variance between e^-10 and e^10, so that its inverse stays finite


class _RowBlocks(torch.autograd.Function):
    """InfoNCE of unit vectors z (2N, D) without the whole matrix: the gradient is made in the forward pass, block by block."""

    @staticmethod
    def forward(ctx, z: Tensor, temperature: float) -> Tensor:
        rows = len(z)
        loss, anchors, others = z.new_zeros(()), torch.empty_like(z), torch.zeros_like(z.T)
        partners = torch.arange(rows, device=z.device).roll(rows // 2)[:, None]
        for start in range(0, rows, BLOCK):
            block, partner = (x[start : start + BLOCK] for x in (z, partners))
            share = (block / temperature) @ z.T
            share.diagonal(start).fill_(float("-inf"))
            share.sub_(share.amax(dim=1, keepdim=True))
            loss -= share.gather(1, partner).sum()
            total = share.exp_().sum(dim=1, keepdim=True)
            loss += total.log().sum()
            share.div_(total).scatter_(1, partner, share.gather(1, partner) - 1)
            torch.mm(share, z, out=anchors[start : start + BLOCK])
            others.addmm_(block.T, share)
        ctx.save_for_backward((anchors + others.T) / (rows * temperature))
        return loss / rows

    @staticmethod
    @once_differentiable
    def backward(ctx, up: Tensor) -> tuple[Tensor, None]:
        return up * ctx.saved_tensors[0], None


@in_full_precision
def info_nce(z_a: Tensor, z_b: Tensor, temperature: float = 0.1) -> Tensor:
    """Return InfoNCE over N positive pairs in both directions, a scalar: the mean over the 2N anchors (Eq. 1).

    z_a, z_b (N, D): row i of one is the positive of row i of the other; the remaining 2(N - 1) rows are its negatives.
    Raises ValueError for different shapes and for a single pair, which has no negatives.
    """
    if z_a.shape != z_b.shape or z_a.ndim != 2 or len(z_a) < 2:
        raise ValueError(f"expected two (N, D) batches with N >= 2, got {tuple(z_a.shape)}, {tuple(z_b.shape)}")
    n = len(z_a)
    z = F.normalize(torch.cat([z_a, z_b]), dim=1)
    if n >= 4 * BLOCK:  # for fewer pairs, one matrix is faster
        return _RowBlocks.apply(z, temperature)
    similarity = z @ z.T / temperature
    similarity.fill_diagonal_(float("-inf"))
    positive = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(similarity, positive)


@in_full_precision
def sup_con(z: Tensor, labels: Tensor, temperature: float = 0.1) -> Tensor:
    """Return the supervised contrastive loss, a scalar (Khosla et al. 2020, eq. 2, L_out), without a base temperature.

    z (N, D), labels (N,). The mean leaves out an anchor whose label no other row has; without any anchor the loss is zero.
    Raises ValueError if z and labels differ in length.
    """
    if z.ndim != 2 or len(z) != len(labels):
        raise ValueError(f"expected z (N, D) and labels (N,), got {tuple(z.shape)}, {tuple(labels.shape)}")
    z = F.normalize(z, dim=1)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarity = (z @ z.T / temperature).masked_fill(itself, float("-inf"))
    log_prob = similarity - similarity.logsumexp(dim=1, keepdim=True)
    positive = (labels[:, None] == labels[None, :]) & ~itself
    count = positive.sum(dim=1)
    per_anchor = -log_prob.masked_fill(~positive, 0.0).sum(dim=1) / count.clamp(min=1)
    return per_anchor.sum() / (count > 0).sum().clamp(min=1)  # the others' are zero


@in_full_precision
def score_distribution(mean: Tensor, log_var: Tensor, target: Tensor, alpha: float = 0.5, beta: float = 0.5) -> Tensor:
    """Return the paper's L2, a scalar: mean of alpha (y - mu)^2 / sigma^2 + beta log sigma^2 ("Dance Performance Scoring").

    All inputs are (N,). With alpha = beta = 0.5 it is the Gaussian negative log-likelihood without its constant. The
    log-variance is clamped to +-10, so that an error with a small predicted variance stays finite.
    """
    log_var = log_var.clamp(-MAX_LOG_VAR, MAX_LOG_VAR)
    return (alpha * (target - mean) ** 2 * torch.exp(-log_var) + beta * log_var).mean()


@in_full_precision
def queue_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float = 0.2) -> Tensor:
    """Return MoCo's loss, a scalar (He et al. 2020, eq. 1): each query against its key and a queue of older keys.

    query, key (N, D); queue (K, D), already normalised. No gradient flows into key or queue.
    """
    query, key = F.normalize(query, dim=1), F.normalize(key.detach(), dim=1)
    positive = (query * key).sum(dim=1, keepdim=True)
    logits = torch.cat([positive, query @ queue.detach().T], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long, device=query.device))


@in_full_precision
def self_distillation(student: Tensor, teacher: Tensor, centre: Tensor, student_temperature=0.1,
                      teacher_temperature=0.04) -> Tensor:  # fmt: skip
    """Return DINO's cross-entropy of the student with the centred, sharpened teacher, a scalar, as SVT uses it.

    student, teacher (N, K): prototype scores of two views; centre (K,). No gradient flows into the teacher.
    """
    target = ((teacher.detach() - centre) / teacher_temperature).softmax(dim=1)
    return -(target * (student / student_temperature).log_softmax(dim=1)).sum(dim=1).mean()
