"""What a run says of itself, held against what GitHub says of its artifact."""

from dataclasses import replace
from pathlib import Path

import pytest
from spanbook_runfile import Run, names, parse_run
from spanbook_runfile.samples import golden
from spanbook_site import summary
from spanbook_site.build import Builder
from spanbook_site.collect.github import Artifact
from spanbook_site.origins import Ledger, Origin
from spanbook_site.settings import Settings

REPOSITORY = "octo/digits"


def honest() -> tuple[Run, Artifact]:
    """A main run, and the artifact that GitHub lists of it."""
    run = parse_run(golden.ok().sealed())
    artifact = Artifact(
        id=1,
        name="spanbook-run-1",
        size=1,
        digest="",
        expired=False,
        created_at="2026-11-01T00:00:00Z",
        workflow_run=int(run.context(names.PIPELINE_RUN_URL).split("/")[-1]),
        branch="main",
        sha=run.context(names.REF_REVISION),
        fork=False,
    )
    return run, artifact


def claiming(run: Run, **claims: str | None) -> Run:
    """The run with other claims; None makes none."""
    resource = dict(run.resource)
    for key, value in claims.items():
        name = str(getattr(names, key))
        resource.pop(name, None)
        if value is not None:
            resource[name] = value
    return replace(run, resource=resource)


def counts(run: Run, origin: Origin) -> bool:
    """Whether the site takes the run for a main one."""
    short = summary.summarize(origin.applied(run), {}, trimmed=False, origin=origin)
    return summary.is_main(short, ["main"])


def test_an_honest_run_is_trusted() -> None:
    """Where both say the same, nothing is noted, and the run counts."""
    run, artifact = honest()
    origin = Origin.of(artifact, run, REPOSITORY)
    assert origin.trusted
    assert origin.conflicts == ()
    assert counts(run, origin)


@pytest.mark.parametrize(
    ("claims", "what"),
    [
        ({"OWNER_NAME": "evil"}, "repository"),
        ({"REPOSITORY_NAME": "famous"}, "repository"),
        ({"REF_NAME": "release"}, "branch"),
        ({"REF_REVISION": "0" * 40}, "commit"),
        ({"PIPELINE_RUN_URL": "https://github.com/octo/digits/actions/runs/1"}, "workflow run"),
        ({"PIPELINE_RUN_URL": "https://evil.example/?/actions/runs/9876543210"}, "workflow run"),
    ],
)
def test_a_false_claim_is_labelled_and_not_trusted(claims: dict[str, str], what: str) -> None:
    """Each claim that GitHub contradicts is named; the run stands apart, without links it chose."""
    run, artifact = honest()
    run = claiming(run, **claims)
    origin = Origin.of(artifact, run, REPOSITORY)
    (why,) = origin.conflicts
    assert what in why
    assert not counts(run, origin)
    shown = origin.applied(run)
    assert shown.context(names.PIPELINE_RUN_URL) == ""
    assert shown.context(names.REPOSITORY_URL) == ""


@pytest.mark.parametrize("claim", ["main", None])
def test_a_branchs_run_is_not_the_records(claim: str | None) -> None:
    """A run of another branch counts neither where it says main nor where it says nothing."""
    run, artifact = honest()
    run, artifact = claiming(run, REF_NAME=claim), replace(artifact, branch="feature")
    origin = Origin.of(artifact, run, REPOSITORY)
    assert not counts(run, origin)
    assert origin.applied(run).context(names.REF_NAME) == "feature"


def test_a_forks_main_is_not_main() -> None:
    """A pull request from a fork's branch ``main`` is a fork's run."""
    run, artifact = honest()
    origin = Origin.of(replace(artifact, fork=True), run, REPOSITORY)
    assert not origin.trusted
    assert not counts(run, origin)


def test_the_page_tells(tmp_path: Path) -> None:
    """The run's page shows digest and command where the origin is trusted, the contradiction where not."""
    sample = golden.ok()
    run, artifact = honest()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / f"{run.id}.json").write_bytes(sample.sealed())
    ledger = Ledger(tmp_path / "runs/origins.json")
    for told, expected in (
        (artifact, f"gh attestation verify {run.id}.json --repo {REPOSITORY}"),
        (replace(artifact, branch="evil"), "GitHub says"),
    ):
        ledger.runs[run.id] = Origin.of(told, run, REPOSITORY)
        ledger.save()
        Builder(tmp_path / "runs", tmp_path / "site", settings=Settings(mlflow_ui=False)).build()
        page = (tmp_path / "site/runs" / run.id / "index.html").read_text()
        assert expected in page
        assert 'id="integrity"' in page
    assert "gh attestation" not in page


def test_a_damaged_ledger_is_an_empty_one(tmp_path: Path) -> None:
    """What cannot be read is written anew, not fatal."""
    for content in (b"", b"{}", b"[1]", b'{"runs": {"x": {}}, "refused": {}, "done": {}}'):
        (tmp_path / "origins.json").write_bytes(content)
        assert Ledger.load(tmp_path).runs == {}
