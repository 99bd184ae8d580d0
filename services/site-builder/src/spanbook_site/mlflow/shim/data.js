// The site's data files, fetched once each: the list of experiments, their chunks, and runs' own files.
"use strict";

(function (shim) {
  const fetchFile = globalThis.fetch.bind(globalThis);
  const FOLDER = new URL("data/", document.baseURI); // of what spans runs
  const RUNS = "../../runs"; // each run's data lies beside its page
  const TASK_RUN = /^([0-9a-f]{32})([0-9a-f]{16})?$/;
  const FEW = 200; // runs that are faster read from their own files than from the tables
  const cache = new Map();

  function load(path) {
    if (!cache.has(path)) {
      const loading = read(path);
      cache.set(path, loading);
      loading.catch(() => cache.delete(path));
    }
    return cache.get(path);
  }

  async function read(path) {
    const response = await fetchFile(new URL(path, FOLDER), { credentials: "same-origin" });
    if (response.status === 404) return null;
    if (!response.ok) throw new shim.MlflowError("INTERNAL_ERROR", `The site's file ${path} could not be read: HTTP ${response.status}.`);
    return response.json();
  }

  async function catalog() {
    return (await load("experiments.json")) ?? { all: "1", experiments: [] };
  }

  const experiments = async () => [...(await catalog()).experiments];

  async function experiment(id) {
    if (!/^\s*[+-]?\d+(_\d+)*\s*$/.test(String(id))) throw shim.invalid(`Invalid experiment ID '${id}'. Experiment ID must be a valid integer.`);
    const found = (await experiments()).find((entry) => entry.id === String(id).trim());
    if (!found) throw shim.missing(`No Experiment with id=${id} exists`);
    return found;
  }

  /** An experiment as the REST API gives it. */
  function experimentMessage(entry) {
    const message = {
      experiment_id: entry.id,
      name: entry.name,
      artifact_location: `mlflow-artifacts:/${entry.id}`,
      lifecycle_stage: entry.lifecycle,
      last_update_time: entry.updated,
      creation_time: entry.created,
    };
    const tags = Object.entries(entry.tags).map(([key, value]) => ({ key, value }));
    if (tags.length) message.tags = tags;
    return { ...message, workspace: "default" };
  }

  /** The rows of the pipeline run that an MLflow run belongs to; empty where there is none. */
  async function rowsOf(runId) {
    const [, run] = TASK_RUN.exec(String(runId)) ?? [];
    const file = run && (await load(`${RUNS}/${run}/mlflow/run.json`));
    return file ? file.rows : [];
  }

  /** One MLflow run's row, with its artifacts and the place of its histories. */
  async function row(runId) {
    const found = (await rowsOf(runId)).find((candidate) => candidate.id === runId);
    if (!found) throw shim.missing(`Run with id=${runId} not found`);
    return found;
  }

  /** A file beside a run's own, null where there is none. */
  const besideRun = (runId, name) => load(`${RUNS}/${String(runId).slice(0, 32)}/mlflow/${name}`);

  /**
   * The segments that can hold matching runs of some experiments. `newest` is how many of the
   * latest runs are enough; null for all.
   */
  async function segments(ids, clauses, newest) {
    const named = namedRuns(clauses);
    const wanted = await entriesOf(ids);
    if (named) {
      const rows = await Promise.all(named.map(rowsOf));
      const known = new Set(wanted.map((entry) => entry.id));
      const unique = new Map(rows.flat().filter((r) => known.has(r.experiment)).map((r) => [r.id, r]));
      return shim.segmentsOfRows([...unique.values()]);
    }
    const chunks = chunksOf(wanted);
    return newest === null ? Promise.all(chunks.map(segment)) : newestSegments(chunks, newest);
  }

  /** The segments of some experiments in which a run has logged models. */
  async function modelSegments(ids) {
    return Promise.all(chunksOf(await entriesOf(ids)).filter((chunk) => chunk.models).map(segment));
  }

  /** Experiments by id; all of them for that which holds all pipeline runs. */
  async function entriesOf(ids) {
    const { all, experiments: entries } = await catalog();
    return ids.includes(all) ? entries : entries.filter((entry) => ids.includes(entry.id));
  }

  const chunksOf = (entries) => entries.flatMap((entry) => entry.chunks.map((chunk) => ({ experiment: entry.id, ...chunk })));

  /** The ids of runs that a filter names, or whose children it asks for; null where it names none, or many. */
  function namedRuns(clauses) {
    for (const { kind, key, comparator, value } of clauses) {
      const names = (kind === "attribute" && key === "run_id") || (kind === "tag" && key === "mlflow.parentRunId");
      if (names && (comparator === "=" || comparator === "IN")) {
        const runs = [...new Set([value].flat())];
        if (runs.length <= FEW) return runs;
      }
    }
    return null;
  }

  const segmentCache = new Map();

  async function segment({ experiment: id, name }) {
    const path = `experiments/${id}/${name}.json`;
    if (!segmentCache.has(path)) {
      const data = await load(path);
      if (data === null) throw new shim.MlflowError("INTERNAL_ERROR", `The site lacks its file ${path}; build it again.`);
      segmentCache.set(path, new shim.Segment(data, id));
    }
    return segmentCache.get(path);
  }

  /** Load chunks from the newest on, until no other can hold one of the `count` latest runs. */
  async function newestSegments(chunks, count) {
    const rest = [...chunks].sort((a, b) => b.last - a.last);
    const loaded = [];
    while (rest.length) {
      const batch = rest.splice(0, nextBatch(rest, count));
      loaded.push(...(await Promise.all(batch.map(segment))));
      const starts = loaded.flatMap((part) => part.data.start).sort((a, b) => b - a);
      if (!rest.length || (starts.length >= count && starts[count - 1] > rest[0].last)) break;
    }
    return loaded;
  }

  function nextBatch(chunks, count) {
    let rows = 0;
    const enough = chunks.findIndex((chunk) => (rows += chunk.rows) >= count);
    return enough < 0 ? chunks.length : enough + 1;
  }

  shim.data = { catalog, experiments, experiment, experimentMessage, row, rowsOf, besideRun, segments, modelSegments, fetchFile };
})(globalThis.spanbookMlflow);
