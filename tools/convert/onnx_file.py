# SPDX-License-Identifier: Apache-2.0
"""Writes a graph as an ONNX file, with the package onnx."""

import pathlib

import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 9  # the first with opset 20, so that older runtimes read it
LARGEST = 1 << 30  # bytes of weights in the file itself; a file of more than 2 GiB cannot be read


def write_onnx(graph, path, metadata):
    """Weights that are too large go to <path>.data. The file has been checked."""
    model = to_model(graph)
    helper.set_model_props(model, metadata)
    target = pathlib.Path(path)
    beside = {}
    if sum(value.nbytes for value in graph.constants.values()) > LARGEST:
        data = target.name + ".data"
        target.with_name(data).unlink(missing_ok=True)  # or it would be added to
        beside = {"save_as_external_data": True, "location": data}
    onnx.save(model, path, **beside)
    onnx.checker.check_model(path, full_check=True)


def to_model(graph):
    value = helper.make_tensor_value_info
    inputs = [value("input", TensorProto.INT64 if graph.tokens else TensorProto.FLOAT, graph.shapes["input"])]
    if graph.lengths:
        inputs.append(value(graph.lengths, TensorProto.INT32, ["N"]))
    outputs = [value(graph.output, TensorProto.FLOAT, graph.shapes[graph.output])]
    nodes = [
        helper.make_node(node.op, node.inputs, node.outputs, name=node.outputs[0], **node.attributes)
        for node in graph.nodes
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in graph.constants.items()]
    made = helper.make_graph(nodes, "limbeck", inputs, outputs, constants)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(made, opset_imports=[opset], ir_version=IR_VERSION, producer_name="limbeck")
