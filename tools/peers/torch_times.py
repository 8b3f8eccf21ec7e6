# SPDX-License-Identifier: Apache-2.0
"""Times benchmarks of limbeck's in PyTorch, as limbeck bench times its own.

Reads [{"name", "shape", "slots"}, ...] from the standard input, as limbeck bench --json wrote them,
and prints one JSON object for each that torch_ops.py has and that runs here.
"""

import argparse
import itertools
import json
import math
import statistics
import sys
import time

import torch

from torch_ops import OPS, Draw, parse_shape


def program_of(op, program):
    if program == "eager":
        return op.eager
    if program == "liger":
        return op.liger
    torch._dynamo.reset()  # every shape is compiled for itself
    return torch.compile(op.eager, dynamic=False)


def run(function, tensors):
    """One call; bytes of its outputs, which limbeck's calls are given."""
    out = function(*tensors)
    if not out.requires_grad:
        return out.nbytes
    out.backward()
    gradients = [tensor for tensor in tensors if tensor.requires_grad]
    for tensor in gradients:
        tensor.grad = None
    return sum(tensor.nbytes for tensor in gradients)


def extra_bytes(call):
    """Most GPU memory that one call takes beyond its inputs and outputs."""
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    outputs = call()
    return torch.cuda.max_memory_allocated() - before - outputs


def measure(call, device, seconds):
    """Median and least seconds of a call, and on a GPU the memory it takes."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    def sample(calls):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        wait()
        return (time.perf_counter() - start) / calls

    sample(2)  # compiles, too
    extra = extra_bytes(call) if device == "cuda" else None
    once = sample(1)
    calls = max(1, math.ceil((2e-3 if device == "cuda" else 1e-4) / once))
    times, end = [], time.perf_counter() + seconds
    while len(times) < 7 or (time.perf_counter() < end and len(times) < 1000):
        times.append(sample(calls))
    return {"median_s": statistics.median(times), "min_s": min(times), "extra_bytes": extra}


def time_one(entry, args):
    sizes, dtype = parse_shape(entry["shape"])
    op = OPS[entry["name"]]
    function = program_of(op, args.program)
    draw = Draw(dtype, args.device)
    slots = itertools.cycle([op.tensors(sizes, draw) for _ in range(entry["slots"])])
    return measure(lambda: run(function, next(slots)), args.device, args.seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", choices=["eager", "compile", "liger"], default="eager")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    for entry in json.load(sys.stdin):
        if entry["name"] not in OPS or (args.program == "liger" and not OPS[entry["name"]].liger):
            continue
        try:
            result = time_one(entry, args)
        except Exception as error:  # whatever a peer lacks here, the others go on
            reason = str(error).partition("\n")[0]
            print(f"{args.program}: {entry['name']} {entry['shape']}: {reason}", file=sys.stderr)
            continue
        print(json.dumps({"name": entry["name"], "shape": entry["shape"], **result}), flush=True)


if __name__ == "__main__":
    main()
