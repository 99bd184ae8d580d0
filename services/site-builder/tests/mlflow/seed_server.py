"""Run by the pinned MLflow's Python: fills its SQLite store with the runs of ``runs.json``."""

import json
import sys
from pathlib import Path

from mlflow.entities import Dataset, DatasetInput, InputTag
from mlflow.store.tracking.dbmodels.models import (
    SqlExperiment,
    SqlExperimentTag,
    SqlLatestMetric,
    SqlMetric,
    SqlParam,
    SqlRun,
    SqlTag,
)
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore


def point(kind: type, run: str, key: str, step: int, time: int, value: float | str) -> object:
    """A metric's row; NaN is a zero with a mark, as the store keeps it."""
    nan = value == "NaN"
    return kind(
        run_uuid=run, key=key, step=step, timestamp=time, value=0 if nan else value, is_nan=nan
    )


def main(folder: Path) -> None:
    """Write every run."""
    store = SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", "mlflow-artifacts:/")
    runs = json.loads((folder / "runs.json").read_text())
    with store.ManagedSessionMaker(read_only=False) as session:
        # A store has a Default experiment of its own, which no published site has. It is marked
        # and not removed: every process of the server that opens the store would make it anew.
        default = session.query(SqlExperiment).filter(SqlExperiment.experiment_id == 0)
        default.update({"lifecycle_stage": "deleted"})
        for number in dict.fromkeys(run["experiment"] for run in runs):
            session.add(
                experiment(number, [run for run in runs if run["experiment"] == number], folder)
            )
        session.flush()
        found = [row for run in runs for row in rows(run)]
        session.bulk_save_objects([row for row in found if isinstance(row, SqlRun)])
        session.bulk_save_objects([row for row in found if not isinstance(row, SqlRun)])
    for run in runs:
        used = run.get("inputs", {}).get("dataset_inputs", [])
        if used:
            store.log_inputs(run["id"], [dataset(each) for each in used])


def dataset(told: dict) -> DatasetInput:
    """A dataset that a run used."""
    lacking = {"schema": "", "profile": ""}
    return DatasetInput(
        Dataset(**{**lacking, **told["dataset"]}),
        [InputTag(tag["key"], tag["value"]) for tag in told["tags"]],
    )


def experiment(number: str, runs: list[dict], folder: Path) -> object:
    """An experiment whose times and tags are those of the static site's list."""
    listed = folder / "experiments.json"
    known = (
        {e["id"]: e for e in json.loads(listed.read_text())["experiments"]}[number]
        if listed.exists()
        else {}
    )
    return SqlExperiment(
        experiment_id=int(number),
        name=runs[0]["experiment_name"],
        artifact_location=f"mlflow-artifacts:/{number}",
        lifecycle_stage="active",
        creation_time=known.get("created", 1),
        last_update_time=known.get("updated", 1),
        tags=[SqlExperimentTag(key=k, value=v) for k, v in known.get("tags", {}).items()],
    )


def rows(run: dict) -> list[object]:
    """One run's rows of every table."""
    name = run["id"]
    found: list[object] = [
        SqlRun(
            run_uuid=name, name=run["name"], source_type="LOCAL", source_name="", entry_point_name="",
            user_id=run["user"], status=run["status"], start_time=run["start"], end_time=run["end"],
            source_version="", lifecycle_stage=run.get("lifecycle", "active"), experiment_id=int(run["experiment"]),
            artifact_uri=f"mlflow-artifacts:/{run['experiment']}/{name}/artifacts",
        )
    ]  # fmt: skip
    found += [SqlParam(run_uuid=name, key=k, value=v) for k, v in run["params"].items()]
    found += [SqlTag(run_uuid=name, key=k, value=v) for k, v in run["tags"].items()]
    for key, (value, step, time) in run["metrics"].items():
        found.append(point(SqlLatestMetric, name, key, step, time, value))
    for key, points in run["histories"].items():
        found += [point(SqlMetric, name, key, *p) for p in points]
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
