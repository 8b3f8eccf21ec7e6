# SPDX-License-Identifier: Apache-2.0
"""What has several inputs, what is random in training alone, and smoothed labels."""

import timm.layers
import torch
from fixture import run, seeded, write
from torch import nn
from torch.nn import functional as F

LABELS = [3, 0, -100, 6, 6]


class Two(nn.Module):
    """Two layers of one input, joined."""

    def __init__(self, a, b, join):
        super().__init__()
        self.a, self.b, self.join = a, b, join

    def forward(self, x):
        return self.join(self.a(x), self.b(x))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.path = nn.Linear(4, 4), timm.layers.DropPath(0.3)

    def forward(self, x):
        return x + self.path(self.a(x))


def channels(a, b):
    return torch.cat([a, b], 1)


def smoothed(module, x):
    return F.cross_entropy(x, torch.tensor(LABELS), label_smoothing=0.1).reshape(1)


torch.manual_seed(0)
write(
    "joins",
    {
        "concat": run(Two(nn.Linear(4, 3), nn.Linear(4, 2), channels), seeded(5, 4)),
        "concat_images": run(Two(nn.Conv2d(2, 3, 1), nn.Conv2d(2, 1, 1), channels), seeded(2, 2, 3, 4)),
        "swiglu": run(Two(nn.Linear(4, 3), nn.Linear(4, 3), lambda a, b: F.silu(a) * b), seeded(5, 4)),
        "drop_path": run(Residual().eval(), seeded(5, 4)),
        "label_smoothing": run(nn.Identity(), seeded(5, 7, scale=3), call=smoothed),
    },
)
