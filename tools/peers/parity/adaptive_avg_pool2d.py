# SPDX-License-Identifier: Apache-2.0
"""torch.nn.AdaptiveAvgPool2d: the global average, uneven bins, and more bins than cells."""

import torch
from fixture import run, seeded, write

pool = torch.nn.AdaptiveAvgPool2d
write(
    "adaptive_avg_pool2d",
    {
        "global": run(pool(1), seeded(2, 3, 4, 5)),
        "uneven": run(pool((3, 4)), seeded(1, 2, 7, 6)),
        "larger": run(pool((5, 3)), seeded(1, 2, 3, 2)),
    },
)
