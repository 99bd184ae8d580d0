import sys
from pathlib import Path

import pytest

PIPELINE = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def pipeline_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks are imported as the runner does it, with the pipeline's folder on the path."""
    monkeypatch.syspath_prepend(str(PIPELINE))
    for name in ("tasks", "pipeline"):  # another pipeline may have modules of these names
        sys.modules.pop(name, None)
