"""The live model: a real digits model in the browser gives the numbers that it gives in Python."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from playwright.sync_api import Page, expect
from spanbook_runfile.names import ArtifactKind
from spanbook_runfile.samples import media
from spanbook_runfile.samples.builder import SampleRun
from support.viewers import static_server, viewing

from .conftest import build

META = {
    "kind": "image",
    "shape": [8, 8],
    "range": [0, 16],
    "labels": [str(digit) for digit in range(10)],
}


def digits_model() -> tuple[bytes, Any]:
    """A model as the demo pipeline trains it, and the images that it did not see."""
    from skl2onnx import to_onnx
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.datasets import load_digits
    from sklearn.svm import SVC

    images, labels = load_digits(return_X_y=True)
    model = CalibratedClassifierCV(SVC(kernel="linear", C=0.001), ensemble=False)
    model.fit(images[:600], labels[:600])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        onnx = to_onnx(model, images[:1].astype(np.float32), options={"zipmap": False})
    return onnx.SerializeToString(), images[600:610].astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, bytes, Any]:
    """A site of one run with two models: the site, the page's folder, the model and images."""
    outputs = tmp_path_factory.mktemp("model")
    onnx, images = digits_model()
    run = SampleRun("model")
    task = run.task("train_model")
    attempt = task.attempt(0.1)
    attempt.artifact(1, "model.onnx", onnx, "application/onnx", ArtifactKind.MODEL, meta=META)
    attempt.artifact(1, "plain.onnx", media.onnx(), "application/onnx", ArtifactKind.MODEL)
    attempt.end(2)
    task.end()
    run.finish()
    (outputs / "runs").mkdir()
    (outputs / "runs" / f"{run.id}.json").write_bytes(run.sealed())
    site = build(outputs)
    return site, f"runs/{run.id}/tasks/{task.id}/views/", onnx, images


def in_python(onnx: bytes, image: Any) -> list[float]:
    """The probabilities that onnxruntime gives in Python."""
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: image.reshape(1, 64)})
    return [float(value) for value in outputs[1][0]]


@pytest.mark.parametrize("server", ["viewer", "static"])
def test_same_numbers_as_in_python(page: Page, model: Any, server: str) -> None:
    """Ten images give the same probabilities in the browser as in Python, to float precision."""
    site, folder, onnx, images = model
    opened = viewing(site, site.parent / "runs") if server == "viewer" else static_server(site)
    with opened as found:
        url = found if isinstance(found, str) else found.url
        page.goto(f"{url}{folder}model.onnx.html")
        expect(page.locator("#model.ready")).to_be_visible(timeout=60_000)
        for image in images:
            told = page.evaluate(
                "values => spanbook.models.get('model').run(values)", image.astype(float).tolist()
            )
            (probabilities,) = [values for values in told.values() if len(values) == 10]
            assert probabilities == pytest.approx(in_python(onnx, image), abs=1e-5)
        page.close()


def test_digit_is_drawn_and_told(page: Page, model: Any) -> None:
    """What is drawn is read as 8 x 8 in the model's range, and its probabilities are shown."""
    site, folder, onnx, _ = model
    with static_server(site) as url:
        page.goto(f"{url}{folder}model.onnx.html")
        pad = page.locator("#model canvas").first
        expect(page.locator("#model.ready")).to_be_visible(timeout=60_000)
        box = pad.bounding_box()
        assert box
        x, top, bottom = box["x"] + box["width"] / 2, box["y"] + 20, box["y"] + box["height"] - 20
        page.mouse.move(x, top)
        page.mouse.down()
        page.mouse.move(x, bottom, steps=12)
        page.mouse.up()
        values = page.evaluate("Array.from(spanbook.models.get('model').pad.values())")
        image = np.array(values, dtype=np.float32).reshape(8, 8)
        assert image.min() == 0
        assert 8 <= image.max() <= 16
        assert image[:, [0, 7]].sum() == 0, "a stroke in the middle touches no edge"
        bars = page.locator("#model .bars .bar")
        expect(bars).to_have_count(10)
        expected = in_python(onnx, image)
        page.wait_for_function(
            """expected => {
              const shown = [...document.querySelectorAll("#model .bars .num")].map((one) => Number(one.textContent));
              return expected.every((value, at) => Math.abs(shown[at] - value) < 1e-3);
            }""",
            arg=expected,
            timeout=30_000,
        )
        top_bar = page.locator("#model .bar.top .name")
        expect(top_bar).to_have_text(str(int(np.argmax(in_python(onnx, image)))))
        page.get_by_role("button", name="Clear").click()
        assert not any(page.evaluate("Array.from(spanbook.models.get('model').pad.values())"))


def test_digit_is_drawn_by_keyboard(page: Page, model: Any) -> None:
    """Arrows and Space draw, for those without a pointer."""
    site, folder, *_ = model
    with static_server(site) as url:
        page.goto(f"{url}{folder}model.onnx.html")
        expect(page.locator("#model.ready")).to_be_visible(timeout=60_000)
        page.locator("#model canvas").first.focus()
        page.keyboard.press("Space")
        for _ in range(4):
            page.keyboard.press("ArrowDown")
        values = page.evaluate("Array.from(spanbook.models.get('model').pad.values())")
        assert sum(value > 4 for value in values) >= 2


def test_model_without_a_description_takes_numbers(page: Page, model: Any) -> None:
    """Any model runs: without a picture its inputs are typed."""
    site, folder, *_ = model
    with static_server(site) as url:
        page.goto(f"{url}{folder}plain.onnx.html")
        expect(page.locator("#model.ready")).to_be_visible(timeout=60_000)
        field = page.locator("#model textarea")
        field.fill("0.5, 0.25")
        page.get_by_role("button", name="Run").click()
        assert not field.evaluate("field => field.validity.valid")
        count = len(json.loads(f"[{field.evaluate('field => field.defaultValue')}]"))
        field.fill(", ".join("0.5" for _ in range(count)))
        page.get_by_role("button", name="Run").click()
        expect(page.locator("#model .bar").first).to_contain_text("0.5")


def test_page_from_a_file_says_what_it_needs(page: Page, model: Any) -> None:
    """A page opened from the disk may load no WebAssembly, and says how to serve it."""
    site, folder, *_ = model
    page.goto(f"{site.as_uri()}/{folder}model.onnx.html")
    expect(page.locator("#model [role=status]")).to_contain_text("Serve the site")
