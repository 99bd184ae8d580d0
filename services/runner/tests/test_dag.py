"""The shapes of DAGs: what a pipeline may do, and what is wrong before anything runs."""

import pytest
from spanbook import either, pipeline, task, unless, when
from spanbook.errors import PipelineError
from spanbook.policy import Exponential
from spanbook_runfile.names import Result

PIPELINE = """
from spanbook import either, log, pipeline, task, unless, when

@task
def numbers(n: int) -> list[int]:
    return list(range(n))

@task
def double(x: int, plus: int = 0) -> int:
    return 2 * x + plus

@task
def add(values, more=()) -> int:
    total = sum(values) + sum(more)
    log.value("total", total)
    return total

@task(outputs=2)
def split(values: list[int]) -> tuple[list[int], list[int]]:
    return values[:2], values[2:]

@task(outputs=["small", "large"])
def sort_out(values: list[int]) -> dict[str, list[int]]:
    return {"small": values[:1], "large": values[1:]}

@task
def describe() -> dict:
    return {"names": ["a", "b"], "deep": {"value": 42}}

@task
def show(value, *rest, key=None, **more) -> str:
    log.value("shown", repr((value, rest, key, more)))
    return "shown"

@task
def is_big(x: int) -> bool:
    return x > 10

@task(name="publish it")
def publish(x: int) -> str:
    return "published"

@task
def hold(x: int) -> str:
    return "held"

@task(name="after")
def gone(x) -> None:
    raise AssertionError("must not run")

@pipeline
def inner(x: int):
    return double(double(x))

@pipeline
def shapes(width: int = 3):
    values = numbers(width)
    doubled = double.map(values)
    add(doubled)                                      # 0 + 2 + 4
    add(double.partial(plus=1).map(values), more=[double(1)])   # 1 + 3 + 5 + 2
    add(inner.map(values))                            # 0 + 4 + 8
    add(double.map(doubled))                          # a map over a map: 0 + 4 + 8
    add([double.map([1, 2])[0], inner(5)])            # 2 + 20
    first, second = split(values)
    add(first, more=second)                           # 3
    parts = sort_out(values)
    add(parts["small"], more=parts["large"])          # 3
    told = describe()
    show(told["names"][1], told["deep"]["value"], key={"inside": [values]}, extra=(told["names"],))
    big = is_big(add(values))
    with when(big):
        a = publish(1)
        gone(a)
    with unless(big):
        b = hold(1)
    show(either(a, b))
    add(double.map(numbers(0)))                       # an empty map: 0
"""


@pytest.fixture(scope="module")
def done(module_runner):
    """One run of all shapes."""
    return module_runner.run(PIPELINE)


def totals(run):
    """What ``add`` gave, in the order of declaration."""
    return [t.final.metrics["total"].last for t in run.tasks if t.name == "add"]


def test_values_reach_the_tasks_that_need_them(done):
    """Fan-out, fan-in, maps of maps, nested pipelines, several outputs, items: all give the sums."""
    assert done.code == 0, done.out + done.err
    assert totals(done.recorded) == [6, 11, 12, 12, 22, 3, 3, 3, 0]


def test_items_of_values_and_all_kinds_of_parameters(done):
    """Positional, keyword, variadic and nested arguments may all hold upstream values."""
    shown = [t for t in done.recorded.tasks if t.name == "show"]
    assert shown[0].final.values["shown"] == (
        "('b', (42,), {'inside': [[0, 1, 2]]}, {'extra': (['a', 'b'],)})"
    )
    assert shown[1].final.values["shown"] == "('held', (), None, {})"


def test_the_branch_not_taken_is_skipped_and_is_no_failure(done):
    """Its tasks are recorded as skipped because of the condition's task; the run succeeds."""
    assert done.recorded.result is Result.SUCCESS
    skipped = {t.name: done.recorded.by_id[t.cause].name for t in done.recorded.tasks if t.cause}
    assert skipped == {"publish it": "is_big", "after": "is_big"}


def test_a_map_is_one_task_for_each_item(done):
    """Tasks of a map are declared when its width is known, with links to where the items came from."""
    run = done.recorded
    doubled = [t for t in run.tasks if t.name == "double" and t.final.parameters.get("plus") == 1]
    assert [t.final.parameters["x"] for t in doubled] == [0, 1, 2]
    assert {run.by_id[u].name for t in doubled for u in t.upstream} == {"numbers"}
    sums = [t for t in run.tasks if t.name == "add"]
    assert {run.by_id[u].name for u in sums[0].upstream} == {"double"}
    assert len(sums[0].upstream) == 3


def test_tasks_of_nested_pipelines_have_their_group(done):
    """A task knows the pipeline that it was called in."""
    assert {t.group for t in done.recorded.tasks} == {"", "inner"}


def test_arguments_are_parameters(done):
    """Arguments are recorded without asking, defaults and scalar upstream values included."""
    (task,) = [t for t in done.recorded.tasks if t.name == "is_big"]
    assert task.final.parameters == {"x": 3}
    doubles = [t for t in done.recorded.tasks if t.name == "double"]
    assert doubles[0].final.parameters["plus"] == 0


def test_a_map_that_cannot_be_is_a_failure(runner):
    """What is mapped over must be a list; the task that was to be mapped is the one that fails."""
    done = runner.run("""
        from spanbook import pipeline, task

        @task
        def one():
            return 1

        @task
        def word():
            return "abc"

        @task
        def frame():
            import pandas as pd
            return pd.DataFrame({"a": [1, 2, 3]})

        @task
        def use(x):
            pass

        @task
        def spell(x):
            pass

        @task
        def each(x):
            pass

        @task
        def collect(xs):
            pass

        @pipeline
        def wrong():
            collect(use.map(one()))
            spell.map(word())
            each.map(frame())
        """)
    assert done.code == 1
    assert done.task("use").result is Result.FAILURE
    assert "a int cannot be mapped over" in done.task("use").error_message
    for name, said in [("spell", "character by character"), ("each", "to_dict('records')")]:
        assert done.task(name).result is Result.FAILURE
        assert f"{name}.map, argument 'x'" in done.task(name).error_message
        assert said in done.task(name).error_message
    assert done.task("collect").result is Result.SKIP
    assert done.recorded.by_id[done.task("collect").cause].name == "use"


# -- found while the pipeline is built ------------------------------------------------------------


@task
def plain(x=1, y=2):
    """A task with two parameters."""
    return x


def building(function):
    """Build a pipeline from a function."""
    return pipeline(function).build({})


def test_wrong_arguments_name_the_task_and_the_parameter():
    """A misspelt parameter is told with the nearest right one."""

    def wrong():
        plain(xx=1)

    with pytest.raises(PipelineError, match=r"'plain'.*'xx'.*Did you mean 'x'"):
        building(wrong)


def test_unserialisable_arguments_name_the_task_and_the_argument():
    """A lock cannot travel to a worker: found before anything runs."""
    import threading

    def wrong():
        plain(y={"deep": threading.Lock()})

    with pytest.raises(PipelineError, match=r"argument 'y' of task 'plain'.*pickle"):
        building(wrong)


def test_unserialisable_tasks_are_named():
    """So does a task that uses such a thing from outside."""
    import threading

    lock = threading.Lock()

    @task
    def locked():
        return lock

    def uses():
        locked()

    with pytest.raises(PipelineError, match=r"Task 'locked'.*pickle"):
        building(uses)


def test_two_tasks_of_one_name():
    """Pages and histories go by the name, so it must be one task's."""

    @task(name="plain")
    def other():
        pass

    def wrong():
        plain()
        other()

    with pytest.raises(PipelineError, match="Two tasks are named 'plain'"):
        building(wrong)


def test_a_pipeline_that_contains_itself():
    """A cycle of pipelines ends in a clear error, not in a recursion error."""

    @pipeline
    def endless():
        endless()

    with pytest.raises(PipelineError, match="one calls itself"):
        endless.build({})


def test_an_argument_that_contains_itself():
    """A list that holds itself cannot be passed."""
    loop = []
    loop.append(loop)
    with pytest.raises(PipelineError, match="contains itself"):
        building(lambda: plain(loop))


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (bool, "with when"),
        (list, r"\.map"),
        (lambda h: h > 1, "with when"),
        (lambda h: h.attribute, "in a task"),
        (len, "in a task"),
    ],
)
def test_a_result_is_not_a_value_yet(use, advice):
    """What cannot be known while the DAG is built is told, with what to do instead."""
    with pytest.raises(PipelineError, match=f"'plain'.*{advice}"):
        building(lambda: use(plain()))


def test_a_result_hidden_in_an_object():
    """Only lists, tuples and dicts are looked into for results."""

    class Box:
        def __init__(self, value):
            self.value = value

    with pytest.raises(PipelineError, match="inside an object"):
        building(lambda: plain(Box(plain())))


def test_branches_need_results():
    """A plain value needs a plain if."""
    with pytest.raises(PipelineError, match="plain `if`"), when(True):
        pass
    with pytest.raises(PipelineError, match="results of tasks"):
        either(1, 2)


def test_an_empty_pipeline():
    """A pipeline without tasks has nothing to run."""
    with pytest.raises(PipelineError, match="calls no task"):
        building(lambda: None)


@pytest.mark.parametrize(
    "options",
    [{"cpus": -1}, {"retries": -1}, {"timeout": 0}, {"outputs": 0}, {"name": " "}, {"cpus": "two"}],
)
def test_options_that_make_no_sense(options):
    """They are told when the task is declared."""
    with pytest.raises(PipelineError):
        task(**{"name": "t", **options})(lambda: None)


# -- called outside a run ---------------------------------------------------------------------------


def test_tasks_are_plain_functions():
    """Called outside a pipeline a task just runs."""
    assert plain(5) == 5
    assert plain.map([1, 2]) == [1, 2]


def test_pipelines_called_by_hand_run_here():
    """Branches and maps work there too; what the pipeline returns holds the values."""

    @task
    def many(n):
        return list(range(n))

    @task
    def positive(x):
        return x > 0

    @pipeline
    def small(n=3):
        mapped = plain.map(many(n))
        yes = positive(plain(n))
        with when(yes):
            a = plain(7)
        with unless(yes):
            b = plain(8)
        return {"mapped": mapped, "either": either(a, b)}

    assert small() == {"mapped": [0, 1, 2], "either": 7}
    assert small(n=0) == {"mapped": [], "either": 8}


def test_exponential_backoff_grows_to_its_limit():
    """The pause doubles from the first and stays at the limit."""
    pause = Exponential(first=1, factor=2, limit=5)
    assert [pause(n) for n in (1, 2, 3, 4, 400)] == [1, 2, 4, 5, 5]
