// Logged images are shown by <img src="get-artifact?…">, which is no fetch: they get the bytes by the same rules.
"use strict";

(function (shim) {
  const { get, set } = Object.getOwnPropertyDescriptor(HTMLImageElement.prototype, "src");
  const wanted = new WeakMap(); // image → the address that it was given last

  function show(image, address) {
    if (!URL.canParse(address, document.baseURI)) return false;
    const url = new URL(address, document.baseURI);
    if (shim.routeOf(url) === null) return false;
    wanted.set(image, address);
    load(image, address, url).catch((error) => {
      console.warn("An image of a run could not be shown.", error);
      if (wanted.get(image) === address) set.call(image, "data:,"); // its own error event tells the UI
    });
    return true;
  }

  async function load(image, address, url) {
    const response = await fetch(url);
    if (!response.ok) throw new Error((await response.json()).message);
    const blob = URL.createObjectURL(await response.blob());
    if (wanted.get(image) !== address) return URL.revokeObjectURL(blob);
    for (const over of ["load", "error"]) image.addEventListener(over, () => URL.revokeObjectURL(blob), { once: true });
    set.call(image, blob);
  }

  Object.defineProperty(HTMLImageElement.prototype, "src", {
    configurable: true,
    enumerable: true,
    get,
    set(address) {
      wanted.delete(this);
      if (!show(this, address)) set.call(this, address);
    },
  });
  HTMLImageElement.prototype.setAttribute = function (name, value) {
    if (String(name).toLowerCase() === "src") this.src = value;
    else Element.prototype.setAttribute.call(this, name, value);
  };
})(globalThis.spanbookMlflow);
