"""Every address of the MLflow part, and the links between its pages and ours.

The UI routes by fragment (``mlflow/index.html#/experiments/…``). Ids are the same in every build:
an experiment's comes from its pipeline and task, a task run's from its run and span.
"""

from collections.abc import Iterable
from urllib.parse import quote

from spanbook_runfile.mlflow import experiment_id, run_id

from spanbook_site.urls import Urls

FOLDER = "mlflow"
INDEX = f"{FOLDER}/index.html"
DATA = f"{FOLDER}/data"
ALL = "1"  # the experiment that holds the pipeline runs
VIEW = "metrics"  # the shared view that shows an experiment's metrics and parameters


def run_page(run: str) -> str:
    """Our own page of a pipeline run, from the site's root."""
    return Urls.run(run)


def task_run_page(run: str, task: str) -> str:
    """Our own page of a task run, from the site's root."""
    return Urls.task_run(run, task)


class MlflowUrls:
    """Links from one of our pages into the MLflow pages; ``page`` is its address in the site."""

    def __init__(self, page: str) -> None:
        self._index = Urls(page).to(INDEX)

    @property
    def home(self) -> str:
        """The list of experiments."""
        return f"{self._index}#/experiments"

    def runs(self, view: str = VIEW) -> str:
        """The table of all pipeline runs."""
        return self._experiment(ALL, view)

    def task(self, pipeline: str, task: str, view: str = VIEW) -> str:
        """The table of a task's runs, its metrics and parameters as columns."""
        return self._experiment(experiment_id(pipeline, task), view)

    def charts(self, pipeline: str, task: str) -> str:
        """The charts of a task's runs."""
        return (
            f"{self._index}#/experiments/{experiment_id(pipeline, task)}/runs?compareRunsMode=CHART"
        )

    def run(self, run: str) -> str:
        """A pipeline run's page."""
        return f"{self._index}#/experiments/{ALL}/runs/{run_id(run)}"

    def task_run(self, pipeline: str, task: str, run: str, attempt: str) -> str:
        """The page of a task run: of the attempt that counted, or of a run within it."""
        experiment = experiment_id(pipeline, task)
        return f"{self._index}#/experiments/{experiment}/runs/{run_id(run, attempt)}"

    def compare(self, experiments: Iterable[str], runs: Iterable[str]) -> str:
        """The comparison of some MLflow runs of some experiments."""
        return f"{self._index}#/compare-runs?runs={_list(runs)}&experiments={_list(experiments)}"

    def metric(self, experiment: str, runs: Iterable[str], key: str) -> str:
        """The plot of one metric of some MLflow runs."""
        keys = _list([key])
        return (
            f"{self._index}#/metric?runs={_list(runs)}&metric={quote(_text(key), safe='')}"
            f"&experiments={_list([experiment])}&plot_metric_keys={keys}"
        )

    def _experiment(self, experiment: str, view: str) -> str:
        return f"{self._index}#/experiments/{experiment}/runs" + (
            f"?viewStateShareKey={quote(view, safe='')}" if view else ""
        )


def _list(items: Iterable[str]) -> str:
    return quote("[" + ",".join(_text(item) for item in items) + "]", safe="")


def _text(item: str) -> str:
    return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'


def data_of_run(run: str) -> str:
    """The folder of a run's MLflow data, beside its own page."""
    return Urls.run_part(run, FOLDER)
