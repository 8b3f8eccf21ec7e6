# SPDX-License-Identifier: Apache-2.0
"""Runs limbeck's and PyTorch's training steps of small models in turns and prints one table."""

import argparse
import datetime
import importlib.metadata
import json
import os
import statistics
import sys
import tempfile

from compare import HERE, cpu_name, run
from train_step import MODELS


def limbeck_times(args, threads, math):
    with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
        status, _, _, _ = run([args.program, "bench", "train_step", "--device", "cpu", "--threads",
                               str(threads), "--math", math, "--seconds", str(args.seconds),
                               "--no-ceilings", "--json", file.name])
        if status:
            return {}
        results = json.load(file)["results"]
    return {r["name"].split("/")[1]: (1e3 * r["median_s"], 1e3 * r["min_s"]) for r in results}


def torch_times(args, threads, *flags):
    _, out, _, _ = run([sys.executable, "-W", "ignore", str(HERE / "train_step.py"), "--threads",
                        str(threads), "--seconds", str(args.seconds), *flags])
    results = map(json.loads, out.splitlines())
    return {r["model"]: (r["median_ms"], r["min_ms"]) for r in results}


OWN = {"limbeck exact": lambda a, t: limbeck_times(a, t, "exact"),
       "limbeck fast": lambda a, t: limbeck_times(a, t, "fast")}
PEERS = {"torch": torch_times,
         "torch channels-last": lambda a, t: torch_times(a, t, "--channels-last")}
COMPILED = {"torch compile": lambda a, t: torch_times(a, t, "--compile")}


def collect(args, threads):
    """{program: {model: [(median, least) ms of each pass]}}"""
    programs, times = OWN | PEERS | (COMPILED if args.compile else {}), {}
    for _ in range(args.passes):
        for name, measure in programs.items():
            for model, step in measure(args, threads).items():
                times.setdefault(name, {}).setdefault(model, []).append(step)
    return times


def least(times, name, model):
    return min(t[1] for t in times.get(name, {}).get(model, [(0, float("inf"))]))


def best_peer(times, model, figure):
    return min(figure(times, n, model) for n in times if n not in OWN)


def middle(times, name, model):
    passes = times.get(name, {}).get(model)
    return statistics.median(t[0] for t in passes) if passes else float("inf")


def print_rows(times, threads):
    for model, (_, batch, _) in MODELS.items():
        for name in times:
            if model not in times[name]:
                continue
            cells = [f"{middle(times, name, model):8.2f}", f"{least(times, name, model):8.2f}"]
            cells += [f"{best_peer(times, model, f) / f(times, name, model):5.2f}x"
                      for f in (middle, least)]
            print(f"| {model:8} | {batch:5} | {threads:7} | {name:19} | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, help="the limbeck program")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="per program, model and pass")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too; takes minutes")
    args = parser.parse_args()
    print(f"{cpu_name()}, {len(os.sched_getaffinity(0))} CPUs, torch "
          f"{importlib.metadata.version('torch')}, {datetime.date.today()}, {args.passes} passes\n")
    print("| model    | batch | threads | program             | step, ms | least ms | speed  | of "
          "least |")
    print("|---|---|---|---|---|---|---|---|")
    for threads in args.threads:
        print_rows(collect(args, threads), threads)
    print("\nms is the median over the passes of each pass's median, least the shortest step; "
          "speed is the time of\nthe fastest of torch's programs over the program's, of least that "
          "of the shortest steps.")


if __name__ == "__main__":
    main()
