"""A span as the decoder knows it: out of OTLP JSON, whatever that holds."""

from spanbook_runfile import names
from spanbook_runfile.names import Result
from spanbook_runfile.values import (
    Object,
    attributes_of,
    dict_of,
    enum_of,
    int_of,
    list_of,
    text_of,
    time_of,
)


class DecodedSpan:
    """One span as far as the decoder needs it."""

    __slots__ = (
        "attrs",
        "end",
        "error",
        "id",
        "links",
        "name",
        "parent",
        "service",
        "start",
        "type",
    )

    def __init__(self, raw: Object, service: str) -> None:
        self.id = text_of(raw.get("spanId"))
        self.parent = text_of(raw.get("parentSpanId"))
        self.name = text_of(raw.get("name"))
        self.start = time_of(raw.get("startTimeUnixNano"))
        self.end = time_of(raw.get("endTimeUnixNano"))
        self.attrs = attributes_of(raw.get("attributes"))
        self.type = text_of(self.attrs.get(names.SPAN_TYPE))
        self.service = service
        status = dict_of(raw.get("status"))
        self.error = ""
        if int_of(status.get("code")) == 2:
            self.error = text_of(status.get("message")) or "error"
        self.links = [
            (text_of(link.get("spanId")), attributes_of(link.get("attributes")))
            for link in list_of(raw.get("links"))
            if isinstance(link, dict)
        ]

    def result(self, name: str, default: Result = Result.ERROR) -> Result:
        """The result that an ended span declares; an unknown one is the default."""
        return enum_of(Result, self.attrs.get(name), default)
