# SPDX-License-Identifier: Apache-2.0
"""Writes a graph as an ONNX file, with the package onnx."""

import pathlib

import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
IR_VERSION = 9  # the first with opset 20, so that older runtimes read it
LARGEST = 1 << 30  # bytes of weights in the file itself, which cannot have 2 GiB
SMALL = 1024  # bytes of constants that stay in it in any case: shapes are computed with some
ALIGNMENT = 4096  # of weights beside it, so that they may be mapped into memory


def write_onnx(graph, path, metadata):
    """Weights that are too many go to <path>.data. The file has been checked."""
    if sum(value.nbytes for value in graph.constants.values()) <= LARGEST:
        constants = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    else:
        constants = write_beside(graph.constants, pathlib.Path(path + ".data"))
    model = to_model(graph, constants)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    onnx.checker.check_model(path, full_check=True)


def write_beside(constants, path):
    """Tensors that say where in the file `path`, which is written, their values are."""
    found = []
    with open(path, "wb") as file:
        for name, value in constants.items():
            if value.nbytes <= SMALL:
                found.append(numpy_helper.from_array(value, name))
                continue
            file.seek(-file.tell() % ALIGNMENT, 1)
            place = {"location": path.name, "offset": file.tell(), "length": value.nbytes}
            value.tofile(file)
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            tensor = TensorProto(name=name, data_type=kind, dims=value.shape)
            tensor.data_location = TensorProto.EXTERNAL
            for key, at in place.items():
                tensor.external_data.add(key=key, value=str(at))
            found.append(tensor)
    return found


def to_model(graph, constants):
    value = helper.make_tensor_value_info
    kind = TensorProto.INT64 if graph.tokens else TensorProto.FLOAT
    inputs = [value("input", kind, graph.shapes["input"])]
    if graph.lengths:
        inputs.append(value(graph.lengths, TensorProto.INT32, ["N"]))
    outputs = [value(graph.output, TensorProto.FLOAT, graph.shapes[graph.output])]
    nodes = [
        helper.make_node(node.op, node.inputs, node.outputs, name=node.outputs[0], **node.attributes)
        for node in graph.nodes
    ]
    made = helper.make_graph(nodes, "limbeck", inputs, outputs, constants)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(made, opset_imports=[opset], ir_version=IR_VERSION, producer_name="limbeck")
