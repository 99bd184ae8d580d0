"""Few runs with everything that the UI shows: histories, system metrics, nested runs, previews."""

import math
import zlib

from spanbook_site.mlflow.records import Point, Record

TRAIN = "200000000000001"
NAME = "shop/train"
START = 1_790_000_000_000
COUNT = 12
NESTED = 9  # from this run on they are children of the parent
PIPELINE = "ab" * 16
PARENT = f"{PIPELINE}{0:016x}"
SHOT = "36573fa3-f10c-4ccf-b82a-e93157081d0c"
HOSTILE = b"<h1 id=hello>Hello</h1><script>parent.pwned = top.pwned = 1; document.title = 'pwned'; alert(1)</script>"


def png() -> bytes:
    """A red square."""
    rows = b"".join(b"\0" + b"\xff\0\0" * 8 for _ in range(8))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = (8).to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


ARTIFACTS = {
    "notes.txt": b"plain words of a text file",
    "data/table.csv": b"city,sales\nUtrecht,17\nGent,23\n",
    "data/config.json": b'{"learning rate": 0.25}',
    "figures/square.png": png(),
    "page.html": HOSTILE,
    f"images/shots+step+0+timestamp+{START}+{SHOT}.png": png(),
    f"images/shots+step+0+timestamp+{START}+{SHOT}+compressed.webp": png(),
    "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="top.pwned=1"><circle r="9"/></svg>',
}


def runs() -> dict[str, list[Record]]:
    """One parent, and its children with lr, n and a loss curve each."""
    parent = Record(id=PARENT, experiment=TRAIN, experiment_name=NAME, name="parent", status="FINISHED", user="ada",
                    start=START, end=START + 100_000, tags={"mlflow.runName": "parent"})  # fmt: skip
    return {PIPELINE: [parent, *(_child(number) for number in range(COUNT))]}


def run_id(number: int) -> str:
    """The id of a child."""
    return f"{PIPELINE}{number + 1:016x}"


def _child(number: int) -> Record:
    start = START + 1000 * (number + 1)
    lr, size = 0.1 * (number % 4 + 1), 100 * (number // 4 + 1)
    loss: list[Point] = [
        (step, start + step * 10, math.exp(-lr * step) + 0.01 * number) for step in range(30)
    ]
    cpu: list[Point] = [(step, start + step * 100, 50.0 + step) for step in range(8)]
    tags = {"mlflow.runName": f"child {number:02d}", "color": "red" if number % 2 else "blue"}
    if number == 0:
        tags["mlflow.loggedImages"] = "True"
    if number >= NESTED:
        tags["mlflow.parentRunId"] = PARENT
    return Record(
        id=run_id(number),
        experiment=TRAIN,
        experiment_name=NAME,
        name=f"child {number:02d}",
        status="FAILED" if number == 5 else "FINISHED",
        user="ada",
        start=start,
        end=start + 500,
        page=f"runs/{PIPELINE}/tasks/{number + 1:016x}/index.html",
        params={"lr": f"{lr:.1f}", "n": str(size)},
        tags=tags,
        histories={
            "loss": loss,
            "accuracy": [(0, start, 0.5 + 0.03 * number)],
            "system/cpu_utilization_percentage": cpu,
        },
        inputs={"dataset_inputs": [_dataset(number % 2)]} if number < 2 else {},
        artifacts=tuple((path, len(data), f"files/{path}.bin") for path, data in ARTIFACTS.items())
        if number == 0
        else (),
    )


def _dataset(number: int) -> dict[str, object]:
    """One of two datasets."""
    used = {
        "name": f"digits-{number}",
        "digest": f"d{number}",
        "source_type": "local",
        "source": '{"uri": "digits.csv"}',
        "schema": '{"mlflow_colspec": [{"type": "long", "name": "x", "required": true}]}',
        "profile": '{"num_rows": 150}',
    }
    return {"dataset": used, "tags": [{"key": "mlflow.data.context", "value": "training"}]}
