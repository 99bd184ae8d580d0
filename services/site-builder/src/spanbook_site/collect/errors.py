"""What can go wrong while collecting; each message ends up in the report."""

from spanbook_site.errors import SiteError


class GitHubError(SiteError):
    """GitHub refused, could not be reached, or answered not as documented."""


class RateLimitedError(GitHubError):
    """The rate limit lasts longer than we were told to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"GitHub's rate limit asks for {seconds:,.0f} s of waiting. What was collected is "
            "kept: run the command again later, or raise --max-wait."
        )


class DeniedError(GitHubError):
    """The token is missing or wrong: no other request will fare better."""


class BeyondError(GitHubError):
    """422: the API lists no further than this."""


class ExpiredError(GitHubError):
    """The artifact was deleted by GitHub."""

    def __init__(self) -> None:
        super().__init__("GitHub has deleted it: its days were over.")


class RefusedArtifactError(SiteError):
    """The artifact is not what it should be; the message says why it is left out."""
