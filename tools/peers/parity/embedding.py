# SPDX-License-Identifier: Apache-2.0
"""torch.nn.Embedding of (N,T) tokens, some of them twice, with and without padding."""

import torch
from fixture import run, write

torch.manual_seed(1)
ids = torch.tensor([[2, 0, 7, 2], [8, 2, 0, 1]], dtype=torch.int32)
write(
    "embedding",
    {
        "tokens": run(torch.nn.Embedding(9, 5), ids),
        "padded": run(torch.nn.Embedding(9, 4, padding_idx=2), ids),
    },
)
