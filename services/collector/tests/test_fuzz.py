"""A hundred thousand inputs, mutated and made up, over both endpoints."""

import asyncio
import gzip
import itertools
import json
import os
import random
import re
from collections.abc import Iterator

import grpc
import pytest
from grpc import aio

INPUTS = int(os.environ.get("SPANBOOK_FUZZ_INPUTS", "100000"))
FIRST = int(os.environ.get("SPANBOOK_FUZZ_FIRST", "0"))  # each number is a seed
SIGNALS = ("traces", "logs", "metrics")
METHODS = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
FINE = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
}
ODD = (None, True, -1, 2**64, 2**70, 1e308, "NaN", "", "\x00", "x" * 300, [], {}, [[]], [{}], "zz")


def _mutated(rng: random.Random, seed: bytes) -> bytes:
    """A few random edits of a valid request: flipped, cut, doubled and foreign bytes."""
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at : at + rng.randrange(1, 30)]
        elif kind == 2:
            data[at:at] = rng.randbytes(rng.randrange(1, 12))
        elif kind == 3:
            data[at:at] = data[at : at + rng.randrange(1, 40)]
        else:
            data[at : at + 1] = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF))])
    return bytes(data)


def _odd_json(rng: random.Random, value: object, chance: float) -> object:
    """A JSON value with some of its parts replaced by odd ones."""
    if rng.random() < chance:
        return rng.choice(ODD)
    if isinstance(value, dict):
        return {
            (k if rng.random() > chance else "unknown"): _odd_json(rng, v, chance)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [_odd_json(rng, v, chance) for v in value]
    return value


@pytest.mark.slow
def test_no_input_breaks_it(collector, otlp) -> None:  # noqa: C901 - one story
    """No 5xx but 503, no other gRPC code than OTLP's, no crash, no growth."""
    running = collector("--idle=2", "--max-runs=200", "--fsync=never", "--log-level=error")
    run_id = otlp.id()
    seeds = {
        "traces": otlp.spans(run_id, 3, declared=(3, 0, 0), text="é", n=7, f=0.5, lst=[1, "a"]),
        "logs": otlp.logs(run_id, ["a", "b"], body={"k": [1, None, b"x"]}),
        "metrics": otlp.metrics({"cicd.pipeline.run.id": run_id}, [1, 2]),
    }
    documents = {
        "traces": _document(run_id),
        "logs": _document(run_id),
        "metrics": _document(run_id),
    }
    seen: dict[object, int] = {}
    memory = []

    def http_input(number: int) -> bytes:
        rng = random.Random(number)
        signal = rng.choice(SIGNALS)
        headers = {"Content-Type": "application/x-protobuf"}
        kind = rng.randrange(10)
        if kind < 4:
            body = _mutated(rng, seeds[signal])
        elif kind < 8:
            headers["Content-Type"] = "application/json"
            body = json.dumps(_odd_json(rng, documents[signal], 0.03)).encode()
            if kind == 7:
                body = _mutated(rng, body)
        elif kind == 8:
            headers["Content-Encoding"] = "gzip"
            body = _mutated(rng, gzip.compress(seeds[signal], 1))
        else:
            body = rng.randbytes(rng.randrange(200))
        headers |= {"Host": "x", "Content-Length": str(len(body))}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST /v1/{signal} HTTP/1.1\r\n{head}\r\n".encode() + body

    async def over_http(numbers: Iterator[int]) -> None:
        """Many requests on one connection, each batch written before the first answer is read."""
        host, port = running.http.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        while batch := list(itertools.islice(numbers, 16)):
            writer.write(b"".join(map(http_input, batch)))
            for number in batch:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(length[1]))
                status = int(head.split(b" ", 2)[1])
                seen[status] = seen.get(status, 0) + 1
                assert status < 500 or status == 503, (number, http_input(number))
            note_memory(len(batch))
        writer.close()
        await writer.wait_closed()

    async def over_grpc(numbers: Iterator[int], channel: aio.Channel) -> None:
        calls = {signal: channel.unary_unary(METHODS[signal]) for signal in SIGNALS}
        for number in numbers:
            rng = random.Random(number)
            signal = rng.choice(SIGNALS)
            body = _mutated(rng, seeds[signal]) if rng.random() < 0.9 else rng.randbytes(50)
            try:
                await calls[signal](body)
                code = grpc.StatusCode.OK
            except aio.AioRpcError as error:
                code = error.code()
            seen[code] = seen.get(code, 0) + 1
            assert code in FINE, (number, body)
            note_memory(1)

    def note_memory(more: int) -> None:
        before, now = sum(seen.values()) - more, sum(seen.values())
        if before * 4 // INPUTS < now * 4 // INPUTS:
            memory.append(_resident(running.popen.pid))

    async def story() -> None:
        odd = (n for n in range(FIRST, FIRST + INPUTS) if n % 2)
        even = (n for n in range(FIRST, FIRST + INPUTS) if n % 2 == 0)
        async with aio.insecure_channel(running.address) as channel:
            await asyncio.gather(
                *(over_http(odd) for _ in range(4)), *(over_grpc(even, channel) for _ in range(8))
            )

    asyncio.run(story())
    assert sum(seen.values()) == INPUTS
    assert seen[200] > 0
    assert seen[400] > 0
    assert _resident(running.popen.pid) < memory[1] + (64 << 20), memory
    assert "Traceback" not in running.log
    last = otlp.id()
    running.options = (*running.options, "--max-runs=100000")
    assert running.stop(60) == 0
    running.start()
    running.export("traces", otlp.spans(last, 1, declared=(1, 0, 0)))
    assert running.sealed(last, 120)["spanbook"]["complete"] is True


def _resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as stream:  # noqa: PTH123
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _document(run_id: str) -> dict[str, object]:
    """One JSON document that is a request of each signal."""
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "x"}}]}
    attributes = [
        {"key": "a", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"boolValue": True}]}}},
        {
            "key": "b",
            "value": {"kvlistValue": {"values": [{"key": "c", "value": {"doubleValue": "NaN"}}]}},
        },
        {"key": "d", "value": {"bytesValue": "AAEC"}},
    ]
    span = {
        "traceId": run_id,
        "spanId": "00f067aa0ba902b7",
        "name": "n",
        "kind": 2,
        "startTimeUnixNano": "1",
        "endTimeUnixNano": 2,
        "attributes": attributes,
        "events": [{"timeUnixNano": "1", "name": "e"}],
        "links": [{"traceId": run_id, "spanId": "00f067aa0ba902b8"}],
        "status": {"code": 2, "message": "m"},
    }
    record = {
        "timeUnixNano": "1",
        "body": {"stringValue": "s"},
        "traceId": run_id,
        "attributes": attributes,
    }
    point = {"timeUnixNano": "1", "asDouble": 1.5, "attributes": attributes}
    histogram = {
        "timeUnixNano": "1",
        "count": "3",
        "bucketCounts": ["1", 2],
        "explicitBounds": [0.5],
    }
    metrics = [
        {"name": "g", "gauge": {"dataPoints": [point]}},
        {"name": "h", "histogram": {"dataPoints": [histogram], "aggregationTemporality": 2}},
    ]
    return {
        "resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}],
        "resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [record]}]}],
        "resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}],
    }
