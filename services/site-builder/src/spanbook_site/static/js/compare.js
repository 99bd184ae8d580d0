// The Compare page: runs, or tasks of runs, side by side; only what differs; one can be added or taken away.
"use strict";
(function (spanbook) {
  const { element, state, number, duration } = spanbook;
  const MOST = 12;
  const WORDS = {
    success: "ok", failure: "failed", error: "error", timeout: "timed out", cancellation: "cancelled", skip: "skipped",
    running: "running", queued: "queued", waiting: "waiting", interrupted: "interrupted", trace: "trace",
  };

  const list = (key) => (state.get(key) || "").split(",").filter(Boolean);
  const word = (value) => WORDS[value] || value;
  const stateBadge = (value) => element("span", { class: `state s-${value}` }, word(value));
  const LONG = 120; // characters of one cell
  const CALM = new Set(["ok", "skipped", "running", "queued", "waiting"]);
  const MEASURED = new Set(["Metrics", "Values", "Durations"]); // by how much they changed is told
  const PREVIOUS = "previous"; // stands for the newest main run of the same pipeline before the others

  // -- what is compared: {key, title, href, …, groups: name → key → value} ---------------------------------------
  async function runSubject(id) {
    const run = await spanbook.load(`data/compare/${id}`);
    const groups = {
      Run: { ...run.context }, Results: { "the run": word(run.state) }, Parameters: { ...run.parameters },
      Metrics: { ...run.metrics }, Values: {}, Durations: { "the run": run.duration },
    };
    const history = {};
    const figures = {};
    for (const task of run.tasks) {
      groups.Results[task.title] = word(task.state);
      groups.Durations[task.title] = task.duration;
      for (const [key, value] of Object.entries(task.parameters)) groups.Parameters[`${task.title} · ${key}`] = value;
      for (const [key, value] of Object.entries(task.metrics)) groups.Metrics[`${task.title} · ${key}`] = value;
      for (const [key, value] of Object.entries(task.values)) groups.Values[`${task.title} · ${key}`] = value;
      for (const [key, points] of Object.entries(task.history || {})) history[`${task.title} · ${key}`] = points;
      for (const { name, src } of task.figures || []) figures[`${task.title} · ${name}`] = src;
    }
    return { key: id, title: run.title, href: run.href, state: run.state, start: run.start, repository: run.repository, groups, history, figures };
  }

  async function taskSubject(key) {
    const [id, span] = key.split(".");
    const run = await spanbook.load(`data/compare/${id}`);
    const task = run.tasks.find((one) => one.id === span);
    if (!task) throw new Error(`the run ${id.slice(0, 8)} has no task ${span}`);
    const groups = {
      Run: { ...run.context },
      Results: { task: word(task.state) },
      Parameters: { ...task.parameters },
      Metrics: { ...task.metrics },
      Values: { ...task.values },
      Durations: { task: task.duration },
    };
    const figures = Object.fromEntries((task.figures || []).map(({ name, src }) => [name, src]));
    return { key, title: task.title, href: task.href, state: task.state, start: run.start, repository: run.repository, groups, history: task.history || {}, figures };
  }

  // -- the page -----------------------------------------------------------------------------------------------------
  class Comparison {
    constructor(place) {
      this.place = place;
      this.body = element("div", { class: "compare-body" });
      this.all = element("input", { type: "checkbox", onchange: () => this.toggleAll() });
      this.adder = this.makeAdder();
      const link = element("button", { type: "button", data: { copyLink: "" } }, "Copy link");
      const tools = element("div", { class: "table-tools" }, this.adder, element("label", {}, this.all, " show what is equal too"), link);
      place.replaceChildren(tools, this.body); // what stood here is for readers without scripts
      spanbook.refresh(tools);
      state.watch(() => this.show());
      this.show();
    }

    get kind() {
      return list("tasks").length ? "tasks" : "runs";
    }

    async show() {
      const keys = (await this.resolved(list(this.kind))).slice(0, MOST);
      this.all.checked = state.get("all") === "1";
      const make = this.kind === "tasks" ? taskSubject : runSubject;
      const settled = await Promise.allSettled(keys.map(make));
      this.subjects = settled.filter((one) => one.status === "fulfilled").map((one) => one.value);
      const problems = settled.map((one, i) => one.reason && `${keys[i]} cannot be compared: ${one.reason.message}.`).filter(Boolean);
      this.draw(problems);
    }

    /** The keys with “previous” replaced by the run that it means; the address then names it. */
    async resolved(keys) {
      if (!keys.includes(PREVIOUS)) return keys;
      const others = keys.filter((key) => key !== PREVIOUS);
      const found = await this.runBefore(others[0]).catch(() => null);
      this.alone = !found;
      const all = found && !others.includes(found) ? [found, ...others] : others;
      state.set({ [this.kind]: all.join(",") });
      return all;
    }

    /** The newest main run of the same pipeline that began earlier; shards come newest first. */
    async runBefore(id) {
      const run = await spanbook.load(`data/compare/${id}`);
      for (const name of (this.place.dataset.shards || "").split(/\s+/).filter((one) => one.startsWith("data/runs/"))) {
        const { keys, rows } = await spanbook.load(name);
        const [start, pipeline] = [keys.indexOf("start"), keys.indexOf("pipeline")];
        const row = rows.find(([one, values]) => one !== id && values[start] < run.start && values[pipeline] === run.context.pipeline);
        if (row) return row[0];
      }
      return null;
    }

    draw(problems) {
      const parts = problems.map((text) => element("p", { class: "notice warn" }, text));
      if (this.subjects.length === 0) {
        parts.push(
          element("div", { class: "empty" },
            element("p", {}, element("strong", {}, "Nothing to compare yet.")),
            element("p", {}, "Add runs above, or tick them in a list of runs or tasks and choose Compare.")),
        );
      } else {
        if (this.alone) parts.push(element("p", { class: "notice" }, "No run of this pipeline came before it on the main branch. Add another to compare it with."));
        parts.push(...this.code(), this.table(), ...this.charts(), ...this.figures());
      }
      this.body.replaceChildren(...parts);
      spanbook.refresh(this.body);
      spanbook.tick();
    }

    /** A link to what changed in the code, where all are of one repository on a host that shows it. */
    code() {
      const subjects = this.subjects.filter(({ repository, groups }) => repository && groups.Run.commit);
      const commits = [...new Set(subjects.sort((a, b) => a.start - b.start).map(({ groups }) => groups.Run.commit))];
      const repositories = new Set(subjects.map(({ repository }) => repository));
      if (commits.length !== 2 || repositories.size !== 1) return [];
      const [from, to] = commits;
      const href = `${[...repositories][0]}/compare/${encodeURIComponent(from)}...${encodeURIComponent(to)}`;
      const link = element("a", { href, rel: "noreferrer" }, `${from.slice(0, 7)} … ${to.slice(0, 7)}`);
      return [element("p", { class: "code-change" }, "What changed in the code: ", link)];
    }

    toggleAll() {
      state.set({ all: this.all.checked ? "1" : null });
      this.show();
    }

    put(keys) {
      state.set({ [this.kind]: keys.join(",") });
      this.show();
    }

    // -- the table: a column each, a row for what differs ------------------------------------------------------
    table() {
      const heads = this.subjects.map((subject) => {
        const title = element("a", { href: spanbook.root + subject.href }, subject.title);
        const start = subject.start === null ? null : new Date(subject.start * 1000);
        const when = start && element("time", { datetime: start.toISOString(), data: { relative: "" } }, spanbook.when(subject.start));
        const others = this.subjects.map(({ key }) => key).filter((key) => key !== subject.key);
        const remove = element(
          "button",
          { type: "button", class: "quiet", "aria-label": `Take ${subject.title} out of the comparison`, onclick: () => this.put(others) },
          "×",
        );
        return element("th", { scope: "col" }, title, " ", remove, element("div", { class: "note" }, stateBadge(subject.state), " ", when));
      });
      const table = element("table", { class: this.all.checked ? "comparison all" : "comparison" }, element("caption", { class: "sr" }, "Comparison"));
      table.style.setProperty("--n", heads.length); // a phone has a row's name above its cells
      table.append(element("thead", {}, element("tr", {}, element("td"), ...heads)));
      let hidden = 0;
      for (const group of Object.keys(this.subjects[0].groups)) {
        const rows = [];
        for (const key of new Set(this.subjects.flatMap((subject) => Object.keys(subject.groups[group])))) {
          const values = this.subjects.map((subject) => subject.groups[group][key]);
          if (values.every((value) => value === undefined || value === null)) continue;
          const differs = values.some((value) => value !== values[0]);
          if (differs || this.all.checked || this.subjects.length === 1) rows.push(this.row(group, key, values, differs));
          else hidden += 1;
        }
        if (!rows.length) continue;
        const head = element("th", { scope: "rowgroup", colspan: this.subjects.length + 1 }, group);
        table.append(element("tbody", {}, element("tr", { class: "group" }, head), ...rows));
      }
      const note = hidden ? element("p", { class: "note" }, `${hidden} ${hidden === 1 ? "row is" : "rows are"} equal and not shown.`) : null;
      return element("section", { class: "table" }, element("div", { class: "scroll" }, table), ...(note ? [note] : []));
    }

    row(group, key, values, differs) {
      const numbers = values.every((value) => value === undefined || value === null || typeof value === "number");
      const format = group === "Durations" ? duration : spanbook.aligned(values);
      const bounds = numbers && differs ? values.filter((value) => typeof value === "number") : [];
      const [low, high] = [Math.min(...bounds), Math.max(...bounds)];
      const [first] = values;
      const cells = values.map((value, index) => {
        const missing = value === undefined || value === null;
        const extreme = bounds.length > 1 && high > low && (value === high ? "highest" : value === low ? "lowest" : null);
        const text = missing ? "–" : typeof value === "object" ? JSON.stringify(value) : key === "commit" && group === "Run" ? value.slice(0, 10) : format(value);
        const classes = [missing && "none", extreme, group === "Results" && !missing && !CALM.has(value) && "trouble"].filter(Boolean);
        const shown = text.length > LONG ? `${text.slice(0, LONG)}…` : text; // the title has the rest
        const change = numbers && MEASURED.has(group) && index > 0 && !missing && typeof first === "number" && value !== first
          ? element("span", { class: "note change", title: `against ${this.subjects[0].title}` }, `${value > first ? "+" : "−"}${format(Math.abs(value - first))}`)
          : null;
        return element("td", { class: classes.join(" ") || null, title: missing ? null : String(value) }, shown, change);
      });
      return element("tr", { class: differs ? "differs" : null }, element("th", { scope: "row" }, key), ...cells);
    }

    // -- histories overlaid, figures side by side ----------------------------------------------------------------
    charts() {
      const keys = new Set(this.subjects.flatMap((subject) => Object.keys(subject.history)));
      if (!keys.size) return [];
      const same = (key) => this.subjects.length > 1 && new Set(this.subjects.map((subject) => JSON.stringify(subject.history[key]))).size === 1;
      const wanted = [...keys].filter((key) => this.all.checked || !same(key));
      const hidden = keys.size - wanted.length;
      const note = hidden ? element("p", { class: "note" }, `${hidden} ${hidden === 1 ? "chart is" : "charts are"} equal and not shown.`) : null;
      const figures = wanted.map((key) => {
        const series = this.subjects
          .filter((subject) => subject.history[key])
          .map((subject) => ({ label: this.nameOf(subject), x: subject.history[key].x, y: subject.history[key].y }));
        const data = element("script", { type: "application/json" });
        data.textContent = JSON.stringify({ kind: "line", x: { label: "step", type: "number" }, y: { label: "" }, series });
        return element("figure", { data: { chart: "" } }, element("figcaption", {}, key), data);
      });
      return [element("section", {}, element("h2", {}, "Metrics by step"), element("div", { class: "gallery wide" }, ...figures), note)];
    }

    nameOf(subject) {
      const twins = this.subjects.filter((other) => other.title === subject.title).length > 1;
      return twins ? `${subject.title} ${subject.key.slice(0, 6)}` : subject.title;
    }

    figures() {
      const keys = new Set(this.subjects.flatMap((subject) => Object.keys(subject.figures)));
      if (!keys.size) return [];
      const rows = [...keys].map((key) =>
        element("section", {}, element("h3", {}, key), element("div", { class: "side-by-side" }, ...this.subjects.map((subject) => this.figure(subject, key)))),
      );
      return [element("section", {}, element("h2", {}, "Figures"), ...rows)];
    }

    figure(subject, key) {
      const src = subject.figures[key];
      const name = this.nameOf(subject);
      const shown = src
        ? element("img", { src: src.startsWith("data:") ? src : spanbook.root + src, alt: `${key}, ${name}`, loading: "lazy" })
        : element("p", { class: "none" }, "not there");
      return element("figure", { class: "figure" }, shown, element("figcaption", {}, name));
    }

    // -- adding ----------------------------------------------------------------------------------------------------
    makeAdder() {
      const options = element("datalist", { id: "compare-runs" });
      const field = element("input", { type: "search", list: "compare-runs", placeholder: "Add a run: title, branch or id", "aria-label": "Add a run" });
      const form = element("form", { class: "adder", onsubmit: (event) => this.add(event, field) }, field, options, element("button", { type: "submit" }, "Add"));
      field.addEventListener("focus", () => this.offer(options), { once: true });
      return form;
    }

    async known() {
      const shards = (this.place.dataset.shards || "").split(/\s+/).filter(Boolean);
      const loaded = await Promise.all(shards.map((name) => spanbook.load(name)));
      return loaded.flatMap((shard) => shard.rows.map(([id, values]) => ({ id, text: `${values[1] || ""} ${id.slice(0, 8)}`, all: `${id} ${values.join(" ")}` })));
    }

    async offer(options) {
      const runs = await this.known();
      options.replaceChildren(...runs.slice(0, 200).map((run) => element("option", { value: run.id }, run.text)));
    }

    async add(event, field) {
      event.preventDefault();
      const word = field.value.trim().toLowerCase();
      if (!word) return;
      const match = /^[0-9a-f]{32}$/.test(word) ? { id: word } : (await this.known()).find((run) => run.all.toLowerCase().includes(word));
      field.setCustomValidity(match ? "" : "No run has this title, branch or id.");
      if (!match) return field.reportValidity();
      field.value = "";
      state.set({ tasks: null, runs: [...new Set([...list("tasks").map((key) => key.split(".")[0]), ...list("runs"), match.id])].join(",") });
      this.show();
    }
  }

  spanbook.enhance("[data-compare]", (place) => new Comparison(place));
})(window.spanbook);
