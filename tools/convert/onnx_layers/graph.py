# SPDX-License-Identifier: Apache-2.0
"""An ONNX graph under construction: nodes, constants and the shape of every value.

Images are (N,C,H,W), as in ONNX, where limbeck has (N,H,W,C). An extent that is free is a string:
"N" for the samples, "T" for the tokens, "T+1" for the tokens and one more.
"""

import collections

import numpy as np

Node = collections.namedtuple("Node", "op inputs outputs attributes")


class NoOnnxForm(Exception):
    """What cannot be exported, in one line that names the layer."""


class FixedTokens(Exception):
    """The number of tokens cannot be left open."""


class Graph:
    def __init__(self, weights, shape, context=1, lengths=False):
        """`weights` are a file's tensors, `shape` is one sample's, (features), (T) or (C,H,W);
        context: the most tokens where their number is free; lengths: a second input (N) says how
        many tokens of each sample are valid."""
        self.weights, self.unused = weights, set(weights)
        self.nodes, self.constants = [], {}
        self.shapes = {"input": ["N", *shape]}
        self.images = {}  # (C,H,W) of the image whose cells a value (N,features) still has
        self.context = context
        self.lengths = "lengths" if lengths else None
        self.uses_lengths = False
        self.made = set()

    def constant(self, name, value):
        self.constants[name] = np.asarray(value, order="C")
        return name

    def integers(self, *values):
        """A constant vector of them, the same one each time."""
        name = "/integers." + ".".join(map(str, values)).replace("-", "m")
        return self.constant(name, np.array(values, np.int64))

    def number(self, value):
        """A constant scalar, the same one each time."""
        return self.constant(f"/number.{float(value)!r}", np.float32(value))

    def value(self, name):
        """A weight as the file has it."""
        if name not in self.weights:
            raise NoOnnxForm(f"the file has no weight '{name}', which its model needs")
        self.unused.discard(name)
        return self.weights[name].astype(np.float32, copy=False)

    def weight(self, name):
        """The constant that a weight is, one for all who share it."""
        return self.constant(name, self.value(name)) if name not in self.constants else name

    def node(self, op, inputs, output, **attributes):
        """Adds a node of one output, whose name comes back."""
        return self.node_of_many(op, inputs, [output], **attributes)[0]

    def node_of_many(self, op, inputs, outputs, **attributes):
        self.uses_lengths |= "lengths" in inputs
        self.nodes.append(Node(op, list(inputs), list(outputs), attributes))
        return outputs

    def once(self, name, make):
        """Nodes that several layers share: make() adds them, the first time, and ends in `name`."""
        if name not in self.made:
            make()
            self.made.add(name)
        return name

    def rank(self, x):
        return len(self.shapes[x])

    def positions(self, x):
        """0, 1, ..., one for each token of x (N,T,...): a constant, or counted when it runs."""
        tokens = self.shapes[x][1]
        if not isinstance(tokens, str):
            name = f"/positions.{tokens}"
            return self.constant(name, np.arange(tokens, dtype=np.int64))
        name = f"/positions.{tokens}"

        def make():
            extent = self.node("Shape", [x], f"{name}/extents", start=1, end=2)
            count = self.node("Squeeze", [extent, self.integers(0)], f"{name}/count")
            bounds = [self.constant(f"/positions.{k}", np.array(k, np.int64)) for k in (0, 1)]
            self.node("Range", [bounds[0], count, bounds[1]], name)

        return self.once(name, make)
