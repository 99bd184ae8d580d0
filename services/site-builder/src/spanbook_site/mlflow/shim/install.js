// Last of the shim's scripts, before the UI's own: takes over fetch, and sets what the UI reads at start.
"use strict";

(function (shim) {
  const untouched = globalThis.fetch.bind(globalThis);

  globalThis.fetch = async function (input, options) {
    const request = input instanceof Request ? input : null;
    const url = new URL(request ? request.url : String(input), document.baseURI);
    const route = shim.routeOf(url);
    if (route === null) return untouched(input, options);
    const method = (options?.method ?? request?.method ?? "GET").toUpperCase();
    return shim.answer(method, route, url, async () => {
      const text = await new Response(options?.body ?? (request ? await request.text() : "")).text();
      try {
        return text ? JSON.parse(text) : {};
      } catch (error) {
        throw new shim.MlflowError("BAD_REQUEST", `The request's body is not JSON: ${error.message}`);
      }
    });
  };

  const SETTINGS = {
    "mlflow.settings.telemetry.enabled_v1": "false", // no request leaves the site
    "mlflow.telemetry.info.alert.dismissed_v1": "true", // and no notice says that it does
    "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true", // on localhost a panel would open
    "mlflow.workflowType_v1": '"machine_learning"', // no GenAI menu: run files hold no such data
  };
  try {
    for (const [key, value] of Object.entries(SETTINGS)) localStorage.setItem(key, value);
  } catch (error) {
    console.warn("The browser keeps no settings for this site; the policy forbids outside requests anyway.", error);
  }
  // On localhost the UI offers an assistant that runs on a server's machine; here is none.
  const style = new CSSStyleSheet();
  style.replaceSync("[data-assistant-ui] { display: none !important; }");
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, style];
})(globalThis.spanbookMlflow);
