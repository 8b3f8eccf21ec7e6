# SPDX-License-Identifier: Apache-2.0
"""Runs limbeck's and PyTorch's distillation step in turns and prints one table."""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
BATCHES = (128, 512)


def run(command):
    """Exit status, output, wall seconds and peak MiB of one child process."""
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        out.seek(0)
        return status, out.read(), wall, usage.ru_maxrss / 1024


def limbeck_times(program, threads, seconds, math, teacher):
    with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
        status, _, _, peak = run([program, "bench", "kd_step", "--device", "cpu", "--threads",
                                  str(threads), "--math", math, "--seconds", str(seconds),
                                  "--no-ceilings", "--json", file.name])
        if status:
            return None
        results = json.load(file)["results"]
    wanted = {f"batch={b} teacher={teacher}": b for b in BATCHES}
    times = {wanted[r["shape"]]: (1e3 * r["median_s"], 1e3 * r["min_s"])
             for r in results if r["shape"] in wanted}
    return times, peak


def torch_times(threads, seconds, *flags):
    status, out, _, peak = run([sys.executable, str(HERE / "kd_step.py"), "--threads", str(threads),
                                "--seconds", str(seconds), *flags])
    if status:
        return None
    results = map(json.loads, out.splitlines())
    return {r["batch"]: (r["median_ms"], r["min_ms"]) for r in results}, peak


def programs(program):
    return {
        "limbeck exact": lambda t, s: limbeck_times(program, t, s, "exact", "f32"),
        "limbeck fast": lambda t, s: limbeck_times(program, t, s, "fast", "f32"),
        "limbeck fast, bf16 teacher": lambda t, s: limbeck_times(program, t, s, "fast", "bf16"),
        "torch eager": lambda t, s: torch_times(t, s),
        "torch compile": lambda t, s: torch_times(t, s, "--compile"),
        "torch eager, bf16 teacher": lambda t, s: torch_times(t, s, "--teacher", "bf16"),
        "limbeck exact, stored": lambda t, s: limbeck_times(program, t, s, "exact", "stored"),
        "limbeck fast, stored": lambda t, s: limbeck_times(program, t, s, "fast", "stored"),
        "torch eager, stored": lambda t, s: torch_times(t, s, "--teacher", "stored"),
        "torch compile, stored": lambda t, s: torch_times(t, s, "--teacher", "stored", "--compile"),
    }


def collect(program, threads, passes, seconds):
    """{program: {batch: [(median, least) ms of each pass]}} and {program: peak MiB}; a program that
    fails is left out."""
    times, peaks = {}, {}
    for _ in range(passes):
        for name, measure in programs(program).items():
            result = measure(threads, seconds)
            if result is None:
                print(f"{name}, {threads} threads: does not run here", file=sys.stderr)
                continue
            for batch, step in result[0].items():
                times.setdefault(name, {}).setdefault(batch, []).append(step)
            peaks[name] = max(peaks.get(name, 0), result[1])
    return times, peaks


def ratios(times, name, batch):
    """Of PyTorch's step in the same pass, the faster of eager and compiled, to this one's: with a
    live f32 teacher, or with stored logits where this one has those."""
    kind = ", stored" if name.endswith(", stored") else ""
    rivals = [times[n + kind][batch] for n in ("torch eager", "torch compile") if n + kind in times]
    return [min(rival)[0] / own[0] for own, *rival in zip(times[name][batch], *rivals)]


def print_steps(times, peaks, threads):
    for name, by_batch in times.items():
        cells = []
        for batch in BATCHES:
            medians, least = zip(*by_batch[batch])
            speed = statistics.median(ratios(times, name, batch))
            cells += [f"{statistics.median(medians):8.2f}", f"{min(least):8.2f}", f"{speed:6.2f}x"]
        print(f"| {threads} | {name:27} | {' | '.join(cells)} | {peaks[name]:6.0f} |")


def start_up(command):
    """Seconds from start to end of a program that does nothing; the best of five."""
    return min(run(command)[2] for _ in range(5))


def installed_mib(path):
    path = pathlib.Path(path)
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(f.lstat().st_size for f in files) / 2**20


def linked_mib(program):
    """With the shared libraries it loads, libc included."""
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = [line.split("=>")[1].split()[0] for line in out.splitlines() if "=> /" in line]
    return installed_mib(program) + sum(map(installed_mib, map(os.path.realpath, libraries)))


def print_sizes(program):
    site = pathlib.Path(importlib.metadata.distribution("torch").locate_file(""))
    torch_command = [sys.executable, "-c", "import torch"]
    print("\n| | start-up, ms | installed, MiB |\n|---|---|---|")
    print(f"| limbeck | {1e3 * start_up([program, '--help']):.0f} | {installed_mib(program):.1f}, "
          f"with the libraries it loads {linked_mib(program):.0f} |")
    print(f"| torch | {1e3 * start_up(torch_command):.0f} | {installed_mib(site / 'torch'):.0f}, "
          f"with all it depends on {installed_mib(site):.0f} |")


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", required=True, help="the limbeck program")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="per program, batch and pass")
    args = parser.parse_args()
    print(f"{cpu_name()}, {len(os.sched_getaffinity(0))} CPUs, torch "
          f"{importlib.metadata.version('torch')}, {datetime.date.today()}, {args.passes} passes\n")
    print("| threads | program | " + " | ".join(
        f"batch {b}, ms | least | speed" for b in BATCHES) + " | peak MiB |")
    print("|---|---|" + "---|" * (3 * len(BATCHES) + 1))
    for threads in args.threads:
        print_steps(*collect(args.program, threads, args.passes, args.seconds), threads)
    print("\nms is the median over the passes of each pass's median, least the shortest step of all; "
          "speed is the time\nof torch's f32 step (the faster of eager and compile in the same "
          "pass) over the program's, the median\nover the passes.")
    print_sizes(args.program)


if __name__ == "__main__":
    main()
