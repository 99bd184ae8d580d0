"""What the code can be told is in the docs, and what the docs tell is in the code."""

import os
import re
import subprocess
from functools import cache

import pytest
from support.stack import ROOT, program

CONFIGURATION = ROOT / "docs/configuration.md"
COMMANDS = ("spanbook", "spanbook-collector", "spanbook-site", "spanbook-viewer")
CODE = ("services/*/src/**/*.py", "libs/*/src/**/*.py", "scripts/*", "docker-compose.yml")
NOT_SETTINGS = {  # of the test suite, and between processes of one run
    "SPANBOOK_ATTEMPT_ID",
    "SPANBOOK_CHROMIUM",
    "SPANBOOK_ENGINE",
    "SPANBOOK_KERNEL_HOST",
    "SPANBOOK_REQUIRE_DOCKER",
}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def variables(*texts: str) -> set[str]:
    """Every ``SPANBOOK_…`` variable that is named in these texts, but for the suite's own."""
    found = {name for text in texts for name in re.findall(r"\bSPANBOOK_[A-Z_]*[A-Z]\b", text)}
    return found - NOT_SETTINGS


@cache
def help_of(*command: str) -> str:
    """The help of a command, wide enough not to break words."""
    done = subprocess.run(
        [program(command[0]), *command[1:], "--help"],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def subcommands(command: str) -> list[str]:
    """The subcommands that a command's help lists, if it has any."""
    _, found, listed = help_of(command).partition("  COMMAND\n")
    return re.findall(r"(?m)^    ([a-z-]+)(?:  |$)", listed) if found else []


@cache
def flags(command: str) -> frozenset[str]:
    """The long flags of a command and all its subcommands."""
    texts = [help_of(command), *(help_of(command, name) for name in subcommands(command))]
    return frozenset(FLAG.findall(" ".join(texts))) - {"--help", "--version"}


def test_every_variable_is_documented_and_every_documented_one_is_read() -> None:
    """docs/configuration.md and the code name the same ``SPANBOOK_…`` variables."""
    code = [path.read_text() for glob in CODE for path in ROOT.glob(glob) if path.is_file()]
    read = variables(*code, *map(help_of, COMMANDS))
    documented = variables(CONFIGURATION.read_text())
    assert read - documented == set(), "read by the code, not in docs/configuration.md"
    assert documented - read == set(), "in docs/configuration.md, read by nothing"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_is_documented(command: str) -> None:
    """Each flag of each command is in docs/configuration.md."""
    documented = set(FLAG.findall(CONFIGURATION.read_text()))
    assert flags(command) - documented == set()


def test_every_documented_flag_is_there() -> None:
    """docs/configuration.md names no flag that no command has."""
    known = {flag for command in COMMANDS for flag in flags(command)} | {"--help", "--version"}
    assert set(FLAG.findall(CONFIGURATION.read_text())) - known == set()


def test_links_between_documents_lead_somewhere() -> None:
    """A relative link in a document names a file that is there."""
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("pipelines/*/*.md")]
    for document in documents:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.relative_to(ROOT)}: {target}"


def test_the_readme_shows_the_tested_example() -> None:
    """The README's pipeline is ``pipelines/hello``, which the whole-stack tests run."""
    example = ROOT.joinpath("pipelines/hello/pipeline.py").read_text()
    assert example in ROOT.joinpath("README.md").read_text()
