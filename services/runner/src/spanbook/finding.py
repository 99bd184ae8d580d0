"""Finding a pipeline: a folder with pipeline.py, a .py file, or ``module:name``."""

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from spanbook.errors import PipelineError, one_of, user_traceback
from spanbook.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class Found:
    """A pipeline, and the folder from which workers can import its code."""

    pipeline: Pipeline[..., Any]
    root: Path  # goes onto sys.path
    folder: Path  # where the pipeline's own file lies


def find_pipeline(target: str) -> Found:
    """Import what the user named, and find its pipeline.

    Raises:
        PipelineError: there is no such thing, its import fails, or it has no pipeline.
    """
    module_name, colon, wanted = target.rpartition(":")
    path = Path(module_name if colon and not Path(target).exists() else target)
    wanted = wanted if colon and not Path(target).exists() else ""
    if path.is_dir():
        file = path / "pipeline.py"
        if not file.is_file():
            there = sorted(p.name for p in path.glob("*.py"))
            raise PipelineError(
                f"The folder {path} has no pipeline.py. Python files there: {', '.join(there) or 'none'}. "
                "Name the file itself: spanbook run FILE.py"
            )
        path = file
    if path.suffix == ".py" or path.exists():
        if not path.is_file():
            raise PipelineError(f"There is no {path} (looked in {Path.cwd()}).")
        module, root = _import_file(path.resolve())
    elif colon or "." in target or "/" not in target:
        module, root = _import_module(str(path) if colon else target)
    else:
        raise PipelineError(
            f"There is no {target} (looked in {Path.cwd()}). Give a folder with a pipeline.py, a .py "
            "file, or module:name."
        )
    folder = Path(module.__file__ or ".").resolve().parent
    return Found(_choose(module, wanted, target), root, folder)


def _import_file(file: Path) -> tuple[ModuleType, Path]:
    """Import a file under a name by which workers can import it too."""
    root, name = file.parent, file.stem
    while (root / "__init__.py").is_file():
        root, name = root.parent, f"{root.name}.{name}"
    if not all(part.isidentifier() for part in name.split(".")):
        raise PipelineError(
            f"{file.name} cannot be imported: {name!r} is no Python name. Rename it, without '-'."
        )
    put_on_path(root)
    module = _import(name)
    if Path(module.__file__ or "").resolve() != file:
        raise PipelineError(
            f"{file} cannot be imported as {name!r}: that is the name of another module "
            f"({module.__file__ or 'built in'}). Rename the file."
        )
    return module, root


def _import_module(name: str) -> tuple[ModuleType, Path]:
    put_on_path(Path.cwd())
    module = _import(name)
    file = Path(module.__file__ or Path.cwd()).resolve()
    return module, file.parents[name.count(".") + (file.name == "__init__.py")]


def put_on_path(root: Path) -> None:
    """Make modules of ``root`` importable, here and in every process that is started from here."""
    text = str(root)
    if text not in sys.path:
        sys.path.insert(0, text)
    known = [p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    if text not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join([text, *known])


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise PipelineError(
                f"There is no file, folder or module {name!r} (looked in {Path.cwd()} and in the "
                "Python path)."
            ) from None
        raise PipelineError(
            f"The pipeline cannot be imported: {error}.\n\n{user_traceback(error)}\n"
            f"Install what is missing (pip install {(error.name or '').partition('.')[0]}), or mend the import."
        ) from None
    except PipelineError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever the user's module raises)
        raise PipelineError(
            f"The pipeline cannot be imported: {type(error).__name__}: {error}\n\n{user_traceback(error)}"
        ) from None


def _choose(module: ModuleType, wanted: str, target: str) -> Pipeline[..., Any]:
    pipelines = {name: value for name, value in vars(module).items() if isinstance(value, Pipeline)}
    if wanted:
        if wanted not in pipelines:
            raise PipelineError(
                f"{module.__name__} has no pipeline {wanted!r}. {one_of(wanted, pipelines)}"
            )
        return pipelines[wanted]
    own = {n: p for n, p in pipelines.items() if p.function.__module__ == module.__name__}
    if not own:
        raise PipelineError(
            f"{target} has no pipeline: decorate the function that calls your tasks with @pipeline "
            "(from spanbook import pipeline)."
        )
    outer = [p for p in own.values() if not any(_uses(q, p) for q in own.values())]
    if len(outer) == 1:
        return outer[0]
    stem = Path(target).name.removesuffix(".py")
    named = [p for p in outer if p.name in (stem, module.__name__.rpartition(".")[2], "main")]
    if len(named) == 1:
        return named[0]
    raise PipelineError(
        f"{target} has {len(own)} pipelines: {', '.join(own)}. Name one: "
        f"{module.__name__}:{next(iter(own))}"
    )


def _uses(outer: Pipeline[..., Any], inner: Pipeline[..., Any]) -> bool:
    """Whether one pipeline of a module calls another, by its name."""
    return outer is not inner and inner.function.__name__ in outer.function.__code__.co_names
