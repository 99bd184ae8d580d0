// Pages of the UI that are not in the site (leftout.py says which): who asks for one stays, and is told why.
"use strict";

(function () {
  const PAGES = new RegExp(
    "^#/(?:gateway|mcp-registry|admin|prompts/.|models/.|compare-model-versions|" +
      "experiments/[^/?]+/(?:playground|judges|review-queue|chat-sessions|evaluation-runs|prompts|datasets/.))",
  );
  const WHY =
    "This page of MLflow is not part of a published site: its runs are files, and hold no prompts, judges, " +
    "evaluations, gateways or registered models.";
  const HOME = "#/experiments";

  function tell() {
    document.getElementById("spanbook-leftout")?.remove();
    const note = document.createElement("button");
    note.id = "spanbook-leftout";
    note.textContent = `${WHY} ✕`;
    note.setAttribute("aria-live", "polite");
    Object.assign(note.style, {
      position: "fixed", top: "12px", left: "50%", transform: "translateX(-50%)", zIndex: 1000, maxWidth: "480px", border: "0",
      padding: "8px 14px", borderRadius: "12px", background: "#1f272d", color: "#fff", font: "13px system-ui, sans-serif", cursor: "pointer",
    });
    note.addEventListener("click", () => note.remove());
    document.body.append(note);
  }

  function leave(event) {
    if (!PAGES.test(location.hash)) return;
    event?.stopImmediatePropagation(); // before the UI's own listener: it would load the page
    location.replace(HOME);
    if (document.body) tell();
    else document.addEventListener("DOMContentLoaded", tell);
  }

  addEventListener("popstate", leave);
  addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href^='#']") : null;
    if (!link || !PAGES.test(link.getAttribute("href"))) return;
    event.preventDefault();
    event.stopPropagation();
    tell();
  }, true);
  leave();
})();
