# SPDX-License-Identifier: Apache-2.0
"""torch.nn.Linear on rows and on tokens."""

import torch
from fixture import run, seeded, write

torch.manual_seed(0)
write(
    "linear",
    {
        "rows": run(torch.nn.Linear(7, 5), seeded(3, 7)),
        "tokens": run(torch.nn.Linear(6, 4, bias=False), seeded(2, 3, 6)),
    },
)
