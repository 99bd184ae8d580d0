"use strict";
// Load the page again once the site-builder has written its first site.
const events = new EventSource("/events");
events.addEventListener("changed", () => location.reload());
events.addEventListener("hello", async () => {
  // It may have come between this page and the stream.
  const answer = await fetch("/data/build.json", { cache: "no-store", headers: { Accept: "application/json" } });
  if (answer.ok) location.reload();
});
