"""One request to both twins, and whether their answers are the same."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from mlflow_twins import EXPERIMENTS, Served, generated
from playwright.sync_api import Page

BOTH = list(EXPERIMENTS)
API = "ajax-api/2.0/mlflow/"
SEARCH = f"{API}runs/search"
RUNS = generated()
IDS = [record.id for records in RUNS.values() for record in records]


@dataclass
class Twins:
    """One page of the static site, and the address of the real server."""

    page: Page
    server: Served

    def static(self, method: str, route: str, body: object = None) -> tuple[int, Any]:
        """What the static site answers."""
        status, text = self.page.evaluate(
            """async ([method, route, body]) => {
              const options = body === null ? { method } : { method, body: JSON.stringify(body) };
              const response = await fetch(route, options);
              return [response.status, await response.text()];
            }""",
            [method, route, body],
        )
        return status, _parsed(text)

    def real(self, method: str, route: str, body: object = None) -> tuple[int, Any]:
        """What the real server answers."""
        request = urllib.request.Request(
            self.server.url + route,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, _parsed(response.read().decode())
        except urllib.error.HTTPError as error:
            return error.code, _parsed(error.read().decode())

    def same(self, method: str, route: str, body: object = None) -> Any:
        """Ask both; returns the real answer after they were found to be the same."""
        (ours, mine), (theirs, real) = (
            self.static(method, route, body),
            self.real(method, route, body),
        )
        told = f"{method} {route} {json.dumps(body, ensure_ascii=False)}"
        assert ours == theirs, (
            f"{told}: {ours} {str(mine)[:400]} but the server says {theirs} {str(real)[:400]}"
        )
        if theirs == 200:
            assert _sorted(mine) == _sorted(real), f"{told}: {mine} but the server says {real}"
        else:
            assert mine["error_code"] == real["error_code"], told
        return real

    def search(self, **request: object) -> list[dict[str, Any]]:
        """Search runs in both."""
        found = self.same("POST", SEARCH, {"experiment_ids": BOTH, "max_results": 1000, **request})
        return list(found.get("runs", []))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"text": text}


def _sorted(message: Any) -> Any:
    """A message with a run's metrics, parameters and tags by key: the server's order of them is none."""
    if isinstance(message, dict):
        out = {key: _sorted(value) for key, value in message.items()}
        for kind in ("metrics", "params", "tags"):
            if isinstance(out.get(kind), list) and "run_id" not in str(out[kind][:1]):
                out[kind] = sorted(
                    out[kind],
                    key=lambda item: (item["key"], item.get("timestamp", 0), item.get("step", 0)),
                )
        return out
    if isinstance(message, list):
        return [_sorted(item) for item in message]
    return message
