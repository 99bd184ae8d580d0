// Drop a run file, or the zip of one, on any page that the viewer serves, and it is imported.
"use strict";
(function (spanbook) {
  if (!spanbook.served) return;
  const { element } = spanbook;

  const status = element("p", { role: "status" });
  const close = element("button", { type: "button", onclick: () => (box.hidden = true) }, "Close");
  const box = element("div", { class: "import", hidden: true }, status, close);
  document.body.append(box);

  function say(...lines) {
    status.replaceChildren(...lines.flatMap((line) => [line, element("br")]).slice(0, -1));
    close.hidden = false;
    box.hidden = false;
  }

  const hasFiles = (event) => [...(event.dataTransfer?.types || [])].includes("Files");

  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    box.classList.add("over");
    if (box.hidden) {
      say("Drop run files, or the zip that GitHub gives for an artifact, to import them.");
      close.hidden = true;
    }
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget || !box.classList.contains("over")) return;
    box.classList.remove("over");
    box.hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    box.classList.remove("over");
    take([...event.dataTransfer.files]);
  });

  // the same by keyboard
  spanbook.enhance("[data-import]", (slot) => {
    const field = element("input", {
      type: "file",
      multiple: true,
      hidden: true,
      accept: ".json,.zip",
      onchange: () => take([...field.files]).then(() => (field.value = "")),
    });
    slot.append(element("button", { type: "button", onclick: () => field.click() }, "Import a run file"), field);
    slot.hidden = false;
  });

  async function take(files) {
    const lines = [];
    for (const file of files) {
      say(`Importing ${file.name} …`);
      lines.push(...(await send(file)));
    }
    say(...lines);
  }

  async function send(file) {
    let answer;
    try {
      const response = await fetch("/import", { method: "POST", body: file });
      if (!response.headers.get("Content-Type")?.includes("json")) return [`${file.name}: ${await response.text()}`];
      answer = await response.json();
    } catch (error) {
      return [`${file.name} was not sent: ${error.message}. Is the viewer still running?`];
    }
    return [
      ...answer.imported.map(imported),
      ...answer.refused.map(({ name, reason }) => `${name === "the file" ? file.name : name}: ${reason}`),
    ];
  }

  function imported({ run, pipeline, state, new: isNew }) {
    const link = element("a", { href: `${spanbook.root}runs/${run}/index.html` }, `${pipeline} ${run.slice(0, 8)}`);
    return element("span", {}, link, isNew ? ` (${state === "success" ? "ok" : state}) is imported; it shows in a moment.` : " was here already.");
  }
})(window.spanbook);
