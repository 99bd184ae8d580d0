"""Tasks that do nothing, beside plain Ray and the peers: what running and recording one costs.

A fan-out and a chain, by turns with plain Ray, everything recorded by a real collector and checked in
the sealed file. Peers run once, each in a virtual environment of its own (made by pip on first use, in
the user's cache folder), with their default local set-up. Per task: from the end of a first task to the
end of the last; Luigi, which plans all tasks before the first, by a build of all less a build of one.
Prints Markdown tables. ``--peers luigi`` measures that one alone; ``--no-memory`` leaves the 10,000 tasks out.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from spanbook_runfile import Run, read_run

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spanbook-bench"
FAN_OUT, CHAIN, REPEATS, MANY = 1000, 200, 3, 10_000
SPANBOOK = str(Path(sys.executable).with_name("spanbook"))
COLLECTOR = str(Path(sys.executable).with_name("spanbook-collector"))
# name, package, arguments, tasks of the fan-out and of the chain (fewer where one takes a second)
PEERS = [
    ("Prefect, threads", "prefect", ["prefect_flow.py"], 1000, 100),
    ("Dagster, in one process", "dagster", ["dagster_job.py", "in-process"], 300, 100),
    ("Dagster, a process a task", "dagster", ["dagster_job.py", "multiprocess"], 12, 6),
    ("Luigi, in its own process", "luigi", ["luigi_tasks.py"], 1000, 200),
]
# What a peer's newest release does not work without.
ALONG = {"prefect": ["fastapi<0.116", "sqlalchemy<2.1"]}


def say(text: str) -> None:
    print(f"  noop: {text}", file=sys.stderr, flush=True)


def clean_env(**extra: str) -> dict[str, str]:
    """The environment without what would lead a program elsewhere, or have it compile at each start."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key != "PYTHONDONTWRITEBYTECODE"
        and not key.startswith(("SPANBOOK_", "OTEL_", "GITHUB_", "RAY_", "PREFECT_", "DAGSTER_"))
    }
    return {**kept, **extra}


def ran(command: list[str], env: dict[str, str], cwd: Path) -> str:
    """What a program printed; ends the benchmark where it failed."""
    done = subprocess.run(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


# -- spanbook and plain Ray ------------------------------------------------------------------------


@contextmanager
def collector(folder: Path) -> Iterator[dict[str, str]]:
    """A collector on free ports; the environment in which a run finds it."""
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    process = subprocess.Popen(
        [COLLECTOR, "--outputs", folder, "--grpc-port=0", "--http-port=0", "--ready-file", ready],
        env=clean_env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not ready.exists():
            time.sleep(0.05)
        port = json.loads(ready.read_text())["grpc_port"]
        yield clean_env(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", SPANBOOK_OUTPUTS=str(folder)
        )
    finally:
        process.terminate()
        process.wait()


def spanbook(folder: Path, env: dict[str, str], **parameters: int) -> tuple[Run, float, float]:
    """One run: what its file says, and the clock at the program's start and end."""
    known = set(folder.glob("runs/*.json"))
    words = [f"--param={key}={value}" for key, value in parameters.items()]
    begin = time.time()
    ran([SPANBOOK, "run", str(HERE / "peers/spanbook_noop.py"), *words], env, folder)
    end = time.time()
    while not (new := set(folder.glob("runs/*.json")) - known):
        time.sleep(0.1)
    run = read_run(new.pop())
    assert run.seal is not None
    assert run.seal.complete, "something was not recorded"
    assert len(run.tasks) == 1 + sum(parameters.values())
    assert all(len(task.attempts) == 1 for task in run.tasks)
    return run, begin, end


def per_task(run: Run) -> float:
    """Milliseconds a task, from the end of the first to the end of the last."""
    ends = [task.final.end or 0 for task in run.tasks]
    return (max(ends) - min(ends)) / 1e6 / (len(ends) - 1)


def by_turns(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Both in turns: ms a task, and seconds to start and to end."""
    found: dict[str, dict[str, list[float]]] = {"ray": {}, "spanbook": {}}

    def note(who: str, what: str, value: float) -> None:
        found[who].setdefault(what, []).append(value)

    with collector(folder) as env:
        for turn in range(1, REPEATS + 1):
            say(f"turn {turn} of {REPEATS}: plain Ray")
            command = [sys.executable, str(HERE / "peers/plain_ray.py"), str(FAN_OUT), str(CHAIN)]
            begin = time.time()
            told = json.loads(ran(command, clean_env(), folder).splitlines()[-1])
            note("ray", "end", time.time() - told["last"])
            note("ray", "start", told["first"] - begin)
            note("ray", "fan-out", told["fan-out"] / FAN_OUT * 1000)
            note("ray", "chain", told["chain"] / CHAIN * 1000)
            say(f"turn {turn} of {REPEATS}: spanbook")
            note("spanbook", "fan-out", per_task(spanbook(folder, env, fan_out=FAN_OUT)[0]))
            note("spanbook", "chain", per_task(spanbook(folder, env, chain=CHAIN)[0]))
            run, begin, end = spanbook(folder, env)
            (task,) = run.tasks
            note("spanbook", "start", task.final.start / 1e9 - begin)
            note("spanbook", "end", end - (task.final.end or 0) / 1e9)
            say(str({who: {k: round(v[-1], 2) for k, v in f.items()} for who, f in found.items()}))
    return found


def memory(folder: Path, env: dict[str, str], tasks: int) -> dict[str, float]:
    """Peak resident MB of the runner's processes in a run of so many tasks: the driver, and Ray's."""
    say(f"memory of a run of {tasks:,} tasks")
    words = [SPANBOOK, "run", str(HERE / "peers/spanbook_noop.py"), f"--param=fan_out={tasks}"]
    driver = psutil.Popen(words, env=env, cwd=folder, stdout=subprocess.DEVNULL)
    peaks: dict[str, float] = {}
    while driver.poll() is None:
        sizes: dict[str, float] = {"driver": _mb(driver)}
        for child in driver.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                name = child.name()
                kind = name if name in ("gcs_server", "raylet") else "workers and agents"
                sizes[kind] = sizes.get(kind, 0) + _mb(child)
        sizes["together"] = sum(sizes.values())
        for kind, size in sizes.items():
            peaks[kind] = max(size, peaks.get(kind, 0))
        time.sleep(0.1)
    if driver.returncode != 0:
        sys.exit(f"a run of {tasks:,} tasks ended with exit code {driver.returncode}")
    return peaks


def _mb(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        return process.memory_info().rss / 1e6
    return 0.0


# -- peers -----------------------------------------------------------------------------------------


def python_of(package: str) -> Path:
    """The Python of a virtual environment with this package, made where it is not there."""
    needed = [package, *ALONG.get(package, ())]
    folder = CACHE / f"{package}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin/python"
    if not (folder / "done").exists():
        say(f"{package}: making {folder}")
        venv.create(folder, with_pip=True, clear=True)
        ran([str(python), "-m", "pip", "install", "--quiet", *needed], clean_env(), CACHE)
        (folder / "done").touch()
    return python


def peer(package: str, words: list[str], fan_out: int, chain: int) -> tuple[str, float, float]:
    """A peer's version, and its ms a task in both shapes."""
    python = python_of(package)
    with tempfile.TemporaryDirectory() as home:
        env = clean_env(
            HOME=home,
            PREFECT_HOME=home,
            DAGSTER_HOME=home,
            PREFECT_LOGGING_LEVEL="ERROR",
            PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="120",
            DO_NOT_TRACK="1",
        )
        script, *rest = words
        command = [str(python), str(HERE / "peers" / script), *rest, str(fan_out), str(chain)]
        told = json.loads(ran(command, env, Path(home)).splitlines()[-1])
    code = f"from importlib.metadata import version; print(version({package!r}))"
    version = ran([str(python), "-c", code], clean_env(), CACHE).strip()
    return version, told["fan-out"] / fan_out * 1000, told["chain"] / chain * 1000


def main() -> None:
    """Measure, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--peers", nargs="*", default=["prefect", "dagster", "luigi"])
    options.add_argument("--no-memory", action="store_true")
    wanted = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = by_turns(Path(folder))
        sizes: list[dict[str, float]] = []
        with collector(Path(folder)) as env:
            if not wanted.no_memory:
                sizes = [memory(Path(folder), env, tasks) for tasks in (1, MANY)]
    middle = {
        who: {what: statistics.median(values) for what, values in facts.items()}
        for who, facts in found.items()
    }
    ray, ours = middle["ray"], middle["spanbook"]
    print(
        f"A fan-out of {FAN_OUT:,} and a chain of {CHAIN}; medians of {REPEATS} turns for spanbook and "
        "plain Ray, one run of each peer.\n\n"
        "| ms a task | fan-out | chain | recorded | killable |\n| --- | --- | --- | --- | --- |"
    )
    print(f"| plain Ray | {ray['fan-out']:.2f} | {ray['chain']:.2f} | nothing | yes |")
    print(f"| **spanbook** | {ours['fan-out']:.2f} | {ours['chain']:.2f} | everything | yes |")
    over = {shape: ours[shape] - ray[shape] for shape in ("fan-out", "chain")}
    print(f"| above plain Ray | {over['fan-out']:.2f} | {over['chain']:.2f} | | |")
    for name, package, words, fan_out, chain in PEERS:
        if package not in wanted.peers:
            continue
        say(name)
        try:
            version, wide, deep = peer(package, words, fan_out, chain)
        except SystemExit as error:  # a peer's release that is broken is no reason to have no table
            say(str(error))
            print(f"| {name} | does not run here | | | |")
            continue
        fewer = "" if fan_out >= FAN_OUT and chain >= CHAIN else f" ({fan_out} and {chain} tasks)"
        recorded = "nothing" if package == "luigi" else "states, logs"
        killable = "yes" if "a process a task" in name else "no"
        print(f"| {name}, {version}{fewer} | {wide:.1f} | {deep:.1f} | {recorded} | {killable} |")
    print(
        "\n| s | plain Ray: `import ray; ray.init()` | spanbook |\n| --- | --- | --- |\n"
        f"| start to first task | {ray['start']:.1f} | {ours['start']:.1f} |\n"
        f"| last task to exit | {ray['end']:.1f} | {ours['end']:.1f} |"
    )
    if sizes:
        few, many = sizes
        print(f"\n| peak RSS, MB | a run of 2 tasks | of {MANY + 1:,} |\n| --- | --- | --- |")
        for kind in many:
            print(f"| {kind} | {few.get(kind, 0):.0f} | {many[kind]:.0f} |")


if __name__ == "__main__":
    main()
