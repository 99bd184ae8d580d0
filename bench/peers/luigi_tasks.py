"""No-op tasks on Luigi with its local scheduler, as it comes: one worker, in its own process."""

import json
import sys
import time

import luigi
from luigi.mock import MockTarget

FAN_OUT, CHAIN = int(sys.argv[1]), int(sys.argv[2])
ends = []


class Noop(luigi.Task):
    """One no-op; ``below`` is how many there are under it in its chain."""

    kind = luigi.Parameter()
    number = luigi.IntParameter()
    below = luigi.IntParameter(default=0)

    def requires(self):  # noqa: D102
        if self.kind == "chain" and self.below:
            return [Noop(kind="chain", number=self.number - 1, below=self.below - 1)]
        return []

    def output(self):  # noqa: D102
        return MockTarget(f"{self.kind}-{self.number}")

    def run(self):  # noqa: D102
        with self.output().open("w") as stream:
            stream.write("0")
        ends.append(time.perf_counter())


def seconds(tasks):
    ends.clear()
    assert luigi.build(tasks, local_scheduler=True, log_level="WARNING")
    return max(ends) - min(ends)


wide = seconds([Noop(kind="wide", number=n) for n in range(FAN_OUT)])
print(json.dumps({"fan-out": wide, "chain": seconds([Noop("chain", CHAIN, CHAIN)])}))
