// Light, dark, or as the system has it; set before the page is drawn.
"use strict";
(function () {
  const KEY = "spanbook.theme";
  const page = document.documentElement;
  page.classList.add("scripted"); // the style keeps room for what scripts will add

  function remembered() {
    try {
      return localStorage.getItem(KEY) || "";
    } catch {
      return ""; // storage is off
    }
  }

  function show(theme) {
    if (theme) page.dataset.theme = theme;
    else delete page.dataset.theme;
    for (const button of document.querySelectorAll("[data-theme-toggle]")) label(button, theme);
    for (const frame of document.querySelectorAll(".frame iframe")) tell(frame, theme);
    document.dispatchEvent(new CustomEvent("spanbook:theme"));
  }

  /** A notebook's frame knows the system's theme, not the one chosen here. */
  function tell(frame, theme) {
    if (frame.contentWindow) frame.contentWindow.postMessage(theme, "*"); // it has no origin
  }

  function label(button, theme) {
    button.hidden = false;
    button.setAttribute("aria-label", `Theme: ${theme || "as the system has it"}. Change it.`);
    button.title = button.getAttribute("aria-label");
  }

  show(remembered());
  document.addEventListener("DOMContentLoaded", () => {
    show(remembered());
    for (const frame of document.querySelectorAll(".frame iframe")) {
      frame.addEventListener("load", () => remembered() && tell(frame, remembered()));
    }
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-toggle]")) return;
    const order = ["", "light", "dark"];
    const next = order[(order.indexOf(remembered()) + 1) % order.length];
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // it holds for this page only
    }
    show(next);
  });
})();
