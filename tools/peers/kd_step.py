# SPDX-License-Identifier: Apache-2.0
"""One distillation step in PyTorch, the twin of tools/bench/kd_step_bench.cpp.

Student 784-800-800-10, teacher 784-1200-1200-10, live or its logits stored, tau 4, kd_weight 0.7, ce_weight 0.3, SGD with
momentum 0.9 at lr 0.01. Prints one JSON object per batch size.
"""

import argparse
import json

import torch
from torch import nn
from torch.nn import functional as F

from step_times import measure

TAU, KD_WEIGHT, CE_WEIGHT = 4.0, 0.7, 0.3


def mlp(*widths):
    layers = []
    for i, (a, b) in enumerate(zip(widths, widths[1:])):
        layers += ([nn.ReLU()] if i else []) + [nn.Linear(a, b)]
    return nn.Sequential(*layers)


def make_step(batch, compiled, kind):
    student = mlp(784, 800, 800, 10)
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    teacher = mlp(784, 1200, 1200, 10).to(dtype).eval().requires_grad_(False)
    stored = torch.rand(batch, 10)
    samples = torch.randperm(batch)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9, fused=True)
    x = torch.rand(batch, 784) * 2 - 1
    labels = torch.randint(10, (batch,))

    def loss_of(x, labels):
        with torch.no_grad():
            zt = stored[samples] if kind == "stored" else teacher(x.to(dtype)).float()
        zs = student(x)
        kl = F.kl_div(
            F.log_softmax(zs / TAU, 1), F.log_softmax(zt / TAU, 1),
            reduction="batchmean", log_target=True,
        )
        return KD_WEIGHT * TAU * TAU * kl + CE_WEIGHT * F.cross_entropy(zs, labels)

    if compiled:
        loss_of = torch.compile(loss_of)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss_of(x, labels).backward()
        optimizer.step()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--teacher", choices=["f32", "bf16", "stored"], default="f32")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    for batch in args.batch:
        result = measure(make_step(batch, args.compile, args.teacher), args.seconds)
        print(json.dumps({"batch": batch, **result}), flush=True)


if __name__ == "__main__":
    main()
