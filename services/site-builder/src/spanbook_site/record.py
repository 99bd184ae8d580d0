"""What a build remembers of a run."""

from dataclasses import dataclass


@dataclass(slots=True)  # not frozen: ten thousand of them are made at each start
class Record:
    """What a build remembers of a run."""

    key: str
    stamp: str  # of the source when it was rendered
    version: str  # of all that was written
    live: bool
    start: int = 0  # ms; where it stands among the others
    main: bool = True
    pipeline: str = ""
    tasks: tuple[str, ...] = ()  # task names
    size: int = 0  # bytes written, when not trimmed
    lean: int = 0  # of these, what stays when it is
    slim: int = 0  # and what stays when only a stub is left
    trimmed: bool = False
    stub: bool = False
    fixed: bool = False  # whether there is no more than the stub
    file: str = ""  # the address of the run file, or of the trimmed one; empty where there is none
    file_size: int = 0
    sha256: str = ""  # of that file
    models: bool = False  # whether a page of it runs a model
    mlflow: int = 0  # bytes of its rows in MLflow's UI; nought where it has none
    broken: str = ""  # why it could not be read
    name: str = ""  # of the source file
