# SPDX-License-Identifier: Apache-2.0
"""Exports the models of a folder and compares what onnxruntime makes of them with what limbeck made.

    onnx_check.py <folder>

<case>.weights.safetensors is a file that limbeck wrote, <case>.sample.safetensors has x and y, and
"lengths" where there are any. Writes results.json: "types", the layers that have a form; "cases",
of each "ops", the graph's nodes in order; "refused", why it has none; "broken", what is wrong with
it; "error", the largest difference over the largest of y, where onnx and onnxruntime are installed.
Leaves with 77 where NumPy is missing.
"""

import json
import pathlib
import sys

try:
    import numpy as np
except ImportError:
    sys.exit(77)
try:
    import onnx
    import onnxruntime
except ImportError:
    onnxruntime = None

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tools" / "convert"))
from limbeck_weights import read_safetensors  # noqa: E402
from onnx_layers.build import TYPES, build  # noqa: E402
from onnx_layers.graph import NoOnnxForm  # noqa: E402


def broken(graph):
    """What no graph may be, seen without onnx; empty when all is well."""
    known = {"input", "", *graph.constants} | ({"lengths"} if graph.lengths else set())
    for node in graph.nodes:
        for name in node.inputs:
            if name not in known:
                return f"{node.op} reads {name}, which nothing made"
        for name in node.outputs:
            if name in known:
                return f"{name} is made twice"
        known.update(node.outputs)
    unused = sorted(name for name in graph.unused if not name.endswith("num_batches_tracked"))
    return f"weights that nothing reads: {', '.join(unused)}" if unused else ""


def run(graph, path, sample):
    import onnx_file

    onnx_file.LARGEST, onnx_file.SMALL = 4000, 100  # some weights stand beside their files
    onnx_file.write_onnx(graph, path, {})
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = sample["x"]
    feed = {"input": x.astype(np.int64) if graph.tokens else x}
    if graph.lengths:
        feed["lengths"] = sample["lengths"]
    (y,) = session.run(None, feed)
    return y


def difference(y, expected):
    if y.shape != expected.shape:
        raise ValueError(f"output has shape {y.shape}; expected {expected.shape}")
    return float(np.abs(y - expected).max() / np.abs(expected).max())


def check(folder, case):
    weights, metadata = read_safetensors(folder / f"{case}.weights.safetensors")
    sample, _ = read_safetensors(folder / f"{case}.sample.safetensors")
    try:
        graph = build(json.loads(metadata["model"]), weights, lengths="lengths" in sample)
    except NoOnnxForm as error:
        return {"refused": str(error)}
    found = {"ops": " ".join(node.op for node in graph.nodes), "broken": broken(graph)}
    if onnxruntime is None or found["broken"]:
        return found
    try:
        y = run(graph, str(folder / f"{case}.onnx"), sample)
        return found | {"error": difference(y, sample["y"])}
    except Exception as error:
        return found | {"broken": str(error)}


def main():
    folder = pathlib.Path(sys.argv[1])
    cases = [path.name.split(".")[0] for path in sorted(folder.glob("*.weights.safetensors"))]
    results = {"types": sorted(TYPES), "cases": {case: check(folder, case) for case in cases}}
    (folder / "results.json").write_text(json.dumps(results))


main()
