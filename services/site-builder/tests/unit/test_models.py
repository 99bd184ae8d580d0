"""The head of an ONNX model, beside what the onnx package says."""

import pytest
from onnx import TensorProto, helper
from spanbook_runfile.samples import media
from spanbook_site import models


def test_inputs_and_outputs_are_named() -> None:
    """Inputs and outputs with type and shape, weights not among them, and who made it."""
    tensor = helper.make_tensor_value_info
    inputs = [tensor("X", TensorProto.FLOAT, ["n", 64]), tensor("W", TensorProto.INT64, [3])]
    outputs = [
        tensor("scalar", TensorProto.BFLOAT16, []),
        tensor("unknown", TensorProto.DOUBLE, [None, 2]),
        helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None),
    ]
    weight = helper.make_tensor("W", TensorProto.INT64, [3], [1, 2, 3])
    node = helper.make_node("Identity", ["X"], ["scalar"])
    graph = helper.make_graph([node], "g", inputs, outputs, [weight])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, producer_name="someone", opset_imports=opsets)
    rows, note = models.head(model.SerializeToString())
    assert rows == [
        ["input", "X", "float", "n \N{MULTIPLICATION SIGN} 64"],
        ["output", "scalar", "bfloat16", "scalar"],
        ["output", "unknown", "double", "? \N{MULTIPLICATION SIGN} 2"],
        ["output", "list", "sequence", ""],
    ]
    assert note == "opset ai.onnx 21, ai.onnx.ml 3; 1 nodes; made by someone"


def test_every_type_of_elements_has_onnxs_name() -> None:
    """The names of element types are those of the package, number by number."""
    for number in TensorProto.DataType.values():
        shown = helper.make_tensor_value_info("X", number, [1])
        model = helper.make_model(helper.make_graph([], "g", [shown], []))
        (row,), _ = models.head(model.SerializeToString())
        assert row[2] == TensorProto.DataType.Name(number).lower()


@pytest.mark.parametrize("content", [b"", b"\0", b"text", media.onnx()[:-9], b"\x3a\x05abc"])
def test_what_is_no_model_is_told(content: bytes) -> None:
    """Bytes that are no model, or a part of one, raise ValueError."""
    with pytest.raises(ValueError, match="It "):
        models.head(content)
