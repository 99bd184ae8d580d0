"""The short way of a trace request gives what the long way gives, or leaves it to that."""

import os
import random

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from spanbook_collector.columns import of_one_trace
from spanbook_collector.errors import Invalid
from spanbook_collector.facts import look
from spanbook_collector.route import route
from spanbook_runfile import encode, names
from spanbook_runfile.journal import Signal

RUN = os.urandom(16).hex()


def _request(*spans: object) -> ExportTraceServiceRequest:
    return encode.trace_request(encode.resource({"service.name": "x"}), list(spans))


def _span(**given: object) -> object:
    fields = {"run_id": RUN, "span_id": os.urandom(8).hex(), "name": "s"}
    fields |= {"start": 1, "end": 2, "attrs": {}}
    return encode.span(**{**fields, "parent_id": os.urandom(8).hex(), **given})


def _bare(**ids: bytes) -> object:
    span = _span(attrs={"a": 1})
    for name, value in ids.items():
        setattr(span, name, value)
    return span


def test_spans_of_one_trace_are_known_at_once() -> None:
    """The trace, the spans' ids in order, over several resources and scopes."""
    request = _request(*(_span(attrs={"n": n, "empty": None}) for n in range(3)))
    request.resource_spans.add().scope_spans.add().spans.append(_span(kind=2))
    request.resource_spans.add().scope_spans.add()
    found = of_one_trace(request.SerializeToString())
    assert found is not None
    trace, facts = found
    groups = [g.spans for r in request.resource_spans for g in r.scope_spans]
    assert trace.hex() == RUN
    assert facts == look(Signal.TRACES, groups)[2]


RUN_SPAN = {"attrs": {names.SPAN_TYPE: "run", names.DECLARED_SPANS: 1}}


@pytest.mark.parametrize(
    "odd",
    [
        lambda: _bare(span_id=b""),
        lambda: _bare(span_id=bytes(8)),
        lambda: _bare(span_id=b"short"),
        lambda: _bare(trace_id=b""),
        lambda: _bare(trace_id=os.urandom(16)),
        lambda: Span(),  # noqa: PLW0108 - alike; of which there is nothing on the wire
        lambda: _span(kind=2, **RUN_SPAN),
        lambda: _span(parent_id="", **RUN_SPAN),
    ],
)
def test_odd_spans_are_left_to_the_long_way(odd) -> None:
    """A span without a good id, of another trace, or that may be a run span, goes the long way."""
    for spans in ([_span(), odd()], [odd(), _span()]):
        assert of_one_trace(_request(*spans).SerializeToString()) is None
    assert of_one_trace(b"") is None


def test_a_trace_id_of_the_wrong_size_is_left_to_the_long_way() -> None:
    """Also where all spans have the same."""
    for wrong in (b"short", bytes(16)):
        assert of_one_trace(_request(_bare(trace_id=wrong)).SerializeToString()) is None


def test_many_resources_or_scopes_are_left_to_the_long_way() -> None:
    """They are few bytes here, and much memory where the run is merged."""
    for many in (1, 150, 250, 1_000_000):
        request = _request(_span()).SerializeToString()
        resources = request + b"\x0a\x00" * many
        assert (of_one_trace(resources) is not None) == (many < 200)
        scopes = b"\x12\x00" * many
        assert (of_one_trace(request + _resource(scopes)) is not None) == (many < 200)
    assert of_one_trace(request + b"\x13\x14") is None  # an unknown group, perhaps a large one


def _resource(content: bytes) -> bytes:
    length, out = len(content), bytearray(b"\x0a")
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes([*out, length]) + content


def test_what_otlps_own_classes_refuse_is_refused() -> None:
    """Of thousands of mutated requests the same ones are taken as without the short way."""
    rng = random.Random(7)
    seed = _request(*(_span(attrs={"k": ["é", 1, {"x": b"y"}]}) for _ in range(2)))
    valid = seed.SerializeToString()
    refused = 0
    for _ in range(5000):
        data = bytearray(valid)
        for _ in range(rng.choice((1, 2, 5))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            ExportTraceServiceRequest.FromString(bytes(data))
        except DecodeError:
            refused += 1
            with pytest.raises(DecodeError):
                of_one_trace(bytes(data))
            with pytest.raises(Invalid):
                route(Signal.TRACES, bytes(data))
        else:
            route(Signal.TRACES, bytes(data))
    assert 100 < refused < 4900
