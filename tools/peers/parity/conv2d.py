# SPDX-License-Identifier: Apache-2.0
"""torch.nn.Conv2d: plain, pointwise, strided, dilated, in groups and depthwise."""

import torch
from fixture import run, seeded, write

torch.manual_seed(0)
conv = torch.nn.Conv2d
write(
    "conv2d",
    {
        "plain": run(conv(3, 4, 3, padding=1), seeded(2, 3, 5, 6)),
        "pointwise": run(conv(5, 4, 1, bias=False), seeded(2, 5, 3, 4)),
        "strided": run(conv(3, 4, 3, stride=2, padding=1, bias=False), seeded(2, 3, 7, 6)),
        "dilated": run(conv(2, 3, 3, padding=2, dilation=2), seeded(2, 2, 6, 7)),
        "grouped": run(conv(4, 6, 3, stride=2, padding=1, groups=2), seeded(2, 4, 5, 5)),
        "depthwise": run(conv(4, 4, 3, padding=1, groups=4, bias=False), seeded(2, 4, 5, 4)),
        "depthwise_strided": run(conv(3, 3, 5, stride=2, padding=2, groups=3), seeded(1, 3, 7, 8)),
    },
)
