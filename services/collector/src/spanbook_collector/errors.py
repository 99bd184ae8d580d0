"""What the collector refuses, and why: each refusal knows whether the client should come again."""


class CollectorError(Exception):
    """The collector cannot start or go on; the message says what to change."""


class Refusal(Exception):  # noqa: N818 - an answer to a client, not a fault of ours
    """A request that is not taken; the message goes to the client as it is."""


class Invalid(Refusal):
    """The request is not OTLP. Final: 400, INVALID_ARGUMENT."""


class TooLarge(Refusal):
    """The request is over the message limit. Final: 413, RESOURCE_EXHAUSTED without RetryInfo."""


class NotUnary(Refusal):
    """The gRPC call has no message. Final: UNIMPLEMENTED, as gRPC's own table has it."""


class UnsupportedMedia(Refusal):
    """The content type or encoding is none of OTLP's. Final: 415."""


class Busy(Refusal):
    """A passing fault: disk full, too much at once. Retryable: 503, UNAVAILABLE with RetryInfo."""

    def __init__(self, message: str, *, retry_after: int = 5) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds
