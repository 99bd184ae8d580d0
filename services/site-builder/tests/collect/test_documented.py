"""``spanbook-site collect`` as a program, against a GitHub made from its documentation alone."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from spanbook_runfile.samples.builder import SampleRun
from spanbook_site.collect import Collected, GitHub
from spanbook_site.collect import collect as gathered
from spanbook_site.origins import Ledger
from support import octo
from support.github import zipped
from support.octo import Octo, Stored

OURS = {"id": 5, "repository_id": octo.HOME, "head_repository_id": octo.HOME, "head_branch": "main"}


@pytest.fixture(params=[False, True], ids=["usual", "odd"])
def github(request: pytest.FixtureRequest) -> Iterator[Octo]:
    """A GitHub without artifacts, of the habits that we know, and of others that its documents allow."""
    with Octo(odd=request.param) as running:
        yield running


def sample(name: str, payload: int = 0) -> SampleRun:
    """A small run; with a file of so many bytes that do not pack."""
    run = SampleRun(name, pipeline="ship")
    attempt = run.task("fly").attempt(0.0)
    if payload:
        content = random.Random(name).randbytes(payload)
        attempt.artifact(0.1, "blob.bin", content, "application/octet-stream")
    attempt.end(1.0)
    run.finish()
    return run


def stored(number: int, run: SampleRun, **more: object) -> Stored:
    """An artifact of a run; all attempts of a workflow run may bear one name."""
    return Stored(number, "spanbook-run-77-1", zipped(run__json=run.sealed()), dict(more))


def collect(
    github: Octo, into: Path, *options: str, token: str = octo.TOKEN
) -> "subprocess.CompletedProcess[str]":
    """Run the command as a workflow does, on an Enterprise Server."""
    command = [sys.executable, "-m", "spanbook_site", "collect", "--into", str(into)]
    return subprocess.run(
        [*command, "--repo", f"{octo.OWNER}/{octo.NAME}", *options],
        env={**os.environ, "GITHUB_API_URL": github.api, "GITHUB_TOKEN": token},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def at_once(github: Octo, into: Path) -> Collected:
    """Collect here, without waiting in earnest."""
    client = GitHub(f"{octo.OWNER}/{octo.NAME}", octo.TOKEN, api=github.api, sleep=lambda _: None)
    return gathered(client, into, prefix="spanbook-run-", most_artifacts=1000)


def runs(into: Path) -> dict[str, bytes]:
    """The run files by run id."""
    return {p.stem: p.read_bytes() for p in into.glob("*.json") if len(p.stem) == 32}


def test_troubles_cost_waits_not_runs(github: Octo, tmp_path: Path) -> None:
    """Limits of both kinds, 5xx, a list cut by a reset and an answer of a proxy: all runs come, each once."""
    every = {n: sample(f"run-{n}") for n in range(1, 8)}
    github.stored = [stored(n, run) for n, run in sorted(every.items(), reverse=True)]
    github.stored += [Stored(n, "coverage", b"?") for n in range(1000, 1260)]
    github.stored.append(stored(8, sample("older"), digest=None))
    github.troubles.extend(
        [
            octo.primary_limit(1),
            octo.breaks_off,
            None,
            octo.answers(520),
            None,
            octo.answers(403, Retry_After="1"),
            octo.answers(429, Retry_After="1"),
            octo.says(b'{"total_count": 268, "artifacts": [{"id"'),
            octo.answers(503, Retry_After="1"),
        ]
    )
    done = collect(github, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "8 new run files" in done.stdout
    wanted = {run.id: run.sealed() for run in [*every.values(), sample("older")]}
    assert runs(tmp_path) == wanted
    assert github.wrong == []
    again = collect(github, tmp_path)
    assert "0 new run files from 0 downloads, 8 artifacts known" in again.stdout
    assert github.seen["304"] == 3, "pages that did not change cost no request of the limit"


def test_what_is_listed_strangely(github: Octo, tmp_path: Path) -> None:
    """Older, deleted and forked artifacts, as documented, and one as nowhere documented: none stops the rest."""
    whole = sample("whole")
    github.stored = [
        stored(1, whole, digest="absent"),
        stored(2, sample("again"), expired=True),
        Stored(3, "spanbook-run-gone", b"", status=410),
        Stored(4, "spanbook-run-away", b"", status=404),
        stored(5, sample("no run"), workflow_run=None),
        stored(
            6,
            sample("fork"),
            workflow_run={
                "id": 9,
                "repository_id": octo.HOME,
                "head_repository_id": None,
                "head_branch": "main",
                "head_sha": "0" * 40,
            },
        ),
        stored(7, sample("nameless"), id="absent"),
        stored(8, whole),  # the same run, of another attempt
        stored(9, sample("nobody's"), workflow_run={"id": 9, "repository_id": None}),
        stored(10, sample("no branch"), workflow_run=OURS | {"head_branch": None}),
    ]
    done = collect(github, tmp_path)
    assert done.returncode == 0, done.stderr
    assert runs(tmp_path).keys() == {whole.id, sample("no run").id, sample("no branch").id}
    assert "3 artifacts expired" in done.stdout
    assert "2 artifacts of forks left out" in done.stdout
    trusted = {run_id for run_id, origin in Ledger.load(tmp_path).runs.items() if origin.trusted}
    assert trusted == {whole.id}
    for name in ("no run", "no branch"):
        assert f"labelled {sample(name).id}" in done.stdout
    assert "not as documented" in done.stderr


def test_a_list_that_moves_misses_nothing(github: Octo, tmp_path: Path) -> None:
    """Where artifacts are deleted while the list is read, those that move to a page already read are found."""
    every = {n: sample(f"run-{n}") for n in (150, 101, 100, 99, 2)}
    github.stored = [
        stored(n, every[n]) if n in every else Stored(n, "coverage", b"?")
        for n in range(220, 0, -1)
    ]

    def delete(page: int) -> None:
        if page == 2 and len(github.stored) == 220:
            github.stored = [s for s in github.stored if s.id < 180 or s.id > 210]

    github.on_page = delete
    at_once(github, tmp_path)
    assert runs(tmp_path).keys() == {run.id for run in every.values()}


@pytest.mark.parametrize("lie", [0, 3, 10_000])
def test_a_count_that_lies_is_not_believed(github: Octo, tmp_path: Path, lie: int) -> None:
    """The pages say what there is."""
    github.count = lambda _: lie
    github.stored = [Stored(n, "coverage", b"?") for n in range(300, 100, -1)]
    github.stored.append(stored(1, sample("last")))
    at_once(github, tmp_path)
    assert runs(tmp_path).keys() == {sample("last").id}


@pytest.mark.parametrize("past", [400, 401, 403, 404])
def test_links_that_are_over_are_asked_for_again(github: Octo, tmp_path: Path, past: int) -> None:
    """A store that is busy is given its time, and a link past its minute is no fault of the artifact's."""
    github.stored = [stored(1, sample("one"))]
    github.past = past
    github.lasts.extend([-1, -1])
    github.busy.extend([(503, {"Retry_After": "1"}), (429, {"Retry_After": "1"}), (500, {})])
    at_once(github, tmp_path)
    assert runs(tmp_path).keys() == {sample("one").id}
    assert github.seen["past"] == 2
    assert github.wrong == []


def test_only_what_is_proved_bad_is_given_up(github: Octo, tmp_path: Path) -> None:
    """Without a digest a zip that cannot be read may have been broken on its way: it is fetched again."""
    run = sample("one")
    whole = stored(1, run, digest=None)
    github.stored = [Stored(1, whole.name, whole.content[:300], {"digest": None})]
    assert len(at_once(github, tmp_path).refused) == 1
    github.stored = [whole]
    at_once(github, tmp_path)
    assert runs(tmp_path).keys() == {run.id}


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on(github: Octo, tmp_path: Path, *, ranges: bool) -> None:
    """What came is not fetched again where the host serves ranges; the digest is that of the whole."""
    run = sample("large", payload=3 << 20)
    github.stored = [stored(1, run)]
    github.ranges = ranges
    github.breaks.extend([2 << 20, 1 << 19])
    at_once(github, tmp_path)
    assert runs(tmp_path) == {run.id: run.sealed()}
    size = len(github.stored[0].content)
    if ranges:
        assert github.seen["206"] == 2
        assert github.sent < size + (1 << 18), "hardly a byte twice"
    else:
        assert github.sent == size + (2 << 20) + (1 << 19)
    assert github.wrong == []


def test_a_limit_that_lasts_leaves_the_rest(github: Octo, tmp_path: Path) -> None:
    """An hour's limit fails the command, unless part of it is enough; the next one has the rest."""
    first, second = sample("first"), sample("second")
    github.stored = [stored(1, first), stored(2, second)]
    listed = [None] * (3 if github.odd else 1)  # its detours
    github.troubles.extend([*listed, octo.primary_limit(3600)])
    done = collect(github, tmp_path, "--max-wait", "5")
    assert done.returncode == 1
    assert "rate limit asks for" in done.stderr
    github.troubles.extend([*listed, octo.primary_limit(3600)])
    done = collect(github, tmp_path, "--max-wait", "5", "--partial")
    assert done.returncode == 0, done.stderr
    assert "left for the next time" in done.stdout
    done = collect(github, tmp_path)
    assert runs(tmp_path).keys() == {first.id, second.id}


def test_a_list_that_ends_early_is_told(github: Octo, tmp_path: Path) -> None:
    """Where the API lists no further, what it listed is collected."""
    github.page_cap = 1
    run = sample("newest")
    github.stored = [stored(1, run), *(Stored(n, "coverage", b"?") for n in range(100, 320))]
    done = collect(github, tmp_path)
    assert done.returncode == 0, done.stderr
    assert runs(tmp_path).keys() == {run.id}
    assert "only the first 100 were read" in done.stderr


@pytest.mark.parametrize("token", ["", "ghs_other", f"{octo.TOKEN}\n"])
def test_tokens(github: Octo, tmp_path: Path, token: str) -> None:
    """A public repository's list needs none, downloads do; a line's end is no part of one; none is ever told."""
    github.anonymous = True
    github.stored = [stored(1, sample("one"))]
    done = collect(github, tmp_path, token=token)
    assert done.returncode == (0 if token.strip() == octo.TOKEN else 1)
    assert "ghs_" not in done.stdout + done.stderr
    assert done.returncode == 0 or "Set GITHUB_TOKEN" in done.stderr
