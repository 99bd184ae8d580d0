// What a page of one run cannot hold, since later runs change it: a task's run times so far, and whether a schedule goes stale.
"use strict";
(function (spanbook) {
  const { element } = spanbook;
  const SLACK = 1.5; // schedules on shared machines start late
  const HOUR = 3600;

  spanbook.enhance("figure[data-history]", async (figure) => {
    try {
      const chart = { ...(await spanbook.load(figure.dataset.history)) };
      const root = (href) => spanbook.root + href;
      chart.series = chart.series.map((series) => ({ ...series, href: (series.href || []).map(root) }));
      const runs = new Set(chart.series.flatMap((series) => series.x));
      if (runs.size < 2) return; // one run is no history
      const here = Date.parse(figure.dataset.at) / 1000;
      if (here) chart.marks = [{ x: here, label: "this run" }];
      figure.append(element("script", { type: "application/json" }, JSON.stringify(chart)));
      figure.setAttribute("data-chart", "");
      figure.hidden = false;
      spanbook.refresh(figure);
    } catch {
      // the task has no history yet: its page says so
    }
  });

  spanbook.enhance("[data-schedule]", (note) => {
    const age = Date.now() / 1000 - Date.parse(note.dataset.last) / 1000;
    const every = Number(note.dataset.every);
    if (!(age > every * SLACK + HOUR)) return;
    note.textContent = `last scheduled run: overdue, as one came every ${spanbook.duration(every)}`;
    note.parentElement.classList.add("stale");
  });
})(window.spanbook);
