"""What can go wrong with a site build, told so that it can be mended."""


class SiteError(Exception):
    """The site cannot be built; the message says what was seen, why, and how to mend it."""


class SettingsError(SiteError):
    """The settings file is not as it should be."""


class OutputError(SiteError):
    """The output folder cannot be used."""


class VendorError(SiteError):
    """The browser libraries could not be fetched."""
