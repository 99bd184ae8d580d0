"""What a terminal was told, as HTML: colours and weights as classes, the rest of the control codes dropped."""

import re

from markupsafe import escape

_CODE = re.compile(r"\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
_NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_STYLES = {1: "bold", 3: "italic", 4: "underline"}
_OFF = {22: "bold", 23: "italic", 24: "underline"}
_LEVELS = (0, 95, 135, 175, 215, 255)  # of the cube of 256 colours


def html(text: str) -> str:
    """Text with escape sequences as HTML; a line that a carriage return begins anew is its last state."""
    out: list[str] = []
    styles: dict[str, str] = {}  # what is on: "fg", "bg" or a style → class, or a style attribute
    at = 0
    text = overwritten(text)
    for match in _CODE.finditer(text):
        out.append(_styled(text[at : match.start()], styles))
        at = match.end()
        if match[2] == "m" and not match[1].strip("0123456789;:"):
            _apply(match[1], styles)
    out.append(_styled(text[at:], styles))
    return "".join(out)


def overwritten(text: str) -> str:
    """What a terminal shows of lines that were written over: progress bars."""
    if "\r" not in text:
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def _styled(text: str, styles: dict[str, str]) -> str:
    if not text:
        return ""
    if not styles:
        return str(escape(text))
    classes = " ".join(v for v in styles.values() if ":" not in v)
    colours = ";".join(v for v in styles.values() if ":" in v)
    attributes = (f' class="{classes}"' if classes else "") + (
        f' style="{colours}"' if colours else ""
    )
    return f"<span{attributes}>{escape(text)}</span>"


def _apply(codes: str, styles: dict[str, str]) -> None:
    numbers = [int(code or 0) for code in codes.replace(":", ";").split(";")][:32]
    while numbers:
        code = numbers.pop(0)
        if code == 0:
            styles.clear()
        elif code in _STYLES:
            styles[_STYLES[code]] = f"ansi-{_STYLES[code]}"
        elif code in _OFF:
            styles.pop(_OFF[code], None)
        elif code in (39, 49):
            styles.pop("fg" if code == 39 else "bg", None)
        elif code in (38, 48):
            _colour("fg" if code == 38 else "bg", numbers, styles)
        elif 30 <= code % 60 < 38 and code < 100:
            styles["fg"] = f"ansi-{_NAMES[code % 10]}-fg"
        elif (40 <= code < 48) or (100 <= code < 108):
            styles["bg"] = f"ansi-{_NAMES[code % 10]}-bg"


def _colour(which: str, numbers: list[int], styles: dict[str, str]) -> None:
    """A colour of the 256, or of red, green and blue, whose numbers are taken off the front."""
    kind = numbers.pop(0) if numbers else 0
    if kind == 5 and numbers:
        index = numbers.pop(0)
        if index < 16:
            styles[which] = f"ansi-{_NAMES[index % 8]}-{which}"
            return
        if index > 255:
            return
        index -= 16
        cube = (
            (_LEVELS[index // 36], _LEVELS[index // 6 % 6], _LEVELS[index % 6])
            if index < 216
            else ()
        )
        red, green, blue = cube or (8 + 10 * (index - 216),) * 3
    elif kind == 2 and len(numbers) >= 3:
        red, green, blue = (min(255, numbers.pop(0)) for _ in range(3))
    else:
        return
    name = "color" if which == "fg" else "background"
    styles[which] = f"{name}:#{red:02x}{green:02x}{blue:02x}"


__all__ = ["html", "overwritten"]
