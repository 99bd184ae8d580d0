"""No-op tasks on Luigi with its local scheduler, as it comes: one worker, in its own process."""

import json
import sys
import tempfile
import time
from pathlib import Path

import luigi

FAN_OUT, CHAIN = int(sys.argv[1]), int(sys.argv[2])
FOLDER = Path(tempfile.mkdtemp())


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
        return luigi.LocalTarget(FOLDER / f"{self.kind}-{self.number}")

    def run(self):  # noqa: D102
        with self.output().open("w") as stream:
            stream.write("0")


def seconds(tasks):
    begin = time.perf_counter()
    assert luigi.build(tasks, local_scheduler=True)
    return time.perf_counter() - begin


one = seconds([Noop(kind="one", number=0)])
wide = seconds([Noop(kind="wide", number=n) for n in range(FAN_OUT)]) - one
chain = seconds([Noop("chain", CHAIN, CHAIN)]) - one
print(json.dumps({"fan-out": wide, "chain": chain}))
