// The four GraphQL queries of the UI: resolved by the REST answers, cut to the selection asked for.
"use strict";

(function (shim) {
  const INT64 = new Set(["start_time", "end_time", "creation_time", "last_update_time", "timestamp", "step"]);
  const TYPES = {
    experiment: "MlflowExperiment", run: "MlflowRunExtension", runs: "MlflowRunExtension", info: "MlflowRunInfo",
    data: "MlflowRunData", params: "MlflowParam", inputs: "MlflowRunInputs", outputs: "MlflowRunOutputs",
    modelVersions: "MlflowModelVersion", apiError: "ApiError",
  };
  const QUERIES = {
    mlflowGetExperiment: {
      type: "MlflowGetExperimentResponse",
      answer: async (input) => ({ experiment: shim.data.experimentMessage(await shim.data.experiment(input.experiment_id)) }),
    },
    mlflowGetRun: {
      type: "MlflowGetRunResponse",
      answer: async (input) => ({ run: await wholeRun(input.run_id || input.run_uuid) }),
    },
    mlflowSearchRuns: {
      type: "MlflowSearchRunsResponse",
      answer: (input) => shim.searchRuns(input),
    },
    mlflowGetMetricHistoryBulkInterval: {
      type: "MlflowGetMetricHistoryBulkIntervalResponse",
      answer: (input) => shim.metricHistoryInterval(input),
    },
  };

  async function wholeRun(id) {
    const run = await shim.getRun(id);
    const experiment = shim.data.experimentMessage(await shim.data.experiment(run.info.experiment_id));
    return { ...run, experiment, modelVersions: [] };
  }

  /** POST graphql: one query, its variables, and the selection to cut the answer to. */
  shim.graphql = async function ({ query, variables }) {
    const fields = selection(String(query ?? ""));
    const data = {};
    const errors = [];
    for (const { name, alias, argument, fields: inner } of fields) {
      const known = Object.hasOwn(QUERIES, name) ? QUERIES[name] : null;
      if (!known) {
        errors.push(`Cannot query field '${name}' on type 'Query'.`);
        continue;
      }
      try {
        const answer = await known.answer(snake(variables?.[argument] ?? {}));
        data[alias] = shape({ apiError: null, ...answer }, inner, known.type);
      } catch (error) {
        if (!(error instanceof shim.MlflowError)) throw error;
        data[alias] = null;
        errors.push(error.message);
      }
    }
    return { data, errors: errors.length ? errors : null };
  };

  /** The fields of a query as a tree: {name, alias, argument (its variable), fields}. */
  function selection(query) {
    const tokens = query.match(/"(?:\\.|[^"\\])*"|[A-Za-z_]\w*|[{}():$!@\[\]=,]|-?\d+(?:\.\d+)?/g) ?? [];
    let at = tokens.indexOf("{", tokens.indexOf(")") + 1);
    if (tokens[0] === "{") at = 0;
    while (tokens[at] !== undefined && tokens[at] !== "{") at += 1;

    function fields() {
      const found = [];
      at += 1; // {
      while (tokens[at] !== undefined && tokens[at] !== "}") {
        const field = { name: tokens[at], alias: tokens[at], argument: null, fields: null };
        at += 1;
        if (tokens[at] === ":") {
          field.name = tokens[at + 1];
          at += 2;
        }
        if (tokens[at] === "(") {
          while (tokens[at] !== ")") {
            if (tokens[at] === "$") field.argument = tokens[at + 1];
            at += 1;
          }
          at += 1;
        }
        if (tokens[at] === "{") field.fields = fields();
        found.push(field);
      }
      at += 1; // }
      return found;
    }
    return fields();
  }

  /** A REST message cut to a selection, under GraphQL's names and types. */
  function shape(message, fields, type) {
    if (message === null || message === undefined) return null;
    if (Array.isArray(message)) return message.map((item) => shape(item, fields, type));
    const out = {};
    for (const { name, alias, fields: inner } of fields) {
      if (name === "__typename") out[alias] = type;
      else out[alias] = value(message, name, inner, type);
    }
    return out;
  }

  function value(message, name, inner, type) {
    const key = Object.hasOwn(message, name) ? name : name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
    const found = Object.hasOwn(message, key) ? message[key] : undefined;
    if (inner) {
      if (found === undefined) return LISTS.has(name) ? [] : null;
      return shape(found, inner, typeOf(name, type));
    }
    if (found === undefined) return missing(key, type);
    if (INT64.has(key)) return String(found);
    return found === "NaN" ? null : found; // GraphQL's Float has no NaN
  }

  const LISTS = new Set(["tags", "params", "metrics", "runs", "modelVersions", "datasetInputs", "modelInputs", "modelOutputs"]);

  function missing(key, type) {
    if (INT64.has(key)) return "0";
    if (type === "MlflowExperiment" || type === "MlflowRunInfo") return "";
    return null;
  }

  function typeOf(name, parent) {
    if (name === "tags") return parent === "MlflowExperiment" ? "MlflowExperimentTag" : "MlflowRunTag";
    if (name === "metrics") return parent === "MlflowRunData" ? "MlflowMetricExtension" : "MlflowMetricWithRunId";
    return TYPES[name] ?? name;
  }

  function snake(input) {
    return Object.fromEntries(Object.entries(input).map(([key, item]) => [key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`), item]));
  }
})(globalThis.spanbookMlflow);
