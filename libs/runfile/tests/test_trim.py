"""Trimmed run files: all but the bytes of artifacts."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from spanbook_runfile import NotARunFileError, TooLargeError, parse_run, samples
from spanbook_runfile.trim import SUFFIX, digest_of, is_whole, original_of, stub, trim, unpack
from spanbook_runfile.verify import verify

MOST = 100 << 20


def recorded(content: bytes) -> list[tuple[str, str, int, str]]:
    """What a run's artifacts are called, and of what size and digest they were."""
    run = parse_run(content)
    attempts = [a for task in run.tasks for a in task.attempts]
    artifacts = [*run.artifacts, *(f for a in attempts for f in a.artifacts)]
    return [(f.path, f.media_type, f.size, f.sha256) for f in artifacts]


@pytest.mark.parametrize("name", ["ok", "failed", "retried", "timed-out", "killed", "foreign"])
def test_only_the_bytes_of_artifacts_go(name: str) -> None:
    """Tasks, results, metrics, logs and the list of artifacts are as in the whole file."""
    content = samples.sealed(name)
    packed = trim(content)
    slim = unpack(packed, MOST)
    before, after = parse_run(content), parse_run(slim)
    assert recorded(slim) == recorded(content)
    assert [(t.title, t.state, t.start, t.end) for t in after.tasks] == [
        (t.title, t.state, t.start, t.end) for t in before.tasks
    ]
    for old, new in zip(before.tasks, after.tasks, strict=True):
        for was, now in zip(old.attempts, new.attempts, strict=True):
            assert (was.metrics, was.logs, was.parameters) == (
                now.metrics,
                now.logs,
                now.parameters,
            )
    assert after.problems == before.problems
    assert after.state == before.state
    assert len(packed) < len(content)


def test_a_trimmed_file_has_its_own_digest_and_names_the_whole_ones() -> None:
    """The seal covers what is there, and tells which file it was made from."""
    content = samples.sealed("ok")
    slim = unpack(trim(content), MOST)
    assert is_whole(content)
    assert original_of(content) is None
    assert is_whole(slim)
    assert original_of(slim) == (digest_of(content), len(content))
    assert not is_whole(slim.replace(b'"success"', b'"failure"', 1))


def test_trimming_is_deterministic_and_may_be_repeated() -> None:
    """The same file gives the same bytes."""
    content = samples.sealed("ok")
    assert trim(content) == trim(content)


@pytest.mark.parametrize("packed", [b"", b"no gzip", trim(samples.sealed("ok"))[:-9]])
def test_what_is_no_gzip_is_told(packed: bytes) -> None:
    """Nothing, noise, and a file that is cut short are refused, not half read."""
    with pytest.raises(NotARunFileError):
        unpack(packed, MOST)


def test_a_bomb_is_not_unpacked() -> None:
    """What unpacks to more than the limit is refused."""
    with pytest.raises(TooLargeError):
        unpack(gzip.compress(bytes(10_000)), 9_999)


def test_only_a_sealed_file_is_trimmed() -> None:
    """A file that no collector sealed has nothing to say which it was."""
    with pytest.raises(NotARunFileError, match="not sealed"):
        trim(b'{"resourceSpans": []}')


@pytest.mark.parametrize("made", [trim, stub])
def test_what_is_left_can_be_verified(made: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """A trimmed file's seal is checked and its origin told; one that was changed is said to be."""
    content = samples.sealed("ok")
    run_id = parse_run(content).id
    path = tmp_path / f"{run_id}{SUFFIX}"
    path.write_bytes(made(content))
    findings = verify(path)
    assert not [finding.text for finding in findings if finding.ok is False]
    assert any(digest_of(content) in finding.text for finding in findings)
    path.write_bytes(
        gzip.compress(unpack(made(content), MOST).replace(b'"success"', b'"failure"', 1))
    )
    (bad,) = [finding.text for finding in verify(path) if finding.ok is False]
    assert "changed after it was sealed" in bad
