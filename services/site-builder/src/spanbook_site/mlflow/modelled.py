"""The datasets and logged models of a run, in MLflow's form."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from spanbook_runfile import Run
from spanbook_runfile.mlflow import run_id
from spanbook_runfile.model import ModelPoint, Recorded

from spanbook_site.mlflow.forms import finite, ms, value_json

Row: TypeAlias = dict[str, Any]
Measured: TypeAlias = Mapping[str, Sequence[tuple[str, ModelPoint]]]  # model → run id and point


def measured(run: Run) -> Measured:
    """What each MLflow run of a pipeline run measured of its logged models, whichever run made them."""
    found: defaultdict[str, list[tuple[str, ModelPoint]]] = defaultdict(list)
    for final in (task.final for task in run.tasks if task.final):
        for logged, own in ((final, final.id), *((child, child.id) for child in final.children)):
            of = run_id(run.id, own)
            for model in logged.models:
                found[model.id] += [(of, point) for point in model.metrics]
            for use in logged.model_uses:
                found[use.id] += [(of, point) for point in use.metrics]
    return found


def inputs(logged: Recorded) -> Row:
    """The datasets and models that were used; ``model_outputs`` are those that other runs made."""
    keys = ("name", "digest", "source_type", "source", "schema", "profile")
    datasets = [
        {
            "tags": [{"key": key, "value": value} for key, value in dataset.tags.items()],
            "dataset": {key: value for key in keys if (value := getattr(dataset, key))},
        }
        for dataset in logged.datasets
    ]
    taken = [{"model_id": use.id} for use in logged.model_uses if use.input]
    given = [
        {"model_id": use.id, "step": use.step} for use in logged.model_uses if use.step is not None
    ]
    told = {"dataset_inputs": datasets, "model_inputs": taken, "model_outputs": given}
    return {key: value for key, value in told.items() if value}


def models(logged: Recorded, run: str, experiment: str, points: Measured) -> Iterator[Row]:
    """The logged models."""
    for model in logged.models:
        if model.deleted:
            continue
        info = {
            "model_id": model.id,
            "experiment_id": experiment,
            "name": model.name,
            "creation_timestamp_ms": model.created,
            "last_updated_timestamp_ms": model.updated,
            "artifact_uri": f"mlflow-artifacts:/{experiment}/models/{model.id}/artifacts",
            "status": model.status or "LOGGED_MODEL_READY",
            "model_type": model.type,
            "source_run_id": run,
            "tags": [{"key": k, "value": v} for k, v in model.tags.items()],
        }
        metrics = [
            {
                "key": key,
                "value": value_json(finite(value)),
                "timestamp": ms(time),
                "step": step,
                "model_id": model.id,
                "run_id": of,
                **({"dataset_name": dataset, "dataset_digest": digest} if dataset else {}),
            }
            for of, (key, value, step, time, dataset, digest) in points.get(model.id, ())
        ]
        params = [{"key": k, "value": v} for k, v in model.params.items()]
        yield {
            "folder": model.folder,
            "step": model.step,
            "model": {"info": info, "data": {"params": params, "metrics": metrics}},
        }
