// Matching, ordering and paging of runs and experiments, as MLflow's SQL store on SQLite does it.
"use strict";

(function (shim) {
  const { RUNS, EXPERIMENTS } = shim.filterTargets;
  const VIEWS = { ACTIVE_ONLY: ["active"], DELETED_ONLY: ["deleted"], ALL: ["active", "deleted"], 1: ["active"], 2: ["deleted"], 3: ["active", "deleted"] };
  const MAX_RESULTS = 50000;

  /** runs/search: the runs of a page and the token of the next. */
  shim.searchRuns = async function (request) {
    const limit = maxResults(request.max_results, 1000);
    const clauses = shim.parseFilter(request.filter);
    const orders = (request.order_by ?? []).map((text) => shim.parseOrder(text));
    checkOrders(orders, request.order_by);
    shim.checkComparators(clauses);
    const offset = offsetOf(request.page_token);
    const experiments = experimentIds(request.experiment_ids ?? []);
    const view = stages(request.run_view_type);

    const wanted = offset + limit + 1;
    const segments = await shim.data.segments(experiments, clauses, newestFirst(clauses, orders, view) ? wanted : null);
    const found = sorted(segments, matching(segments, clauses, view), orders);
    const page = found.slice(offset, offset + limit);
    const answer = {};
    if (page.length) answer.runs = page.map(([segment, row]) => segments[segment].run(row));
    if (found.length > offset + limit) answer.next_page_token = tokenOf(offset + limit);
    return answer;
  };

  function newestFirst(clauses, orders, view) {
    const [first] = orders;
    const byStart = !first || (orders.length === 1 && first.kind === "attribute" && shim.attributeOf(first.key) === "start_time" && !first.ascending);
    return byStart && !clauses.length && view.includes("active");
  }

  function checkOrders(orders, texts) {
    const seen = new Set();
    for (const { kind, key } of orders) {
      if (kind === "dataset") throw shim.invalid("Invalid identifier type 'dataset'");
      const name = `${kind} ${kind === "attribute" ? shim.attributeOf(key) : key}`;
      if (seen.has(name)) throw new shim.MlflowError("INTERNAL_ERROR", `\`order_by\` contains duplicate fields: ${JSON.stringify(texts)}`);
      seen.add(name);
    }
  }

  function experimentIds(ids) {
    return ids.map((id) => {
      if (!/^\s*[+-]?\d+(_\d+)*\s*$/.test(String(id))) throw shim.invalid(`Invalid experiment ID '${id}'. Experiment ID must be a valid integer.`);
      return String(id).trim();
    });
  }

  function stages(view) {
    return VIEWS[view ?? "ACTIVE_ONLY"] ?? VIEWS.ACTIVE_ONLY;
  }

  function maxResults(value, usual) {
    if (value === undefined || value === null) return usual;
    const limit = Number(value);
    if (!Number.isInteger(limit) || limit < 1) {
      throw shim.invalid(`Invalid value ${value} for parameter 'max_results' supplied. It must be a positive integer`);
    }
    if (limit > MAX_RESULTS) {
      throw shim.invalid(`Invalid value ${value} for parameter 'max_results' supplied. It must be at most ${MAX_RESULTS}`);
    }
    return limit;
  }

  // -- pages ---------------------------------------------------------------------------------

  function offsetOf(token) {
    if (!token) return 0;
    let offset;
    try {
      offset = JSON.parse(atob(token)).offset;
    } catch {
      throw shim.invalid("Invalid page token, could not base64-decode");
    }
    if (!offset || !Number.isInteger(Number(offset))) throw shim.invalid(`Invalid page token, parsed value=${offset}`);
    return Math.max(0, Number(offset));
  }

  const tokenOf = (offset) => btoa(`{"offset": ${offset}}`);
  shim.paging = { offsetOf, tokenOf, maxResults };

  // -- matching ------------------------------------------------------------------------------

  /** [segment, row] of every run in which all clauses hold. */
  function matching(segments, clauses, view) {
    const found = [];
    segments.forEach((segment, number) => {
      const tests = clauses.map((clause) => tester(segment, clause));
      if (tests.includes(null)) return;
      for (let row = 0; row < segment.rows; row += 1) {
        if (view.includes(segment.lifecycle(row)) && tests.every((test) => test(row))) found.push([number, row]);
      }
    });
    return found;
  }

  /** A test of one row; null where no row of the segment can pass. */
  function tester(segment, { kind, key, comparator, value }) {
    if (kind === "dataset") {
      const holds = textTest(comparator, value);
      return (row) => datasets(segment, row).some((dataset) => dataset[key] !== undefined && holds(dataset[key]));
    }
    if (kind === "metric") {
      const column = segment.metric(key);
      if (!column) return null;
      const holds = numberTest(comparator, value);
      const nan = comparator === "!=";
      return (row) => (column.mark[row] === shim.Segment.NAN ? nan : column.mark[row] === shim.Segment.NUMBER && holds(column.value[row]));
    }
    if (kind === "attribute") {
      const name = shim.attributeOf(key);
      const column = name === "run_name" ? segment.texts("tag", "mlflow.runName") : segment.attribute(name);
      if (!column) return null;
      const holds = RUNS.numeric.includes(key) ? numberTest(comparator, value) : textTest(comparator, value);
      return (row) => column[row] !== null && holds(column[row]);
    }
    const column = segment.texts(kind, key);
    if (comparator === "IS NULL") return column ? (row) => column[row] === null : () => true;
    if (!column) return null;
    if (comparator === "IS NOT NULL") return (row) => column[row] !== null;
    const holds = textTest(comparator, value);
    return (row) => column[row] !== null && holds(column[row]);
  }

  /** The datasets that a run used: name, digest and context of each. */
  function datasets(segment, row) {
    return (segment.beside("inputs", row)?.dataset_inputs ?? []).map(({ dataset, tags }) => ({
      name: dataset.name,
      digest: dataset.digest,
      context: tags.find(({ key }) => key === "mlflow.data.context")?.value,
    }));
  }

  function numberTest(comparator, value) {
    switch (comparator) {
      case "=": return (x) => x === value;
      case "!=": return (x) => x !== value;
      case "<": return (x) => x < value;
      case "<=": return (x) => x <= value;
      case ">": return (x) => x > value;
      case ">=": return (x) => x >= value;
      default: throw shim.invalid(`Invalid comparator '${comparator}'`);
    }
  }

  function textTest(comparator, value) {
    switch (comparator) {
      case "=": return (x) => x === value;
      case "!=": return (x) => x !== value;
      case "IN": return (x) => value.includes(x);
      case "NOT IN": return (x) => !value.includes(x);
      case "LIKE": return like(value, (x) => x);
      case "ILIKE": return like(value, lower);
      default: throw shim.invalid(`Invalid comparator '${comparator}'`);
    }
  }

  const lower = (text) => text.replace(/[A-Z]+/g, (part) => part.toLowerCase()); // SQLite's lower()

  function like(pattern, fold) {
    const source = fold(pattern).replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&").replace(/%/g, "[^]*").replace(/_/g, "[^]");
    const expression = new RegExp(`^${source}$`, "u");
    return (x) => expression.test(fold(x));
  }

  // -- order ---------------------------------------------------------------------------------

  /** Matches in the order asked for; ties by start time, newest first, then by run id. */
  function sorted(segments, found, orders) {
    const keys = orders.map((order) => sortKeys(segments, found, order));
    const starts = found.map(([segment, row]) => segments[segment].start(row));
    const byStart = !orders.some(({ kind, key }) => kind === "attribute" && shim.attributeOf(key) === "start_time");
    const places = found.map((_, place) => place);
    places.sort((a, b) => {
      for (const { rank, value, compare, sign } of keys) {
        if (rank[a] !== rank[b]) return rank[a] - rank[b];
        if (rank[a] === 0) {
          const difference = compare(value[a], value[b]);
          if (difference) return sign * difference;
        }
      }
      if (byStart && starts[a] !== starts[b]) return starts[b] - starts[a];
      return compareTexts(segments[found[a][0]].id(found[a][1]), segments[found[b][0]].id(found[b][1]));
    });
    return places.map((place) => found[place]);
  }

  /** For each match its value and its rank: values first, then NaN, then what is missing. */
  function sortKeys(segments, found, { kind, key, ascending }) {
    const numeric = kind === "metric" || (kind === "attribute" && RUNS.numeric.includes(key));
    const columns = segments.map((segment) =>
      kind === "metric" ? segment.metric(key)
      : kind === "attribute" ? segment.attribute(shim.attributeOf(key))
      : segment.texts(kind, key));
    const rank = new Uint8Array(found.length);
    const value = numeric ? new Float64Array(found.length) : new Array(found.length);
    found.forEach(([segment, row], place) => {
      const column = columns[segment];
      if (kind === "metric") {
        const mark = column ? column.mark[row] : shim.Segment.ABSENT;
        rank[place] = mark === shim.Segment.NUMBER ? 0 : mark === shim.Segment.NAN ? 1 : 2;
        value[place] = column ? column.value[row] : 0;
      } else {
        const cell = column ? column[row] : null;
        rank[place] = cell === null ? 1 : 0;
        value[place] = cell;
      }
    });
    return { rank, value, compare: numeric ? (a, b) => a - b : compareTexts, sign: ascending ? 1 : -1 };
  }

  /** By code point, as SQLite compares UTF-8. */
  function compareTexts(a, b) {
    if (a === b) return 0;
    const length = Math.min(a.length, b.length);
    let at = 0;
    while (at < length && a.charCodeAt(at) === b.charCodeAt(at)) at += 1;
    if (at === length) return a.length - b.length;
    return point(a.charCodeAt(at)) - point(b.charCodeAt(at));
  }

  const point = (unit) => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);

  shim.tests = { numberTest, textTest, compareTexts };

  // -- experiments ---------------------------------------------------------------------------

  /** experiments/search. */
  shim.searchExperiments = async function (request) {
    const limit = maxResults(request.max_results ?? 0, 0);
    const clauses = shim.parseFilter(request.filter, EXPERIMENTS);
    const orders = (request.order_by?.length ? request.order_by : ["creation_time DESC", "experiment_id ASC"])
      .map((text) => shim.parseOrder(text, EXPERIMENTS));
    checkExperimentOrders(orders);
    checkExperimentClauses(clauses);
    const offset = offsetOf(request.page_token);
    const view = stages(request.view_type);
    const found = (await shim.data.experiments())
      .filter((experiment) => view.includes(experiment.lifecycle) && clauses.every((clause) => experimentMatches(experiment, clause)));
    if (!orders.some(({ key }) => key === "experiment_id")) orders.push({ key: "experiment_id", ascending: false });
    found.sort((a, b) => {
      for (const { key, ascending } of orders) {
        const [x, y] = [experimentValue(a, key), experimentValue(b, key)];
        const difference = key === "name" ? compareTexts(x, y) : x - y;
        if (difference) return ascending ? difference : -difference;
      }
      return 0;
    });
    const answer = {};
    const page = found.slice(offset, offset + limit);
    if (page.length) answer.experiments = page.map(shim.data.experimentMessage);
    if (found.length > offset + limit) answer.next_page_token = tokenOf(offset + limit);
    return answer;
  };

  /** experiments/search-datasets: what the newest runs of some experiments used. */
  shim.searchDatasets = async function ({ experiment_ids: ids }) {
    const wanted = [ids ?? []].flat().map(String);
    const found = (await shim.data.experiments()).filter(({ id }) => wanted.includes(id));
    const summaries = found.flatMap(({ id, datasets: used = [] }) =>
      used.map(([name, digest, context]) => ({ experiment_id: id, name, digest, context })));
    return summaries.length ? { dataset_summaries: summaries } : {};
  };

  function checkExperimentOrders(orders) {
    for (const { kind } of orders) {
      if (kind !== "attribute") throw shim.invalid(`Invalid order_by entity: ${kind}`);
    }
  }

  function checkExperimentClauses(clauses) {
    for (const { kind, key, comparator, value } of clauses) {
      if (key === "experiment_id" && kind === "attribute") {
        if (!["=", "!=", "IN", "NOT IN"].includes(comparator)) throw shim.invalid(`Invalid comparator for experiment_id: ${comparator}`);
        experimentIds([value].flat());
      } else if (EXPERIMENTS.numeric.includes(key) && kind === "attribute" && !Number.isInteger(value)) {
        throw shim.invalid(`Invalid value for numeric attribute '${key}': '${value}'`);
      }
    }
    shim.checkComparators(clauses, EXPERIMENTS);
  }

  function experimentValue(experiment, key) {
    return { name: experiment.name, experiment_id: Number(experiment.id), creation_time: experiment.created, last_update_time: experiment.updated }[key];
  }

  function experimentMatches(experiment, { kind, key, comparator, value }) {
    if (kind === "tag") {
      const tag = Object.hasOwn(experiment.tags, key) ? experiment.tags[key] : null;
      if (comparator === "IS NULL") return tag === null;
      if (comparator === "IS NOT NULL") return tag !== null;
      return tag !== null && textTest(comparator, value)(tag);
    }
    if (key === "name") return textTest(comparator, value)(experiment.name);
    if (key === "experiment_id") {
      const numbers = [value].flat().map(Number);
      return textTest(comparator, comparator.includes("IN") ? numbers : numbers[0])(Number(experiment.id));
    }
    return numberTest(comparator, value)(experimentValue(experiment, key));
  }
})(globalThis.spanbookMlflow);
