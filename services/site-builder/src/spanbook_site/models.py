"""The head of an ONNX model: what goes in, what comes out, and what it is made of.

The ``onnx`` package would say it too, but it brings NumPy and takes a fifth of a second to import; these
few message types, after onnx.proto, do. What they do not name is skipped.
"""

from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "spanbook.onnx"
_KINDS = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "int": FieldDescriptorProto.TYPE_INT64,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}
_MESSAGES = {  # name → fields as (number, name, type); a star is for repeated ones
    "Dim": ((1, "dim_value", "int"), (2, "dim_param", "string")),
    "Shape": ((1, "dim", "Dim*"),),
    "Tensor": ((1, "elem_type", "int"), (2, "shape", "Shape")),
    "Type": (
        (1, "tensor", "Tensor"),
        (4, "sequence", "bytes"),
        (5, "map", "bytes"),
        (7, "opaque", "bytes"),
        (8, "sparse_tensor", "bytes"),
        (9, "optional", "bytes"),
    ),
    "Value": ((1, "name", "string"), (2, "type", "Type")),
    "Weight": ((8, "name", "string"),),
    "Graph": (
        (1, "node", "bytes*"),
        (5, "initializer", "Weight*"),
        (11, "input", "Value*"),
        (12, "output", "Value*"),
    ),
    "Opset": ((1, "domain", "string"), (2, "version", "int")),
    "Model": ((2, "producer_name", "string"), (7, "graph", "Graph"), (8, "opset_import", "Opset*")),
}
_ELEMENTS = (  # TensorProto.DataType
    "undefined", "float", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16",
    "double", "uint32", "uint64", "complex64", "complex128", "bfloat16", "float8e4m3fn", "float8e4m3fnuz",
    "float8e5m2", "float8e5m2fnuz", "uint4", "int4", "float4e2m1", "float8e8m0", "uint2", "int2", "float6e2m3",
    "float6e3m2",
)  # fmt: skip


def _model_class() -> Any:
    file = FileDescriptorProto(name="spanbook/onnx.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = DescriptorProto(name=name)
        for number, field_name, kind in fields:
            field = message.field.add(name=field_name, number=number)
            many = kind.endswith("*")
            field.label = (
                FieldDescriptorProto.LABEL_REPEATED if many else FieldDescriptorProto.LABEL_OPTIONAL
            )
            plain = _KINDS.get(kind.removesuffix("*"))
            field.type = plain or FieldDescriptorProto.TYPE_MESSAGE
            if plain is None:
                field.type_name = f".{_PACKAGE}.{kind.removesuffix('*')}"
        file.message_type.append(message)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Model"))


_MODEL = _model_class()


def head(data: bytes) -> tuple[list[list[str]], str]:
    """Rows of side, name, type and shape; and opset, number of nodes and maker in a sentence.

    Raises:
        ValueError: it is no ONNX model.
    """
    try:
        model = _MODEL.FromString(data)
        if not model.HasField("graph"):
            raise ValueError("It has no graph.")
        weights = {weight.name for weight in model.graph.initializer}
        rows = [["input", *_value(i)] for i in model.graph.input if i.name not in weights]
        rows += [["output", *_value(o)] for o in model.graph.output]
        opset = ", ".join(f"{o.domain or 'ai.onnx'} {o.version}" for o in model.opset_import)
        maker = model.producer_name or "unknown"
    except (DecodeError, UnicodeDecodeError, AttributeError) as error:
        raise ValueError(f"It is no ONNX model: {error}") from error
    return rows, f"opset {opset[:80]}; {len(model.graph.node)} nodes; made by {maker[:60]}"


def _value(info: Any) -> tuple[str, str, str]:
    fields = info.type.ListFields()
    kind = fields[0][0].name if fields else "unknown"
    if kind != "tensor":
        return info.name, kind, ""
    tensor = info.type.tensor
    dims = [
        d.dim_param or (str(d.dim_value) if d.HasField("dim_value") else "?")
        for d in tensor.shape.dim
    ]
    known = 0 <= tensor.elem_type < len(_ELEMENTS)
    element = _ELEMENTS[tensor.elem_type] if known else f"type {tensor.elem_type}"
    return info.name, element, " \N{MULTIPLICATION SIGN} ".join(dims) or "scalar"


__all__ = ["head"]
