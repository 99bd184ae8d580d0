"""A stand-in for GitHub Pages: it serves a folder below a path, and says 503 when told to."""

from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class Pages:
    """A published site on an address of this machine; ``faults`` are statuses given first."""

    def __init__(self, site: Path) -> None:
        self.site = site
        self.faults: list[int] = []
        self.asked: list[str] = []

    def __enter__(self) -> "Pages":
        pages = self

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def do_GET(self) -> None:
                pages.asked.append(self.path)
                if pages.faults:
                    self.send_error(pages.faults.pop(0))
                else:
                    super().do_GET()

            def translate_path(self, path: str) -> str:
                return str(pages.site / path.removeprefix("/digits/").partition("?")[0])

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/digits/"
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
