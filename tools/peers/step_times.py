# SPDX-License-Identifier: Apache-2.0
"""How the training steps of PyTorch are timed."""

import statistics
import time


def measure(step, seconds):
    """Median and minimum of the time of one step, in milliseconds."""
    for _ in range(5):  # warms up
        step()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 7:
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return {"median_ms": statistics.median(times), "min_ms": min(times), "samples": len(times)}
