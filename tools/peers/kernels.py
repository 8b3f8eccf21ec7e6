# SPDX-License-Identifier: Apache-2.0
"""Runs limbeck's kernels and what PyTorch and Liger-Kernel have in their place, in turns, over the
same shapes, and prints one table."""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import textwrap

HERE = pathlib.Path(__file__).parent


def limbeck_report(args, threads):
    with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
        command = [args.program, "bench", *args.stems, "--device", args.device, "--threads",
                   str(threads), "--seconds", str(args.seconds), "--json", file.name]
        child = subprocess.run(command + (["--warm"] if args.warm else []), check=False,
                               stdout=subprocess.DEVNULL)
        if child.returncode:
            sys.exit(child.returncode)  # it has said why
        return json.load(file)


def torch_results(args, threads, program, entries):
    """{(name, shape): result}; what does not run here is left out, and said on stderr."""
    command = [sys.executable, "-W", "ignore", str(HERE / "torch_times.py"), "--program", program,
               "--device", args.device, "--threads", str(threads), "--seconds", str(args.seconds)]
    child = subprocess.run(command, input=json.dumps(entries), text=True, stdout=subprocess.PIPE,
                           check=False)
    return by_case(map(json.loads, child.stdout.splitlines()))


def by_case(results):
    return {(r["name"], r["shape"]): r for r in results}


def peers(args):
    liger = args.device == "cuda" and importlib.util.find_spec("liger_kernel")
    return [p for p in ("eager", "compile", "liger") if p in args.peers and (p != "liger" or liger)]


def collect(args, threads):
    """The last of limbeck's reports, and one {program: {(name, shape): result}} per pass."""
    passes = []
    for _ in range(args.passes):
        report = limbeck_report(args, threads)
        entries = [{key: r[key] for key in ("name", "shape", "slots")} for r in report["results"]]
        results = {"limbeck": by_case(report["results"])}
        for peer in peers(args):
            results[peer] = torch_results(args, threads, peer, entries)
        passes.append(results)
    return report, passes


def over_passes(passes, program, case, figure):
    return [figure(p[program][case], p) for p in passes if case in p[program]]


def microseconds(result, _):
    return 1e6 * result["median_s"]


def mebibytes(result):
    return "" if result.get("extra_bytes") is None else f"{result['extra_bytes'] / 2**20:.1f}"


def limbeck_cells(passes, case):
    time = statistics.median(over_passes(passes, "limbeck", case, microseconds))
    share = statistics.median(over_passes(passes, "limbeck", case, lambda r, _: r["share"]))
    last = passes[-1]["limbeck"][case]
    known = f"{100 * share:.0f} % of {last['limit']}" if last["limit"] else ""
    return [f"{time:.1f}", known, mebibytes(last)]


def least(passes, program, case):
    return min(over_passes(passes, program, case, lambda r, _: r["min_s"]))


def peer_cells(passes, peer, case, with_memory):
    times = over_passes(passes, peer, case, microseconds)
    if not times:
        return [""] * (4 if with_memory else 3)
    ratios = over_passes(passes, peer, case,
                         lambda r, p: r["median_s"] / p["limbeck"][case]["median_s"])
    of_least = least(passes, peer, case) / least(passes, "limbeck", case)
    cells = [f"{statistics.median(times):.1f}", f"{statistics.median(ratios):.2f}x",
             f"{of_least:.2f}x"]
    return cells + ([mebibytes(passes[-1][peer][case])] if with_memory else [])


def rows(passes, threads, with_memory):
    programs = list(passes[0])[1:]
    for case in passes[0]["limbeck"]:
        if not any(case in p[peer] for p in passes for peer in programs):
            continue
        cells = [f"`{case[0]}`", case[1], str(threads), *limbeck_cells(passes, case)]
        for peer in programs:
            cells += peer_cells(passes, peer, case, with_memory)
        yield cells


def table(header, body):
    """Markdown, with columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(header, *body)]
    lines = [header, ["-" * width for width in widths], *body]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |"
                     for line in lines)


def header(passes, with_memory):
    names = {"eager": "PyTorch", "compile": "torch.compile", "liger": "Liger"}
    cells = ["kernel", "shape", "threads", "limbeck, us", "of the ceiling", "extra MiB"]
    for peer in list(passes[0])[1:]:
        cells += [f"{names[peer]}, us", "ratio", "of least"] + (["extra MiB"] if with_memory else [])
    return cells


def describe(args, report):
    machine = report["machine"]
    versions = [f"{package} {importlib.metadata.version(package)}"
                for package in ("torch", "liger_kernel") if importlib.util.find_spec(package)]
    text = (f"{machine['device_name']}, {len(os.sched_getaffinity(0))} CPUs, {machine['isa']}, "
            f"{', '.join(versions)}, {datetime.date.today()}, commit {report['commit']}, "
            f"{args.passes} passes, load average {os.getloadavg()[2]:.1f}. Times are the median over the passes of each pass's median; "
            "ratio is a peer's time over limbeck's in the same pass, of least the shortest over the "
            "shortest of all; extra MiB is what a call takes beyond its inputs and outputs.")
    return (f"**{report['slow_build']} build: figures mean nothing.** " + text
            if report["slow_build"] else text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stems", nargs="*", default=["kd_loss"], help="as limbeck bench's")
    parser.add_argument("--program", required=True, help="the limbeck program")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="on the CPU")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="per line, program and pass")
    parser.add_argument("--peers", nargs="+", default=["eager", "compile", "liger"])
    parser.add_argument("--warm", action="store_true", help="as limbeck bench's")
    args = parser.parse_args()
    with_memory = args.device == "cuda"
    body, head = [], None
    for threads in args.threads if args.device == "cpu" else [os.cpu_count()]:
        report, passes = collect(args, threads)
        body += rows(passes, threads, with_memory)
        head = header(passes, with_memory)
    print(table(head, body))
    print("\n" + "\n".join(textwrap.wrap(describe(args, report), 108)))


if __name__ == "__main__":
    main()
