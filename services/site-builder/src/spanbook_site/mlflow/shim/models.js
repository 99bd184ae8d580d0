// Logged models: of runs' own files, by id; of the tables, by experiment.
"use strict";

(function (shim) {
  const ID = /^m-([0-9a-f]{32})[0-9a-f]{24}$/;

  /** A logged model's row and its own entry. */
  async function find(id) {
    const [, run] = ID.exec(String(id)) ?? [];
    for (const row of run ? await shim.data.rowsOf(run) : []) {
      const entry = (row.models ?? []).find(({ model }) => model.info.model_id === id);
      if (entry) return { row, entry };
    }
    throw shim.missing(`Logged model with ID '${id}' not found.`);
  }

  shim.getModel = async (id) => ({ model: (await find(id)).entry.model });

  const ATTRIBUTES = {
    name: ({ info }) => info.name,
    model_id: ({ info }) => info.model_id,
    model_type: ({ info }) => info.model_type,
    status: ({ info }) => info.status.replace("LOGGED_MODEL_", ""),
    source_run_id: ({ info }) => info.source_run_id,
    experiment_id: ({ info }) => info.experiment_id,
    creation_timestamp: ({ info }) => info.creation_timestamp_ms,
    creation_timestamp_ms: ({ info }) => info.creation_timestamp_ms,
    creation_time: ({ info }) => info.creation_timestamp_ms,
    last_updated_timestamp: ({ info }) => info.last_updated_timestamp_ms,
    last_updated_timestamp_ms: ({ info }) => info.last_updated_timestamp_ms,
  };
  const NAMES = Object.keys(ATTRIBUTES);
  const TIMES = NAMES.filter((name) => name.includes("time"));
  /** What may be asked of logged models. */
  const MODELS = {
    kinds: {
      attribute: "attribute", attributes: "attribute", metric: "metric", metrics: "metric",
      param: "parameter", params: "parameter", tag: "tag", tags: "tag",
    },
    attributes: NAMES,
    orderable: NAMES,
    numeric: TIMES,
    lists: NAMES.filter((name) => !TIMES.includes(name)),
    nullable: ["tag", "parameter"],
  };

  /** The values of a field of one model: none, one, or one a point. */
  function values(model, { kind, key }, used) {
    if (kind === "attribute") return [ATTRIBUTES[key](model)];
    if (kind === "metric") return model.data.metrics.filter((point) => point.key === key && used(point)).map(({ value }) => Number(value));
    const pairs = kind === "tag" ? model.info.tags : model.data.params;
    return pairs.filter((pair) => pair.key === key).map(({ value }) => value);
  }

  function holds(model, clause, used) {
    const { comparator, value } = clause;
    const found = values(model, clause, used);
    if (comparator === "IS NULL") return !found.length;
    if (comparator === "IS NOT NULL") return found.length > 0;
    const numeric = clause.kind === "metric" || TIMES.includes(clause.key);
    return found.some((numeric ? shim.tests.numberTest : shim.tests.textTest)(comparator, value));
  }

  /** Points of any of some datasets; of all where none is named. */
  const usedBy = (datasets) => (point) =>
    !datasets.length ||
    datasets.some(({ dataset_name: name, dataset_digest: digest }) => point.dataset_name === name && (!digest || point.dataset_digest === digest));

  shim.searchModels = async function (request) {
    const clauses = shim.parseFilter(request.filter, MODELS);
    shim.checkComparators(clauses, MODELS);
    const orders = (request.order_by ?? []).map(({ field_name: name, ascending }) => ({ ...shim.parseOrder(name, MODELS), ascending: ascending !== false }));
    const datasets = request.datasets ?? [];
    const used = usedBy(datasets);
    const segments = await shim.data.modelSegments([request.experiment_ids ?? []].flat().map(String));
    const found = segments
      .flatMap(({ data }) => (data.models?.value ?? []).flat())
      .map(({ model }) => model)
      .filter((model) => (!datasets.length || model.data.metrics.some(used)) && clauses.every((clause) => holds(model, clause, used)));
    found.sort((a, b) => compared(a, b, orders, used) || b.info.creation_timestamp_ms - a.info.creation_timestamp_ms);
    const begin = Number(request.page_token ?? 0) || 0;
    const end = begin + (Number(request.max_results) || 100);
    const answer = {};
    if (found.length) answer.models = found.slice(begin, end);
    return end < found.length ? { ...answer, next_page_token: String(end) } : answer;
  };

  /** By the orders asked for; what has no value comes last. */
  function compared(a, b, orders, used) {
    for (const order of orders) {
      const [x] = values(a, order, used).slice(-1);
      const [y] = values(b, order, used).slice(-1);
      if (x === y) continue;
      if (x === undefined || y === undefined) return x === undefined ? 1 : -1;
      const difference = typeof x === "number" ? x - y : shim.tests.compareTexts(x, y);
      if (difference) return order.ascending ? difference : -difference;
    }
    return 0;
  }

  /** The files of a logged model lie in a folder of its run's. */
  shim.listModelArtifacts = async function (id, path) {
    const { row, entry } = await find(id);
    const below = `${entry.folder}/`;
    const listed = await shim.listArtifacts({ run_id: row.id, path: path ? below + path : entry.folder });
    return { ...listed, files: listed.files.map((file) => ({ ...file, path: file.path.slice(below.length) })) };
  };

  shim.getModelArtifact = async function (id, path) {
    const { row, entry } = await find(id);
    return shim.getArtifact(row.id, `${entry.folder}/${path ?? ""}`);
  };
})(globalThis.spanbookMlflow);
