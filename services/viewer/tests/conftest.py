"""A client of the viewer whose answers are read whole and closed, as gunicorn closes them."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient


class WholeClient(FlaskClient):
    """Flask's client, buffered."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        """As Flask's; the response's file is closed on return."""
        return super().open(*args, **{**kwargs, "buffered": True})


@pytest.fixture(autouse=True)
def whole_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every ``test_client()`` here is a whole one."""
    monkeypatch.setattr(Flask, "test_client_class", WholeClient)
