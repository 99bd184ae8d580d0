"""Collecting from a GitHub that behaves as documented, and from one that does not."""

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from spanbook_runfile import samples
from spanbook_site.collect import Collected, GitHub, collect
from spanbook_site.collect.collect import from_folder
from spanbook_site.collect.errors import GitHubError, RateLimitedError
from support.github import REPOSITORY, FakeArtifact, FakeGitHub, zipped

OK, FAILED = samples.sealed("ok"), samples.sealed("failed")


def run_id(content: bytes) -> str:
    """The run id that a run file's bytes hold."""
    return str(orjson.loads(content)["spanbook"]["runId"])


def artifact(number: int, content: bytes = OK, **more: object) -> FakeArtifact:
    """An artifact that holds one run file."""
    return FakeArtifact(number, f"spanbook-run-{number}", zipped(run__json=content), **more)  # type: ignore[arg-type]


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    """A GitHub without artifacts."""
    with FakeGitHub() as running:
        yield running


@pytest.fixture
def gather(github: FakeGitHub, tmp_path: Path) -> Callable[..., Collected]:
    """Collect into ``tmp_path / runs``, without waiting in earnest."""
    slept: list[float] = []

    def call(repository: str = REPOSITORY, token: str = "secret", **options: object) -> Collected:
        client = GitHub(repository, token, api=github.api, sleep=slept.append)
        settings: dict[str, object] = {"prefix": "spanbook-run-", "most_artifacts": 1000}
        return collect(client, tmp_path / "runs", **{**settings, **options})  # type: ignore[arg-type]

    call.slept = slept  # type: ignore[attr-defined]
    return call


def names(folder: Path) -> set[str]:
    """The run files in a folder, and whatever else lies there."""
    return {path.name for path in folder.iterdir()} - {"origins.json"}


def test_new_artifacts_become_run_files(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """Each run file is written read-only under its run id; artifacts of other names are left."""
    github.artifacts = [artifact(2, FAILED), artifact(1), FakeArtifact(3, "logs", b"no zip")]
    report = gather()
    assert (report.new, report.refused, report.expired) == (2, [], [])
    assert names(tmp_path / "runs") == {f"{run_id(OK)}.json", f"{run_id(FAILED)}.json"}
    written = tmp_path / "runs" / f"{run_id(OK)}.json"
    assert written.read_bytes() == OK
    assert written.stat().st_mode & 0o777 == 0o444


def test_what_is_known_is_not_fetched_again(
    github: FakeGitHub, gather: Callable[..., Collected]
) -> None:
    """A second collection lists, and downloads only what is new."""
    github.artifacts = [artifact(1)]
    gather()
    github.artifacts.insert(0, artifact(2, FAILED))
    report = gather()
    assert (report.new, report.known, github.downloads) == (1, 1, 2)


def test_more_than_a_page_is_listed(github: FakeGitHub, gather: Callable[..., Collected]) -> None:
    """Artifacts beyond the first hundred are found."""
    others = [FakeArtifact(n, "coverage") for n in range(100, 320)]
    github.artifacts = [*others, artifact(1)]
    assert gather().new == 1
    assert sum("page=" in path for path in github.requests) == 3


def test_the_count_is_capped(github: FakeGitHub, gather: Callable[..., Collected]) -> None:
    """Only the newest artifacts are taken where a cap says so."""
    github.artifacts = [artifact(2, FAILED), artifact(1)]
    assert gather(most_artifacts=1).new == 1
    assert github.downloads == 1


def test_the_download_host_never_sees_the_token(
    github: FakeGitHub, gather: Callable[..., Collected]
) -> None:
    """The Authorization header is not forwarded with the redirect."""
    github.artifacts = [artifact(1)]
    gather()
    assert github.downloads == 1
    assert github.leaked == []


def test_expired_artifacts_are_reported(
    github: FakeGitHub, gather: Callable[..., Collected]
) -> None:
    """Listed as expired, or gone (410) in between: said, and the others are taken."""
    github.artifacts = [artifact(1, expired=True), artifact(2, gone=True), artifact(3)]
    report = gather()
    assert report.new == 1
    assert sorted(report.expired) == ["spanbook-run-1", "spanbook-run-2"]


def test_forks_are_taken_only_on_request(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """A fork's run is left out and counted, and labelled as a fork's where it is asked for."""
    github.artifacts = [artifact(1, fork=True)]
    assert (gather().forks, github.downloads) == (1, 0)
    assert gather(forks=True).new == 1
    ledger = orjson.loads((tmp_path / "runs/origins.json").read_bytes())
    assert ledger["runs"][run_id(OK)]["fork"] is True


def test_passing_faults_are_waited_out(
    github: FakeGitHub, gather: Callable[..., Collected]
) -> None:
    """Retry-After, an exhausted rate limit, a secondary limit and a 502 cost waits, not runs."""
    github.artifacts = [artifact(1)]
    github.faults = [
        (429, {"Retry-After": "7"}),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}),
        (502, {}),
    ]
    assert gather().new == 1
    assert gather.slept[0] == 7  # type: ignore[attr-defined]


def test_limits_that_are_sat_out_are_no_faults(
    github: FakeGitHub, gather: Callable[..., Collected]
) -> None:
    """However often GitHub asks for patience, only the time bounds it."""
    github.artifacts = [artifact(1)]
    github.faults = [(429, {"Retry-After": "0"}), (403, {"Retry-After": "2"})] * 10
    assert gather().new == 1


def test_a_next_page_that_is_this_page_ends_the_list(
    github: FakeGitHub, gather: Callable[..., Collected]
) -> None:
    """A Link header that leads in a circle costs no thousand requests."""
    github.artifacts = [artifact(1)]
    github.circle = True
    assert gather().new == 1
    assert len([path for path in github.requests if "page=" in path]) == 1


def test_a_rate_limit_that_lasts_is_told(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """Collecting gives up with what to do, and goes on from there the next time."""
    github.artifacts = [artifact(1)]
    github.faults = [(429, {"Retry-After": "3600"})]
    with pytest.raises(RateLimitedError, match="run the command again later"):
        gather()
    assert gather().new == 1


def test_a_broken_off_download_is_tried_again(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """Half a zip is never taken for a whole one."""
    github.artifacts = [artifact(1, breaks_off=2)]
    assert gather().new == 1
    assert (tmp_path / "runs" / f"{run_id(OK)}.json").read_bytes() == OK


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_bad_token_is_told(gather: Callable[..., Collected], token: str) -> None:
    """Without a token that may read, the message names what to set."""
    with pytest.raises(GitHubError, match="GITHUB_TOKEN"):
        gather(token=token)


@pytest.mark.parametrize("links", [True, False])
def test_pages_may_be_shorter_than_asked_for(
    github: FakeGitHub, gather: Callable[..., Collected], *, links: bool
) -> None:
    """The Link header says where the next page is, and without one the count whether there is any."""
    github.links, github.page_size = links, 7
    github.artifacts = [*(FakeArtifact(n, "coverage") for n in range(100, 150)), artifact(1)]
    assert gather().new == 1


def test_a_list_that_moves_meanwhile_gives_nothing_twice(
    github: FakeGitHub, gather: Callable[..., Collected]
) -> None:
    """A new artifact pushes the others to the next page while it is read: each is taken once."""
    github.page_size = 2
    github.artifacts = [artifact(n) for n in (4, 3, 2, 1)]

    def upload(page: int) -> None:
        if page == 2:
            github.artifacts.insert(0, artifact(9))

    github.on_page = upload
    gather()
    assert sorted(path for path in github.requests if path.endswith("/zip")) == [
        f"/repos/{REPOSITORY}/actions/artifacts/{n}/zip" for n in (1, 2, 3, 4)
    ]


def test_a_next_page_elsewhere_is_asked_of_the_api(
    github: FakeGitHub, gather: Callable[..., Collected]
) -> None:
    """The token goes to no host that a Link header names: the page is asked for by its number."""
    with FakeGitHub() as other:
        github.next_host = other.api.replace("127.0.0.1", "localhost")
        github.artifacts = [*(FakeArtifact(n, "coverage") for n in range(100, 200)), artifact(1)]
        assert gather().new == 1
        assert other.requests == []


def test_a_renamed_repository_is_followed(
    github: FakeGitHub, gather: Callable[..., Collected]
) -> None:
    """301 on the API's own host is followed with the token, for lists and downloads."""
    github.moved = True
    github.artifacts = [artifact(1), artifact(2, FAILED)]
    assert gather().new == 2
    assert github.leaked == []


def test_a_list_that_did_not_change_costs_nothing(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """Known pages are asked for by their ETag, and 304 is no request for the rate limit."""
    from spanbook_site.collect.listing import Listing

    github.artifacts = [artifact(1)]
    for _ in range(2):
        listing = Listing.load(tmp_path)
        client = GitHub(REPOSITORY, "secret", api=github.api, listing=listing)
        assert [a.id for a in client.artifacts("spanbook-run-", 10)] == [1]
        listing.save()
    assert [h.get("If-None-Match", "")[:2] for h in github.headers] == ["", "W/"]
    assert {h["X-GitHub-Api-Version"] for h in github.headers} == {"2022-11-28"}
    assert {h["Accept"] for h in github.headers} == {"application/vnd.github+json"}


def test_netrc_is_left_alone(
    github: FakeGitHub,
    gather: Callable[..., Collected],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Credentials that lie about for these hosts neither replace the token nor go with a download."""
    netrc = tmp_path / "netrc"
    netrc.write_text(
        "machine 127.0.0.1 login me password other\nmachine localhost login me password other\n"
    )
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    github.artifacts = [artifact(1)]
    assert gather().new == 1
    assert github.leaked == []


def test_an_older_artifact_comes_before_a_newer_one_of_the_same_run(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """Who uploads another file under a run's id later, or from a fork, does not take its place."""
    from spanbook_runfile.samples import golden

    mine = golden.ok("mine").sealed()
    forged = golden.ok("mine", start=golden.START + golden.DAY).sealed()
    assert run_id(forged) == run_id(mine)
    assert forged != mine
    github.artifacts = [artifact(7, forged), artifact(2, mine), artifact(1, forged, fork=True)]
    report = gather(forks=True)
    assert (tmp_path / "runs" / f"{run_id(mine)}.json").read_bytes() == mine
    assert [name for name, _ in report.refused] == ["spanbook-run-7", "spanbook-run-1"]
    assert all("another file of run" in why for _, why in report.refused)


def test_a_lost_run_file_is_fetched_again(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """The ledger alone is no run: what the folder lacks is fetched, whatever was done before."""
    github.artifacts = [artifact(1)]
    gather()
    (tmp_path / "runs" / f"{run_id(OK)}.json").unlink()
    assert gather().new == 1


def test_downloads_can_be_kept(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """A folder of zips is looked through before GitHub, and a zip that is not what GitHub lists is not taken."""
    zips = tmp_path / "zips"
    github.artifacts = [artifact(1), artifact(2, FAILED)]
    gather(zips=zips)
    assert sorted(path.name for path in zips.iterdir()) == ["1.zip", "2.zip"]
    (zips / "2.zip").write_bytes(b"half a zi")
    for path in (tmp_path / "runs").iterdir():
        path.unlink()
    report = gather(zips=zips)
    assert (report.new, report.downloaded) == (2, 1)


def test_an_artifact_of_no_run_is_labelled(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """Where GitHub does not say which run uploaded it, its word is not taken."""
    github.artifacts = [artifact(1, orphan=True)]
    report = gather()
    assert report.new == 1
    assert any("does not say" in why for _, why in report.conflicts)


def test_a_download_needs_a_token(github: FakeGitHub, gather: Callable[..., Collected]) -> None:
    """Of a public repository anybody may list: that no download will come is told at once."""
    github.public = True
    github.artifacts = [artifact(1), artifact(2, FAILED)]
    with pytest.raises(GitHubError, match="GITHUB_TOKEN"):
        gather(token="")


def climbing() -> bytes:
    """A zip whose members' names climb out, and one that hides a bomb's declared size."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../../climbed.json", OK)
    return out.getvalue()


def test_a_members_name_means_nothing(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """A path that climbs is written under the run id, inside the folder, like any other."""
    github.artifacts = [FakeArtifact(1, "spanbook-run-1", climbing())]
    assert gather().new == 1
    assert names(tmp_path / "runs") == {f"{run_id(OK)}.json"}
    assert not list(tmp_path.parent.rglob("climbed.json"))


def linked() -> bytes:
    """A zip whose member is a symbolic link."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("run.json")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return out.getvalue()


def protected() -> bytes:
    """A zip that says that its member is encrypted."""
    content = bytearray(zipped(run__json=OK))
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + flags] |= 1
    return bytes(content)


BAD: dict[str, tuple[bytes, dict[str, object], str]] = {
    "nothing": (b"", {}, "zip cannot be read"),
    "no zip": (b"not a zip", {}, "zip cannot be read"),
    "half a zip": (zipped(run__json=OK)[:5000], {}, "zip cannot be read"),
    "protected": (protected(), {}, "zip cannot be read"),
    "a link": (linked(), {}, "not a run file"),
    "a zip in a zip": (zipped(run__json=zipped(run__json=OK)), {}, "not a run file"),
    "no run": (zipped(run__json=b"{}"), {}, "no run file"),
    "no run, unzipped": (b'{"resourceSpans": 1}', {}, "no run file"),
    "one of two": (zipped(a__json=OK, b__json=b"{}"), {}, "no run file"),
    "not sealed": (zipped(run__json=b'{"resourceSpans": []}'), {}, "not sealed"),
    "changed": (zipped(run__json=OK.replace(b'"success"', b'"failure"', 1)), {}, "changed"),
    "a bomb": (zipped(zeros=bytes(3 << 20)), {}, "over the size limit"),
    "large by its listing": (zipped(run__json=OK), {"size": 5 << 20}, "over the limit"),
    "larger than listed": (bytes(3 << 20), {"size": 5}, "more than 2,097,152 bytes came"),
    "of another digest": (zipped(run__json=OK), {"digest": "sha256:" + "0" * 64}, "its digest"),
    "empty": (zipped(), {}, "empty"),
    "of many files": (zipped(**{f"f{n}": b"" for n in range(1001)}), {}, "1,001 files"),
}


def test_large_zips_and_single_files_are_read_too(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """The form of zips above 4 GB, which some writers always take, and a file that was uploaded unzipped."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("r.json", "w", force_zip64=True) as to:
        to.write(OK)
    github.artifacts = [
        FakeArtifact(1, "spanbook-run-1", out.getvalue()),
        FakeArtifact(2, "spanbook-run-2", FAILED),
    ]
    assert gather().new == 2


@pytest.mark.parametrize(("content", "more", "why"), BAD.values(), ids=BAD)
def test_a_bad_artifact_is_refused_alone(
    github: FakeGitHub,
    gather: Callable[..., Collected],
    content: bytes,
    more: dict[str, object],
    why: str,
) -> None:
    """What is not a sealed run file within the limits is left out with its reason."""
    bad = FakeArtifact(1, "spanbook-run-1", content, **more)  # type: ignore[arg-type]
    github.artifacts = [bad, artifact(2, FAILED)]
    report = gather(most_bytes=2 << 20)
    assert report.new == 1
    ((name, said),) = report.refused
    assert name == "spanbook-run-1"
    assert why in said


def test_a_report_gives_no_commands(github: FakeGitHub, gather: Callable[..., Collected]) -> None:
    """No name starts a line of the job's log, where ``::`` would be taken for a command."""
    github.artifacts = [FakeArtifact(1, "spanbook-run-\n::add-mask::x", b"junk")]
    told = list(gather().lines())
    assert len(told) == 2
    assert not any("\n" in line or line.startswith("::") for line in told)


def test_a_false_claim_is_labelled(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """A run that names another branch than GitHub does is shown, with the contradiction noted."""
    github.artifacts = [artifact(1, branch="evil", sha="0" * 40)]
    report = gather()
    assert report.new == 1
    assert any("branch" in why for _, why in report.conflicts)
    ledger = orjson.loads((tmp_path / "runs/origins.json").read_bytes())
    assert ledger["runs"][run_id(OK)]["conflicts"]


def test_a_run_that_is_here_is_never_replaced(
    github: FakeGitHub, gather: Callable[..., Collected], tmp_path: Path
) -> None:
    """Another file of the same run id is refused."""
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / f"{run_id(OK)}.json").write_bytes(b"mine")
    github.artifacts = [artifact(1)]
    ((_, why),) = gather().refused
    assert "is here already" in why
    assert (runs / f"{run_id(OK)}.json").read_bytes() == b"mine"


def test_a_folder_of_zips_works_too(tmp_path: Path) -> None:
    """Zips and single run files that were downloaded before are taken without GitHub."""
    zips = tmp_path / "zips"
    zips.mkdir()
    (zips / "a.zip").write_bytes(zipped(run__json=OK))
    (zips / "b.json").write_bytes(FAILED)
    (zips / "c.zip").write_bytes(b"junk")
    report = from_folder(zips, tmp_path / "runs")
    assert report.new == 2
    assert [name for name, _ in report.refused] == ["c.zip"]
    assert from_folder(zips, tmp_path / "runs").known == 2
