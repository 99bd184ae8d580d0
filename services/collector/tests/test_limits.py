"""Beyond its limits the collector refuses clearly, keeps its memory, and serves the others."""

import contextlib
import gzip
import json
import re
import socket
import struct
import time
import urllib.request
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc
import pytest
from google.rpc import status_pb2

MIB = 1 << 20
JSON = "application/json"
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
HEAD = (
    b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
    b"Content-Length: %d\r\n\r\n"
)


def _still_well(running, otlp) -> None:
    """Another client is answered within a few seconds."""
    end = time.monotonic() + 15
    call = partial(running.export, "traces", otlp.spans(otlp.id(), 1), timeout=20)
    while not _answered(call):
        assert time.monotonic() < end
    assert time.monotonic() < end
    assert running.health()["status"] == "ok"


def _answered(call: Callable[[], object]) -> bool:
    """Make a call; False where this machine is too busy for a short read time-out."""
    try:
        call()
    except grpc.RpcError as error:
        if "SPANBOOK_READ_TIMEOUT" not in error.details():
            raise
        return False
    return True


def test_more_runs_than_allowed_come_again_later(collector, otlp, until) -> None:
    """Beyond --max-runs a new run is retryable; the known ones go on."""
    running = collector("--max-runs=2")
    runs = [otlp.id() for _ in range(3)]
    for run_id in runs[:2]:
        running.export("traces", otlp.spans(run_id))
    with pytest.raises(grpc.RpcError) as caught:
        running.export("traces", otlp.spans(runs[2]))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "SPANBOOK_MAX_RUNS" in caught.value.details()
    running.export("traces", otlp.spans(runs[0], 1, declared=(2, 0, 0)))
    running.sealed(runs[0])
    until(lambda: len(running.health()["runs_in_progress"]) == 1, 20)
    running.export("traces", otlp.spans(runs[2]))


def test_a_run_over_its_bytes_is_rejected_for_good(collector, otlp) -> None:
    """Beyond --max-run-bytes items are rejected for good; what came before is sealed."""
    running = collector("--max-run-bytes=100K", "--grace=0.5")
    run_id = otlp.id()
    running.export("traces", otlp.spans(run_id, 1, declared=(9, 0, 0)))
    reply = running.post("logs", otlp.logs(run_id, ["a", "b"], body="x" * 80_000))
    assert reply.status == 200
    assert b"SPANBOOK_MAX_RUN_BYTES" in reply.body
    assert running.sealed(run_id)["spanbook"]["received"]["logRecords"] == 0
    assert running.health()["rejected_items"] == 2


def test_zip_bombs_are_refused_in_bounded_memory(collector, otlp) -> None:
    """A gigabyte in a megabyte of gzip is refused at the limit, on both transports."""
    running = collector()
    squeeze = zlib.compressobj(9, wbits=31)
    head = squeeze.compress(bytes(MIB)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    again = squeeze.compress(bytes(16 * MIB)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    bomb = head + again * 64  # behind a full flush a block stands alone, and can be had again
    assert len(bomb) < 2 * MIB
    for kind in ("application/x-protobuf", JSON):
        reply = running.post("traces", bomb, Content_Encoding="gzip", Content_Type=kind)
        assert reply.status == 413
    with (
        grpc.insecure_channel(running.address, compression=grpc.Compression.Gzip) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        channel.unary_unary(TRACES)(bytes(100 * MIB))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert running.memory() < 300 * MIB
    _still_well(running, otlp)


def test_deep_nesting_is_refused(collector, otlp) -> None:
    """JSON and protobuf nested thousands deep are 400, not a crash."""
    running = collector()
    deep = '{"arrayValue":{"values":[' * 5000 + "{}" + "]}}" * 5000
    body_of = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":%s}]}]}]}'
    for body in ("[" * 100_000, '{"a":' * 100_000, body_of % deep):
        assert running.post("logs", body.encode(), Content_Type=JSON).status == 400
    inner = b""
    for _ in range(3000):
        inner = _field(5, _field(1, inner))  # AnyValue.array_value, ArrayValue.values
    body = _field(1, _field(2, _field(2, _field(5, inner))))  # … LogRecord.body
    assert running.post("logs", body).status == 400
    _still_well(running, otlp)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


@pytest.mark.slow
def test_a_million_attributes(collector, otlp) -> None:
    """A span of a million attributes is taken, or refused for its size; others go on."""
    running = collector()
    payload = _with_attributes(otlp.id(), otlp.id(8), 1_000_000)
    pairs = ",".join(['{"key":"k","value":{"intValue":"1"}}'] * 500_000)
    span = f'{{"traceId":"{otlp.id()}","spanId":"{otlp.id(8)}","attributes":[{pairs}]}}'
    body = f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}'.encode()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(running.post, "traces", payload)
        second = pool.submit(running.post, "traces", body, Content_Type=JSON)
        third = pool.submit(running.post, "traces", body + b" " * (8 * MIB), Content_Type=JSON)
        _still_well(running, otlp)
        assert first.result().status == 200
        assert second.result().status == 200
        assert third.result().status == 413
    assert running.memory() < 1500 * MIB


def _with_attributes(run_id: str, span_id: str, count: int) -> bytes:
    pair = _field(9, _field(1, b"key") + _field(2, b"\x18\x01"))  # an int_value
    span = _field(1, bytes.fromhex(run_id)) + _field(2, bytes.fromhex(span_id)) + pair * count
    return _field(1, _field(2, _field(2, span)))


def test_millions_of_empty_messages_are_refused(collector, otlp) -> None:
    """Two bytes of wire make a message of many: too many are refused, memory stays bounded."""
    running = collector()
    for body in (b"\x0a\x00" * (8 * MIB), b"\x0a" + _varint(16 * MIB) + b"\x12\x00" * (8 * MIB)):
        assert running.post("traces", body).status == 400
    body = b'{"resourceSpans":[' + b"{}," * 4_000_000 + b"{}]}"
    assert running.post("traces", body, Content_Type=JSON).status == 400
    assert running.memory() < 600 * MIB
    _still_well(running, otlp)


def test_slow_and_half_open_clients_do_not_hold_up_others(collector, otlp) -> None:
    """Clients that trickle, or say nothing, are cut off after the read timeout."""
    running = collector("--read-timeout=1")
    host, port = running.http.removeprefix("http://").split(":")
    head = HEAD % 999_999
    sockets = []
    for start in (b"", b"POST /v1/tra", head, head + b"x" * 100) * 25:
        client = socket.create_connection((host, int(port)), timeout=15)
        client.sendall(start)
        sockets.append((client, start))
    _still_well(running, otlp)
    for client, start in sockets:
        if len(start) > 20:
            answer = client.recv(4096)
            assert answer.startswith(b"HTTP/1.1 503"), answer
            assert b"Retry-After" in answer
        client.close()
    _still_well(running, otlp)


def _http2(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """One HTTP/2 frame."""
    return (
        struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body
    )


def _stalled_call() -> bytes:
    """A gRPC call that declares a message of a megabyte, and sends a thousand bytes of it."""
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", TRACES.encode()),
        (b":authority", b"x"),
    ]
    fields += [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
    head = b"".join(b"\0" + bytes([len(k)]) + k + bytes([len(v)]) + v for k, v in fields)
    message = b"\0" + struct.pack(">I", 1_000_000) + b"x" * 1000
    return PREFACE + _http2(1, 4, 1, head) + _http2(0, 0, 1, message)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _http2(4, 0, 0)


def _ends(client: socket.socket) -> bool:
    """Whether the other end closes a connection, before its time-out."""
    with contextlib.suppress(ConnectionError):
        while client.recv(4096):
            pass
    return True


def test_slow_and_half_open_grpc_clients_are_cut_off(collector, otlp) -> None:
    """Whatever they stop at, they are closed in the end, and others are answered all the while."""
    running = collector("--read-timeout=0.2")
    host, port = running.address.split(":")
    clients = []
    for start in (b"", PREFACE[:10], PREFACE, _stalled_call()) * 25:
        client = socket.create_connection((host, int(port)), timeout=30)
        client.sendall(start)
        clients.append(client)
    _still_well(running, otlp)
    for client in clients:
        with client:
            assert _ends(client)
    _still_well(running, otlp)


def test_a_stalled_grpc_call_is_answered(collector, otlp) -> None:
    """A call whose message does not come within the read time-out is ended; its connection stays."""
    running = collector("--read-timeout=1")  # the connection lasts twenty times that
    host, port = running.address.split(":")
    with socket.create_connection((host, int(port)), timeout=15) as client:
        client.sendall(_stalled_call())
        assert b"SPANBOOK_READ_TIMEOUT" in _end_of_call(client)
    _still_well(running, otlp)


def _end_of_call(client: socket.socket) -> bytes:
    """The HTTP/2 HEADERS that end a call, waited for."""
    with client.makefile("rb") as stream:
        while head := stream.read(9):
            content = stream.read(int.from_bytes(head[:3], "big"))
            if head[3] == 1:
                return content
    raise AssertionError("the connection ended before the call")


def test_half_sent_grpc_messages_do_not_pile_up(collector, otlp) -> None:
    """Where many calls have not come for long, the slowest are given up for those that are new."""
    running = collector("--read-timeout=600", "--max-inflight-bytes=20M")
    host, port = running.address.split(":")
    with contextlib.ExitStack() as stack:

        def stall() -> socket.socket:
            client = socket.create_connection((host, int(port)), timeout=30)
            client.sendall(_stalled_call())
            return stack.enter_context(client)

        slow = [stall() for _ in range(8)]
        time.sleep(2.5)  # so slow they may be
        running.export("traces", otlp.spans(otlp.id()))
        for _ in slow:
            stall()
        for client in slow:
            assert b"SPANBOOK_READ_TIMEOUT" in _end_of_call(client)
    _still_well(running, otlp)


def test_a_grpc_client_that_behaves_outlives_its_connection(collector, otlp, until) -> None:
    """Where a connection has lasted long enough its client is moved to another, and none fails."""
    running = collector("--read-timeout=0.1")  # a connection lasts twenty times that
    states, payload = [], otlp.spans(otlp.id())
    with grpc.insecure_channel(running.address) as channel:
        channel.subscribe(states.append)
        call = channel.unary_unary(TRACES)

        def moved_twice() -> bool:
            _answered(partial(call, payload))
            return states.count(grpc.ChannelConnectivity.READY) == 3

        until(moved_twice, 60)


def test_too_many_grpc_connections_are_closed(collector, otlp, until) -> None:
    """Beyond --max-connections one more gets no answer; when one leaves, the next is served."""
    running = collector("--max-connections=5")
    host, port = running.address.split(":")
    clients = [socket.create_connection((host, int(port)), timeout=15) for _ in range(5)]
    for client in clients:
        client.sendall(PREFACE)
        assert client.recv(9)
    with (
        socket.create_connection((host, int(port)), timeout=15) as extra,
        contextlib.suppress(ConnectionError),
    ):
        extra.sendall(PREFACE)
        assert extra.recv(9) == b""
    for client in clients:
        client.close()

    def served() -> bool:
        with contextlib.suppress(grpc.RpcError):
            running.export("traces", otlp.spans(otlp.id()), timeout=5)
            return True
        return False

    until(served, 20)


def test_a_run_in_progress_is_not_kept_in_memory(collector, otlp) -> None:
    """What has been acknowledged is on disk and nowhere else, whichever way it came."""
    running = collector("--fsync=never")
    run_id, large = otlp.id(), "x" * (512 << 10)
    before = running.memory()
    for _ in range(200):
        running.export("logs", otlp.logs(run_id, [otlp.id()], body=large))
        assert running.post("logs", otlp.logs(run_id, [otlp.id()], body=large)).status == 200
    assert running.health()["runs_in_progress"][0]["bytes"] > 200 * MIB
    assert running.memory() < before + 16 * MIB


def test_five_hundred_connections(collector, otlp) -> None:
    """Five hundred clients at once, half of each transport, are all answered, in bounded memory."""
    running = collector()
    runs = [otlp.id() for _ in range(20)]

    def send(number: int) -> bool:
        payload = otlp.spans(runs[number % 20], 20, text="x" * 200)
        if number % 2:
            return running.post("traces", payload).status == 200
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(running.address, options=options) as channel:
            channel.unary_unary(TRACES)(payload, timeout=60)
        return True

    with ThreadPoolExecutor(500) as pool:
        assert all(pool.map(send, range(500)))
    assert running.memory() < 400 * MIB
    assert running.health()["requests"]["traces"] == 500


def test_too_many_http_connections_are_closed(collector, otlp, until) -> None:
    """Beyond --max-connections a new connection is closed; when one leaves, the next is served."""
    running = collector("--max-connections=5")
    host, port = running.http.removeprefix("http://").split(":")
    clients = [socket.create_connection((host, int(port)), timeout=20) for _ in range(5)]
    extra = socket.create_connection((host, int(port)), timeout=20)
    with extra, contextlib.suppress(ConnectionError):
        assert extra.recv(10) == b""
    for client in clients:
        client.close()

    def served() -> bool:
        with contextlib.suppress(OSError):
            return running.health()["status"] == "ok"
        return False

    until(served, 20)


def test_too_much_at_once_comes_again(collector, otlp, until) -> None:
    """Beyond --max-inflight-bytes a request is 503 with a short Retry-After."""
    running = collector("--max-inflight-bytes=1M", "--read-timeout=20")
    host, port = running.http.removeprefix("http://").split(":")
    body = otlp.spans(otlp.id(), 1, filler="x" * 900_000)
    with socket.create_connection((host, int(port)), timeout=15) as slow:
        slow.sendall(HEAD % len(body) + body[:800_000])
        until(lambda: _inflight(running) == 800_000, 15)
        reply = running.post("traces", body)
        assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
        told = status_pb2.Status.FromString(reply.body)
        assert "SPANBOOK_MAX_INFLIGHT_BYTES" in told.message
        slow.sendall(body[800_000:])
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
    assert running.post("traces", body).status == 200


def _inflight(running) -> int:
    with urllib.request.urlopen(running.http + "/metrics", timeout=10) as answer:
        return int(re.search(rb"inflight_bytes (\d+)", answer.read())[1])


def test_gzip_json_is_bounded_too(collector, otlp) -> None:
    """A JSON body within the limit when compressed but not after is 413."""
    running = collector("--max-message-bytes=1M")
    body = gzip.compress(json.dumps({"resourceSpans": [{"x": "y" * 3 * MIB}]}).encode())
    assert running.post("traces", body, Content_Encoding="gzip", Content_Type=JSON).status == 413
