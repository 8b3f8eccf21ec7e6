# SPDX-License-Identifier: Apache-2.0
"""Ensembles of peers as PyTorch's own operations, and the loss of a gated one."""

import torch
from fixture import seeded, write

peers = [seeded(5, 4, seed=i, scale=2.0) for i in range(3)]
labels = torch.tensor([0, 3, 1, 2, 2])
rows = torch.arange(5)
given = {f"peer{i}": z for i, z in enumerate(peers)}


def mean_probabilities(tau):
    mean = torch.stack([torch.softmax(z.double() / tau, 1) for z in peers]).mean(0)
    return (tau * mean.log()).float()


def naive():
    losses = torch.stack(
        [torch.nn.functional.cross_entropy(z, labels, reduction="none") for z in peers]
    )
    return torch.stack(peers)[losses.argmin(0), rows]


def linear():
    """The weights by many small steps of exponentiated gradient in f64."""
    stack = torch.stack(peers).double()
    w = torch.zeros(3, 5, dtype=torch.float64)
    for _ in range(20000):
        a = torch.softmax(w, 0).requires_grad_()
        mixed = (a[:, :, None] * stack).sum(0)
        loss = torch.nn.functional.cross_entropy(mixed, labels, reduction="sum")
        w = w - 0.05 * torch.autograd.grad(loss, a)[0]
    return (torch.softmax(w, 0)[:, :, None] * stack).sum(0).float()


def min_logit():
    return torch.stack([z - z[rows, labels][:, None] for z in peers]).min(0).values


def general():
    onehot = torch.nn.functional.one_hot(labels, 4).double()
    e = torch.stack([(torch.softmax(z.double(), 1) - onehot).flatten() for z in peers])
    w = torch.linalg.solve(e @ e.T, torch.ones(3, dtype=torch.float64))
    return (w / w.sum()).float()


def gated(tau):
    gate = torch.nn.Linear(12, 3)
    leaves = [z.clone().requires_grad_() for z in peers]
    g = torch.softmax(gate(torch.cat([z.detach() for z in leaves], 1)), 1)
    ensemble = sum(g[:, i : i + 1] * z for i, z in enumerate(leaves))
    cross_entropy = torch.nn.functional.cross_entropy
    loss = cross_entropy(ensemble, labels)
    target = torch.softmax(ensemble.detach() / tau, 1)
    for z in leaves:
        loss = loss + cross_entropy(z, labels)
        loss = loss + tau**2 * torch.nn.functional.kl_div(
            torch.log_softmax(z / tau, 1), target, reduction="batchmean"
        )
    loss.backward()
    found = {"w." + k: v for k, v in gate.state_dict().items()}
    found |= {"dw." + k: v.grad for k, v in gate.named_parameters()}
    found |= {f"dpeer{i}": z.grad for i, z in enumerate(leaves)}
    return found | {"gates": g, "ensemble": ensemble, "loss": loss[None]}


torch.manual_seed(0)
write(
    "ensemble",
    {
        "given": given | {"labels": labels.int()},
        "targets": {
            "mean_probabilities": mean_probabilities(3),
            "naive": naive(),
            "linear": linear(),
            "min_logit": min_logit(),
            "general_weights": general(),
        },
        "gated": gated(3),
    },
)
