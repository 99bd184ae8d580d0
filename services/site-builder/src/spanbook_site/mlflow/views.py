"""Shared views: which columns a table of the UI opens with.

The UI reads them from an experiment's tag ``mlflow.sharedViewState.<key>`` when its address has
``?viewStateShareKey=<key>``; without one its table shows no metric at all.
"""

from collections.abc import Sequence

import orjson

ATTRIBUTES = ("attributes.`Source`",)


def shared_view(metrics: Sequence[str], params: Sequence[str]) -> str:
    """The view that shows these metrics and parameters, newest run first."""
    selected = [
        *ATTRIBUTES,
        *(f"metrics.`{key}`" for key in metrics if "`" not in key),
        *(f"params.`{key}`" for key in params if "`" not in key),
    ]
    state = {
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": selected,
    }
    return orjson.dumps(state).decode()
