// Artifacts: the tree that a run's file list makes, and the bytes of one, from the site's files.
"use strict";

(function (shim) {
  const SITE = new URL("../", document.baseURI);
  const TYPES = {
    avif: "image/avif", bmp: "image/bmp", csv: "text/csv", gif: "image/gif", jpeg: "image/jpeg", jpg: "image/jpeg",
    json: "application/json", md: "text/markdown", mp3: "audio/mpeg", mp4: "video/mp4", pdf: "application/pdf",
    png: "image/png", wav: "audio/wav", webm: "video/webm", webp: "image/webp",
  };

  /** artifacts/list: what lies directly in a folder. */
  shim.listArtifacts = async function ({ run_id: runId, path }) {
    if (!runId) throw shim.invalid("Missing value for required parameter 'run_id'. See the API docs for more information about request parameters.");
    const row = await shim.data.row(runId);
    const folder = safe(path ?? "");
    const prefix = folder && `${folder}/`;
    const found = new Map();
    for (const [name, size] of row.artifacts) {
      if (!name.startsWith(prefix)) continue;
      const [first, ...rest] = name.slice(prefix.length).split("/");
      const place = prefix + first;
      found.set(place, rest.length ? { path: place, is_dir: true } : { path: place, is_dir: false, file_size: size });
    }
    const files = [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
    const answer = { root_uri: `mlflow-artifacts:/${row.experiment}/${row.id}/artifacts` };
    return { ...answer, files }; // always there: comparing runs of which one has none fails without
  };

  /** get-artifact: the bytes, from the site's own copy. */
  shim.getArtifact = async function (runId, path) {
    const row = await shim.data.row(runId);
    const wanted = safe(path ?? "");
    const [name, , address] = row.artifacts.find(([candidate]) => candidate === wanted) ?? [];
    if (name === undefined) throw shim.missing(`No such artifact: '${wanted}'`);
    if (!address) throw shim.missing(`The site does not hold the bytes of '${wanted}': they were trimmed or never came. The run file may have them.`);
    const response = await shim.data.fetchFile(new URL(address.split("/").map(encodeURIComponent).join("/"), SITE), { credentials: "same-origin" });
    if (!response.ok) throw shim.missing(`The site's file for '${wanted}' could not be read: HTTP ${response.status}.`);
    const suffix = name.slice(name.lastIndexOf(".") + 1).toLowerCase();
    const type = Object.hasOwn(TYPES, suffix) ? TYPES[suffix] : "text/plain"; // never HTML, SVG or script
    return new Response(response.body, { headers: { "Content-Type": type } });
  };

  function safe(path) {
    const clean = String(path).replace(/\/+$/, "");
    if (/^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\0/.test(clean) || clean.includes("\\")) throw shim.invalid("Invalid path");
    return clean;
  }
})(globalThis.spanbookMlflow);
