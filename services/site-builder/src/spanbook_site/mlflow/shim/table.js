// One chunk of runs as columns (columns.py packs them); rows become MLflow's Run messages one by one.
"use strict";

(function (shim) {
  const ABSENT = 0, NUMBER = 1, NAN = 2;

  shim.Segment = class Segment {
    /** `data` is a chunk file's content; `experiment` the experiment of all its rows. */
    constructor(data, experiment) {
      this.data = data;
      this.rows = data.rows;
      this.experiment = experiment;
      this.cache = new Map();
    }

    id(row) { return this.data.id[row]; }
    start(row) { return this.data.start[row]; }
    lifecycle(row) { return text(this.data.lifecycle, row); }

    /** One attribute of every row: strings or numbers, null where there is none. */
    attribute(key) {
      return this.cached(`attribute ${key}`, () => {
        switch (key) {
          case "run_id": return this.data.id;
          case "start_time": return this.data.start;
          case "end_time": return this.data.end;
          case "run_name": return this.each((row) => text(this.data.name, row));
          case "status": return this.each((row) => text(this.data.status, row));
          case "user_id": return this.each((row) => text(this.data.user, row));
          case "artifact_uri": return this.each((row) => this.artifactUri(row));
          default: throw shim.invalid(`Invalid attribute key '${key}' specified.`);
        }
      });
    }

    /** One parameter or tag of every row, null where it was not logged; null where no row has it. */
    texts(kind, key) {
      const column = own(kind === "tag" ? this.data.tags : this.data.params, key);
      return column && this.cached(`${kind} ${key}`, () => {
        const values = new Array(this.rows).fill(null);
        forEach(column, (row, place) => { values[row] = text(column, place); });
        return values;
      });
    }

    /** One metric of every row: its latest value, and a mark (absent, number, NaN); null where no row has it. */
    metric(key) {
      const column = own(this.data.metrics, key);
      return column && this.cached(`metric ${key}`, () => {
        const value = new Float64Array(this.rows);
        const mark = new Uint8Array(this.rows);
        forEach(column, (row, place) => {
          const nan = column.value[place] === "NaN";
          mark[row] = nan ? NAN : NUMBER;
          value[row] = nan ? 0 : column.value[place];
        });
        return { value, mark };
      });
    }

    each(get) { return Array.from({ length: this.rows }, (_, row) => get(row)); }

    cached(name, make) {
      if (!this.cache.has(name)) this.cache.set(name, make());
      return this.cache.get(name);
    }

    artifactUri(row) { return `mlflow-artifacts:/${this.experiment}/${this.id(row)}/artifacts`; }

    /** A row as MLflow's REST API gives a run. */
    run(row) {
      const info = {
        run_uuid: this.id(row),
        experiment_id: this.experiment,
        run_name: text(this.data.name, row),
        user_id: text(this.data.user, row),
        status: text(this.data.status, row),
        start_time: this.start(row),
      };
      if (this.data.end[row] !== null) info.end_time = this.data.end[row];
      info.artifact_uri = this.artifactUri(row);
      info.lifecycle_stage = this.lifecycle(row);
      info.run_id = this.id(row);
      const own = this.beside("models", row)?.map(({ model, step }) => ({ model_id: model.info.model_id, step })) ?? [];
      const { model_outputs: others = [], ...inputs } = this.beside("inputs", row) ?? {};
      const given = [...own, ...others];
      return { info, data: this.runData(row), inputs, outputs: given.length ? { model_outputs: given } : {} };
    }

    runData(row) {
      const data = {};
      const metrics = this.entries("metrics", row, (column, place) => ({
        value: column.value[place],
        timestamp: this.start(row) + column.time[place],
        step: column.step?.[place] ?? 0,
      }));
      const named = (column, place) => ({ value: text(column, place) });
      const params = this.entries("params", row, named);
      const tags = this.entries("tags", row, named);
      if (metrics.length) data.metrics = metrics;
      if (params.length) data.params = params;
      if (tags.length) data.tags = tags;
      return data;
    }

    /** What few rows have: datasets (`inputs`) and logged models. */
    beside(kind, row) {
      const column = this.data[kind];
      const place = column ? column.at.indexOf(row) : -1;
      return place < 0 ? null : column.value[place];
    }

    entries(kind, row, describe) {
      const found = [];
      for (const [key, column] of Object.entries(this.data[kind])) {
        const place = column.at ? search(column.at, row) : row;
        if (place >= 0) found.push({ key, ...describe(column, place) });
      }
      return found;
    }
  };
  Object.assign(shim.Segment, { ABSENT, NUMBER, NAN });

  /** Rows of a run's own file as segments, one an experiment. */
  shim.segmentsOfRows = function (rows) {
    const groups = new Map();
    for (const row of rows) {
      if (!groups.has(row.experiment)) groups.set(row.experiment, []);
      groups.get(row.experiment).push(row);
    }
    return [...groups].map(([experiment, members]) => new shim.Segment(columns(members), experiment));
  };

  function columns(rows) {
    const pick = (get) => ({ value: rows.map(get) });
    const data = {
      rows: rows.length,
      id: rows.map((row) => row.id),
      name: pick((row) => row.name),
      status: pick((row) => row.status),
      user: pick((row) => row.user),
      lifecycle: pick((row) => row.lifecycle ?? "active"),
      start: rows.map((row) => row.start),
      end: rows.map((row) => row.end),
      params: {}, tags: {}, metrics: {},
    };
    rows.forEach((row, at) => {
      for (const kind of ["params", "tags"]) {
        for (const [key, value] of Object.entries(row[kind])) {
          const column = slot(data[kind], key, () => ({ at: [], value: [] }));
          column.at.push(at);
          column.value.push(value);
        }
      }
      for (const [key, [value, step, time]] of Object.entries(row.metrics)) {
        const column = slot(data.metrics, key, () => ({ at: [], value: [], step: [], time: [] }));
        column.at.push(at);
        column.value.push(value);
        column.step.push(step);
        column.time.push(time - row.start);
      }
    });
    for (const kind of ["inputs", "models"]) {
      const at = rows.flatMap((row, number) => (row[kind] ? [number] : []));
      if (at.length) data[kind] = { at, value: at.map((number) => rows[number][kind]) };
    }
    return data;
  }

  function slot(object, key, make) {
    if (!Object.hasOwn(object, key)) {
      Object.defineProperty(object, key, { value: make(), enumerable: true }); // safe for "__proto__"
    }
    return object[key];
  }

  const own = (object, key) => (Object.hasOwn(object, key) ? object[key] : null);
  const text = (column, place) => (column.words ? column.words[column.value[place]] : column.value[place]);

  function forEach(column, visit) {
    const count = column.value.length;
    for (let place = 0; place < count; place += 1) visit(column.at ? column.at[place] : place, place);
  }

  function search(sorted, wanted) {
    let low = 0, high = sorted.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] === wanted) return middle;
      if (sorted[middle] < wanted) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
})(globalThis.spanbookMlflow);
