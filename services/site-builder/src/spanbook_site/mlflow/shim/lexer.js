// Filter and order_by text as tokens, as sqlparse (which MLflow's server uses) would cut it.
// Only what can make a difference to what is taken or refused is told apart.
"use strict";

(function (shim) {
  const W = "[\\p{L}\\p{N}_]"; // Python's \w
  const LETTER = "[A-ZÀ-Ü]";
  const RULES = [
    ["comment", "(?:--|# ).*?(?:\\r\\n|\\r|\\n|$)"],
    ["comment", "/\\*[\\s\\S]*?\\*/"],
    ["space", "\\s"],
    ["other", ":=|::|\\*"],
    ["name", "`(?:``|[^`])*`"],
    ["name", "´(?:´´|[^´])*´"],
    ["name", "\\?|%(?:\\(" + W + "+\\))?s"],
    ["name", "(?<!" + W + ")[$:?]" + W + "+"],
    ["other", "\\\\" + W + "+"],
    ["keyword", "(?:CASE|IN|VALUES|USING|FROM|AS)(?!" + W + ")"],
    ["name", "(?:@|##|#)" + LETTER + W + "+"],
    ["name", LETTER + W + "*(?=\\s*\\.(?!\\d))"],
    ["name", "(?<=\\.)" + LETTER + W + "*"],
    ["name", LETTER + W + "*(?=\\()"],
    ["other", "-?0x[\\dA-F]+"],
    ["float", "-?\\d+(?:\\.\\d+)?E-?\\d+"],
    ["float", "(?![_A-ZÀ-Ü])-?(?:\\d+\\.\\d*|\\.\\d+)(?![_A-ZÀ-Ü])"],
    ["integer", "(?![_A-ZÀ-Ü])-?\\d+(?![_A-ZÀ-Ü])"],
    ["string", "'(?:''|\\\\'|[^'])*'"],
    ["symbol", '"(?:""|\\\\"|[^"])*"'],
    ["name", "(?<![\\p{L}\\p{N}_\\])])\\[[^\\]\\[]+\\]"],
    ["keyword", "NOT\\s+NULL(?!" + W + ")"],
    ["order", "(?:ASC|DESC)(?:\\s+NULLS\\s+(?:FIRST|LAST))?(?!" + W + ")"],
    ["compare", "(?:NOT\\s+)?(?:LIKE|ILIKE|RLIKE|REGEXP)(?!" + W + ")"],
    ["word", W + "[$#\\p{L}\\p{N}_]*"],
    ["punctuation", "[;:()\\[\\],.]"],
    ["compare", "[<>=~!]+"],
  ].map(([type, source]) => [type, new RegExp(source, "iuy")]);

  // Words that sqlparse takes for keywords and that mean something here, or that read like an
  // attribute and are none.
  const KEYWORDS = new Set(["AND", "OR", "NOT", "NULL", "IS", "BETWEEN", "EXISTS", "SELECT", "WHERE"]);

  /** All tokens of a text, spaces included: {type, text}. */
  shim.tokens = function (text) {
    const found = [];
    let at = 0;
    while (at < text.length) {
      const token = next(text, at);
      found.push(token);
      at += token.text.length;
    }
    return found;
  };

  function next(text, at) {
    for (const [type, pattern] of RULES) {
      pattern.lastIndex = at;
      const match = pattern.exec(text);
      if (match && match[0]) {
        const word = match[0];
        if (type !== "word") return { type, text: word };
        return { type: KEYWORDS.has(word.toUpperCase()) ? "keyword" : "name", text: word };
      }
    }
    return { type: "other", text: String.fromCodePoint(text.codePointAt(at)) };
  }

  /** Whether a token is this keyword, in any case. */
  shim.isKeyword = (token, word) =>
    token !== undefined && token.type === "keyword" && token.text.replace(/\s+/g, " ").toUpperCase() === word;
})(globalThis.spanbookMlflow);
