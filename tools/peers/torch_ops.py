# SPDX-License-Identifier: Apache-2.0
"""limbeck's benchmarks as PyTorch has them: one entry of OPS per name in `limbeck bench`.

An entry makes the tensors of one call from the benchmark's sizes, and calls; a result that requires
a gradient is sent backward by whoever measures. What Liger-Kernel has of its own stands beside it.
"""

import dataclasses
import re
from typing import Callable, Optional

import torch
from torch.nn import functional as F

TAU, KD_WEIGHT, CE_WEIGHT = 4.0, 0.7, 0.3
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


@dataclasses.dataclass
class Op:
    tensors: Callable  # (sizes, draw) -> the arguments of one call
    eager: Callable
    liger: Optional[Callable] = None


class Draw:
    """Random tensors of one benchmark's dtype on one device."""

    def __init__(self, dtype, device):
        self.dtype, self.device = dtype, device

    def values(self, *shape, scale=1.0, grad=False):
        values = torch.empty(shape, dtype=self.dtype, device=self.device).uniform_(-scale, scale)
        return values.requires_grad_(grad)

    def labels(self, count, below):
        return torch.randint(below, (count,), device=self.device)


def parse_shape(shape):
    """The sizes in "N=1024 V=10 f32", and its dtype."""
    sizes = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", shape)}
    return sizes, DTYPES[shape.split()[-1]]


def logits(s, draw):
    return draw.values(s["N"], s["V"], scale=4, grad=True), draw.labels(s["N"], s["V"])


def both_logits(s, draw):
    student, labels = logits(s, draw)
    return student, draw.values(s["N"], s["V"], scale=4), labels


def kd_loss(student, teacher, labels):
    kl = F.kl_div(F.log_softmax(student / TAU, 1), F.log_softmax(teacher / TAU, 1),
                  reduction="batchmean", log_target=True)
    return KD_WEIGHT * TAU * TAU * kl + CE_WEIGHT * F.cross_entropy(student, labels)


def liger_kd_loss(student, teacher, labels):
    from liger_kernel.transformers import LigerCrossEntropyLoss, LigerKLDIVLoss
    kl = LigerKLDIVLoss(reduction="batchmean", log_target=True)(
        F.log_softmax(student / TAU, 1), F.log_softmax(teacher / TAU, 1))
    # The cross-entropy writes its gradient over what it reads.
    return KD_WEIGHT * TAU * TAU * kl + CE_WEIGHT * LigerCrossEntropyLoss()(student.clone(), labels)


def liger_cross_entropy(student, labels):
    from liger_kernel.transformers import LigerCrossEntropyLoss
    return LigerCrossEntropyLoss()(student.clone(), labels)


def input_of_softmax(s, draw):
    return (draw.values(s["N"], s["V"], scale=4),)


def log_softmax_and_gradient(s, draw):
    return draw.values(s["N"], s["V"]), F.log_softmax(*input_of_softmax(s, draw), 1)


def log_softmax_backward(dy, y):
    return torch.ops.aten._log_softmax_backward_data(dy, y, 1, dy.dtype)


def factors(trans_a, trans_b):
    def tensors(s, draw):
        a = draw.values(s["K"], s["M"]).T if trans_a == "t" else draw.values(s["M"], s["K"])
        b = draw.values(s["N"], s["K"]).T if trans_b == "t" else draw.values(s["K"], s["N"])
        return a, b
    return tensors


OPS = {
    "kd_loss/forward_with_grad": Op(both_logits, kd_loss, liger_kd_loss),
    "cross_entropy/forward_with_grad": Op(logits, F.cross_entropy, liger_cross_entropy),
    "log_softmax/forward": Op(input_of_softmax, lambda x: F.log_softmax(x, 1)),
    "log_softmax/backward": Op(log_softmax_and_gradient, log_softmax_backward),
    "matmul/nn": Op(factors("n", "n"), torch.matmul),
    "matmul/nt": Op(factors("n", "t"), torch.matmul),
    "matmul/tn": Op(factors("t", "n"), torch.matmul),
}
