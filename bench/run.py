"""Runs the benchmarks and writes their tables, with the date and the machine, to bench/RESULTS.md.

Each benchmark is a script of this folder that prints one Markdown section and measures itself beside
its peer or floor in the same run. ``--only NAME`` keeps the other sections of RESULTS.md as they are.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
SECTIONS = {
    "demo": "The demo pipeline, beside the ancestor",
    "noop": "Tasks that do nothing, beside plain Ray and the peers",
    "ingest": "Durable ingest, beside its floor",
    "seal": "The seal, beside a JSON parser",
    "site": "Building and opening the site",
    "mlflow_ui": "The MLflow UI on static files",
}


def machine() -> str:
    """The processor, cores, memory and Python of this machine."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*: (.*)", cpuinfo.read_text())):
        model = found[1]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}"
    )


def earlier_sections() -> dict[str, str]:
    """The sections that RESULTS.md has now, by the name of their script."""
    if not RESULTS.exists():
        return {}
    parts = re.split(r"^<!-- (\w+) -->\n", RESULTS.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def measure(name: str) -> str:
    """Run one benchmark; its section, or what it said when it failed."""
    print(f"bench: {name} …", flush=True)
    done = subprocess.run(
        [sys.executable, HERE / f"{name}.py"], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"bench/{name}.py failed with exit code {done.returncode}; nothing was written.")
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"## {SECTIONS[name]}\n\n{when}, {machine()}\n\n{done.stdout.strip()}\n\n"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=SECTIONS, help="repeatable")
    asked = parser.parse_args().only or list(SECTIONS)
    for name in asked:
        measured = measure(name)
        sections = earlier_sections() | {name: measured}  # read late: it may take long to measure
        order = dict.fromkeys([*SECTIONS, *sections])  # those measured by hand stay, at the end
        body = "".join(f"<!-- {n} -->\n{sections[n]}" for n in order if n in sections)
        RESULTS.write_text(
            "# Measured\n\n`make bench` makes this page. Compare the ratios within a table; absolute "
            "figures are of one shared, noisy machine.\n\n" + body.rstrip() + "\n"
        )


if __name__ == "__main__":
    main()
