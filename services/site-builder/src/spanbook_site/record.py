"""What a build remembers of a run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """What a build remembers of a run."""

    key: str
    stamp: str  # of the source when it was rendered
    version: str  # of all that was written
    live: bool
    start: int = 0  # ms; where it stands among the others
    main: bool = True
    tasks: tuple[str, ...] = ()  # task names
    size: int = 0  # bytes written, when not trimmed
    trimmed: bool = False
    mlflow: bool = False  # whether it is in MLflow's UI
    broken: str = ""  # why it could not be read
    name: str = ""  # of the source file
