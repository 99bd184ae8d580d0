"""Pipelines that are wrong, found while they are built: each error says where, and how to mend it."""

import functools
import threading

import pandas as pd
import pytest
from spanbook import Exponential, pipeline, task
from spanbook.errors import PipelineError


@task
def one(x=1, y=2):
    """A task whose arguments have defaults."""
    return x


@task
def need(a, b):
    """A task whose arguments have none."""
    return a, b


@task
def star(*args, **more):
    """A task that takes anything."""
    return args, more


@task
def posonly(a, /, b):
    """A task with an argument that has no name."""
    return a, b


@task(outputs=["small", "large"])
def named():
    """A task with named outputs."""
    return {"small": 1, "large": 2}


@pipeline
def nested(x):
    """A pipeline with a parameter."""
    return one(x)


WRONG = [
    (lambda: one.map(z=one()), r"one\.map.*unexpected keyword argument 'z'.*Known are: x, y"),
    (lambda: one.map(yy=[1]), r"one\.map.*'yy'.*Did you mean 'y'"),
    (lambda: need.map(one()), r"need\.map.*missing a required argument: 'b'"),
    (lambda: one.partial(z=1).map(one()), r"one\.map.*'z'"),
    (lambda: nested.map(z=one()), r"nested\.map.*'x'"),
    (lambda: nested(z=1), r"Pipeline 'nested'.*'x'"),
    (lambda: one.partial(y=threading.Lock()).map(one()), r"argument 'y' of task 'one'.*pickle"),
    (lambda: one.map(3), r"one\.map, argument 'x': a int cannot be mapped over.*\.partial\(x="),
    (lambda: one.map("abc"), r"a str is not mapped over.*give a list"),
    (lambda: one.map(pd.DataFrame({"a": [1]})), r"DataFrame.*to_dict\('records'\)"),
    (lambda: one.map(named()), r"take one, as \['small'\]"),
    (lambda: star.map([1]), r"0 parameters left.*star\.map\(name=...\)"),
    (lambda: posonly.map([1], [2]), r"'a' takes none: remove the '/'"),
    (lambda: one(named()["smal"]), r"Task 'named' has no output 'smal'. Did you mean 'small'"),
    (lambda: one(named().small), r"write result\['small'\], not result\.small"),
    (lambda: one(one), r"argument 'x' of task 'one' is <task one> itself.*call it"),
    (lambda: one([nested]), r"<pipeline nested> itself"),
    (lambda: one(f"{one()}"), r"into a text.*Pass it to a task"),
    (lambda: one(one() + 1), r"compute with the result of 'one'.*Do it in a task"),
    (lambda: one(2 * one()), r"compute with"),
    (lambda: one(one() == 1), r"compare.*with when"),
    (lambda: one(one() in [1, 2]), r"compare"),
    (lambda: task(nested), r"<pipeline nested> cannot be a task"),
    (lambda: pipeline(one), r"@pipeline takes a function.*<task one>"),
    (lambda: task(max), r"does not know the parameters.*function of your own"),
    (lambda: task("name"), r"@task takes a function.*@task\(name="),
    (lambda: task(retries=1.5)(print), r"retries=1.5: give a whole number"),
    (lambda: task(backoff="soon")(print), r"backoff='soon'.*Exponential"),
    (lambda: task(retry_if="ValueError")(print), r"retry_if='ValueError'.*exception classes"),
    (lambda: task(keep="yes")(print), r"keep='yes': give True or False"),
    (lambda: task(outputs=["a", "a"])(print), r"twice"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_what_is_wrong_is_told_before_anything_runs(wrong, said):
    """By the task's name, the argument's, and what to write instead."""
    with pytest.raises(PipelineError, match=said):
        pipeline(wrong, name="wrong").build({})


def test_a_default_that_cannot_be_sent_is_named():
    """The task and the argument whose default it is."""

    @task
    def locked(x, lock=threading.Lock()):  # noqa: B008
        return x, lock

    with pytest.raises(PipelineError, match=r"default of the argument 'lock' of task 'locked'"):
        pipeline(lambda: locked(1), name="uses").build({})


def test_async_functions_and_generators_are_no_tasks():
    """What they return is not a value yet; told where they are declared."""

    async def later():
        """Never awaited."""

    def bit_by_bit():
        yield 1

    with pytest.raises(PipelineError, match=r"'later' is an async function.*asyncio\.run"):
        task(later)
    with pytest.raises(PipelineError, match=r"'bit_by_bit' yields.*return"):
        task(bit_by_bit)


def test_whatever_can_be_called_can_be_a_task():
    """A lambda, a method, a partial, an object: each is sent to its worker."""

    class Adder:
        def __call__(self, x):
            return x + 1

        def method(self, x):
            return x + 1

    def calls():
        for number, function in enumerate(
            [lambda x: x, Adder(), Adder().method, functools.partial(sorted, reverse=True), len]
        ):
            task(name=f"task {number}", backoff=Exponential())(function)([1])

    assert len(pipeline(calls, name="calls").build({}).tasks) == 5


def test_all_outputs_of_a_task_may_go_to_another():
    """A dict of results is one argument, each of them a result of its own."""

    def whole():
        one(named())

    (_, used) = pipeline(whole, name="whole").build({}).tasks
    assert [handle.output for handle in used.handles] == [0, 1]
