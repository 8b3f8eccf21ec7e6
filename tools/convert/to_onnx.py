#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns a model that limbeck has trained into ONNX, for onnxruntime and others.

    tools/convert/to_onnx.py weights.safetensors model.onnx

The file says what model it is of (limbeck's own do). Images go in as (N,C,H,W), as elsewhere,
after what the metadata "preprocess" says is done to them; tokens go in as (N,T) of int64, as many
as the model's tables have positions, and with --lengths a second input says how many of them are
no padding. A layer that has no ONNX form is refused by name. Needs the Python packages numpy and
onnx; with onnxruntime the model is also run once.
"""

import argparse
import json
import sys


def fail(message):
    sys.exit(f"to_onnx: {message}")


try:
    from limbeck_weights import read_safetensors
    from onnx_file import write_onnx
    from onnx_layers.build import build
    from onnx_layers.graph import NoOnnxForm
except ImportError as error:
    fail(f"needs the Python package {error.name}; pip install numpy onnx onnxruntime")


def read(path):
    """(model, weights, the other metadata)"""
    try:
        weights, metadata = read_safetensors(path)
    except (OSError, ValueError) as error:
        fail(f"{path}: {getattr(error, 'strerror', None) or error}")
    if "model" not in metadata:
        fail(f"{path}: does not say what model it is of; expected a file that limbeck wrote")
    return json.loads(metadata.pop("model")), weights, metadata


def try_once(graph, path, tokens):
    """What onnxruntime makes of zeros, where it is installed."""
    try:
        import onnxruntime
    except ImportError:
        return
    import numpy as np

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    extents = [{"N": 1, "T": tokens}.get(extent, extent) for extent in graph.shapes["input"]]
    feed = {"input": np.zeros(extents, np.int64 if graph.tokens else np.float32)}
    if graph.lengths:
        feed["lengths"] = np.ones(1, np.int32)
    (y,) = session.run(None, feed)
    print(f"onnxruntime runs it: output {y.shape}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="safetensors file that limbeck wrote")
    parser.add_argument("target", help="ONNX file to write")
    parser.add_argument(
        "--context",
        type=int,
        default=0,
        help="most tokens of rotary positions; a training sample's by default",
    )
    parser.add_argument(
        "--lengths",
        action="store_true",
        help="a second input (N) of int32, how many tokens of each sample are valid",
    )
    arguments = parser.parse_args()
    model, weights, metadata = read(arguments.source)
    try:
        graph = build(model, weights, arguments.context, arguments.lengths)
    except NoOnnxForm as error:
        fail(error)
    write_onnx(graph, arguments.target, metadata)
    shape = ",".join(map(str, graph.shapes["input"]))
    print(f"{arguments.target}: input ({shape}), {len(graph.nodes)} nodes")
    try_once(graph, arguments.target, model["input"][0])


if __name__ == "__main__":
    main()
