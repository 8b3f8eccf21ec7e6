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


def softmax_and_gradient(s, draw):
    return draw.values(s["N"], s["V"]), F.softmax(input_of_softmax(s, draw)[0] / TAU, 1)


def softmax_backward(dy, y):
    return torch.ops.aten._softmax_backward_data(dy, y, 1, dy.dtype) / TAU


def projections(s, draw, grad=False):
    """Heads of queries, keys and values, side by side in one tensor, and whether causal."""
    packed = draw.values(s["N"], s["T"], 3, s["H"], s["D"], grad=grad)
    return *packed.permute(2, 0, 3, 1, 4), bool(s["causal"])


def attention(q, k, v, causal):
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


def attention_gradient(s, draw):
    *inputs, causal = projections(s, draw, grad=True)
    y = attention(*inputs, causal)
    return y, inputs, draw.values(s["N"], s["H"], s["T"], s["D"])


def attention_backward(y, inputs, dy):
    return torch.autograd.grad(y, inputs, dy, retain_graph=True)[0]


def heads(s, draw):
    return (draw.values(s["N"], s["Hs"], grad=True), draw.values(s["V"], s["Hs"], grad=True),
            draw.values(s["N"], s["Ht"]), draw.values(s["V"], s["Ht"]), draw.labels(s["N"], s["V"]))


def kd_head(student_hidden, student_weight, teacher_hidden, teacher_weight, labels):
    with torch.no_grad():
        teacher = teacher_hidden @ teacher_weight.T
    return kd_loss(student_hidden @ student_weight.T, teacher, labels)


def liger_kd_head(student_hidden, student_weight, teacher_hidden, teacher_weight, labels):
    """The divergence alone: Liger-Kernel has no head with both losses."""
    from liger_kernel.transformers.fused_linear_jsd import LigerFusedLinearJSD
    return LigerFusedLinearJSD(jsd_beta=0.0, temperature=TAU)(
        student_hidden, student_weight, teacher_hidden, teacher_weight, labels)


def projected(s, draw):
    return draw.values(s["N"], s["D"]), draw.values(s["K"], s["D"])


def code_gradient(width):
    def tensors(s, draw):
        return draw.values(s["N"], width * s["K"]), draw.values(s["K"], s["D"])
    return tensors


def sketched(s, draw):
    """Columns and codes, and a column's bucket and sign."""
    return (draw.values(s["N"], s["D"]), draw.values(s["N"], s["K"]),
            draw.labels(s["D"], s["K"]), draw.values(s["D"]).sign())


def count_sketch(x, code, bucket, sign):
    return torch.zeros_like(code).index_add_(1, bucket, x * sign)


def count_sketch_backward(_, code, bucket, sign):
    return code[:, bucket] * sign


def cos_sin(x, matrix):
    angle = x @ matrix.T
    return torch.cat([angle.cos(), angle.sin()], 1)


def cos_sin_backward(dy, matrix):
    """From the features themselves, which stand in for their gradient, too."""
    cos, sin = dy.chunk(2, 1)
    return (cos * sin - sin * cos) @ matrix


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
    "softmax/forward": Op(input_of_softmax, lambda x: F.softmax(x / TAU, 1)),
    "softmax/backward": Op(softmax_and_gradient, softmax_backward),
    "attention/forward": Op(projections, attention),
    "attention/backward": Op(attention_gradient, attention_backward),
    "kd_head/forward_with_grad": Op(heads, kd_head, liger_kd_head),
    "dense_projection/none_forward": Op(projected, lambda x, matrix: x @ matrix.T),
    "dense_projection/none_backward": Op(code_gradient(1), torch.matmul),
    "dense_projection/cos_sin_forward": Op(projected, cos_sin),
    "dense_projection/cos_sin_backward": Op(code_gradient(2), cos_sin_backward),
    # PyTorch has to store the signs.
    "rademacher_projection/forward": Op(projected, lambda x, matrix: x @ matrix.T),
    "rademacher_projection/backward": Op(code_gradient(1), torch.matmul),
    "count_sketch/forward": Op(sketched, count_sketch),
    "count_sketch/backward": Op(sketched, count_sketch_backward),
    "matmul/nn": Op(factors("n", "n"), torch.matmul),
    "matmul/nt": Op(factors("n", "t"), torch.matmul),
    "matmul/tn": Op(factors("t", "n"), torch.matmul),
}
