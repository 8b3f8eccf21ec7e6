# SPDX-License-Identifier: Apache-2.0
"""torch.nn.ConvTranspose2d: plain, strided with output padding, dilated and in groups."""

import torch
from fixture import run, seeded, write

torch.manual_seed(0)
conv = torch.nn.ConvTranspose2d
write(
    "conv_transpose2d",
    {
        "plain": run(conv(3, 4, 3), seeded(2, 3, 4, 5)),
        "strided": run(
            conv(3, 4, 3, stride=2, padding=1, output_padding=1, bias=False), seeded(2, 3, 4, 5)
        ),
        "doubling": run(conv(4, 2, 4, stride=2, padding=1), seeded(1, 4, 3, 4)),
        "dilated": run(
            conv(2, 3, 3, stride=2, padding=1, output_padding=1, dilation=2), seeded(1, 2, 5, 4)
        ),
        "grouped": run(conv(4, 6, 3, stride=2, groups=2), seeded(2, 4, 3, 3)),
        "depthwise": run(conv(4, 4, 3, stride=2, padding=1, groups=4), seeded(2, 4, 3, 4)),
    },
)
