// Metric histories: all points of a metric, or a sample of them as MLflow's SQL store draws it.
"use strict";

(function (shim) {
  const SAMPLE = 320; // what history.py has packed
  const MAX_PER_RUN = 2500;
  const MAX_RUNS = 100;
  const MAX_BULK = 25000;

  /** The points of one metric of one run: {all, points}; `all` where nothing was left out. */
  async function points(runId, key, { full }) {
    const row = await shim.data.row(runId);
    if (!Object.hasOwn(row.metrics, key)) return { all: true, points: [] };
    const file = row.history && (await shim.data.besideRun(runId, row.history));
    const runs = file ?? {};
    const packed = Object.hasOwn(runs, runId) && Object.hasOwn(runs[runId], key) ? runs[runId][key] : null;
    if (!packed) {
      const [value, step, timestamp] = row.metrics[key];
      return { all: true, points: [{ value, timestamp, step }] };
    }
    if (full && packed.full) {
      const whole = await shim.data.besideRun(runId, packed.full);
      if (whole) return { all: true, points: unpack(whole) };
    }
    return { all: !packed.total, points: unpack(packed) };
  }

  function unpack({ step, time, value }) {
    let timestamp = 0;
    return step.map((at, i) => {
      timestamp += time[i];
      return { value: value[i], timestamp, step: at };
    });
  }

  /** SQL's NTILE: the first of each of `size` buckets, and the last of all. */
  function sample(found, size) {
    if (found.length <= size) return found;
    const small = Math.floor(found.length / size);
    const larger = found.length % size;
    const picked = [];
    for (let bucket = 0, at = 0; bucket < size; bucket += 1) {
      picked.push(found[at]);
      at += small + (bucket < larger ? 1 : 0);
    }
    picked[size - 1] = found[found.length - 1];
    return picked;
  }

  /** metrics/get-history: every point, by time. */
  shim.metricHistory = async function ({ run_id: runId, metric_key: key, max_results: max, page_token: token }) {
    if (!runId) throw shim.invalid("Missing value for required parameter 'run_id'. See the API docs for more information about request parameters.");
    if (!key) throw shim.invalid("Missing value for required parameter 'metric_key'. See the API docs for more information about request parameters.");
    const limit = max === undefined || max === null ? null : Number(max);
    if (limit !== null && !(limit > 0)) throw shim.invalid(`Invalid value ${max} for parameter 'max_results' supplied. It must be a positive integer.`);
    const offset = shim.paging.offsetOf(token);
    const known = await known_(runId);
    const found = known ? byTime((await points(runId, key, { full: true })).points) : [];
    const page = limit === null ? found.slice(offset) : found.slice(offset, offset + limit);
    const answer = {};
    if (page.length) answer.metrics = page.map((point) => ({ key, ...point }));
    if (limit !== null && found.length > offset + limit) answer.next_page_token = shim.paging.tokenOf(offset + limit);
    return answer;
  };

  /** metrics/get-history-bulk: all points of one metric of several runs, by run and time. */
  shim.metricHistoryBulk = async function ({ run_id: runIds, metric_key: key, max_results: max }) {
    if (!runIds?.length) throw shim.invalid("GetMetricHistoryBulk request must specify at least one run_id.");
    if (runIds.length > MAX_RUNS) {
      throw shim.invalid(`GetMetricHistoryBulk request cannot specify more than ${MAX_RUNS} run_ids. Received ${runIds.length} run_ids.`);
    }
    if (!key) throw shim.invalid("GetMetricHistoryBulk request must specify a metric_key.");
    const found = [];
    for (const runId of [...new Set(runIds)].sort()) {
      if (!(await known_(runId))) continue;
      const history = byTime((await points(runId, key, { full: true })).points);
      found.push(...history.map((point) => ({ key, ...point, run_id: runId })));
    }
    return { metrics: found.slice(0, Math.min(Number(max ?? MAX_BULK), MAX_BULK)) };
  };

  /** metrics/get-history-bulk-interval: a sample of each run's points, in a range of steps if given. */
  shim.metricHistoryInterval = async function ({ run_ids: runIds, metric_key: key, start_step: start, end_step: end, max_results: max }) {
    if (!runIds?.length) throw shim.invalid("Missing value for required parameter 'run_ids'. See the API docs for more information about request parameters.");
    if (runIds.length > MAX_RUNS) {
      throw shim.invalid(`GetMetricHistoryBulkInterval request must specify at most ${MAX_RUNS} run_ids. Received ${runIds.length} run_ids. See the API docs for more information about request parameters.`);
    }
    if (!key) throw shim.invalid("Missing value for required parameter 'metric_key'. See the API docs for more information about request parameters.");
    const limit = Number(max ?? MAX_PER_RUN);
    if (!(limit >= 1 && limit <= MAX_PER_RUN)) {
      throw shim.invalid(`max_results must be between 1 and ${MAX_PER_RUN}. See the API docs for more information about request parameters.`);
    }
    const range = interval(start, end);
    const parts = await Promise.all(runIds.map((runId) => intervalOfRun(runId, key, range, limit)));
    const metrics = parts.flat();
    return metrics.length ? { metrics } : {};
  };

  function interval(start, end) {
    const given = [start, end].filter((value) => value !== undefined && value !== null);
    if (given.length === 0) return null;
    if (given.length === 1) throw shim.invalid("If either start step or end step are specified, both must be specified.");
    if (Number(start) > Number(end)) {
      throw shim.invalid(`end_step must be greater than start_step. Found start_step=${start} and end_step=${end}.`);
    }
    return [Number(start), Number(end)];
  }

  async function intervalOfRun(runId, key, range, limit) {
    if (!(await known_(runId))) return [];
    const packed = range === null && limit === SAMPLE;
    const { points: history } = await points(runId, key, { full: !packed });
    const inside = range ? history.filter(({ step }) => step >= range[0] && step <= range[1]) : history;
    return sample(inside, limit).map((point) => ({ key, ...point, run_id: runId }));
  }

  const known_ = async (runId) => (await shim.data.rowsOf(runId)).some((row) => row.id === runId);

  const number = (value) => (value === "NaN" ? 0 : value);
  const byTime = (found) =>
    [...found].sort((a, b) => a.timestamp - b.timestamp || a.step - b.step || number(a.value) - number(b.value));
})(globalThis.spanbookMlflow);
