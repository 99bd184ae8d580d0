// What the first rows of a table wait for, asked for before the UI's own bundle has run: it names
// these files one after the other only, each as late as it can.
"use strict";

(function (shim) {
  const TABLE = /^#\/experiments\/(\d+)\/runs(?:\?|$)/;
  const FIRST = 101; // runs: a page of the table, and one more to know of the next
  // Of the pinned version, as tests/mlflow/test_ui.py sees the table ask for them.
  const PARTS = [
    "9861.2d6b3bae", "6507.352ad2e0", "353.df7e2039", "3448.da9a79ba", "2809.4115baa4", "5439.b5816bbb", "3198.bb9ac57b",
    "4863.c17ad67f", "8503.9d34794c", "7340.cdf02082", "9848.664e1dcc", "855.aefc6d74", "8209.bb1a8127", "9360.ea3236af",
    "7182.98535e81", "2369.90891e4f", "9867.fe03ab1c", "3121.3be60de2", "4751.94bc6db7", "3793.0117dc93", "9662.9a8db43d",
    "6475.82f59d0e", "5702.205ea7af", "3878.0467b2c4", "5343.bbb1f624", "2685.2f8f1b38", "1372.38a0e73a",
  ];
  const STYLES = ["5439.24118451", "5343.b4cc2aa3", "2685.f073c5c3"];

  shim.ahead = async function (hash) {
    const [, id] = TABLE.exec(hash) ?? [];
    const data = id ? shim.data.segments([id], [], FIRST) : shim.data.experiments();
    if (id) {
      for (const part of PARTS) ask("script", `js/${part}.chunk.js`);
      for (const part of STYLES) ask("style", `css/${part}.chunk.css`);
    }
    await data;
  };

  function ask(as, path) {
    const link = document.createElement("link");
    Object.assign(link, { rel: "preload", as, fetchPriority: "low", href: `static-files/static/${path}` });
    document.head.append(link);
  }

  // What fails here fails again where it is asked for, and is told of there.
  shim.ahead(location.hash).catch(() => {});
})(globalThis.spanbookMlflow);
