"""The program ``spanbook``: nothing but its start.

It is a package of its own, without imports, because importing ``spanbook`` takes a fifth of a second,
in which Ctrl-C would otherwise show a traceback.
"""

import signal


def main() -> int:
    """Run the command, with Ctrl-C as quiet as it is of any program before it, and without effect after.

    Once the command has its exit code, an impatient user's next Ctrl-C must not take its place.
    """
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else a shell put it off
    if heard:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from spanbook.cli import main as command  # noqa: PLC0415

    if heard:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return command()
    finally:
        if heard:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
