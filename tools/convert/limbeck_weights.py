# SPDX-License-Identifier: Apache-2.0
"""Reads safetensors files with NumPy alone."""

import json
import os

import numpy as np

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1"}


def read_safetensors(path):
    """({name: array}, metadata); bf16 comes as f32. Raises OSError or ValueError."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(min(length, os.path.getsize(path))))
        except ValueError:
            raise ValueError("is no safetensors file") from None
    metadata = header.pop("__metadata__", {})
    data = np.memmap(path, np.uint8, "r", 8 + length) if header else np.empty(0, np.uint8)
    return {name: tensor_of(data, entry, name) for name, entry in header.items()}, metadata


def tensor_of(data, entry, name):
    first, last = entry["data_offsets"]
    if entry["dtype"] not in DTYPES:
        raise ValueError(f"'{name}' has dtype {entry['dtype']}; expected one of {', '.join(DTYPES)}")
    if last > data.size:
        raise ValueError(f"'{name}' ends at byte {last} of {data.size}")
    values = np.asarray(data[first:last]).view(DTYPES[entry["dtype"]])
    if entry["dtype"] == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.reshape(entry["shape"])
