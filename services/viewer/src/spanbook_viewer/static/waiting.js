"use strict";
// Load the page again once there is something else at its address.
async function look() {
  const answer = await fetch(location.href, { cache: "no-store", headers: { Accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (answer.ok || fresh.title !== document.title) location.reload();
}

const events = new EventSource("/events");
events.addEventListener("changed", look);
events.addEventListener("hello", look); // it may have come between this page and the stream
