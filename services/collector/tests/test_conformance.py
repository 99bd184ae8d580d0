"""The response rules of the OTLP specification, on both transports."""

import gzip
import json
import socket
import urllib.request

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

SIGNALS = ("traces", "logs", "metrics")
JSON = "application/json"
PROTOBUF = "application/x-protobuf"


def _status(reply) -> status_pb2.Status:
    told = status_pb2.Status()
    if reply.headers["Content-Type"] == PROTOBUF:
        told.ParseFromString(reply.body)
    else:
        told.code, told.message = json.loads(reply.body)["code"], json.loads(reply.body)["message"]
    return told


@pytest.mark.parametrize("signal", SIGNALS)
def test_an_empty_request_succeeds(collector, signal) -> None:
    """An empty request succeeds on both transports, and the reply has no partial success."""
    running = collector()
    assert running.export(signal, b"") == b""
    reply = running.post(signal, b"")
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"", PROTOBUF)
    for empty in (b"", b"{}"):
        reply = running.post(signal, empty, Content_Type=JSON)
        assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"{}", JSON)


def test_gzip_and_plain_are_taken_on_both_transports(collector, otlp) -> None:
    """A request is the same plain or gzipped, in several members too."""
    running = collector()
    run_id, ids = otlp.id(), [otlp.id(8) for _ in range(6)]
    one = [otlp.spans(run_id, ids=[i]) for i in ids]
    assert running.post("traces", one[0]).status == 200
    assert running.post("traces", gzip.compress(one[1]), Content_Encoding="gzip").status == 200
    halves = gzip.compress(one[2][:9]) + gzip.compress(one[2][9:])
    assert running.post("traces", halves, Content_Encoding="gzip").status == 200
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    for compression, payload in (
        (grpc.Compression.NoCompression, one[3]),
        (grpc.Compression.Gzip, one[4]),
    ):
        with grpc.insecure_channel(running.address, compression=compression) as channel:
            channel.unary_unary(method)(payload)
    running.export("traces", otlp.spans(run_id, ids=[ids[5]], declared=(6, 0, 0)))
    sealed = running.sealed(run_id)
    spans = sealed["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert {span["spanId"] for span in spans} == set(ids)
    assert sealed["spanbook"]["reason"] == "complete"


@pytest.mark.parametrize("content_type", [JSON, PROTOBUF])
def test_undecodable_bodies_are_400_with_a_status(collector, content_type) -> None:
    """A body that is not what it says is 400, with google.rpc.Status in the request's encoding."""
    running = collector()
    cases = [(b"\xff garbage", {}), (b"not gzip", {"Content_Encoding": "gzip"})]
    cases.append((gzip.compress(b"x" * 5000)[:-9], {"Content_Encoding": "gzip"}))
    for body, headers in cases:
        reply = running.post("traces", body, Content_Type=content_type, **headers)
        assert reply.status == 400
        assert reply.headers["Content-Type"] == content_type
        assert _status(reply).code == 3
        assert _status(reply).message


def test_paths_methods_and_types_that_are_not_otlp(collector) -> None:
    """404, 405 and 415 have a Status body; 405 names the method that is allowed."""
    running = collector()
    url = running.http
    for method, path, kind, expected in (
        ("POST", "/v1/profiles", PROTOBUF, 404),
        ("GET", "/v1/traces", JSON, 405),
        ("PUT", "/v1/traces", PROTOBUF, 405),
        ("POST", "/v1/traces", "text/plain", 415),
    ):
        request = urllib.request.Request(
            url + path, method=method, data=b"x" if method != "GET" else None
        )
        request.add_header("Content-Type", kind)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)
        with caught.value as reply:
            assert reply.code == expected
            told = status_pb2.Status()
            if kind == PROTOBUF:
                told.ParseFromString(reply.read())
                assert told.message
            else:
                assert json.loads(reply.read())["message"]
            assert expected != 405 or reply.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("head", "body", "expected"),
    [
        ("POST /v1/traces HTTP/1.0\nContent-Type: application/x-protobuf", b"", 200),
        ("POST /v1/traces?x=1 HTTP/1.1\nContent-Type: Application/JSON; charset=utf-8", b"{}", 200),
        ("POST /v1/traces HTTP/1.1\nContent-Type: application/json", b"null", 400),
        ("POST /v1/traces HTTP/1.1\nContent-Type: application/json", b"\xef\xbb\xbf{}", 400),
        ("POST /v1/traces HTTP/1.1", b"x", 415),
        ("POST /v1/traces HTTP/1.1\nContent-Type: application/protobuf", b"", 415),
        ("POST /v1/traces/ HTTP/1.1\nContent-Type: application/json", b"{}", 404),
        ("POST //v1/traces HTTP/1.1\nContent-Type: application/json", b"{}", 404),
        ("POST /v1/traces HTTP/1.1\nContent-Type: application/json\nExpect: moon", b"{}", 417),
        ("POST /nowhere HTTP/1.1\nExpect: the moon", b"", 417),
        ("HEAD /v1/traces HTTP/1.1", b"", 405),
        ("OPTIONS /v1/traces HTTP/1.1\nOrigin: http://evil.example", b"", 405),
        ("POST /v1/traces HTTP/1.1\nContent-Length: -1", b"", 400),
        ("POST /v1/traces HTTP/1.1\nContent-Length: 0\nContent-Length: 5", b"", 400),
        ("POST /v1/traces HTTP/1.1\nTransfer-Encoding: chunked\nX: y", b"zz\r\n", 400),
        ("POST /v1/traces HTTP/1.1\nX: " + "y" * 200_000, b"", 400),
        ("nothing of the kind", b"", 400),
    ],
)
def test_odd_http_has_its_answer(odd_http, head, body, expected) -> None:
    """Old versions, lies about lengths, other methods and types: each has the status it should."""
    host, port = odd_http.http.removeprefix("http://").split(":")
    lines = [*head.split("\n"), "Host: x", "Connection: close"]
    if "Length" not in head and "Transfer" not in head:
        lines.append(f"Content-Length: {len(body)}")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    top, _, content = answer.partition(b"\r\n\r\n")
    assert int(top.split(b" ", 2)[1]) == expected
    assert b"Access-Control" not in answer
    if expected >= 400 and content:
        assert json.loads(content).keys() == {"code", "message"}
        assert len(content) < 1000


@pytest.fixture(scope="module")
def odd_http(module_collector):
    """One collector for all of them; it is well in the end."""
    yield module_collector
    assert module_collector.health()["status"] == "ok"
    assert "Traceback" not in module_collector.log


def test_unknown_content_encodings_are_415(collector, otlp) -> None:
    """An encoding that OTLP does not have is refused by name."""
    reply = collector().post("traces", otlp.spans(otlp.id()), Content_Encoding="br")
    assert reply.status == 415
    assert "br" in _status(reply).message


def test_too_large_counts_after_decompression(collector, otlp) -> None:
    """A small gzip body that grows over the limit is 413, or RESOURCE_EXHAUSTED for good."""
    running = collector("--max-message-bytes=100K")
    bomb = otlp.spans(otlp.id(), filler="x" * 200_000)
    for body, headers in ((bomb, {}), (gzip.compress(bomb), {"Content_Encoding": "gzip"})):
        reply = running.post("traces", body, **headers)
        assert reply.status == 413
        assert "SPANBOOK_MAX_MESSAGE_BYTES" in _status(reply).message
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        with (
            grpc.insecure_channel(running.address, compression=compression) as channel,
            pytest.raises(grpc.RpcError) as caught,
        ):
            channel.unary_unary(method)(bomb)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not caught.value.trailing_metadata()


def test_bad_data_is_invalid_argument_on_grpc(collector) -> None:
    """Garbage is INVALID_ARGUMENT, which clients do not retry; an unknown method UNIMPLEMENTED."""
    running = collector()
    with pytest.raises(grpc.RpcError) as caught:
        running.export("traces", b"\xff garbage")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    with grpc.insecure_channel(running.address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/no.such/Method")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_call_has_a_message(collector) -> None:
    """A call that ends without one is UNIMPLEMENTED, as gRPC's table of codes has it."""
    running = collector()
    method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    with grpc.insecure_channel(running.address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(method)(iter(()))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert running.health()["runs_in_progress"] == []


def test_invalid_spans_are_a_partial_success(collector, otlp) -> None:
    """Spans without valid ids are rejected and counted; the others of the request are kept."""
    running = collector()
    run_id = otlp.id()
    request = ExportTraceServiceRequest.FromString(otlp.spans(run_id, 3, declared=(2, 0, 0)))
    request.resource_spans[0].scope_spans[0].spans[0].span_id = b"\0" * 8
    reply = running.post("traces", request.SerializeToString())
    partial = ExportTraceServiceResponse.FromString(reply.body).partial_success
    assert (reply.status, partial.rejected_spans) == (200, 1)
    assert partial.error_message
    assert len(running.sealed(run_id)["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 2
    reply = running.post(
        "traces",
        b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"12"}]}]}]}',
        Content_Type=JSON,
    )
    assert json.loads(reply.body)["partialSuccess"]["rejectedSpans"] == "1"


def test_passing_faults_are_retryable(collector, otlp) -> None:
    """Below the disk floor: 503 with Retry-After, or UNAVAILABLE with RetryInfo."""
    running = collector("--min-free-bytes=1000T")
    reply = running.post("traces", otlp.spans(otlp.id()))
    assert reply.status == 503
    assert int(reply.headers["Retry-After"]) > 0
    assert "SPANBOOK_MIN_FREE_BYTES" in _status(reply).message
    with pytest.raises(grpc.RpcError) as caught:
        running.export("traces", otlp.spans(otlp.id()))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    trailer = dict(caught.value.trailing_metadata())
    told = status_pb2.Status.FromString(trailer["grpc-status-details-bin"])
    info = error_details_pb2.RetryInfo()
    assert told.details[0].Unpack(info)
    assert info.retry_delay.seconds > 0
    assert running.health()["status"] == "low disk"


def test_metrics_are_prometheus_text(collector, otlp) -> None:
    """/metrics counts what was acknowledged, each family described once."""
    running = collector()
    running.export("traces", otlp.spans(otlp.id(), 3))
    with urllib.request.urlopen(running.http + "/metrics", timeout=10) as reply:
        text = reply.read().decode()
        assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'spanbook_collector_items_total{signal="traces"} 3' in text
    types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types)) > 10
