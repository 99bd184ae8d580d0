"""No-op tasks on Dagster with its SQLite storage: in one process, or in one process a task (its default)."""

import json
import sys

import dagster as dg

WAY, FAN_OUT, CHAIN = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


@dg.op
def noop(value: int) -> int:
    return value


@dg.op
def begin() -> int:
    return 0


@dg.job
def fan_out():
    first = begin()
    for number in range(FAN_OUT):
        noop.alias(f"noop_{number}")(first)


@dg.job
def chain():
    value = begin()
    for number in range(CHAIN):
        value = noop.alias(f"noop_{number}")(value)


def seconds(job: dg.JobDefinition, instance: dg.DagsterInstance) -> float:
    """From the end of the first op to the end of the last, by Dagster's own record."""
    if WAY == "in-process":
        result = job.execute_in_process(instance=instance)
    else:
        result = dg.execute_job(dg.reconstructable(job), instance=instance)
    assert result.success
    ends = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
    times = [entry.timestamp for entry in ends]
    return max(times) - min(times)


if __name__ == "__main__":
    with dg.DagsterInstance.get() as instance:
        print(
            json.dumps({"fan-out": seconds(fan_out, instance), "chain": seconds(chain, instance)})
        )
