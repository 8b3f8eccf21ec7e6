# SPDX-License-Identifier: Apache-2.0
"""Losses that compare samples with each other, written from their papers' formulas.

x0 is the student's features, t the teacher's, which are constants; y the loss.
"""

import math

import torch
from fixture import seeded, write


def run(loss, student, teacher):
    leaf = student.clone().requires_grad_(True)
    y = loss(leaf, teacher)
    y.backward()
    return {"x0": student, "t": teacher, "y": y.reshape(1), "dx0": leaf.grad}


def unit(x, dim=-1):
    return x / x.norm(dim=dim, keepdim=True)


def congruence(s, t, gamma=0.4, degree=2):
    """Peng et al. 2019, equations 6 and 11: mean of the squared differences of the kernels."""

    def kernel(x):
        g = unit(x) @ unit(x).T
        return sum(
            math.exp(-2 * gamma) * (2 * gamma) ** p / math.factorial(p) * g**p
            for p in range(degree + 1)
        )

    return (kernel(s) - kernel(t)).pow(2).mean()


def similarity_preserving(s, t):
    """Tung and Mori 2019, equations 1 to 4."""

    def similarities(x):
        q = x.flatten(1)
        return unit(q @ q.T)

    return (similarities(s) - similarities(t)).pow(2).sum() / len(s) ** 2


def attention(s, t):
    """Zagoruyko and Komodakis 2017: F(A) = sum over channels of A^2, each map divided by its norm.

    The mean over positions and samples of the squared differences.
    """

    def maps(x):
        return unit(x.pow(2).sum(1).flatten(1))

    return (maps(s) - maps(t)).pow(2).mean()


def huber(x, y):
    d = (x - y).abs()
    return torch.where(d <= 1, d * d / 2, d - 0.5)


def distances(s, t):
    """Park et al. 2019, equations 4 to 7; mean over ordered pairs of distinct samples."""
    apart = ~torch.eye(len(s), dtype=torch.bool)

    def potential(x):
        d = (x[:, None] - x[None])[apart].norm(dim=-1)
        return d / d.mean()

    return huber(potential(s), potential(t)).mean()


def angles(s, t):
    """Park et al. 2019, equations 8 and 9; mean over ordered triplets of distinct samples."""
    n = len(s)
    triplets = torch.tensor(
        [(i, j, k) for j in range(n) for i in range(n) for k in range(n) if len({i, j, k}) == 3]
    )

    def potential(x):
        i, j, k = (x[column] for column in triplets.T)
        return (unit(i - j) * unit(k - j)).sum(-1)

    return huber(potential(s), potential(t)).mean()


def probabilities(s, t):
    """Passalis and Tefas 2018, equations 4 to 8 with the cosine kernel; mean over samples."""
    n = len(s)
    apart = ~torch.eye(n, dtype=torch.bool)

    def conditional(x):
        k = ((unit(x) @ unit(x).T + 1) / 2)[apart].reshape(n, n - 1)
        return k / k.sum(1, keepdim=True)

    p, q = conditional(t), conditional(s)
    return (p * (p / q).log()).sum() / n


student, teacher = seeded(6, 5, seed=1), seeded(6, 7, seed=2)
write(
    "relations",
    {
        "congruence": run(congruence, student, teacher),
        "similarity_preserving": run(similarity_preserving, student, teacher),
        "attention": run(attention, seeded(3, 4, 2, 3, seed=1), seeded(3, 6, 2, 3, seed=2)),
        "distances": run(distances, student, 3 * teacher),
        "angles": run(angles, student, teacher),
        "probabilities": run(probabilities, student, teacher),
    },
)
