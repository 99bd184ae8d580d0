"""``404.html``: shown by static hosts at any depth, so it stands alone and finds the way home itself."""

import base64
import hashlib

from markupsafe import Markup

from spanbook_site.output import Output
from spanbook_site.templating import Templates
from spanbook_site.urls import Urls

STYLE = (
    ":root{color-scheme:light dark;font:16px/1.6 system-ui,sans-serif}"
    "body{margin:0;background:#fbfbfa;color:#1c2330}"
    "main{max-width:42rem;margin:12vh auto 0;padding:0 1.5rem}"
    "h1{font-size:1.5rem;line-height:1.25}a{color:#14647f;text-underline-offset:2px}"
    "@media(prefers-color-scheme:dark){body{background:#12161c;color:#e4e8ee}a{color:#6fc3de}}"
)
# The root is what comes before the first folder that is one of ours; on github.io else the project's.
SCRIPT = (
    "(()=>{const parts=location.pathname.split('/');"
    "const ours=['runs','tasks','trends','reports','data','static','mlflow'];"
    "let at=parts.findIndex((part,i)=>i>0&&ours.includes(part));"
    "if(at<0)at=location.hostname.endsWith('.github.io')&&parts.length>2?2:parts.length-1;"
    "const root=parts.slice(0,at).join('/')+'/index.html';"
    "for(const link of document.querySelectorAll('[data-home]'))link.setAttribute('href',root)})()"
)


def write(output: Output, templates: Templates) -> None:
    """Write the page; where the settings name the site's address it needs no script."""
    url = templates.settings.url
    script = "" if url else SCRIPT
    policy = (
        f"default-src 'none'; style-src {_digest(STYLE)}; script-src {_digest(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = templates.alone(
        "not_found.html",
        policy=policy,
        style=Markup(STYLE),  # noqa: S704 - ours
        script=Markup(script),  # noqa: S704 - ours
        home=f"{url.rstrip('/')}/{Urls.HOME}" if url else Urls.HOME,
    )
    output.write(Urls.NOT_FOUND, page)


def _digest(text: str) -> str:
    """The source expression of a policy that allows this text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


__all__ = ["write"]
