"""``spanbook init``: a repository with a small pipeline that works as it is."""

import argparse
import keyword
import re
import sys
from collections.abc import Iterator
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

from spanbook.errors import UsageError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}[A-Za-z0-9]")
# where releases put the images: the one place that says it, and scripts/check-version holds it against GitHub
IMAGES = "ghcr.io/spanbook/"
_TAKEN = {"pipeline", "spanbook", "test", "tests"}  # names of other things in the repository
_HIDDEN, _SUFFIX = "dot-", ".tmpl"  # how the template keeps tools from taking its files for ours


def add_init_command(commands: Any) -> None:
    """Add ``init`` to the command's subparsers."""
    command = commands.add_parser(
        "init",
        help="make a new project: a pipeline, its tests, its workflows",
        description="Make a folder with a small pipeline that works as it is: a task and a notebook, a "
        "test, Makefile, compose file, dev container, and the workflows that publish its tracker.",
        epilog="Example: spanbook init my-project && cd my-project && make serve",
    )
    command.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="a new or empty folder; its name is the project's: letters, digits, - and _",
    )
    command.set_defaults(action=init)


def init(options: argparse.Namespace) -> int:
    """Write the project and say what to do next."""
    folder: Path = options.folder
    name = checked_name(folder.resolve().name)
    _check_empty(folder)
    try:
        for path, text in project(name):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written to: {error.strerror}.") from error
    there = "" if folder.resolve() == Path.cwd() else f"    cd {folder}\n"
    sys.stdout.write(
        f"{folder} holds a pipeline that works as it is. Next:\n"
        f"{there}"
        "    make serve    # runs it, and shows its tracker\n"
        "    make help     # what else there is\n"
        "README.md says how to publish the tracker on GitHub.\n"
    )
    return 0


def project(name: str) -> Iterator[tuple[Path, str]]:
    """Each file of a new project: its path in the folder, and its text."""
    template = Path(str(resources.files("spanbook"))) / "template"
    identifier = name.lower().replace("-", "_")
    words = {
        "my-project": name,
        "my_project": identifier,
        "0.0.0.dev": version("spanbook"),
        "registry.invalid/": IMAGES,
    }
    for source in sorted(template.rglob("*")):
        if source.is_file() and "__pycache__" not in source.parts:
            text = source.read_text(encoding="utf-8")
            for word, replacement in words.items():
                text = text.replace(word, replacement)
            parts = source.relative_to(template).parts
            named = (re.sub(f"^{_HIDDEN}", ".", part) for part in parts)
            yield Path(*named).with_name(_plain(parts[-1])), text


def _plain(name: str) -> str:
    return re.sub(f"^{_HIDDEN}", ".", name).removesuffix(_SUFFIX)


def checked_name(name: str) -> str:
    """The project's name, which is also its pipeline's, with ``_`` for ``-``.

    Raises:
        UsageError: it cannot be both.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a project's name: that has 2 to 64 letters, digits, '-' and '_', "
            "begins with a letter and ends with a letter or digit, such as 'my-project'."
        )
    if keyword.iskeyword(name.lower()) or name.lower() in _TAKEN:
        raise UsageError(
            f"{name!r} cannot be a project's name: it is a word of Python's or of the project's own. "
            f"Say what it is for, such as '{name}-of-birds'."
        )
    return name


def _check_empty(folder: Path) -> None:
    """Nothing of the user's is ever overwritten; a fresh clone of an empty repository is empty."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a new or empty folder.")
    there = sorted(path.name for path in folder.iterdir() if path.name != ".git")
    if there:
        some = ", ".join(there[:5]) + (" …" if len(there) > 5 else "")
        raise UsageError(
            f"{folder} is not empty ({some}), and nothing in it is overwritten. Give a new folder; to "
            "bring a repository of yours to spanbook, make the project beside it and copy over what "
            "you want."
        )
