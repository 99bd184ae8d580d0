// MLflow's filter language and order_by clauses, parsed and checked as its server does.
// A clause is {kind, key, comparator, value}; kind is metric, parameter, tag, attribute or dataset.
"use strict";

(function (shim) {
  const KINDS = {
    metric: "metric", metrics: "metric",
    parameter: "parameter", parameters: "parameter", param: "parameter", params: "parameter",
    tag: "tag", tags: "tag",
    attribute: "attribute", attr: "attribute", attributes: "attribute", run: "attribute",
    dataset: "dataset", datasets: "dataset",
  };
  const NUMERIC = ["=", "!=", "<", "<=", ">", ">="];
  const TEXT = ["=", "!=", "LIKE", "ILIKE"];
  const NULLS = ["IS NULL", "IS NOT NULL"];
  const LISTS = ["IN", "NOT IN"];

  /** What may be asked of runs. */
  const RUNS = {
    kinds: KINDS,
    attributes: ["run_id", "run_name", "user_id", "status", "start_time", "end_time", "artifact_uri",
                 "created", "Created", "run name", "Run name", "Run Name"],
    orderable: ["run_id", "run_name", "user_id", "status", "start_time", "end_time", "artifact_uri",
                "created", "Created"],
    numeric: ["start_time", "end_time", "created", "Created"],
    lists: ["run_id"],
    nullable: ["tag", "parameter"],
  };
  /** What may be asked of experiments. */
  const EXPERIMENTS = {
    kinds: { attribute: "attribute", tag: "tag", tags: "tag" },
    attributes: ["name", "experiment_id", "creation_time", "last_update_time"],
    orderable: ["name", "experiment_id", "creation_time", "last_update_time"],
    numeric: ["creation_time", "last_update_time"],
    lists: ["experiment_id"],
    nullable: ["tag"],
  };
  const DATASET = ["name", "digest", "context"];
  const ALIASES = { created: "start_time", Created: "start_time",
                    "run name": "run_name", "Run name": "run_name", "Run Name": "run_name" };

  /** The clauses of a filter; all must hold. */
  shim.parseFilter = function (text, target = RUNS) {
    const tokens = shim.tokens(text ?? "");
    if (text && tokens.every((token) => token.type === "space")) throw shim.invalid(`Invalid filter '${text}'. Could not be parsed.`);
    const clauses = [];
    let at = 0;
    for (;;) {
      while (tokens[at]?.type === "space" || shim.isKeyword(tokens[at], "AND")) at += 1;
      if (at >= tokens.length) break;
      const [clause, after] = parseClause(tokens, at, target);
      clauses.push(clause);
      at = after;
    }
    return clauses;
  };

  function parseClause(tokens, start, target) {
    const refuse = () => {
      throw shim.invalid(`Invalid clause(s) in filter string: '${tokens.slice(start).map((t) => t.text).join("")}'`);
    };
    const [left, afterLeft] = identifier(tokens, start) ?? refuse();
    let [operator, at] = keywords(tokens, skip(tokens, afterLeft));
    if (NULLS.includes(operator)) return [nullClause(left, operator, target), at];
    if (LISTS.includes(operator)) {
      const end = parenthesis(tokens, at) ?? refuse();
      const text = tokens.slice(at, end).map((t) => t.text).join("");
      const found = column(left, target, target.attributes);
      return [{ ...found, comparator: operator, value: listValue(found, text, target) }, end];
    }
    if (tokens[at]?.type !== "compare") refuse();
    const comparator = tokens[at].text.replace(/\s+/g, " ");
    at = skip(tokens, at + 1);
    const [value, end] = operand(tokens, at) ?? refuse();
    const found = column(left, target, target.attributes);
    return [{ ...found, comparator: comparator.toUpperCase(), value: scalar(found, value, target) }, end];
  }

  /** IN, NOT IN, IS NULL or IS NOT NULL, and where it ends; "" where there is none of them. */
  function keywords(tokens, start) {
    let words = "";
    let at = start;
    while (tokens[at]?.type === "keyword") {
      words = `${words} ${tokens[at].text}`.replace(/\s+/g, " ").trim().toUpperCase();
      at = skip(tokens, at + 1);
      if (NULLS.includes(words) || LISTS.includes(words)) return [words, at];
    }
    return ["", start];
  }

  function skip(tokens, at) {
    while (tokens[at]?.type === "space") at += 1;
    return at;
  }

  /** A dotted name as written, and where it ends; null where there is none. */
  function identifier(tokens, start) {
    if (!["name", "symbol"].includes(tokens[start]?.type)) return null;
    let end = start + 1;
    for (;;) {
      const dot = skip(tokens, end);
      if (tokens[dot]?.text !== ".") break;
      const part = skip(tokens, dot + 1);
      const isPart = ["name", "symbol", "string"].includes(tokens[part]?.type) || tokens[part]?.text === "*";
      end = isPart ? part + 1 : dot + 1; // a name may end in a dot: its key is empty then
    }
    return [tokens.slice(start, end).map((t) => t.text).join(""), end];
  }

  function operand(tokens, at) {
    const token = tokens[at];
    if (token === undefined) return null;
    if (["string", "integer", "float"].includes(token.type)) return [token, at + 1];
    const found = identifier(tokens, at);
    return found && [{ type: "symbol", text: found[0] }, found[1]];
  }

  function parenthesis(tokens, at) {
    if (tokens[at]?.text !== "(") return null;
    const close = tokens.findIndex((token, i) => i > at && token.text === ")");
    return close < 0 ? null : close + 1;
  }

  /** The kind and key that a dotted name means. */
  function column(text, target, attributes) {
    const dot = text.indexOf(".");
    const kind = dot < 0 ? "attribute" : target.kinds[trim(text.slice(0, dot), "`")];
    if (kind === undefined || !Object.hasOwn(target.kinds, dot < 0 ? "attribute" : trim(text.slice(0, dot), "`"))) {
      throw shim.invalid(
        `Invalid entity type '${text.slice(0, dot)}'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']`);
    }
    const key = trim(unquote(dot < 0 ? text : text.slice(dot + 1)), "`");
    if (kind === "attribute" && !attributes.includes(key)) {
      throw shim.invalid(`Invalid attribute key '${key}' specified. Valid keys are '${attributes.join("', '")}'`);
    }
    if (kind === "dataset" && !DATASET.includes(key)) {
      throw shim.invalid(`Invalid dataset key '${key}' specified. Valid keys are '${DATASET.join("', '")}'`);
    }
    return { kind, key };
  }

  const quoted = (text, mark) => text.length >= 2 && text.startsWith(mark) && text.endsWith(mark);
  const trim = (text, mark) => (quoted(text, mark) ? text.slice(1, -1) : text);
  const unquote = (text) => (quoted(text, "'") || quoted(text, '"') ? text.slice(1, -1) : text);

  function nullClause(left, comparator, target) {
    const found = column(left, target, target.attributes);
    if (!target.nullable.includes(found.kind)) {
      throw shim.invalid(`IS NULL / IS NOT NULL is only supported for tags and params, not for '${found.kind}' '${found.key}'`);
    }
    return { ...found, comparator, value: null };
  }

  function scalar({ kind, key }, token, target) {
    const isNumber = token.type === "integer" || token.type === "float";
    if (kind === "metric" || (kind === "attribute" && target.numeric.includes(key))) {
      if (!isNumber) throw shim.invalid(`Expected numeric value type for ${kind}. Found ${token.text}`);
      return Number(token.text);
    }
    if (isNumber) throw shim.invalid(`Expected a quoted string value for ${kind} (e.g. 'my-value'). Got value ${token.text}`);
    if (!quoted(token.text, "'") && !quoted(token.text, '"')) {
      throw shim.invalid(
        "Parameter value is either not quoted or unidentified quote types used for string value " +
        `${token.text}. Use either single or double quotes.`);
    }
    return token.text.slice(1, -1);
  }

  function listValue({ kind, key }, text, target) {
    if (kind === "metric" || kind === "parameter" || kind === "tag" || target.numeric.includes(key)) {
      throw shim.invalid(`Expected a quoted string value for ${kind}. Got value ${text}`);
    }
    if (kind === "attribute" && !target.lists.includes(key)) {
      throw shim.invalid(`Only ['${target.lists.join("', '")}'] attributes support comparison with a list of quoted string values.`);
    }
    const items = pythonStrings(text.slice(1, -1));
    if (/^\(\s*[A-Za-z_]\w*\s*\)$/.test(text)) throw new shim.MlflowError("INTERNAL_ERROR", `malformed node or string: ${text}`); // as the server fails
    if (!items?.length) {
      throw shim.invalid("While parsing a list in the query, expected a non-empty list of string values, but got ill-formed list.");
    }
    return items;
  }

  /** Comma-separated Python string literals; null where there is anything else. */
  function pythonStrings(text) {
    const item = /\s*('(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*")\s*(,|$)/uy;
    const found = [];
    let at = 0;
    while (text.slice(at).trim()) {
      item.lastIndex = at;
      const match = item.exec(text);
      if (!match) return null;
      found.push(match[1].slice(1, -1).replace(/\\(['"\\])/g, "$1").replace(/\\n/g, "\n").replace(/\\t/g, "\t"));
      at = item.lastIndex;
    }
    return found;
  }

  /** Refuse comparators that a kind does not have; the server does so after it has parsed all. */
  shim.checkComparators = function (clauses, target = RUNS) {
    for (const { kind, key, comparator } of clauses) {
      const known =
        kind === "metric" || (kind === "attribute" && target.numeric.includes(key)) ? NUMERIC
        : kind === "parameter" || kind === "tag" ? [...TEXT, ...NULLS]
        : [...TEXT, ...LISTS];
      if (!known.includes(comparator)) {
        throw shim.invalid(`Invalid comparator '${comparator}' not one of '${known.join("', '")}'`);
      }
    }
  };

  /** One order_by clause as {kind, key, ascending}. */
  shim.parseOrder = function (text, target = RUNS) {
    const tokens = shim.tokens(text);
    const refuse = () => {
      throw shim.invalid(`Invalid order_by clause '${text}'. Could not be parsed.`);
    };
    const [name, end] = identifier(tokens, 0) ?? refuse();
    let ascending = true;
    let key = name;
    const order = skip(tokens, end);
    if (tokens[order]?.type === "order" && order + 1 === tokens.length) {
      if (/\s/.test(tokens[order].text)) refuse();
      ascending = tokens[order].text.toLowerCase() === "asc";
      if (/\s/.test(name.replace(/`[^`]*`|"[^"]*"|'[^']*'/g, ""))) refuse();
      key = name.replace(/[`"]([^`"]*)[`"]|'([^']*)'/g, "$1$2");
    } else if (end !== tokens.length) {
      refuse();
    }
    return { ...column(key.trim(), target, target.orderable), ascending };
  };

  /** The attribute that an alias stands for. */
  shim.attributeOf = (key) => (Object.hasOwn(ALIASES, key) ? ALIASES[key] : key);
  shim.filterTargets = { RUNS, EXPERIMENTS };
})(globalThis.spanbookMlflow);
