// Charts by uPlot, from the JSON in a figure; the table in the figure stays, for those who cannot see a canvas.
"use strict";
(function (spanbook) {
  const { element, number } = spanbook;
  const HEIGHT = 220;
  const NEAR = 24; // px from the pointer to a point that it means
  const COLOURS = ["#2563eb", "#d97706", "#059669", "#db2777", "#7c3aed", "#0891b2", "#65a30d", "#dc2626"];

  // -- what the markup says -------------------------------------------------------------------------------------
  function specOf(figure) {
    const json = figure.querySelector("script[type='application/json']");
    return json ? JSON.parse(json.textContent) : specOfTable(figure.querySelector("table"));
  }

  /** A table as a chart: its first column is x, each other a series. */
  function specOfTable(table) {
    const heads = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    const rows = [...table.tBodies[0].rows].map((row) => [...row.cells].map(valueOf));
    const labels = rows.every(([x]) => typeof x === "number") ? "number" : "category";
    return {
      kind: "line",
      x: { label: heads[0], type: labels },
      y: { label: heads.length === 2 ? heads[1] : "" },
      series: heads.slice(1).map((label, index) => ({ label, x: rows.map(([x]) => x), y: rows.map((row) => row[index + 1]) })),
    };
  }

  function valueOf(cell) {
    const text = cell.dataset.value ?? cell.textContent.trim();
    return text === "" ? null : Number.isNaN(Number(text)) ? text : Number(text);
  }

  // -- what uPlot wants: one ascending x for all series, null where a series has no point -----------------------
  function aligned(spec) {
    const categories = spec.x.type === "category" ? [...new Set(spec.series.flatMap((series) => series.x))] : null;
    const place = categories ? new Map(categories.map((value, index) => [value, index])) : null;
    const points = spec.series.flatMap((series, s) =>
      series.x.map((x, i) => ({ s, x: place ? place.get(x) : x, y: series.y[i], href: series.href && series.href[i] })),
    ).filter((point) => Number.isFinite(point.x));
    points.sort((a, b) => a.x - b.x);
    const xs = [];
    const ys = spec.series.map(() => []);
    for (const { s, x, y } of points) {
      const last = xs.length - 1;
      const fits = spec.kind !== "scatter" && xs[last] === x && ys[s][last] === undefined;
      if (!fits) xs.push(x);
      ys[s][xs.length - 1] = y;
    }
    return { categories, points, data: [xs, ...ys.map((y) => Array.from(xs, (_, i) => y[i]))] };
  }

  function colours(figure) {
    const probe = figure.appendChild(element("i", { hidden: true })); // only a property says which of light-dark() it is
    const own = (name, otherwise) => {
      probe.style.color = `var(${name}, ${otherwise})`;
      return getComputedStyle(probe).color;
    };
    const found = {
      text: own("--chart-text", "currentcolor"),
      grid: own("--chart-grid", "rgba(128,128,128,.2)"),
      series: COLOURS.map((colour, index) => own(`--chart-${index + 1}`, colour)),
    };
    probe.remove();
    return found;
  }

  /** What uPlot takes by itself, but a flat line keeps its own size: 0.996 is not shown as 0 to 2. */
  function yRange(plot, low, high) {
    if (low === null || low !== high) return uPlot.rangeNum(low ?? 0, high ?? 1, 0.1, true);
    const pad = Math.abs(low) * 0.1 || 1;
    return [low - pad, high + pad];
  }

  /** Times as everywhere on the site: UTC, ISO; the day, or the year, where it changes. */
  function timeLabels(plot, splits, axis, space, step) {
    let above = "";
    return splits.map((seconds) => {
      const date = new Date(seconds * 1000);
      if (Number.isNaN(date.getTime())) return "";
      const iso = date.toISOString();
      const [small, large] = step >= 86400 ? [iso.slice(5, 10), iso.slice(0, 4)] : [iso.slice(11, 16), iso.slice(5, 10)];
      const text = large === above ? small : `${small}\n${large}`;
      above = large;
      return text;
    });
  }

  // -- drawing ----------------------------------------------------------------------------------------------------
  class Chart {
    constructor(figure, spec) {
      this.figure = figure;
      this.spec = spec;
      this.plot = null;
      this.holder = element("div", { class: `chart ${this.spec.kind}` });
      figure.querySelector("figcaption").after(this.holder);
      this.resize = new ResizeObserver(() => this.fit());
      this.resize.observe(this.holder);
      this.recolour = () => this.draw();
      document.addEventListener("spanbook:theme", this.recolour);
    }

    fit() {
      if (!this.figure.isConnected) return this.destroy(); // live.js put another in its place
      const width = this.holder.clientWidth;
      if (width === 0 || width === this.width) return;
      this.width = width;
      if (this.plot) this.plot.setSize({ width, height: HEIGHT });
      else this.draw();
    }

    destroy() {
      this.resize.disconnect();
      document.removeEventListener("spanbook:theme", this.recolour);
      if (this.plot && this.plot.destroy) this.plot.destroy();
    }

    draw() {
      if (!this.width) return;
      if (this.plot) this.plot.destroy();
      this.holder.replaceChildren();
      this.shape = aligned(this.spec);
      this.colours = colours(this.figure);
      this.plot = new uPlot(this.options(), this.shape.data, this.holder);
      this.holder.querySelector("canvas").setAttribute("aria-hidden", "true");
      this.tip = element("div", { class: "tip", hidden: true });
      this.plot.over.append(this.tip);
      this.plot.over.addEventListener("pointermove", (event) => this.point(event));
      this.plot.over.addEventListener("pointerleave", () => (this.tip.hidden = true));
      // not "click": uPlot takes that one for the end of a zoom
      this.plot.over.addEventListener("pointerdown", (event) => (this.pressed = event));
      this.plot.over.addEventListener("pointerup", (event) => this.release(event));
    }

    options() {
      const { spec, shape } = this;
      const scatter = spec.kind === "scatter";
      const few = shape.data[0].length <= 60;
      return {
        width: this.width,
        height: HEIGHT,
        legend: { show: spec.series.length > 1, live: false },
        cursor: { drag: { x: true, y: true, uni: 20 }, points: { show: !scatter } },
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        scales: { x: { time: spec.x.type === "time", range: this.xRange() }, y: { range: yRange } },
        axes: this.axes(),
        series: [
          { label: spec.x.label },
          ...spec.series.map((series, index) => {
            const colour = this.colours.series[index % this.colours.series.length];
            return {
              label: series.label,
              scale: series.axis || "y",
              stroke: colour,
              width: 1.5,
              spanGaps: spec.kind !== "scatter" && spec.series.length > 1, // steps of others are no gap
              paths: scatter ? () => null : undefined,
              points: { show: scatter || few, size: scatter ? 7 : 5, fill: colour },
            };
          }),
        ],
        hooks: { draw: [(plot) => this.drawMarks(plot)] },
      };
    }

    xRange() {
      const { categories, data } = this.shape;
      if (categories) return () => [-0.5, categories.length - 0.5];
      if (data[0].length && data[0][0] === data[0][data[0].length - 1]) {
        const around = this.spec.x.type === "time" ? 43200 : 1; // one moment: the day around it
        return () => [data[0][0] - around, data[0][0] + around];
      }
      return (plot, low, high) => {
        const pad = this.spec.kind === "line" ? 0 : (high - low) * 0.03;
        return [low - pad, high + pad];
      };
    }

    axes() {
      const { spec, shape } = this;
      const look = { stroke: this.colours.text, grid: { stroke: this.colours.grid, width: 1 }, ticks: { show: false }, font: "12px system-ui" };
      const size = (plot, values) => 14 + 7 * Math.max(...(values || [""]).map((value) => String(value).length), 3);
      const values = (plot, splits) => splits.map((value) => number(value));
      const x = { ...look, size: 26, label: spec.x.label, labelSize: 18, labelFont: "12px system-ui" };
      if (shape.categories) {
        x.splits = () => shape.categories.map((_, index) => index);
        x.values = (plot, splits) => splits.map((index) => shape.categories[index] ?? "");
      } else if (spec.x.type === "time") Object.assign(x, { size: 38, values: timeLabels });
      else x.values = values;
      const y = { ...look, size, values };
      if (spec.series.length > 1 && spec.y && spec.y.label) Object.assign(y, { label: spec.y.label, labelSize: 18, labelFont: "12px system-ui" });
      const axes = [x, y];
      if (spec.series.some((series) => series.axis === "y2")) {
        axes.push({ ...look, scale: "y2", side: 1, size, values, grid: { show: false }, label: spec.y2 && spec.y2.label, labelSize: 18, labelFont: "12px system-ui" });
      }
      return axes;
    }

    drawMarks(plot) {
      const { ctx, bbox } = plot;
      ctx.save();
      ctx.strokeStyle = this.colours.text;
      ctx.setLineDash([4, 4]);
      for (const mark of this.spec.marks || []) {
        const at = this.shape.categories ? this.shape.categories.indexOf(mark.x) : mark.x;
        const x = Math.round(plot.valToPos(at, "x", true));
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
      ctx.restore();
    }

    // -- pointing ----------------------------------------------------------------------------------------------
    nearest(event) {
      const box = this.plot.over.getBoundingClientRect();
      const [left, top] = [event.clientX - box.left, event.clientY - box.top];
      let best = null;
      let least = NEAR;
      for (const point of this.shape.points) {
        if (point.y === null || point.y === undefined || !this.plot.series[point.s + 1].show) continue;
        const x = this.plot.valToPos(point.x, "x");
        const y = this.plot.valToPos(point.y, this.spec.series[point.s].axis || "y");
        const distance = Math.hypot(x - left, y - top);
        if (distance < least) [best, least] = [{ ...point, left: x, top: y }, distance];
      }
      return best;
    }

    release(event) {
      const moved = this.pressed ? Math.hypot(event.clientX - this.pressed.clientX, event.clientY - this.pressed.clientY) : NEAR;
      const near = moved < 4 && event.button === 0 ? this.nearest(event) : null;
      if (near && near.href) location.href = near.href;
    }

    point(event) {
      const near = this.nearest(event);
      this.tip.hidden = !near;
      this.holder.classList.toggle("pointing", Boolean(near && near.href));
      if (!near) return;
      const { spec, shape } = this;
      const x = shape.categories ? shape.categories[near.x] : spec.x.type === "time" ? spanbook.when(near.x) : number(near.x);
      const mark = (spec.marks || []).find((one) => one.x === (shape.categories ? shape.categories[near.x] : near.x));
      this.tip.textContent = `${spec.series[near.s].label}: ${number(near.y)} at ${spec.x.label} ${x}${mark ? `. ${mark.label}` : ""}`;
      const width = this.plot.over.clientWidth;
      this.tip.style.left = `${Math.min(near.left + 10, Math.max(0, width - this.tip.offsetWidth - 4))}px`;
      this.tip.style.top = `${near.top > 50 ? near.top - this.tip.offsetHeight - 8 : near.top + 10}px`;
    }
  }

  spanbook.when = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");

  // -- parallel coordinates: few axes, many lines; SVG, so that each line is a link ------------------------------
  const SVG = "http://www.w3.org/2000/svg";

  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function scaleOf(axis, index, rows) {
    const values = rows.map((row) => row.values[index]).filter((value) => value !== null && value !== undefined);
    if (axis.type === "category") {
      const names = [...new Set(values)];
      const place = new Map(names.map((name, at) => [name, names.length === 1 ? 0.5 : at / (names.length - 1)]));
      return { at: (value) => place.get(value), ends: [names[names.length - 1] ?? "", names[0] ?? ""] };
    }
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return { at: (value) => (high === low ? 0.5 : (value - low) / (high - low)), ends: [high, low] };
  }

  function parallel(figure, spec) {
    const holder = element("div", { class: "chart scroll" });
    figure.querySelector("figcaption").after(holder);
    const [width, height, top, side] = [Math.max(holder.clientWidth, spec.axes.length * 110), 280, 40, 70];
    const step = (width - 2 * side) / Math.max(1, spec.axes.length - 1);
    const scales = spec.axes.map((axis, index) => scaleOf(axis, index, spec.rows));
    const short = (value) => (typeof value === "number" ? number(Number(value.toPrecision(4))) : value);
    const y = (place) => top + (1 - place) * (height - 2 * top);
    const chart = svg("svg", { class: "parallel", width, height, role: "group", "aria-label": "Parallel coordinates" });
    for (const row of spec.rows) {
      const path = row.values
        .map((value, index) => (value === null || value === undefined ? null : `${side + index * step},${y(scales[index].at(value)).toFixed(1)}`))
        .filter((point) => point !== null);
      const line = svg("polyline", { points: path.join(" ") }, svg("title"));
      line.firstChild.textContent = `${row.label}: ${spec.axes.map((axis, i) => `${axis.label} ${number(row.values[i])}`).join(", ")}`;
      const last = row.values[row.values.length - 1];
      const place = typeof last === "number" ? scales[scales.length - 1].at(last) : 0.5;
      const link = svg("a", { class: `level-${Math.round(place * 4)}` }, line);
      if (row.href) link.setAttribute("href", row.href);
      chart.append(link);
    }
    spec.axes.forEach((axis, index) => {
      const x = side + index * step;
      const words = (at, value, name) => {
        const text = svg("text", { x, y: at, "text-anchor": "middle", class: name });
        text.textContent = String(value).length > 18 ? `${String(value).slice(0, 17)}…` : value;
        return text;
      };
      chart.append(
        svg("line", { x1: x, x2: x, y1: top, y2: height - top, class: "axis" }),
        words(14, axis.label, "label"),
        words(32, short(scales[index].ends[0]), "end"),
        words(height - top + 18, short(scales[index].ends[1]), "end"),
      );
    });
    holder.append(chart);
  }

  // Drawn when they come into sight: a page may have many.
  const sight = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        sight.unobserve(target);
        const spec = specOf(target);
        if (spec.kind === "parallel") parallel(target, spec);
        else if (window.uPlot) new Chart(target, spec);
      }
    },
    { rootMargin: "300px" },
  );

  spanbook.enhance("figure[data-chart]", (figure) => {
    if (!figure.querySelector("figcaption")) figure.prepend(element("figcaption"));
    sight.observe(figure);
  });
})(window.spanbook);
