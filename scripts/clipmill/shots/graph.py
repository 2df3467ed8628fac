"""A network as a list of operations with the names, inputs and attributes of ONNX, and its file for onnxruntime.

The file is written here, since its format is a few nested messages (onnx/onnx.proto, protobuf's wire format), and the
package `onnx` would be one more in every installation. `on_torch` runs the same list on a GPU.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

IR_VERSION, OPSET = 8, 18
ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int64": 7}  # TensorProto.DataType
_FLOAT, _INT, _INTS = 1, 2, 7  # AttributeProto.AttributeType


@dataclass(frozen=True)
class Operation:
    """One operation: its ONNX name, the names of its inputs and outputs, and its attributes."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass
class Graph:
    """A network. `inputs`: name -> element type and shape, where None is the length of the batch."""

    inputs: dict[str, tuple[str, tuple[int | None, ...]]]
    outputs: tuple[str, ...]
    operations: list[Operation] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, kind: str, *inputs: str | np.ndarray, **attributes: Any) -> str:
        """Append an operation with one output, and return the output's name. An array becomes a constant."""
        return self.split(kind, 1, *inputs, **attributes)[0]

    def split(self, kind: str, parts: int, *inputs: str | np.ndarray, **attributes: Any) -> tuple[str, ...]:
        """Append an operation with `parts` outputs, and return their names."""
        number = len(self.operations)
        outputs = tuple(f"{kind}_{number}_{part}" for part in range(parts))
        names = tuple(self._name(value, f"{outputs[0]}_{place}") for place, value in enumerate(inputs))
        self.operations.append(Operation(kind, names, outputs, attributes))
        return outputs

    def finish(self, **results: str) -> None:
        """Give results the names of the graph's outputs."""
        for name in self.outputs:
            self.operations.append(Operation("Identity", (results[name],), (name,), {}))

    def _name(self, value: str | np.ndarray, name: str) -> str:
        if isinstance(value, str):
            return value
        self.constants[name] = value
        return name

    def as_onnx(self) -> bytes:
        """The graph as an ONNX model, weights included."""
        graph = [
            *(_message(1, _operation(operation)) for operation in self.operations),
            _message(2, b"clipmill"),
            *(_message(5, _tensor(name, array)) for name, array in self.constants.items()),
            *(_message(11, _value(name, *declared)) for name, declared in self.inputs.items()),
            *(_message(12, _value(name, "float32", None)) for name in self.outputs),
        ]
        opset = _message(8, _number(2, OPSET))
        return _number(1, IR_VERSION) + _message(7, b"".join(graph)) + opset


def _operation(operation: Operation) -> bytes:
    parts = [_message(1, name.encode()) for name in operation.inputs]
    parts += [_message(2, name.encode()) for name in operation.outputs]
    parts += [_message(4, operation.kind.encode())]
    parts += [_message(5, _attribute(name, value)) for name, value in operation.attributes.items()]
    return b"".join(parts)


def _attribute(name: str, value: float | int | Sequence[int]) -> bytes:
    head = _message(1, name.encode())
    if isinstance(value, float):
        return head + _key(2, 5) + struct.pack("<f", value) + _number(20, _FLOAT)
    if isinstance(value, int):
        return head + _number(3, value) + _number(20, _INT)
    return head + b"".join(_number(8, number) for number in value) + _number(20, _INTS)


def _tensor(name: str, array: np.ndarray) -> bytes:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    kind = _number(2, ELEMENT_TYPES[array.dtype.name])
    return _numbers(1, array.shape) + kind + _message(8, name.encode()) + _message(9, little.tobytes())


def _value(name: str, kind: str, shape: Sequence[int | None] | None) -> bytes:
    tensor = _number(1, ELEMENT_TYPES[kind])
    if shape is not None:
        sizes = (_message(2, b"batch") if size is None else _number(1, size) for size in shape)
        tensor += _message(2, b"".join(_message(1, size) for size in sizes))
    return _message(1, name.encode()) + _message(2, _message(1, tensor))


# --- protobuf's wire format -------------------------------------------------------------------------------------------


def _varint(number: int) -> bytes:
    number &= 2**64 - 1  # negative numbers in two's complement
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _key(place: int, wire_type: int) -> bytes:
    return _varint(place << 3 | wire_type)


def _number(place: int, number: int) -> bytes:
    return _key(place, 0) + _varint(number)


def _numbers(place: int, numbers: Iterable[int]) -> bytes:
    return b"".join(_number(place, number) for number in numbers)


def _message(place: int, content: bytes) -> bytes:
    return _key(place, 2) + _varint(len(content)) + content
