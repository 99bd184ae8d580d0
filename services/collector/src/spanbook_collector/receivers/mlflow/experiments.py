"""Experiments: a task's own, and those that scripts name."""

import asyncio
import random
import time
from dataclasses import replace
from pathlib import Path

from spanbook_runfile.mlflow import ALONE

from spanbook_collector.receivers.mlflow import fields, search
from spanbook_collector.receivers.mlflow.calls import Call, Json
from spanbook_collector.receivers.mlflow.errors import MlflowError, missing
from spanbook_collector.receivers.mlflow.shelf import Known, Shelf
from spanbook_collector.receivers.mlflow.tracking import Tracking
from spanbook_collector.receivers.mlflow.views import Experiment, Told, named

MAX_NAME = 500
MAX_TAG = 20_000
MOST_FILES = 2_000  # of an experiment's run files that a search reads, the newest
_NAMES = (
    (
        "able",
        "bold",
        "calm",
        "deft",
        "eager",
        "fair",
        "glad",
        "kind",
        "merry",
        "neat",
        "quick",
        "wise",
    ),
    (
        "bee",
        "crane",
        "deer",
        "finch",
        "hare",
        "lark",
        "mole",
        "newt",
        "otter",
        "stork",
        "trout",
        "wren",
    ),
)


def random_name() -> str:
    """A name for a run that was given none."""
    return "-".join((*(random.choice(words) for words in _NAMES), str(random.randrange(1000))))  # noqa: S311


def _now() -> int:
    return time.time_ns() // 1_000_000


def shelf(call: Call) -> Shelf:
    """The experiments that scripts named."""
    return call.tracking.shelf


async def _own(call: Call) -> Known | None:
    """The experiment of the attempt that asks."""
    if call.home is None:
        return None
    told = await call.tracking.told(call.home)
    return Known(
        told.experiment.id, told.experiment.name, told.start // 1_000_000, told.start // 1_000_000
    )


async def known(call: Call, experiment: str) -> Known:
    """An experiment by id.

    Raises:
        MlflowError: there is none.
    """
    own = await _own(call)
    if own and experiment in (own.id, "0"):
        return own
    if found := shelf(call).get(experiment):
        return found
    for told in await _runs(call.tracking, experiment, 1):  # of a list that was lost
        return Known(told.experiment.id, told.experiment.name)
    raise MlflowError(f"No Experiment with id={experiment[:64]} exists", "RESOURCE_DOES_NOT_EXIST")


async def get(call: Call) -> Json:
    """``experiments/get``."""
    found = await known(call, fields.text(call.body, "experiment_id"))
    return {"experiment": found.as_json()}


async def get_by_name(call: Call) -> Json:
    """``experiments/get-by-name``."""
    name = fields.text(call.body, "experiment_name")
    own = await _own(call)
    found = own if own and own.name == name else shelf(call).named(name)
    if found is None:
        for told in await _runs(call.tracking, named(name).id, 1):
            return {"experiment": Known(told.experiment.id, name).as_json()}
        raise MlflowError(
            f"Could not find experiment with name '{name[:100]}'", "RESOURCE_DOES_NOT_EXIST"
        )
    return {"experiment": found.as_json()}


async def create(call: Call) -> Json:
    """``experiments/create``: the first that a task names is the task's own, by another name."""
    name = fields.text(call.body, "name")
    if len(name) > MAX_NAME:
        raise MlflowError(f"'name' exceeds the maximum length of {MAX_NAME} characters")
    fields.text(call.body, "artifact_location", "")  # has no say in where run files lie
    tags = dict(_tag(item) for item in fields.items(call.body, "tags"))
    own = await _own(call)
    taken = shelf(call).named(name) or (own if own and own.name == name else None)
    if taken:
        state = "deleted state. Restore it, or" if taken.deleted else "use, please"
        raise MlflowError(
            f"Experiment(name={name[:100]}) already exists: it is in {state} use another name.",
            "RESOURCE_ALREADY_EXISTS",
        )
    if call.home is not None and await _take_over(call, name):
        return {"experiment_id": own.id if own else ""}
    now = _now()
    found = await shelf(call).keep(Known(named(name).id, name, now, now, tags=tags))
    return {"experiment_id": found.id}


async def _take_over(call: Call, name: str) -> bool:
    """Give a task's experiment a name, unless its run has begun already, or has one."""
    home = call.home
    if home is None or not call.tracking.in_progress(home.run):
        return False
    book = await call.tracking.book(home.run)
    if book is None or book.decoder.told(home.span):
        return False
    await call.tracking.write(home, lambda _, place: [place.child(experiment=name)])
    return True


async def update(call: Call) -> Json:
    """``experiments/update``: another name."""
    found = await _kept(call)
    name = fields.text(call.body, "new_name")
    if shelf(call).named(name):
        raise MlflowError(
            f"Experiment(name={name[:100]}) already exists.", "RESOURCE_ALREADY_EXISTS"
        )
    await shelf(call).keep(replace(found, name=name[:MAX_NAME], updated=_now()))
    return {}


async def delete(call: Call) -> Json:
    """``experiments/delete``."""
    found = await _kept(call)
    if found.id == "0":
        raise MlflowError(
            "Cannot delete the default experiment '0'. This is an internally reserved experiment."
        )
    await shelf(call).keep(replace(found, deleted=True, updated=_now()))
    return {}


async def restore(call: Call) -> Json:
    """``experiments/restore``."""
    await shelf(call).keep(replace(await _kept(call), deleted=False, updated=_now()))
    return {}


async def set_tag(call: Call) -> Json:
    """``experiments/set-experiment-tag``."""
    key, value = _tag(call.body)
    found = await _kept(call)
    await shelf(call).keep(replace(found, tags={**found.tags, key: value}, updated=_now()))
    return {}


async def delete_tag(call: Call) -> Json:
    """``experiments/delete-experiment-tag``."""
    found = await _kept(call)
    key = fields.text(call.body, "key")
    if key not in found.tags:
        raise missing("Tag", key)
    rest = {k: v for k, v in found.tags.items() if k != key}
    await shelf(call).keep(replace(found, tags=rest, updated=_now()))
    return {}


def _tag(item: Json) -> tuple[str, str]:
    return fields.tag(item, limit=MAX_TAG)


async def _kept(call: Call) -> Known:
    """An experiment that can be changed: a task's own is kept from then on."""
    return await known(call, fields.text(call.body, "experiment_id"))


async def find(call: Call) -> Json:
    """``experiments/search``, with the part of the filter language that experiments have."""
    body = call.body
    stage = fields.text(body, "view_type", "ACTIVE_ONLY") or "ACTIVE_ONLY"
    most = fields.whole(body, "max_results", 1000)
    if not 0 < most <= 50_000:
        raise fields.invalid("max_results", most, "it must be a positive integer, at most 50000")
    own = await _own(call)
    found = [*([own] if own else []), *shelf(call)]
    found = [k for k in found if stage == "ALL" or k.deleted == (stage == "DELETED_ONLY")]
    text = fields.text(body, "filter", "")
    found = search.experiments(found, text, fields.texts(body, "order_by"))
    begin = search.offset(fields.text(body, "page_token", ""))
    answer: Json = {"experiments": [k.as_json() for k in found[begin : begin + most]]}
    if begin + most < len(found):
        answer["next_page_token"] = search.token(begin + most)
    return answer


# -- the runs of experiments ------------------------------------------------------------------


async def runs_of(call: Call, wanted: list[str]) -> list[Told]:
    """The MLflow runs of some experiments that this client can see."""
    found: dict[str, Told] = {}
    if call.home is not None:
        for told in await call.tracking.all_told(call.home.run):
            if told.experiment.id in wanted:
                found[told.ref.id] = told
    for experiment in wanted:
        for told in await _runs(call.tracking, experiment, MOST_FILES):
            found[told.ref.id] = told
    return list(found.values())


async def _runs(tracking: Tracking, experiment: str, most: int) -> list[Told]:
    """The runs of an experiment that MLflow made outside pipelines."""
    begin = Experiment(experiment, "").prefix
    going_on = [run for run in tracking.ingest.runs.in_progress if run.startswith(ALONE)]
    files = await asyncio.to_thread(_files, tracking.settings.runs, begin)
    found: list[Told] = []
    for run in [*going_on, *files[:most]]:
        every = await tracking.all_told(run)
        found += [told for told in every if told.experiment.id == experiment]
        if len(found) >= most:
            break
    return found


def _files(folder: Path, begin: str) -> list[str]:
    """Run ids of an experiment, the newest first."""
    found = [(path.stat().st_mtime_ns, path.stem) for path in folder.glob(f"{begin}*.json")]
    return [run for _, run in sorted(found, reverse=True)]
