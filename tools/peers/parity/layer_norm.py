# SPDX-License-Identifier: Apache-2.0
"""torch.nn.LayerNorm and RMSNorm on rows and on tokens, with weights that are not 1 and 0."""

import torch
from fixture import run, seeded, write


def shaken(module):
    """Its parameters moved away from where they start."""
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter += seeded(*parameter.shape, seed=10 + i, scale=0.5)
    return module


write(
    "layer_norm",
    {
        "rows": run(shaken(torch.nn.LayerNorm(7)), seeded(3, 7) + 2),
        "tokens": run(shaken(torch.nn.LayerNorm(40, eps=1e-3, bias=False)), seeded(2, 3, 40)),
        "rms": run(shaken(torch.nn.RMSNorm(40, eps=1e-6)), seeded(2, 3, 40)),
    },
)
