"""Losses against naive loops written from the equations, in float64."""

import math

import pytest
import torch
from pytorch_metric_learning import losses as reference
from scipy.stats import norm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dancemvp_core.models import losses


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


@pytest.mark.parametrize("n, temperature", [(2, 0.1), (7, 0.5), (16, 0.07)])
def test_info_nce_is_equation_1(n, temperature):
    z_a, z_b = random(n, 5), random(n, 5, seed=1)
    z = torch.cat([z_a, z_b])
    total = 0.0
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        below = sum(math.exp(cosine(z[i], z[r]) / temperature) for r in range(2 * n) if r != i)
        total -= math.log(math.exp(cosine(z[i], z[j]) / temperature) / below)
    assert float(losses.info_nce(z_a, z_b, temperature)) == pytest.approx(total / (2 * n), abs=1e-10)


def test_info_nce_agrees_with_a_library():
    z_a, z_b = random(12, 6), random(12, 6, seed=1)
    pairs = torch.arange(12).repeat(2)
    theirs = reference.NTXentLoss(temperature=0.2)(torch.cat([z_a, z_b]), pairs)
    assert float(losses.info_nce(z_a, z_b, 0.2)) == pytest.approx(float(theirs), abs=1e-6)


# In float32, a similarity of 200 (1 / 0.005) itself has a rounding error of 1e-5.
@pytest.mark.parametrize("n, temperature, of_float32", [(4 * losses.BLOCK, 0.1, 1e-6), (4 * losses.BLOCK + 5, 0.005, 1e-5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_info_nce_by_row_blocks_is_the_one_of_the_whole_matrix(n, temperature, of_float32, dtype):
    """Value and gradient, for a last block that is not full too, where exponentials of 1 / temperature would overflow."""
    tolerance = of_float32 if dtype == torch.float32 else 1e-10
    pairs = torch.stack([random(n, 6), random(n, 6) + 0.3 * random(n, 6, seed=1)]).to(dtype).requires_grad_()
    z = torch.nn.functional.normalize(pairs.flatten(0, 1), dim=1)
    similarity = (z @ z.T / temperature).fill_diagonal_(float("-inf"))
    whole = torch.nn.functional.cross_entropy(similarity, torch.arange(2 * n).roll(n))
    blocks = losses.info_nce(*pairs, temperature)
    assert "RowBlocks" in str(blocks.grad_fn.next_functions) + str(blocks.grad_fn), "computed on the whole matrix"
    assert blocks.item() == pytest.approx(whole.item(), rel=tolerance)
    ours, theirs = (torch.autograd.grad(3 * loss, pairs, retain_graph=True)[0] for loss in (blocks, whole))
    assert torch.allclose(ours, theirs, rtol=0, atol=tolerance * float(theirs.abs().max()))


class Largest(TorchDispatchMode):
    """Keeps the number of elements of the largest tensor that an operation returned."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.elements = max([self.elements, *(x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor))])
        return out


def test_for_many_pairs_no_tensor_is_as_large_as_the_similarity_matrix():
    few, many = losses.BLOCK, 8 * losses.BLOCK
    for n, bound in ((few, 4 * few**2), (many, 2 * many * losses.BLOCK)):
        pairs = torch.randn(2, n, 6, requires_grad=True)
        with Largest() as largest:
            losses.info_nce(*pairs).backward()
        assert largest.elements == bound, "one matrix for few pairs, rows of one block for many"


def test_info_nce_ignores_length_and_refuses_a_single_pair():
    z_a, z_b = random(6, 4), random(6, 4, seed=1)
    assert float(losses.info_nce(3 * z_a, 0.2 * z_b)) == pytest.approx(float(losses.info_nce(z_a, z_b)), abs=1e-12)
    with pytest.raises(ValueError, match="N >= 2"):
        losses.info_nce(z_a[:1], z_b[:1])


def naive_sup_con(z, labels, temperature):
    per_anchor = []
    for i in range(len(z)):
        positives = [p for p in range(len(z)) if p != i and labels[p] == labels[i]]
        if not positives:
            continue
        below = sum(math.exp(cosine(z[i], z[a]) / temperature) for a in range(len(z)) if a != i)
        terms = [math.log(math.exp(cosine(z[i], z[p]) / temperature) / below) for p in positives]
        per_anchor.append(-sum(terms) / len(positives))
    return sum(per_anchor) / len(per_anchor)


def test_sup_con_is_khoslas_l_out_and_leaves_lonely_anchors_out():
    z, labels = random(9, 5), torch.tensor([0, 0, 1, 1, 1, 2, 3, 3, 4])
    assert float(losses.sup_con(z, labels, 0.2)) == pytest.approx(naive_sup_con(z, labels, 0.2), abs=1e-10)


def test_sup_con_without_any_positive_is_zero_with_a_zero_gradient():
    z = random(4, 3).requires_grad_()
    loss = losses.sup_con(z, torch.arange(4))
    loss.backward()
    assert float(loss) == 0.0 and torch.equal(z.grad, torch.zeros_like(z))


def test_sup_con_of_pairs_is_info_nce():
    z_a, z_b = random(8, 4), random(8, 4, seed=1)
    pairs = torch.arange(8).repeat(2)
    ours = losses.sup_con(torch.cat([z_a, z_b]), pairs, 0.1)
    assert float(ours) == pytest.approx(float(losses.info_nce(z_a, z_b, 0.1)), abs=1e-10)


def test_score_distribution_is_the_papers_l2():
    mean, log_var, y = random(20), random(20, seed=1), random(20, seed=2)
    naive = sum(
        0.6 / math.exp(v) * (t - m) ** 2 + 0.4 * v
        for m, v, t in zip(mean.tolist(), log_var.tolist(), y.tolist(), strict=True)
    )
    assert float(losses.score_distribution(mean, log_var, y, 0.6, 0.4)) == pytest.approx(naive / 20, abs=1e-10)


def test_score_distribution_is_the_gaussian_likelihood_less_its_constant():
    mean, log_var, y = random(20), random(20, seed=1), random(20, seed=2)
    nll = -norm.logpdf(y, mean, (0.5 * log_var).exp()).mean()
    assert float(losses.score_distribution(mean, log_var, y)) == pytest.approx(nll - 0.5 * math.log(2 * math.pi), abs=1e-10)


def test_score_distribution_stays_finite_for_confident_errors():
    loss = losses.score_distribution(torch.tensor([0.0]), torch.tensor([-1e4]), torch.tensor([1.0]))
    assert torch.isfinite(loss)


def test_queue_nce_is_mocos_equation():
    q, k, queue = random(5, 4), random(5, 4, seed=1), random(7, 4, seed=2)
    queue = queue / queue.norm(dim=1, keepdim=True)
    total = 0.0
    for i in range(5):
        positive = math.exp(cosine(q[i], k[i]) / 0.2)
        total -= math.log(positive / (positive + sum(math.exp(cosine(q[i], old) / 0.2) for old in queue)))
    assert float(losses.queue_nce(q, k, queue, 0.2)) == pytest.approx(total / 5, abs=1e-10)


def test_self_distillation_is_dinos_cross_entropy():
    student, teacher, centre = random(4, 6), random(4, 6, seed=1), random(6, seed=2)
    total = 0.0
    for i in range(4):
        raw = [math.exp((t - c) / 0.04) for t, c in zip(teacher[i].tolist(), centre.tolist(), strict=True)]
        soft = [math.exp(s / 0.1) for s in student[i].tolist()]
        total -= sum(r / sum(raw) * math.log(s / sum(soft)) for r, s in zip(raw, soft, strict=True))
    assert float(losses.self_distillation(student, teacher, centre)) == pytest.approx(total / 4, abs=1e-10)


@pytest.mark.parametrize("loss", [losses.queue_nce, losses.self_distillation])
def test_no_gradient_flows_into_key_or_teacher(loss):
    a, b, c = random(4, 6).requires_grad_(), random(4, 6, seed=1).requires_grad_(), random(6, 6, seed=2)
    loss(a, b, c if loss is losses.queue_nce else c[0]).backward()
    assert b.grad is None and a.grad.abs().sum() > 0
