// The model of a run, live: onnxruntime-web runs it in this browser, on what the reader draws or types.
"use strict";
(function (spanbook) {
  const { element, number } = spanbook;
  const EDGE = 280; // px of the canvas
  const VENDOR = `${spanbook.root}static/vendor/`;

  function metaOf(section) {
    const json = section.querySelector("script[type='application/json']");
    return json ? JSON.parse(json.textContent) : {};
  }

  /** What the model says of its first input: a rank, and how many numbers one example has. */
  function inputOf(session, meta) {
    const [told] = session.inputMetadata || [];
    const shape = told && told.isTensor ? told.shape : [null, ...(meta.shape || [])];
    const wanted = shape.slice(1).map(Number);
    const count = wanted.every((n) => n > 0) && wanted.length ? wanted.reduce((a, b) => a * b, 1) : (meta.shape || []).reduce((a, b) => a * b, 1);
    const dims = wanted.every((n) => n > 0) && wanted.length ? [1, ...wanted] : [1, count];
    return { name: session.inputNames[0], type: (told && told.type) || "float32", dims, count };
  }

  class Model {
    constructor(section) {
      this.section = section;
      this.meta = metaOf(section);
      this.status = element("p", { class: "note", role: "status" });
      section.append(this.status);
      if (location.protocol === "file:") {
        this.say("A page opened from a file may not load WebAssembly. Serve the site to try the model: python -m http.server, or spanbook-viewer.");
      } else if (!window.ort) {
        this.say("This site was built without onnxruntime-web, so the model cannot run here. The file can be downloaded.");
      } else this.start();
    }

    say(text) {
      this.status.textContent = text;
    }

    async start() {
      this.say("Loading the model …");
      try {
        ort.env.wasm.numThreads = 1; // threads need headers that a static host does not send
        ort.env.wasm.wasmPaths = new URL(VENDOR, location.href).href;
        const bytes = await (await fetch(this.section.dataset.model)).arrayBuffer();
        this.session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
        this.input = inputOf(this.session, this.meta);
        this.build();
        this.say("");
      } catch (error) {
        this.say(`The model cannot run in this browser: ${error.message}`);
      }
    }

    build() {
      this.bars = element("div", { class: "bars", role: "img", "aria-live": "polite" });
      const image = this.meta.kind === "image" && this.meta.shape.length === 2;
      this.pad = image ? new Pad(this.meta, (values) => this.run(values)) : new Field(this.input, (values) => this.run(values));
      this.status.before(element("div", { class: "model" }, this.pad.element, this.bars));
      this.section.classList.add("ready");
    }

    /** Run the model on one example; the same numbers onnxruntime gives anywhere. */
    async run(values) {
      const array = this.input.type === "float64" ? Float64Array : this.input.type === "int64" ? BigInt64Array : Float32Array;
      const data = array.from(values, this.input.type === "int64" ? (v) => BigInt(Math.round(v)) : undefined);
      const feeds = { [this.input.name]: new ort.Tensor(this.input.type, data, this.input.dims) };
      const outputs = await this.session.run(feeds);
      this.last = Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, Array.from(tensor.data, Number)]));
      this.show(outputs);
      return this.last;
    }

    show(outputs) {
      const labels = this.meta.labels || [];
      const tensors = Object.values(outputs).filter((tensor) => /^float/.test(tensor.type));
      const scores = tensors.find((tensor) => tensor.data.length === labels.length) || tensors[0] || Object.values(outputs)[0];
      const values = Array.from(scores.data, Number);
      const top = values.indexOf(Math.max(...values));
      const names = values.map((_, index) => labels[index] ?? String(index));
      this.bars.setAttribute("aria-label", `Most likely ${names[top]}, ${number(values[top])}`);
      this.bars.replaceChildren(
        ...values.map((value, index) =>
          element("div", { class: index === top ? "bar top" : "bar" },
            element("span", { class: "name" }, names[index]),
            element("meter", { min: 0, max: 1, value: Math.min(1, Math.max(0, value)), "aria-hidden": "true" }),
            element("span", { class: "num" }, value.toFixed(4))),
        ),
      );
    }
  }

  /** A canvas to draw on, read as an image of the size that the model takes. */
  class Pad {
    constructor(meta, then) {
      this.meta = meta;
      this.then = then;
      [this.rows, this.columns] = meta.shape;
      this.canvas = element("canvas", { width: EDGE, height: (EDGE * this.rows) / this.columns, tabindex: "0",
        "aria-label": "Draw here with mouse, finger or pen. By keyboard: arrows move, Space draws." });
      this.preview = element("canvas", { class: "preview", width: this.columns, height: this.rows, "aria-label": "What the model sees" });
      this.clearButton = element("button", { type: "button", onclick: () => this.clear() }, "Clear");
      this.element = element("div", { class: "pad" }, this.canvas, element("div", { class: "pad-tools" }, this.clearButton, this.preview));
      this.context = this.canvas.getContext("2d", { willReadFrequently: true });
      this.listen();
      this.clear();
    }

    listen() {
      const { canvas } = this;
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        this.from = this.at(event);
        this.stroke(this.from);
        event.preventDefault();
      });
      canvas.addEventListener("pointermove", (event) => this.from && this.stroke(this.at(event)));
      for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (this.from = null));
      canvas.addEventListener("keydown", (event) => this.key(event));
      canvas.style.touchAction = "none";
    }

    at(event) {
      const box = this.canvas.getBoundingClientRect();
      return [((event.clientX - box.left) / box.width) * this.canvas.width, ((event.clientY - box.top) / box.height) * this.canvas.height];
    }

    key(event) {
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const cell = this.canvas.width / this.columns;
      this.cursor = this.cursor || [this.canvas.width / 2, this.canvas.height / 2];
      if (moves[event.key]) {
        const [dx, dy] = moves[event.key];
        this.cursor = [this.cursor[0] + (dx * cell) / 2, this.cursor[1] + (dy * cell) / 2];
        this.from = event.shiftKey ? null : this.pen && this.from;
        if (this.pen) this.stroke(this.cursor);
      } else if (event.key === " ") {
        this.pen = !this.pen;
        this.from = this.pen ? this.cursor : null;
        if (this.pen) this.stroke(this.cursor);
      } else return;
      event.preventDefault();
    }

    stroke(to) {
      const { context } = this;
      context.strokeStyle = "#fff";
      context.lineWidth = this.canvas.width / this.columns * 1.1;
      context.lineCap = context.lineJoin = "round";
      context.beginPath();
      context.moveTo(...(this.from || to));
      context.lineTo(to[0] + 0.01, to[1]);
      context.stroke();
      this.from = to;
      this.read();
    }

    clear() {
      this.context.fillStyle = "#000";
      this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
      this.from = null;
      this.read();
    }

    /** The mean brightness of each cell, scaled to the model's range. */
    values() {
      const { width, height } = this.canvas;
      const pixels = this.context.getImageData(0, 0, width, height).data;
      const [low, high] = this.meta.range || [0, 1];
      const sums = new Float64Array(this.rows * this.columns);
      const counts = new Float64Array(sums.length);
      for (let y = 0; y < height; y += 1) {
        const row = Math.floor((y * this.rows) / height) * this.columns;
        for (let x = 0; x < width; x += 1) {
          const cell = row + Math.floor((x * this.columns) / width);
          sums[cell] += pixels[(y * width + x) * 4];
          counts[cell] += 1;
        }
      }
      const whole = high - low >= 8; // digits are drawn in whole steps, 0 to 16
      return Float32Array.from(sums, (sum, cell) => {
        const value = (sum / counts[cell] / 255) * (high - low) + low;
        return whole ? Math.round(value) : value;
      });
    }

    read() {
      const values = this.values();
      const [low, high] = this.meta.range || [0, 1];
      const image = new ImageData(this.columns, this.rows);
      values.forEach((value, cell) => {
        const grey = ((value - low) / (high - low)) * 255;
        image.data.set([grey, grey, grey, 255], cell * 4);
      });
      this.preview.getContext("2d").putImageData(image, 0, 0);
      this.then(values);
    }
  }

  /** Numbers, typed or pasted. */
  class Field {
    constructor(input, then) {
      const many = input.count || 1;
      this.field = element("textarea", { rows: 6, "aria-label": `${many} numbers` }, Array(many).fill(0).join(", "));
      const go = () => {
        const values = this.field.value.split(/[\s,;]+/).filter(Boolean).map(Number);
        this.field.setCustomValidity(values.length === many && values.every(Number.isFinite) ? "" : `${many} numbers are needed.`);
        if (this.field.reportValidity()) then(values);
      };
      this.element = element("div", { class: "field" }, this.field, element("button", { type: "button", onclick: go }, "Run"));
    }
  }

  spanbook.models = new Map();
  spanbook.enhance("[data-model]", (section) => spanbook.models.set(section.id, new Model(section)));
})(window.spanbook);
