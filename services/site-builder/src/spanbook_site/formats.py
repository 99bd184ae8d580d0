"""Numbers, times and texts as people read them; used as Jinja filters."""

import hashlib
import math
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BREAKS = {0x09: " ", 0x0A: "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"}
_HIDDEN = dict.fromkeys(
    [*range(0x20), 0x7F, *range(0x80, 0xA0), *range(0x200B, 0x2010), *range(0x2028, 0x202F),
     *range(0x2066, 0x206A), 0xFEFF], "\N{REPLACEMENT CHARACTER}"
) | _BREAKS  # fmt: skip
_HIDDEN_LINES = {k: v for k, v in _HIDDEN.items() if k not in (0x09, 0x0A, 0x0D)}


def moment(ns: int) -> datetime:
    """A time in nanoseconds since the epoch; beyond what dates can hold it is the last one."""
    try:
        return _EPOCH + timedelta(microseconds=ns // 1000)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


def iso(ns: int | None) -> str:
    """A time as ISO 8601 to the millisecond, UTC."""
    if ns is None:
        return ""
    return moment(ns).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def when(ns: int | None) -> str:
    """A time to the minute, UTC."""
    return "" if ns is None else f"{moment(ns):%Y-%m-%d %H:%M} UTC"


def exact(ns: int | None) -> str:
    """A time to the second, UTC."""
    return "" if ns is None else f"{moment(ns):%Y-%m-%d %H:%M:%S} UTC"


def clock(ns: int | None) -> str:
    """The time of day to the millisecond."""
    return "" if ns is None else f"{moment(ns):%H:%M:%S.%f}"[:-3]


def duration(ns: int | None) -> str:
    """A time span with two units at most: ``85 ms``, ``3.2 s``, ``1 min 24 s``, ``2 h 05 min``."""
    if ns is None:
        return ""
    seconds = abs(ns) / NS
    sign = "\N{MINUS SIGN}" if ns < 0 else ""
    if seconds < 0.9995:
        text = f"{seconds * 1000:.0f} ms"
    elif seconds < 59.95:
        text = f"{seconds:.1f} s"
    elif seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        text = f"{minutes} min {rest:02d} s"
    elif seconds < 48 * 3600:
        hours, rest = divmod(round(seconds / 60), 60)
        text = f"{hours} h {rest:02d} min"
    else:
        text = f"{seconds / 86400:,.1f} d"
    return sign + text


def seconds(value: float | None) -> str:
    """A time span given in seconds, as :func:`duration` writes it."""
    return duration(None if value is None else round(value * NS))


def size(count: int | None) -> str:
    """Bytes: ``812 B``, ``1.4 kB``, ``3.9 MB``."""
    if count is None:
        return ""
    value = float(count)
    if value < 1000:
        return f"{count} B"
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5:
            return f"{value:.3g} {unit}"
    return f"{value:,.0f} TB"


def number(value: object) -> str:
    """A number to six significant digits; integers whole; other things as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text(value)
    if isinstance(value, int):
        return (
            f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
            if abs(value) >= 10_000
            else str(value)
        )
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "\N{MINUS SIGN}∞"
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}")


def places(values: Iterable[object]) -> int | None:
    """Decimals that a column of numbers is shown with; None where each is best shown by itself.

    Four significant digits of the largest, none where all are whole: it hangs on their size only,
    so that a column seldom changes its looks when a run is added.
    """
    found = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    found = [v for v in found if math.isfinite(v)]
    most = max(map(abs, found), default=0)
    if not found or most >= 1e6 or 0 < most < 1e-2:
        return None
    if all(float(v).is_integer() for v in found):
        return 0
    return max(0, 3 - math.floor(math.log10(most)))


def fixed(value: object, decimals: int | None) -> str:
    """A number with so many decimals; one that would look like nothing keeps its own digits."""
    if decimals is None or isinstance(value, bool) or not isinstance(value, int | float):
        return number(value)
    if not math.isfinite(value) or (value and abs(value) < 0.5 * 10**-decimals):
        return number(value)
    whole = f"{value:,.{decimals}f}" if abs(value) >= 10_000 else f"{value:.{decimals}f}"
    return whole.replace(",", "\N{NARROW NO-BREAK SPACE}").replace("-", "\N{MINUS SIGN}")


def text(value: object, limit: int = 300) -> str:
    """Any value on one line, of bounded length, hidden and direction-changing characters shown."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return shorten(visible(value if isinstance(value, str) else str(value)), limit)


def name(value: str, limit: int = 120) -> str:
    """A name on one line that no other name has: with a digest where something of it is not shown."""
    shown = text(value, limit)
    if shown == value:
        return shown
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{shorten(visible(value), limit - 9)}~{digest}"


def shorten(value: str, limit: int) -> str:
    """At most ``limit`` characters, with an ellipsis where some are missing."""
    return value if len(value) <= limit else value[: limit - 1].rstrip() + "…"


def visible(value: str, *, lines: bool = False) -> str:
    """Control, zero-width and direction-changing characters replaced, so that text cannot lie.

    Without ``lines`` a new line is an arrow, and a tab a space.
    """
    return value.replace("\r\n", "\n").translate(_HIDDEN_LINES if lines else _HIDDEN)


def display_width(value: str) -> int:
    """Columns that a text takes: wide East Asian characters count two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in value)


def plural(count: int, one: str, many: str = "") -> str:
    """``1 run``, ``2 runs``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


STATE_WORDS = {
    "success": "ok",
    "failure": "failed",
    "error": "error",
    "timeout": "timed out",
    "cancellation": "cancelled",
    "skip": "skipped",
    "running": "running",
    "queued": "queued",
    "waiting": "waiting",
    "interrupted": "interrupted",
    "trace": "trace",
    "broken": "broken file",
}


def state_word(state: str) -> str:
    """A state in the page's words."""
    return STATE_WORDS.get(state, text(state, 30))
