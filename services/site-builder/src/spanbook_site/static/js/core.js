// What every page's scripts share: data by script element, the state of a view in the address, times, copying.
"use strict";
window.spanbook = window.spanbook || {};
(function (spanbook) {
  const page = document.documentElement;

  /** The viewer marks what it serves by a response header; any other server, or file://, does not. */
  spanbook.served = performance
    .getEntriesByType("navigation")
    .some((entry) => (entry.serverTiming || []).some((timing) => timing.name === "spanbook-viewer"));
  /** The page as it came, before scripts add to it: what live.js compares the next one with. */
  spanbook.source = spanbook.served ? document.cloneNode(true) : null;

  page.classList.add("js");
  spanbook.root = page.dataset.root || "";
  spanbook.data = spanbook.data || {};

  // -- enhancers: a function for each element that matches, now and whenever live.js brings in more ----------
  const enhancers = [];

  function enhance(within, { selector, make, done }) {
    const found = within.matches && within.matches(selector) ? [within] : [];
    for (const element of [...found, ...within.querySelectorAll(selector)]) {
      if (done.has(element)) continue;
      done.add(element);
      make(element);
    }
  }

  spanbook.enhance = function (selector, make) {
    const enhancer = { selector, make, done: new WeakSet() };
    enhancers.push(enhancer);
    enhance(document, enhancer);
  };

  spanbook.refresh = function (within) {
    for (const enhancer of enhancers) enhance(within, enhancer);
  };

  // -- data: `data/NAME.js` sets spanbook.data["data/NAME"]; works from file://, where fetch does not ---------
  const loading = {};

  spanbook.load = function (name) {
    if (name in spanbook.data) return Promise.resolve(spanbook.data[name]);
    loading[name] = loading[name] || new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = spanbook.root + name.split("/").map(encodeURIComponent).join("/") + ".js";
      script.onload = () =>
        name in spanbook.data ? resolve(spanbook.data[name]) : reject(new Error(`${name}.js has no ${name}`));
      script.onerror = () => {
        delete loading[name]; // it may be there next time
        reject(new Error(`${name}.js is not there`));
      };
      document.head.append(script);
    });
    return loading[name];
  };

  // -- state: #key=value&…, so that a view can be sent; a plain #anchor is left alone ------------------------
  function read() {
    const hash = location.hash.slice(1);
    return new URLSearchParams(hash.includes("=") ? hash : "");
  }

  spanbook.state = {
    get: (key) => read().get(key),
    keys: (prefix) => [...read().keys()].filter((key) => key.startsWith(prefix)),
    /** Set several keys at once; null or "" takes a key away. */
    set(changes) {
      const state = read();
      const before = state.toString();
      for (const [key, value] of Object.entries(changes)) {
        if (value === null || value === "") state.delete(key);
        else state.set(key, value);
      }
      const hash = state.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
      if (state.toString() === before) return;
      history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    },
    /** Call when the reader edits the address or follows a link within the page. */
    watch: (then) => addEventListener("hashchange", then),
  };

  // -- small makers --------------------------------------------------------------------------------------------
  /** An element; properties that start with `on` are listeners, `data` the dataset, the rest attributes. */
  spanbook.element = function (tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "data") Object.assign(made.dataset, value);
      else made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  };

  /** A number as people read it: up to six digits that count, never rounded to nothing. */
  spanbook.number = function (value) {
    if (value === null || value === undefined || value === "") return "–";
    if (typeof value !== "number") return String(value);
    if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(3);
    return String(Number(value.toPrecision(6)));
  };

  /** A writer of numbers that stand side by side: so many decimals as four digits of the largest take. */
  spanbook.aligned = function (values) {
    const numbers = values.filter((value) => typeof value === "number" && Number.isFinite(value));
    const most = Math.max(0, ...numbers.map(Math.abs));
    if (numbers.every(Number.isInteger) || most >= 1e6 || most < 1e-2) return spanbook.number;
    const decimals = Math.max(0, 3 - Math.floor(Math.log10(most)));
    const same = new Set(numbers.map((value) => value.toFixed(decimals))).size < new Set(numbers).size;
    return (value) => (typeof value !== "number" || same ? spanbook.number(value) : value.toFixed(decimals));
  };

  spanbook.duration = function (seconds) {
    if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
    if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 60) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
    if (hours && !minutes) return `${hours} h`;
    return hours ? `${hours} h ${minutes} min` : `${minutes} min ${rest} s`;
  };

  // -- times ---------------------------------------------------------------------------------------------------
  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const WEEK = 7 * 86400;
  const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

  /** How long ago, within a week; else the day: a column of “2 months ago” tells nobody anything. */
  spanbook.relative = function (date, now = Date.now()) {
    const seconds = (date.getTime() - now) / 1000;
    if (Math.abs(seconds) > WEEK) return date.toISOString().slice(0, 10);
    for (const [unit, length] of UNITS) {
      if (Math.abs(seconds) >= length) return words.format(Math.round(seconds / length), unit);
    }
    return "just now";
  };

  function tick() {
    for (const time of document.querySelectorAll("time[data-relative]")) {
      const date = new Date(time.dateTime);
      if (Number.isNaN(date.getTime())) continue; // 2262 and such: the text stays
      if (!time.title) time.title = time.textContent.trim();
      const text = spanbook.relative(date);
      if (time.textContent !== text) time.textContent = text;
    }
    for (const since of document.querySelectorAll("[data-since]")) {
      const start = Date.parse(since.dataset.since);
      if (start) since.textContent = spanbook.duration(Math.max(0, (Date.now() - start) / 1000));
    }
  }

  spanbook.tick = tick;
  tick();
  setInterval(tick, 1000);

  // -- the navigation of a phone scrolls sideways: the page one is on comes into sight ---------------------------
  if (matchMedia("(max-width: 720px)").matches) {
    const here = document.querySelector("header.site nav [aria-current]");
    if (here) requestAnimationFrame(() => here.scrollIntoView({ block: "nearest", inline: "nearest" }));
  }

  // -- copy buttons --------------------------------------------------------------------------------------------
  spanbook.enhance("button[data-copy], button[data-copy-link]", (button) => {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = button.dataset.copy || location.href;
      const label = (button.dataset.label ||= button.textContent); // a second click sees "Copied"
      button.textContent = (await copy(text)) ? "Copied" : "Press Ctrl-C";
      button.setAttribute("aria-live", "polite");
      setTimeout(() => (button.textContent = label), 1500);
    });
  });

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // no clipboard without a secure context, such as file:// in some browsers
    }
    const field = spanbook.element("textarea", { readonly: true, class: "sr" }, text);
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
})(window.spanbook);
