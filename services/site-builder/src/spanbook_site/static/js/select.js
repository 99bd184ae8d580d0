// A click on a task's bar, node or row selects it and shows what belongs to it; a second click follows the link.
"use strict";
(function (spanbook) {
  const KEY = "task";

  function show(task) {
    for (const marked of document.querySelectorAll("[data-task].selected")) {
      if (marked.dataset.task !== task) marked.classList.remove("selected");
    }
    for (const panel of document.querySelectorAll("[data-task-panel]")) {
      panel.hidden = task !== null && panel.dataset.taskPanel !== task;
    }
    for (const close of document.querySelectorAll("[data-select-none]")) close.hidden = task === null;
    if (task === null) return;
    for (const mark of document.querySelectorAll(`[data-task="${CSS.escape(task)}"]`)) mark.classList.add("selected");
  }

  function panelOf(task) {
    return document.querySelector(`[data-task-panel="${CSS.escape(task)}"]`);
  }

  function select(task) {
    spanbook.state.set({ [KEY]: task });
    show(task);
  }

  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    if (event.target.closest("[data-select-none]")) return select(null);
    const hit = event.target.closest("svg [data-task], .gantt [data-task], [data-gantt] [data-task]");
    const task = hit && hit.dataset.task;
    if (!task || hit.classList.contains("selected") || !panelOf(task)) return; // the link does its work
    event.preventDefault();
    select(task);
    panelOf(task).scrollIntoView({ block: "nearest", behavior: "smooth" });
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && spanbook.state.get(KEY) && !event.target.closest("input, select, textarea, dialog")) {
      select(null);
    }
  });

  spanbook.reselect = () => {
    const task = spanbook.state.get(KEY);
    if (task !== null && panelOf(task)) show(task);
    else if (document.querySelector("[data-task].selected")) show(null);
  };
  spanbook.reselect();
  spanbook.state.watch(spanbook.reselect);
})(window.spanbook);
