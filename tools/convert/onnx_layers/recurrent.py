# SPDX-License-Identifier: Apache-2.0
"""RNN, LSTM and GRU. Files have PyTorch's order of gates, ONNX one of its own."""

import numpy as np

OPS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
# Of ONNX's blocks of rows, which of the file's: iofc of ifgo, zrh of rzn.
ORDER = {"rnn": [0], "lstm": [0, 3, 1, 2], "gru": [1, 0, 2]}


def recurrent(kind):
    def add(graph, layer, x, name):
        count, tokens, _ = graph.shapes[x]
        hidden, directions = layer["hidden"], 2 if layer.get("bidirectional", False) else 1
        steps = graph.node("Transpose", [x], f"{name}/steps", perm=[1, 0, 2])
        for k in range(layer.get("layers", 1)):
            steps = add_layer(graph, kind, layer, steps, f"{name}/l{k}", f"{name}.{{}}_l{k}")
        graph.node("Transpose", [steps], name, perm=[1, 0, 2])
        return [count, tokens, directions * hidden]

    return add


def add_layer(graph, kind, layer, x, prefix, names):
    """x (T,N,I) to (T,N,directions*H)."""
    ends = ["", "_reverse"] if layer.get("bidirectional", False) else [""]

    def stacked(*parts):
        """(directions, sum of the parts' rows, ...), gates in ONNX's order."""
        found = [[graph.value(names.format(part) + end) for part in parts] for end in ends]
        return np.stack([np.concatenate([rearranged(v, kind) for v in each]) for each in found])

    inputs = [x]
    inputs.append(graph.constant(f"{prefix}.w", stacked("weight_ih")))
    inputs.append(graph.constant(f"{prefix}.r", stacked("weight_hh")))
    inputs.append(
        graph.constant(f"{prefix}.b", stacked("bias_ih", "bias_hh")) if layer.get("bias", True) else ""
    )
    inputs.append(graph.lengths or "")
    while inputs[-1] == "":
        inputs.pop()
    how = {"hidden_size": layer["hidden"], "direction": "forward" if len(ends) == 1 else "bidirectional"}
    if kind == "gru":
        how["linear_before_reset"] = 1
    if kind == "rnn":
        how["activations"] = ["Relu" if layer.get("relu", False) else "Tanh"] * len(ends)
    states = graph.node(OPS[kind], inputs, f"{prefix}/states", **how)  # (T,directions,N,H)
    if len(ends) == 1:
        return graph.node("Squeeze", [states, graph.integers(1)], f"{prefix}/y")
    beside = graph.node("Transpose", [states], f"{prefix}/beside", perm=[0, 2, 1, 3])
    return graph.node("Reshape", [beside, graph.integers(0, 0, -1)], f"{prefix}/y")


def rearranged(value, kind):
    gates = value.reshape(len(ORDER[kind]), -1, *value.shape[1:])
    return gates[ORDER[kind]].reshape(value.shape)


LAYERS = {kind: recurrent(kind) for kind in OPS}
