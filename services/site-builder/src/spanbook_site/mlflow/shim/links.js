// The way back: a small link to the site's own page of the run, task or comparison on screen.
"use strict";

(function (shim) {
  const RUN = /\/runs\/(([0-9a-f]{32})(?:[0-9a-f]{16})?)(?:[/?]|$)/;
  const EXPERIMENT = /\/experiments\/(\d+)(?:[/?]|$)/;

  /** The site's page for an address of the UI, and what the link says. */
  async function target(hash) {
    const [, id48, run] = RUN.exec(hash) ?? [];
    const row = run && (await shim.data.rowsOf(run)).find((candidate) => candidate.id === id48);
    if (row?.page) return [`../${row.page}`, "This run in the pipeline monitor"];
    if (run) return [`../runs/${run}/index.html`, "This run in the pipeline monitor"];
    const [, id] = EXPERIMENT.exec(hash) ?? [];
    const entry = id && (await shim.data.experiments()).find((candidate) => candidate.id === id);
    if (entry?.page) return [`../${entry.page}`, "This task in the pipeline monitor"];
    return ["../index.html", "Pipeline monitor"];
  }

  async function update(link) {
    const hash = location.hash;
    const [href, text] = await target(hash);
    if (hash !== location.hash) return;
    link.href = href;
    link.textContent = `← ${text}`;
  }

  function add() {
    const link = document.createElement("a");
    link.id = "spanbook-back";
    link.href = "../index.html";
    Object.assign(link.style, { // over the empty part of the UI's own menu, above its last entries
      position: "fixed", left: "12px", bottom: "76px", zIndex: 1000, padding: "4px 10px", borderRadius: "12px",
      background: "#1f272d", color: "#fff", font: "12px system-ui, sans-serif", textDecoration: "none", maxWidth: "168px",
    });
    document.body.append(link);
    const refresh = () => update(link).catch((error) => console.warn("The link back could not be made.", error));
    // The UI changes the address by history calls, which fire no event.
    for (const name of ["pushState", "replaceState"]) {
      const change = history[name];
      history[name] = function (...rest) {
        const result = change.apply(this, rest);
        refresh();
        return result;
      };
    }
    addEventListener("popstate", refresh);
    addEventListener("hashchange", refresh);
    refresh();
  }

  document.addEventListener("DOMContentLoaded", add);
})(globalThis.spanbookMlflow);
