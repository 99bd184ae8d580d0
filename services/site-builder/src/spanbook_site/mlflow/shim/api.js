// The server's routes, answered from the site's files. Reads of what a run file cannot hold are
// answered as by a server that has none of it; writes are refused, and the UI shows why.
"use strict";

(function (shim) {
  const READ_ONLY =
    "This is a published, read-only site: its runs are files, and nothing can be changed here. " +
    "To change what it shows, change the pipeline and run it again.";

  shim.getRun = async function (id) {
    if (!id) throw shim.invalid("Missing value for required parameter 'run_id'. See the API docs for more information about request parameters.");
    const row = await shim.data.row(id);
    return shim.segmentsOfRows([row])[0].run(0);
  };

  const one = (query, name, old) => query.get(name) ?? (old && query.get(old)) ?? undefined;

  const ROUTES = {
    "GET 3.0/mlflow/server-info": async () => ({
      store_type: "SqlStore",
      workspaces_enabled: false,
      trace_archival_enabled: false,
      multipart_uploads_enabled: false,
      multipart_downloads_enabled: false,
      features_enabled: { gateway: false },
    }),
    "GET 2.0/mlflow/users/current": async () => {
      throw new shim.MlflowError("ENDPOINT_NOT_FOUND", "This site has no users.");
    },
    "GET 2.0/mlflow/experiments/search": async ({ query }) =>
      shim.searchExperiments({
        max_results: one(query, "max_results"),
        filter: one(query, "filter"),
        view_type: one(query, "view_type"),
        page_token: one(query, "page_token"),
        order_by: query.getAll("order_by"),
      }),
    "POST 2.0/mlflow/experiments/search": async ({ body }) => shim.searchExperiments(body),
    "GET 2.0/mlflow/experiments/get": async ({ query }) => {
      const id = one(query, "experiment_id");
      if (!id) throw shim.invalid("Missing value for required parameter 'experiment_id'. See the API docs for more information about request parameters.");
      return { experiment: shim.data.experimentMessage(await shim.data.experiment(id)) };
    },
    "GET 2.0/mlflow/experiments/get-by-name": async ({ query }) => {
      const name = one(query, "experiment_name");
      const found = (await shim.data.experiments()).find((entry) => entry.name === name);
      if (!found) throw shim.missing(`Could not find experiment with name '${name}'`);
      return { experiment: shim.data.experimentMessage(found) };
    },
    "POST 2.0/mlflow/runs/search": async ({ body }) => shim.searchRuns(body),
    "GET 2.0/mlflow/runs/get": async ({ query }) => ({ run: await shim.getRun(one(query, "run_id", "run_uuid")) }),
    "GET 2.0/mlflow/metrics/get-history": async ({ query }) =>
      shim.metricHistory({
        run_id: one(query, "run_id", "run_uuid"),
        metric_key: one(query, "metric_key"),
        max_results: one(query, "max_results"),
        page_token: one(query, "page_token"),
      }),
    "GET 2.0/mlflow/metrics/get-history-bulk": async ({ query }) =>
      shim.metricHistoryBulk({ run_id: query.getAll("run_id"), metric_key: one(query, "metric_key"), max_results: one(query, "max_results") }),
    "GET 2.0/mlflow/metrics/get-history-bulk-interval": async ({ query }) =>
      shim.metricHistoryInterval({
        run_ids: query.getAll("run_ids"),
        metric_key: one(query, "metric_key"),
        start_step: one(query, "start_step"),
        end_step: one(query, "end_step"),
        max_results: one(query, "max_results"),
      }),
    "GET 2.0/mlflow/artifacts/list": async ({ query }) =>
      shim.listArtifacts({ run_id: one(query, "run_id", "run_uuid"), path: one(query, "path") }),
    "GET 2.0/mlflow/get-artifact": async ({ query }) => shim.getArtifact(one(query, "run_id", "run_uuid"), one(query, "path")),
    "GET get-artifact": async ({ query }) => shim.getArtifact(one(query, "run_id", "run_uuid"), one(query, "path")),
    "POST 2.0/mlflow/experiments/search-datasets": async ({ body }) => shim.searchDatasets(body),
    "POST 2.0/mlflow/logged-models/search": async ({ body }) => shim.searchModels(body),
    "POST graphql": async ({ body }) => shim.graphql(body),
  };

  // Lists of what run files do not hold: as a server that has none of it answers.
  const EMPTY = [
    ["GET", /^3\.0\/mlflow\/assistant\/config$/, { providers: {}, projects: {}, remote_access_allowed: false }],
    ["GET", /^3\.0\/mlflow\/assistant\/providers$/, { providers: [] }],
    ["GET", /^2\.0\/mlflow\/(registered-models|model-versions|model-registry)\/search$/, {}],
    ["GET", /^[23]\.0\/mlflow\/traces$/, {}],
    ["POST", /^[23]\.0\/mlflow\/traces\/(search|metrics)$/, {}],
    ["GET", /^3\.0\/mlflow\/(scorers|datasets|prompts|mcp-servers|webhooks|issues|label-schemas|review-queues)(\/(list|search))?$/, {}],
    ["POST", /^3\.0\/mlflow\/(datasets|issues|review-queues)\/search$/, {}],
    ["GET", /^[23]\.0\/mlflow\/(gateway-proxy|gateway\/.+)$/, { endpoints: [] }],
    ["GET", /^2\.0\/endpoints\/?$/, { endpoints: [] }],
  ];
  const READS = /\/(search|get|list|get-by-name|get-latest-versions|search-datasets|metrics)$/;

  const unanswered = []; // what no rule knows: empty while the UI is the pinned one (tests assert it)
  shim.unanswered = unanswered;

  /** The route in a URL of the API, or null where it is none. */
  shim.routeOf = function (url) {
    const base = new URL(".", document.baseURI).pathname;
    if (url.origin !== location.origin) return null;
    const path = url.pathname.startsWith(base) ? url.pathname.slice(base.length) : url.pathname.slice(1);
    const match = /^(?:ajax-api|api)\/(.+)$/.exec(path);
    if (match) return match[1];
    return ["graphql", "get-artifact", "model-versions/get-artifact"].includes(path) ? path : null;
  };

  /** Answer one request: a Response, always. */
  shim.answer = async function (method, route, url, readBody) {
    try {
      const bytes = /^2\.0\/mlflow-artifacts\/artifacts\/[^/]+\/([^/]+)\/artifacts\/(.+)$/.exec(route);
      if (bytes && method === "GET") return await shim.getArtifact(...bytes.slice(1).map(decodeURIComponent));
      const known = `${method} ${route}`;
      if (Object.hasOwn(ROUTES, known)) {
        const answer = await ROUTES[known]({ query: url.searchParams, body: method === "POST" ? await readBody() : null });
        return answer instanceof Response ? answer : json(200, answer);
      }
      const model = /^2\.0\/mlflow\/logged-models\/(m-[^/]+)(?:\/artifacts\/(directories|files))?$/.exec(route);
      if (model && method === "GET") {
        const [, id, part] = model;
        if (part === "files") return await shim.getModelArtifact(id, url.searchParams.get("artifact_file_path"));
        return json(200, await (part ? shim.listModelArtifacts(id, url.searchParams.get("artifact_directory_path")) : shim.getModel(id)));
      }
      for (const [verb, pattern, answer] of EMPTY) {
        if (verb === method && pattern.test(route)) return json(200, answer);
      }
      if (method !== "GET" && !READS.test(route)) throw new shim.MlflowError("PERMISSION_DENIED", READ_ONLY);
      unanswered.push(known);
      throw new shim.MlflowError("ENDPOINT_NOT_FOUND", `This published site does not answer ${method} ${route}.`);
    } catch (error) {
      if (error instanceof shim.MlflowError) return json(error.status, { error_code: error.code, message: error.message });
      console.error("The site's MLflow data could not be read.", error);
      return json(500, { error_code: "INTERNAL_ERROR", message: `The site's data could not be read: ${error.message}` });
    }
  };

  const json = (status, value) => new Response(JSON.stringify(value), { status, headers: { "Content-Type": "application/json" } });
})(globalThis.spanbookMlflow);
