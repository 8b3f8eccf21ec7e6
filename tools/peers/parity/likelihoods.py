# SPDX-License-Identifier: Apache-2.0
"""Likelihoods and divergences of Gaussians and Laplaces, as torch.distributions has them.

y is the mean over rows and channels, "d<name>" the gradient with respect to an input; t is none.
"""

import torch
from fixture import seeded, write
from torch.distributions import Laplace, Normal, kl_divergence
from torch.nn.functional import logsigmoid, softplus

FLOOR = 1e-3  # of v and b


def run(loss, **inputs):
    leaves = {name: x.clone().requires_grad_(True) for name, x in inputs.items()}
    y = loss(**leaves)
    y.backward()
    return {**inputs, "y": y.reshape(1), **{"d" + name: x.grad for name, x in leaves.items()}}


def gauss(t, mu, rho_v):
    return Normal(mu, (softplus(rho_v) + FLOOR).sqrt()).log_prob(t)


def laplace(t, mu, rho_b):
    return Laplace(mu, softplus(rho_b) + FLOOR).log_prob(t)


def mixture(t, mu, rho_v, rho_b, kappa):
    return torch.logaddexp(
        logsigmoid(kappa) + gauss(t, mu, rho_v), logsigmoid(-kappa) + laplace(t, mu, rho_b)
    )


def likelihood(log_prob, *scales):
    t = seeded(6, 5, seed=1, scale=1.5)
    inputs = {name: seeded(5, seed=2 + i) for i, name in enumerate(scales)}
    found = run(
        lambda **leaves: -log_prob(t, **leaves).mean(), mu=seeded(6, 5, seed=9), **inputs
    )
    return found | {"t": t}


def divergence(p, q):
    inputs = {name: seeded(4, 3, seed=i) for i, name in enumerate(("m1", "s1", "m2", "s2"))}
    return run(lambda m1, s1, m2, s2: kl_divergence(p(m1, s1), q(m2, s2)).mean(), **inputs)


def normal(mean, log_variance):
    return Normal(mean, (log_variance / 2).exp())


def heavy(mean, log_b):
    return Laplace(mean, log_b.exp())


write(
    "likelihoods",
    {
        "gauss": likelihood(gauss, "rho_v"),
        "laplace": likelihood(laplace, "rho_b"),
        "mixture": likelihood(mixture, "rho_v", "rho_b", "kappa"),
        "gauss_gauss": divergence(normal, normal),
        "laplace_laplace": divergence(heavy, heavy),
        "gauss_laplace": divergence(normal, heavy),
    },
)
