"""What can go wrong with a run file, told so that it can be mended."""


class RunFileError(Exception):
    """A run file or journal cannot be read; the message says which, where and why."""


class NotARunFileError(RunFileError):
    """The bytes are no run file at all: empty, not JSON, or without OTLP content."""


class NotOtlpError(RunFileError):
    """The bytes are no OTLP JSON of that signal; the message names the place."""


class TooLargeError(RunFileError):
    """The input is over a size limit that the caller set."""


class NotAZipError(RunFileError):
    """The bytes are no zip that can be read: broken, protected, or of a rare kind."""


class NoSuchRunError(RunFileError):
    """What was named is no run file that can be found, or not one alone."""


class SealedAlreadyError(RunFileError):
    """The run has a run file already; it is never rewritten."""


class FolderInUseError(RunFileError):
    """The folder to write to holds something already."""


class ReplayError(RunFileError):
    """The other end did not take what was sent."""
