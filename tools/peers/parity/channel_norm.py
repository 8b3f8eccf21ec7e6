# SPDX-License-Identifier: Apache-2.0
"""torch.nn.BatchNorm1d and 2d, training and not, and GroupNorm, with weights that are not 1 and 0."""

import torch
from fixture import run, seeded, weights, write


def shaken(module):
    """Its parameters and statistics moved away from where they start."""
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter += seeded(*parameter.shape, seed=10 + i, scale=0.5)
        for i, buffer in enumerate(module.buffers()):
            if buffer.is_floating_point():
                buffer += seeded(*buffer.shape, seed=20 + i).abs()
    return module


def trained(module, x):
    """A pass in training, with what it leaves behind as after.*."""
    found = run(module, x)
    return found | weights(module, "after.")


images = seeded(2, 3, 4, 5) + 2
write(
    "channel_norm",
    {
        "rows": trained(shaken(torch.nn.BatchNorm1d(7, momentum=0.3)), seeded(6, 7)),
        "images": trained(shaken(torch.nn.BatchNorm2d(3, eps=1e-3)), images),
        "bare": trained(torch.nn.BatchNorm2d(3, affine=False), images),
        "eval": run(shaken(torch.nn.BatchNorm2d(3)).eval(), images),
        "groups": run(shaken(torch.nn.GroupNorm(2, 6)), seeded(2, 6, 3, 4) + 1),
        "instances": run(torch.nn.GroupNorm(3, 3, affine=False), images),
    },
)
