# SPDX-License-Identifier: Apache-2.0
"""Convolutions, pools and the rest of what images go through."""

import numpy as np


def windows(layer, extent, kernel, stride):
    reach = layer.get("dilation", 1) * (kernel - 1) + 1
    return (extent + 2 * layer.get("padding", 0) - reach) // stride + 1


def weights_of(graph, layer, name):
    bias = [graph.weight(f"{name}.bias")] if layer.get("bias", True) else []
    return [graph.weight(f"{name}.weight")] + bias


def conv2d(graph, layer, x, name):
    kernel, stride = layer["kernel"], layer.get("stride", 1)
    graph.node(
        "Conv",
        [x, *weights_of(graph, layer, name)],
        name,
        pads=[layer.get("padding", 0)] * 4,
        strides=[stride] * 2,
        dilations=[layer.get("dilation", 1)] * 2,
        group=layer.get("groups", 1),
    )
    height, width = (windows(layer, e, kernel, stride) for e in graph.shapes[x][2:])
    return ["N", layer["out"], height, width]


def conv_transpose2d(graph, layer, x, name):
    padding, stride = layer.get("padding", 0), layer.get("stride", 1)
    more = layer.get("output_padding", 0)
    graph.node(
        "ConvTranspose",
        [x, *weights_of(graph, layer, name)],
        name,
        pads=[padding] * 4,
        strides=[stride] * 2,
        output_padding=[more] * 2,
        group=layer.get("groups", 1),
    )
    reach = layer["kernel"] - 2 * padding + more
    return ["N", layer["out"], *((e - 1) * stride + reach for e in graph.shapes[x][2:])]


def pool(op, **attributes):
    def add(graph, layer, x, name):
        kernel = layer["kernel"]
        stride = layer.get("stride", kernel)
        graph.node(
            op,
            [x],
            name,
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[layer.get("padding", 0)] * 4,
            **attributes,
        )
        shape = graph.shapes[x]
        return [*shape[:2], *(windows(layer, e, kernel, stride) for e in shape[2:])]

    return add


def bins(extent, size):
    """(size,extent): row i takes the mean of bin i, from floor(i E / S) to ceil((i + 1) E / S)."""
    mean = np.zeros((size, extent), np.float32)
    for i in range(size):
        first, last = i * extent // size, -(-(i + 1) * extent // size)
        mean[i, first:last] = 1 / (last - first)
    return mean


def adaptive_avg_pool2d(graph, layer, x, name):
    size = layer.get("size", 1)
    shape = graph.shapes[x]
    if size == 1:
        graph.node("GlobalAveragePool", [x], name)
    else:  # the mean of a rectangle is that of its rows' means
        rows = graph.constant(f"{name}/rows", bins(shape[2], size))
        columns = graph.constant(f"{name}/columns", bins(shape[3], size).T)
        means = graph.node("MatMul", [rows, x], f"{name}/means")
        graph.node("MatMul", [means, columns], name)
    return [*shape[:2], size, size]


def pad_shortcut(graph, layer, x, name):
    """Every stride-th cell, between channels of zeros."""
    _, channels, height, width = graph.shapes[x]
    out, stride = layer["out"], layer.get("stride", 2)
    before = (out - channels) // 2
    after = out - channels - before
    cells = graph.node("MaxPool", [x], f"{name}/cells", kernel_shape=[1, 1], strides=[stride] * 2)
    graph.node("Pad", [cells, graph.integers(0, before, 0, 0, 0, after, 0, 0)], name)
    return ["N", out, (height - 1) // stride + 1, (width - 1) // stride + 1]


def upsample(graph, layer, x, name):
    scale = layer.get("scale", 2)
    factors = graph.constant(f"{name}/factors", np.array([1, 1, scale, scale], np.float32))
    if layer.get("mode", "nearest") == "nearest":
        how = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
    else:
        how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    graph.node("Resize", [x, "", factors], name, **how)
    shape = graph.shapes[x]
    return [*shape[:2], *(scale * extent for extent in shape[2:])]


LAYERS = {
    "conv2d": conv2d,
    "conv_transpose2d": conv_transpose2d,
    "max_pool2d": pool("MaxPool"),
    "avg_pool2d": pool("AveragePool", count_include_pad=0),
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "pad_shortcut": pad_shortcut,
    "upsample": upsample,
}
