// Follows a run in progress: when the viewer tells that this page changed, the parts that differ are swapped.
"use strict";
(function (spanbook) {
  if (!spanbook.served) return;

  const MOST_LINES = 5000; // of one log, in a page that is open for long
  const here = location.href.split("#")[0];
  let before = spanbook.source; // the page as it came last
  let stream = null;
  let busy = false;
  let again = false;

  // -- the stream ----------------------------------------------------------------------------------------------
  function address() {
    const path = decodeURIComponent(location.pathname).slice(1);
    return path === "" || path.endsWith("/") ? `${path}index.html` : path;
  }

  /** A page by itself, or a folder (`runs/<run id>/`) with all that lies in it. */
  const concerns = (path) => (path.endsWith("/") ? address().startsWith(path) : path === address());

  function listen() {
    if (document.hidden || stream) return;
    stream = new EventSource("/events");
    stream.addEventListener("hello", update); // something may have come since this page was fetched
    stream.addEventListener("changed", (event) => {
      const change = JSON.parse(event.data);
      if (change.all || change.paths.some(concerns)) update();
    });
    stream.onopen = () => document.documentElement.classList.add("live");
    stream.onerror = () => {
      document.documentElement.classList.remove("live");
      if (stream && stream.readyState === EventSource.CLOSED) {
        stream = null; // refused: too many pages listen
        setTimeout(listen, 10000);
      }
    };
  }

  function hush() {
    if (stream) stream.close();
    stream = null;
  }

  // A browser has six connections to one server: a page that nobody looks at gives its own back.
  document.addEventListener("visibilitychange", () => (document.hidden ? hush() : listen()));
  addEventListener("pagehide", hush);
  addEventListener("pageshow", listen);
  listen();

  async function update() {
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    do {
      again = false;
      try {
        const answer = await fetch(here, { cache: "no-cache", headers: { Accept: "text/html" } });
        if (answer.ok) swapPage(new DOMParser().parseFromString(await answer.text(), "text/html"));
      } catch (error) {
        console.info("The viewer is away:", error.message); // the stream comes back, and says hello
      }
    } while (again);
    busy = false;
  }

  // -- the swap ------------------------------------------------------------------------------------------------
  const scripts = (page) => [...page.scripts].map((script) => script.getAttribute("src")).join();

  function swapPage(fresh) {
    const old = before;
    before = fresh;
    if (scripts(old) !== scripts(fresh)) return location.reload(); // the site was built by another version
    if (old.title !== fresh.title) document.title = fresh.title;
    const hold = holdScroll();
    swap(old.querySelector("main"), fresh.querySelector("main"), document.querySelector("main"));
    spanbook.tick();
    if (spanbook.reselect) spanbook.reselect();
    hold();
  }

  /** Make `shown` what `fresh` is, where that differs from `old`: what scripts and the reader did elsewhere stays. */
  function swap(old, fresh, shown) {
    if (old.isEqualNode(fresh)) return;
    if (shown.matches("[data-table]") && spanbook.tables && spanbook.tables.has(shown)) {
      const table = spanbook.tables.get(shown);
      if (table.fits(fresh)) return table.update(fresh);
      table.leave(); // a run brought a metric that none had before
      replace(shown, fresh);
    } else if (fresh.matches("[data-live=append]") && overlap(old, fresh) >= 0) {
      append(shown, [...fresh.children].slice(old.children.length - overlap(old, fresh)));
    } else if (!fresh.matches("[data-chart]") && sameShape(old, fresh) && sameShape(old, shown)) {
      swapAttributes(old, fresh, shown);
      [...fresh.childNodes].forEach((child, index) => swapChild(old.childNodes[index], child, shown.childNodes[index]));
    } else {
      replace(shown, fresh);
    }
  }

  function swapChild(old, fresh, shown) {
    if (fresh.nodeType === Node.ELEMENT_NODE) swap(old, fresh, shown);
    else if (old.data !== fresh.data) shown.data = fresh.data;
  }

  function swapAttributes(old, fresh, shown) {
    for (const { name, value } of fresh.attributes) {
      if (old.getAttribute(name) !== value) shown.setAttribute(name, value);
    }
    for (const { name } of old.attributes) if (!fresh.hasAttribute(name)) shown.removeAttribute(name);
  }

  /** Whether two elements have the same kinds of children in the same places, with the same ids. */
  function sameShape(one, other) {
    return (
      one.nodeName === other.nodeName &&
      one.childNodes.length === other.childNodes.length &&
      [...one.childNodes].every((child, index) => {
        const twin = other.childNodes[index];
        return child.nodeName === twin.nodeName && child.id === twin.id;
      })
    );
  }

  /** How many lines left at the top, where the others stayed and more came below; -1 where it is not so. */
  function overlap(old, fresh) {
    const [olds, news] = [[...old.children], [...fresh.children]];
    return olds.findIndex((_, gone) => olds.slice(gone).every((line, at) => news[at] && line.isEqualNode(news[at])));
  }

  /** Add lines; those that the fresh page has no more stay, since someone may be reading them. */
  function append(shown, lines) {
    const box = scroller(shown);
    const atEnd = box && box.scrollHeight - box.scrollTop - box.clientHeight < 4;
    for (const line of lines) shown.append(document.importNode(line, true));
    while (shown.children.length > MOST_LINES) shown.firstElementChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  function scroller(element) {
    for (let box = element; box && box !== document.body; box = box.parentElement) {
      if (box.scrollHeight > box.clientHeight && /auto|scroll/.test(getComputedStyle(box).overflowY)) return box;
    }
    return null;
  }

  /** Put a fresh element in an old one's place; open details, focus, scroll and hidden panels stay as they are. */
  function replace(shown, fresh) {
    const next = document.importNode(fresh, true);
    const focus = path(shown, document.activeElement);
    const scrolled = [shown, ...shown.querySelectorAll("*")]
      .filter((box) => box.scrollTop || box.scrollLeft)
      .map((box) => [path(shown, box), box.scrollTop, box.scrollLeft]);
    const open = new Map([...shown.querySelectorAll("details")].map((one) => [nameOf(one), one.open]));
    if (shown.tagName === "DETAILS") next.open = shown.open;
    for (const one of next.querySelectorAll("details")) {
      if (open.has(nameOf(one))) one.open = open.get(nameOf(one));
    }
    shown.replaceWith(next);
    spanbook.refresh(next);
    for (const [where, top, left] of scrolled) {
      const box = find(next, where);
      if (box) [box.scrollTop, box.scrollLeft] = [top, left];
    }
    const again = focus && find(next, focus);
    if (again) again.focus({ preventScroll: true });
  }

  function nameOf(details) {
    const summary = details.querySelector("summary");
    return details.id || (summary ? summary.textContent.trim() : "");
  }

  /** How to find an element again in the fresh copy: by its id or task, else by its place. */
  function path(top, element) {
    if (!element || !top.contains(element)) return null;
    const steps = [];
    for (let at = element; at !== top; at = at.parentElement) {
      if (at.id) return [`#${CSS.escape(at.id)}`, ...steps].join(" > ");
      steps.unshift(`:nth-child(${[...at.parentElement.children].indexOf(at) + 1})`);
    }
    return [":scope", ...steps].join(" > ");
  }

  function find(top, where) {
    return where === ":scope" || where === `#${CSS.escape(top.id)}` ? top : top.querySelector(where);
  }

  /** Note what the reader looks at; the function given back puts it where it was. */
  function holdScroll() {
    const at = document.elementFromPoint(innerWidth / 2, Math.min(120, innerHeight / 2));
    const anchor = at && at.closest("[id]");
    if (!anchor || scrollY === 0) return () => undefined;
    const { id } = anchor;
    const top = anchor.getBoundingClientRect().top;
    return () => {
      const now = document.getElementById(id);
      if (now) scrollBy({ top: now.getBoundingClientRect().top - top, behavior: "instant" });
    };
  }
})(window.spanbook);
