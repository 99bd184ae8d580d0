// Tables that sort, filter, search, choose columns and page, with the whole view in the address.
"use strict";
(function (spanbook) {
  const { element, state } = spanbook;
  const { Rows, columnOf, rowOf, trOf, csv } = spanbook.rows;
  const PAGE = 100; // rows shown at a time, where `data-page` does not say
  const all = new Map();
  spanbook.tables = all;

  class Table {
    constructor(box) {
      this.box = box;
      this.name = box.dataset.table;
      this.size = Number(box.dataset.page) || PAGE;
      this.table = box.querySelector("table");
      this.body = this.table.tBodies[0];
      const heads = this.table.tHead.rows;
      this.columns = [...heads[heads.length - 1].cells].map(columnOf);
      this.rows = new Rows(this.columns, [...this.body.rows].map((tr) => rowOf(tr, this.columns, sourceOf(box, tr))));
      this.shards = (box.dataset.shards || "").split(/\s+/).filter(Boolean);
      this.whole = this.shards.length === 0;
      this.total = Number(box.dataset.total) || this.rows.list.length;
      this.selected = new Set();
      this.sheet = new CSSStyleSheet();
      document.adoptedStyleSheets = [...document.adoptedStyleSheets, this.sheet];
      box.id = box.id || `table-${this.name}`;
      this.build();
      this.readState();
      state.watch(() => this.readState());
    }

    key(part) {
      return `${this.name}.${part}`;
    }

    // -- the state of the view: address first, then what the reader chose here before ------------------------
    readState() {
      if (this.gone) return;
      const sort = state.get(this.key("sort")) || "";
      this.sort = { key: sort.replace(/^-/, ""), down: sort.startsWith("-") };
      this.query = state.get(this.key("q")) || "";
      this.page = Math.max(1, Number(state.get(this.key("page"))) || 1);
      this.constant = state.get(this.key("constant")) === "hide";
      this.selected = new Set((state.get(this.key("sel")) || "").split(",").filter(Boolean));
      const prefix = this.key("f.");
      this.filters = new Map(state.keys(prefix).map((key) => [key.slice(prefix.length), state.get(key)]));
      const columns = state.get(this.key("cols")) ?? remembered(this.memory());
      this.shown = new Set(
        columns === null
          ? this.columns.filter((column) => !column.hidden).map((column) => column.key)
          : columns.split(",").map(decodeURIComponent),
      );
      if (document.activeElement !== this.search) this.search.value = this.query;
      this.constantBox.checked = this.constant;
      for (const [key, field] of this.fields) {
        if (field.tagName === "SELECT") this.offer(this.columns.find((column) => column.key === key), field);
        else if (document.activeElement !== field) field.value = this.filters.get(key) || "";
      }
      if (this.filters.size) this.showFilters(true);
      this.view();
    }

    memory() {
      return `spanbook.columns.${document.documentElement.dataset.page || ""}.${this.name}`;
    }

    change(changes) {
      state.set(Object.fromEntries(Object.entries({ page: null, ...changes }).map(([k, v]) => [this.key(k), v])));
      this.readState();
    }

    // -- controls ----------------------------------------------------------------------------------------------
    build() {
      this.search = element("input", {
        type: "search",
        placeholder: "Search",
        "aria-label": "Search these rows",
        oninput: debounce(() => this.change({ q: this.search.value.trim() })),
        onchange: () => this.change({ q: this.search.value.trim() }), // on leaving, before another control redraws it
      });
      this.constantBox = element("input", {
        type: "checkbox",
        onchange: () => this.change({ constant: this.constantBox.checked ? "hide" : null }),
      });
      this.status = element("span", { class: "count", role: "status" });
      this.filterButton = element(
        "button",
        { type: "button", "aria-expanded": "false", onclick: () => this.showFilters(this.filterRow.hidden) },
        "Filter",
      );
      this.menu = element("details", { class: "columns" }, element("summary", {}, "Columns"));
      this.compare = this.box.hasAttribute("data-select") ? this.compareLink() : null;
      const link = element("button", { type: "button", title: "The link holds columns, sort, filters and selection", data: { copyLink: "" } }, "Copy link");
      const csv = element("button", { type: "button", onclick: () => this.saveCsv() }, "CSV");
      const bar = element("div", { class: "table-tools" }, this.search, this.filterButton, this.menu, csv, link, this.compare, this.status);
      this.pager = element("nav", { class: "pager", "aria-label": "Pages of the table", hidden: true });
      this.box.prepend(bar);
      this.box.append(this.pager);
      spanbook.refresh(bar);
      this.buildHead();
      this.buildMenu();
      document.addEventListener("click", (event) => {
        if (this.menu.open && !this.menu.contains(event.target)) this.menu.open = false;
      });
    }

    buildHead() {
      this.fields = new Map();
      const cells = this.columns.map((column) => {
        const button = element(
          "button",
          { type: "button", class: "sort", onclick: () => this.toggleSort(column) },
          ...column.th.childNodes,
        );
        column.th.replaceChildren(button);
        const field = column.type === "state" ? this.choice(column) : this.field(column);
        this.fields.set(column.key, field);
        return element("td", {}, field);
      });
      this.filterRow = element("tr", { class: "filters", hidden: true }, ...cells);
      this.table.tHead.append(this.filterRow);
      if (!this.compare) return;
      this.columns[0].th.before(element("th", { scope: "col", "data-tick": "" }, element("span", { class: "sr" }, "Select")));
      this.filterRow.prepend(element("td", { "data-tick": "" }));
    }

    field(column) {
      const field = element("input", {
        type: "text",
        "aria-label": `Filter ${column.label}`,
        placeholder: column.numeric ? ">, <, 1..2" : "contains",
        oninput: debounce(() => this.change({ [`f.${column.key}`]: field.value.trim() })),
        onchange: () => this.change({ [`f.${column.key}`]: field.value.trim() }),
      });
      return field;
    }

    choice(column) {
      const field = element("select", {
        "aria-label": `Filter ${column.label}`,
        onfocus: () => this.offer(column, field),
        onchange: () => this.change({ [`f.${column.key}`]: field.value }),
      });
      field.append(element("option", { value: "" }, "all"));
      return field;
    }

    offer(column, field) {
      const now = this.filters.get(column.key) || "";
      const options = ["", ...this.rows.valuesOf(column)];
      field.replaceChildren(...options.map((v) => element("option", { value: v, selected: v === now }, v || "all")));
    }

    showFilters(show) {
      this.filterRow.hidden = !show;
      this.filterButton.setAttribute("aria-expanded", String(show));
    }

    buildMenu() {
      this.boxes = new Map();
      const list = element("div", { class: "menu" });
      list.append(element("label", {}, this.constantBox, " hide columns that are the same in every row"));
      for (const column of this.columns) {
        const box = element("input", { type: "checkbox", onchange: () => this.chooseColumns() });
        this.boxes.set(column.key, box);
        list.append(element("label", {}, box, ` ${column.label || column.key}`));
      }
      list.append(element("button", { type: "button", onclick: () => this.chooseColumns(null) }, "As at first"));
      this.menu.append(list);
    }

    chooseColumns(keys = [...this.boxes].filter(([, box]) => box.checked).map(([key]) => encodeURIComponent(key)).join(",")) {
      remember(this.memory(), keys);
      this.change({ cols: keys });
    }

    toggleSort(column) {
      const { key, down } = this.sort;
      const first = column.numeric || this.rows.allNumbers(column); // numbers: largest first
      if (key !== column.key) this.change({ sort: (first ? "-" : "") + column.key });
      else if (down === first) this.change({ sort: (first ? "" : "-") + column.key });
      else this.change({ sort: null });
    }

    // -- the view ----------------------------------------------------------------------------------------------
    async view() {
      const touched = this.sort.key || this.query || this.filters.size || this.page * this.size > this.rows.list.length;
      if (touched && !this.whole) await this.loadAll();
      this.found = this.inOrder();
      this.draw();
    }

    async loadAll() {
      this.loading = this.loading || Promise.all(this.shards.map((name) => spanbook.load(name)));
      this.status.textContent = "Loading …";
      try {
        const shards = await this.loading;
        if (!this.whole) for (const shard of shards) this.rows.add(shard);
        this.total = this.rows.list.length;
      } catch (error) {
        this.problem = `Not all rows are here: ${error.message}.`; // go on with what is there
      }
      this.whole = true;
      later(() => this.prepare());
    }

    /** Work out the orders of what is shown while nobody waits, so that a sort has them. */
    prepare() {
      for (const column of this.columns) if (this.shown.has(column.key)) this.rows.order(column);
    }

    inOrder() {
      const words = this.query.toLowerCase().split(/\s+/).filter(Boolean);
      const found = this.rows.filtered(this.filters, words, (key, wrong) => this.fields.get(key).setAttribute("aria-invalid", String(wrong)));
      this.rows.sort(found, this.sort.key, this.sort.down);
      return found;
    }

    draw() {
      const pages = Math.max(1, Math.ceil((this.narrowed() || this.whole ? this.found.length : this.total) / this.size));
      this.page = Math.min(this.page, pages);
      const rows = this.found.slice((this.page - 1) * this.size, this.page * this.size).map(trOf);
      const same = rows.length === this.body.rows.length && rows.every((tr, index) => tr === this.body.rows[index]);
      if (!same) this.body.replaceChildren(...rows);
      if (this.compare) {
        for (const tr of rows) this.tick(tr);
        this.drawCompare();
      }
      this.drawColumns();
      this.drawPager(pages);
      this.drawStatus();
      for (const column of this.columns) {
        const sorted = column.key === this.sort.key;
        column.th.setAttribute("aria-sort", sorted ? (this.sort.down ? "descending" : "ascending") : "none");
      }
      if (!same) {
        spanbook.refresh(this.body);
        spanbook.tick();
      }
    }

    narrowed() {
      return this.query !== "" || this.filters.size > 0;
    }

    drawStatus() {
      const total = this.whole ? this.rows.list.length : this.total;
      const some = this.narrowed() ? `${this.found.length.toLocaleString("en")} of ` : "";
      const word = total === 1 ? "row" : "rows";
      const beyond = Number(this.box.dataset.of) > total ? `, of ${Number(this.box.dataset.of).toLocaleString("en")}` : ""; // on a page of their own
      this.status.textContent = `${some}${total.toLocaleString("en")} ${word}${beyond}${this.problem ? `. ${this.problem}` : ""}`;
    }

    drawColumns() {
      const offset = this.compare ? 2 : 1;
      const hidden = this.columns.filter((column) => !this.shown.has(column.key) || (this.constant && this.rows.isConstant(column)));
      const name = `#${CSS.escape(this.box.id)}`;
      const rules = hidden.map(({ index }) => `${name} tr > :nth-child(${index + offset}) { display: none }`);
      const css = rules.join("\n");
      if (css !== this.css) this.sheet.replaceSync(css);
      this.css = css;
      for (const [key, box] of this.boxes) box.checked = this.shown.has(key);
    }

    drawPager(pages) {
      this.pager.hidden = pages === 1;
      if (pages === 1) return this.pager.replaceChildren();
      const go = (page, text) =>
        element("button", { type: "button", disabled: page < 1 || page > pages, onclick: () => this.turnTo(page) }, text);
      this.pager.replaceChildren(
        go(this.page - 1, "Newer"), element("span", {}, `Page ${this.page} of ${pages}`), go(this.page + 1, "Older"),
      );
      if (this.sort.key) {
        this.pager.firstChild.textContent = "Previous";
        this.pager.lastChild.textContent = "Next";
      }
    }

    turnTo(page) {
      this.change({ page: page === 1 ? null : String(page) });
      this.box.scrollIntoView({ block: "start" });
    }

    // -- selection -----------------------------------------------------------------------------------------------
    compareLink() {
      return element("a", { class: "button compare", hidden: true }, "Compare");
    }

    tick(tr) {
      let cell = tr.firstElementChild;
      if (!cell || !cell.hasAttribute("data-tick")) {
        const { id } = tr.dataset;
        const box = element("input", { type: "checkbox", "aria-label": "Select to compare", onchange: () => this.toggle(id, box.checked) });
        cell = element("td", { "data-tick": "" }, id ? box : "");
        tr.prepend(cell);
      }
      const box = cell.firstElementChild;
      if (box) box.checked = this.selected.has(tr.dataset.id);
      tr.classList.toggle("selected", this.selected.has(tr.dataset.id));
    }

    toggle(id, on) {
      if (on) this.selected.add(id);
      else this.selected.delete(id);
      state.set({ [this.key("sel")]: [...this.selected].join(",") });
      this.draw();
    }

    drawCompare() {
      const ids = [...this.selected];
      const kind = this.box.dataset.select || "runs";
      this.compare.hidden = ids.length < 1;
      this.compare.textContent = ids.length === 1 ? "Compare 1 with …" : `Compare ${ids.length}`;
      this.compare.href = `${spanbook.root}compare.html#${kind}=${ids.join(",")}`;
    }

    // -- out -----------------------------------------------------------------------------------------------------
    async saveCsv() {
      if (!this.whole) await this.loadAll();
      const columns = this.columns.filter((column) => this.shown.has(column.key));
      const blob = new Blob([csv(columns, this.inOrder())], { type: "text/csv" });
      const link = element("a", { href: URL.createObjectURL(blob), download: `${this.name}.csv` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    }

    /** Whether new markup has the same columns; else live.js puts it in this table's place. */
    fits(fresh) {
      const heads = fresh.querySelector("thead").rows;
      const keys = [...heads[heads.length - 1].cells].map((th) => columnOf(th).key);
      return keys.join("\n") === this.columns.map((column) => column.key).join("\n");
    }

    /** Its markup goes: so does what it hid, and it follows the address no more. */
    leave() {
      all.delete(this.box);
      this.gone = true;
      document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== this.sheet);
    }

    /** New markup of the same table, from live.js: rows that differ are replaced, new ones come first. */
    update(fresh) {
      const known = new Map(this.rows.list.map((row) => [row.id, row]));
      const top = [...fresh.querySelector("tbody").rows].map((tr) => {
        const old = known.get(tr.dataset.id);
        known.delete(tr.dataset.id);
        return old && old.source === tr.outerHTML ? old : rowOf(document.importNode(tr, true), this.columns);
      });
      const rest = this.shards.length ? [...known.values()].filter((row) => row.id) : []; // left the page, not the history
      this.rows = new Rows(this.columns, [...top, ...rest]);
      this.total = Number(fresh.dataset.total) || this.rows.list.length;
      this.view();
    }
  }

  // -- helpers -----------------------------------------------------------------------------------------------------
  /** A row's markup as it came, where the page is live; else it is not needed. */
  function sourceOf(box, tr) {
    const before = spanbook.source && tr.dataset.id && spanbook.source.getElementById(box.id);
    const row = before && before.querySelector(`tr[data-id="${CSS.escape(tr.dataset.id)}"]`);
    return row ? row.outerHTML : "";
  }

  function debounce(then, wait = 120) {
    let timer = 0;
    return () => {
      clearTimeout(timer);
      timer = setTimeout(then, wait);
    };
  }

  const later = window.requestIdleCallback || ((then) => setTimeout(then, 50));

  function remembered(key) {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // storage is off
    }
  }

  function remember(key, value) {
    try {
      if (value === null) localStorage.removeItem(key);
      else localStorage.setItem(key, value);
    } catch {
      // the address still has it
    }
  }

  spanbook.enhance("[data-table]", (box) => {
    if (box.querySelector("table thead th")) all.set(box, new Table(box));
  });
})(window.spanbook);
