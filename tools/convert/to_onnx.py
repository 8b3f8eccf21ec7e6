#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns a model that limbeck has trained into ONNX, for onnxruntime and others.

    tools/convert/to_onnx.py weights.safetensors model.onnx

The file says what model it is of (limbeck's own do). Images go in as (N,C,H,W), as elsewhere.
Needs the Python packages onnx, numpy and safetensors; with onnxruntime the model is also run once.
Layers: linear, conv2d, pools, pad_shortcut, batch_norm, layer_norm, activations, dropout,
drop_path, flatten, add, mul, concat. Others are refused by name.
"""

import argparse
import json
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open

OPSET = 20
POINTWISE = {
    "relu": ("Relu", {}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "gelu": ("Gelu", {}),
    "gelu_tanh": ("Gelu", {"approximate": "tanh"}),
    "relu6": ("Clip", {}),
    "hardswish": ("HardSwish", {}),
    "softmax": ("Softmax", {"axis": -1}),
    "log_softmax": ("LogSoftmax", {"axis": -1}),
}
JOINS = {"add": "Add", "mul": "Mul", "concat": "Concat"}


def fail(message):
    sys.exit(f"to_onnx: {message}")


def flat(layers):
    """Without the groups that say what training computes again."""
    for layer in layers:
        yield from layer["layers"] if "type" not in layer else [layer]


class Exporter:
    """Adds layer after layer; values are NCHW where limbeck's are NHWC, `rank` is each one's."""

    def __init__(self, model, weights):
        self.weights = weights
        self.nodes, self.constants = [], []
        shape = model["input"]
        self.image = len(shape) == 3
        self.shape = [shape[2], shape[0], shape[1]] if self.image else shape
        self.ranks, self.channels = {"input": len(shape) + 1}, {"input": shape[-1]}
        self.last = "input"
        for i, layer in enumerate(flat(model["layers"])):
            self.add(layer, layer.get("name") or str(i))

    def constant(self, name, value):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def weight(self, name):
        value = self.weights[name]
        return self.constant(name, value if value.ndim == 0 else value.astype(np.float32))

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))

    def add(self, layer, name):
        kind = layer["type"]
        given = layer.get("from", self.last)
        inputs = list(given) if isinstance(given, list) else [given]
        rank = self.ranks[inputs[0]]
        method = getattr(self, "add_" + kind, None)
        if kind in JOINS:
            axis = {"axis": 1 if rank == 4 else rank - 1} if kind == "concat" else {}
            self.join(JOINS[kind], inputs, name, axis)
        elif kind in POINTWISE:
            op, attributes = POINTWISE[kind]
            if op == "Clip":
                for limit in (0, 6):
                    inputs.append(self.constant(f"{name}.{limit}", np.float32(limit)))
            self.node(op, inputs, name, **attributes)
        elif method:
            rank = method(layer, inputs[0], name, rank)
        else:
            fail(f"layer '{name}' is of type {kind}, which has no ONNX form here")
        self.ranks[name] = rank
        channels = [self.channels[x] for x in inputs if x in self.channels]
        self.channels[name] = sum(channels) if kind == "concat" else layer.get("out", channels[0])
        self.last = name

    def join(self, op, inputs, name, attributes):
        if op == "Concat":
            self.node(op, inputs, name, **attributes)
            return
        value = inputs[0]
        for k, other in enumerate(inputs[1:]):
            result = name if k == len(inputs) - 2 else f"{name}.{k}"
            self.node(op, [value, other], result)
            value = result

    def add_linear(self, layer, x, name, rank):
        if rank == 4:  # columns of a linear layer after an image run over (C,H,W) in files
            self.node("Flatten", [x], f"{name}.flat", axis=1)
            x = f"{name}.flat"
        self.matrix(x, f"{name}.weight", name, layer.get("bias", True))
        return 2 if rank == 4 else rank

    def matrix(self, x, weight, name, bias):
        self.constant(f"{weight}.T", self.weights[weight].astype(np.float32).T)
        product = f"{name}.product" if bias else name
        self.node("MatMul", [x, f"{weight}.T"], product)
        if bias:
            self.node("Add", [product, self.weight(f"{name}.bias")], name)

    def add_conv2d(self, layer, x, name, rank):
        padding, stride = layer.get("padding", 0), layer.get("stride", 1)
        inputs = [x, self.weight(f"{name}.weight")]
        if layer.get("bias", True):
            inputs.append(self.weight(f"{name}.bias"))
        self.node(
            "Conv",
            inputs,
            name,
            pads=[padding] * 4,
            strides=[stride] * 2,
            dilations=[layer.get("dilation", 1)] * 2,
            group=layer.get("groups", 1),
        )
        return rank

    def pool(self, op, layer, x, name, rank, **attributes):
        kernel, padding = layer["kernel"], layer.get("padding", 0)
        self.node(
            op,
            [x],
            name,
            kernel_shape=[kernel] * 2,
            strides=[layer.get("stride", kernel)] * 2,
            pads=[padding] * 4,
            **attributes,
        )
        return rank

    def add_max_pool2d(self, layer, x, name, rank):
        return self.pool("MaxPool", layer, x, name, rank)

    def add_avg_pool2d(self, layer, x, name, rank):
        return self.pool("AveragePool", layer, x, name, rank, count_include_pad=0)

    def add_adaptive_avg_pool2d(self, layer, x, name, rank):
        if layer.get("size", 1) != 1:
            fail(f"layer '{name}' pools to {layer['size']} cells; only 1 has an ONNX form")
        self.node("GlobalAveragePool", [x], name)
        return rank

    def add_pad_shortcut(self, layer, x, name, rank):
        channels = self.channels[x]
        before = (layer["out"] - channels) // 2
        after = layer["out"] - channels - before
        stride = layer.get("stride", 2)
        self.node("MaxPool", [x], f"{name}.cells", kernel_shape=[1, 1], strides=[stride, stride])
        pads = self.constant(f"{name}.pads", np.array([0, before, 0, 0, 0, after, 0, 0], np.int64))
        self.node("Pad", [f"{name}.cells", pads], name)
        return rank

    def add_batch_norm(self, layer, x, name, rank):
        parts = ("weight", "bias", "running_mean", "running_var")
        inputs = [x] + [self.weight(f"{name}.{part}") for part in parts]
        self.node("BatchNormalization", inputs, name, epsilon=layer.get("eps", 1e-5))
        return rank

    def add_layer_norm(self, layer, x, name, rank):
        if rank == 4:
            fail(f"layer '{name}' normalises an image's channels, which has no ONNX form here")
        inputs = [x, self.weight(f"{name}.weight")]
        if layer.get("bias", True):
            inputs.append(self.weight(f"{name}.bias"))
        self.node("LayerNormalization", inputs, name, axis=-1, epsilon=layer.get("eps", 1e-5))
        return rank

    def add_silu(self, layer, x, name, rank):
        self.node("Sigmoid", [x], f"{name}.sigmoid")
        self.node("Mul", [x, f"{name}.sigmoid"], name)
        return rank

    def add_dropout(self, layer, x, name, rank):
        self.node("Identity", [x], name)
        return rank

    add_drop_path = add_dropout

    def add_flatten(self, layer, x, name, rank):
        if rank == 4:  # limbeck's order is (H,W,C)
            self.node("Transpose", [x], f"{name}.nhwc", perm=[0, 2, 3, 1])
            x = f"{name}.nhwc"
        self.node("Flatten", [x], name, axis=1)
        return 2

    def model(self):
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "limbeck",
            [value("input", TensorProto.FLOAT, ["N", *self.shape])],
            [value(self.last, TensorProto.FLOAT, ["N"] + [None] * (self.ranks[self.last] - 1))],
            self.constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        onnx.checker.check_model(made, full_check=True)
        return made


def read(path):
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}
    except Exception as error:
        fail(f"{path}: {error}")
    if "model" not in metadata:
        fail(f"{path}: does not say what model it is of; expected a file that limbeck wrote")
    return json.loads(metadata["model"]), weights


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="safetensors file that limbeck wrote")
    parser.add_argument("target", help="ONNX file to write")
    arguments = parser.parse_args()
    exporter = Exporter(*read(arguments.source))
    onnx.save(exporter.model(), arguments.target)
    print(f"{arguments.target}: input (N,{','.join(map(str, exporter.shape))}), {len(exporter.nodes)} nodes")
    try:
        import onnxruntime
    except ImportError:
        return
    session = onnxruntime.InferenceSession(arguments.target)
    (y,) = session.run(None, {"input": np.zeros([1, *exporter.shape], np.float32)})
    print(f"onnxruntime runs it: output {y.shape}")


if __name__ == "__main__":
    main()
