"use strict";
// Load the page again once the site-builder has written its first site.
const events = new EventSource("/events");
events.addEventListener("changed", () => location.reload());
events.addEventListener("hello", async () => {
  // It may have come between this page and the stream.
  const health = await (await fetch("/healthz", { cache: "no-store" })).json();
  if (health.site) location.reload();
});
