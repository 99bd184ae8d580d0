"""What Ray says of an attempt that has no outcome of its own."""

import re

from ray import exceptions

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # Ray writes for terminals


def cause(error: BaseException) -> tuple[str, str]:
    """What Ray knows of why an attempt has no outcome: error type and message."""
    text = _COLOUR.sub("", str(error)).strip()
    if isinstance(error, exceptions.OutOfMemoryError):
        return "OutOfMemory", f"Ray killed the worker: the machine ran out of memory. {text[:1500]}"
    if isinstance(error, exceptions.NodeDiedError):
        return "NodeDied", f"The machine that ran it was lost. {text[:1500]}"
    if isinstance(error, exceptions.WorkerCrashedError):
        return (
            "WorkerDied",
            "The worker process died: killed from outside (kill -9, out of memory), crashed in "
            "native code, or os._exit was called.",
        )
    if isinstance(error, exceptions.ObjectLostError):
        return (
            "ValueLost",
            f"The value of an upstream task was lost with its machine. {text[:1500]}",
        )
    return type(error).__name__, text[:4000]


def lost_ref(error: object) -> str:
    """The hex id of the object that is lost, where that is the error; else nothing."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, exceptions.ObjectLostError):
        return str(cause.object_ref_hex)
    return ""
