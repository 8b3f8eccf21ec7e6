# SPDX-License-Identifier: Apache-2.0
"""Learned positions, a class token before the others, and softmax over the last dimension."""

import torch
from fixture import run, seeded, write


class Position(torch.nn.Module):
    def __init__(self, length, dim):
        super().__init__()
        self.weight = torch.nn.Parameter(seeded(length, dim, seed=1))

    def forward(self, x):
        return x + self.weight[: x.shape[1]]


class ClassToken(torch.nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = torch.nn.Parameter(seeded(1, 1, dim, seed=2))

    def forward(self, x):
        return torch.cat([self.weight.expand(x.shape[0], -1, -1), x], dim=1)


x = seeded(3, 4, 5)
write(
    "tokens",
    {
        "positions": run(Position(4, 5), x),
        "fewer_positions": run(Position(6, 5), x),
        "class_token": run(ClassToken(5), x),
        "softmax": run(torch.nn.Softmax(dim=-1), x),
        "log_softmax": run(torch.nn.LogSoftmax(dim=-1), x),
    },
)
