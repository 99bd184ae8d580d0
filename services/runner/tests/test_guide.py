"""The code in docs/pipelines.md, run as it stands there."""

import re
from pathlib import Path

from spanbook_runfile.names import Result

GUIDE = Path(__file__).parents[3] / "docs/pipelines.md"


def test_the_guides_code_runs(runner):
    """All blocks together are one pipeline that succeeds, and does what the text says."""
    blocks = re.findall(r"^```python ?(.*)\n((?:.*\n)*?)```$", GUIDE.read_text(), re.MULTILINE)
    notebooks = {name: code for name, code in blocks if name}
    assert list(notebooks) == ["summary.py"]
    for name, code in notebooks.items():
        runner.write(code, name)
    runner.write("\n\n".join(code for name, code in blocks if not name))
    target = str(runner.folder / "pipeline.py") + ":everything"
    done = runner.finish(runner.start(target=target))
    assert done.code == 0, done.out + done.err
    run = done.recorded
    assert {task.result for task in run.tasks} == {Result.SUCCESS, Result.SKIP}
    skipped = [task for task in run.tasks if task.result is Result.SKIP]
    assert [(task.name, task.group) for task in skipped] == [("total", "branches")]
    artifacts = {a.path for a in done.task("report").final.artifacts}
    assert {"values.png", "values.csv", "note.txt", "settings.json", "model.bin"} <= artifacts
    assert (
        len([task for task in run.tasks if task.group == "squares" and task.name == "square"]) == 3
    )
    summary = done.task("summary").final
    assert summary.metrics["largest"].last > 1
    assert summary.logs[0].text.startswith("Powers [")
