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

  shim.searchModels = async function ({ experiment_ids: ids, filter, order_by: order, max_results: most, page_token: token }) {
    if (filter) throw shim.invalid("This published site does not search logged models by a filter.");
    const segments = await shim.data.modelSegments([ids ?? []].flat().map(String));
    const found = segments.flatMap(({ data }) => (data.models?.value ?? []).flat()).map(({ model }) => model);
    const [by] = order ?? [];
    const metric = /^metrics\.(.+)$/.exec(by?.field_name ?? "")?.[1];
    const worth = (model) => (metric ? model.data.metrics.findLast(({ key }) => key === metric)?.value ?? -Infinity : model.info.creation_timestamp_ms);
    found.sort((a, b) => (by?.ascending === true ? worth(a) - worth(b) : worth(b) - worth(a)));
    const begin = Number(token ?? 0) || 0;
    const end = begin + (Number(most) || 100);
    const answer = {};
    if (found.length) answer.models = found.slice(begin, end);
    return end < found.length ? { ...answer, next_page_token: String(end) } : answer;
  };

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
