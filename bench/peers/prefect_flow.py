"""No-op tasks on Prefect, with its ephemeral server and thread pool, as it comes."""

import json
import sys
import time

from prefect import flow, task

fan_out, chain = int(sys.argv[1]), int(sys.argv[2])


@task
def noop(value):  # noqa: ARG001
    return 0


@flow
def measured():
    noop.submit(0).result()
    begin = time.perf_counter()
    for future in [noop.submit(0) for _ in range(fan_out)]:
        future.result()
    wide = time.perf_counter() - begin
    begin = time.perf_counter()
    value = noop.submit(0)
    for _ in range(chain - 1):
        value = noop.submit(value)
    value.result()
    return {"fan-out": wide, "chain": time.perf_counter() - begin}


print(json.dumps(measured()))
