"""No-op tasks on plain Ray: the floor. Prints ``{"fan-out": s, "chain": s, "first": t, "last": t}``."""

import json
import sys
import time

import ray

fan_out, chain = int(sys.argv[1]), int(sys.argv[2])
ray.init(log_to_driver=False, include_dashboard=False)


@ray.remote(max_retries=0)
def noop(value):  # noqa: ARG001
    return time.time()


first = ray.get(noop.remote(0))
value = noop.remote(0)
ray.get(value)
begin = time.perf_counter()
ray.get([noop.remote(value) for _ in range(fan_out)])
wide = time.perf_counter() - begin
begin = time.perf_counter()
for _ in range(chain):
    value = noop.remote(value)
last = ray.get(value)
told = {"fan-out": wide, "chain": time.perf_counter() - begin, "first": first, "last": last}
print(json.dumps(told))
