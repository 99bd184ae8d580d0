"""What can go wrong in the viewer, told so that it can be mended."""


class ViewerError(Exception):
    """The viewer cannot do as it was told; the message says why and how to mend it."""


class SettingsError(ViewerError):
    """A flag or a ``SPANBOOK_*`` variable has a value that cannot be used."""


class AddressInUseError(ViewerError):
    """Another program listens on the port."""


class ImportRefusedError(ViewerError):
    """An uploaded file is not taken; ``status`` is the HTTP status to answer with."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status
