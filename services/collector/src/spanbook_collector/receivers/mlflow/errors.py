"""MLflow's error form: a JSON object with ``error_code`` and ``message``, and the status of each."""

from typing import Final

_STATUS: Final = {
    "INVALID_PARAMETER_VALUE": 400,
    "BAD_REQUEST": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "INVALID_STATE": 400,
    "PERMISSION_DENIED": 403,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "NOT_IMPLEMENTED": 501,
    "INTERNAL_ERROR": 500,
    "TEMPORARILY_UNAVAILABLE": 503,
}
_MOST: Final = 2_000  # characters of a message: it may quote what was sent


class MlflowError(Exception):
    """A refusal, as MLflow's server words it."""

    def __init__(self, message: str, code: str = "INVALID_PARAMETER_VALUE") -> None:
        super().__init__(message if len(message) <= _MOST else message[:_MOST] + "…")
        self.code = code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return _STATUS[self.code]

    def as_json(self) -> dict[str, str]:
        """The body."""
        return {"error_code": self.code, "message": str(self)}


def missing(what: str, name: object) -> MlflowError:
    """There is no such run, experiment or model."""
    return MlflowError(f"{what} with id={_short(name)} not found", "RESOURCE_DOES_NOT_EXIST")


def _short(name: object) -> str:
    text = str(name)
    return text if len(text) <= 100 else text[:100] + "…"


def sealed(run_id: str) -> MlflowError:
    """A run whose file is sealed takes nothing more."""
    return MlflowError(
        f"The run {_short(run_id)} is sealed: its run file is written and never changes. Log before "
        "the MLflow run ends, or start a run of its own.",
        "INVALID_STATE",
    )


def not_kept(what: str) -> MlflowError:
    """A part of MLflow that spanbook has no place for."""
    return MlflowError(
        f"{what} not kept here: spanbook's collector keeps runs, with their parameters, metrics, "
        "tags, artifacts, datasets, logged models and traces. Use an MLflow server for the rest.",
        "NOT_IMPLEMENTED",
    )
