# SPDX-License-Identifier: Apache-2.0
"""torch.nn.Upsample: nearest and bilinear (align_corners=False) by whole numbers and fractions."""

import torch
from fixture import run, seeded, write


def case(mode, height, width):
    scale = torch.nn.Upsample(scale_factor=(height, width), mode=mode)
    return run(scale, seeded(2, 3, 4, 5))


write(
    "upsample",
    {
        f"{mode}_{name}": case(mode, height, width)
        for mode in ("nearest", "bilinear")
        for name, height, width in (("double", 2, 2), ("mixed", 3, 1.5), ("smaller", 0.75, 0.5))
    },
)
