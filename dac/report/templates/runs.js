"use strict";
// The panel of a cell: which runs its number is of.
(() => {
  const { cells, columns } = JSON.parse(document.getElementById("numbers").textContent);
  const dialog = document.getElementById("runs");

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  const row = (texts) => {
    const made = document.createElement("tr");
    made.append(element("th", texts[0], { scope: "row" }), ...texts.slice(1).map((text) => element("td", text)));
    return made;
  };

  const table = (rows) => {
    const made = document.createElement("table");
    const head = made.createTHead().insertRow();
    head.append(...columns.map((title) => element("th", title, { scope: "col" })));
    made.createTBody().append(...rows.map(row));
    return made;
  };

  const open = (cell) => {
    dialog.querySelector("h2").textContent = cell.title;
    const facts = cell.facts.flatMap(([name, text]) => [element("dt", name), element("dd", text)]);
    dialog.querySelector("dl").replaceChildren(...facts);
    dialog.querySelector(".scrolled").replaceChildren(table(cell.runs));
    dialog.querySelector("pre").textContent = cell.commands.join("\n");
    dialog.showModal();
  };

  for (const button of document.querySelectorAll("button.runs")) {
    button.addEventListener("click", () => open(cells[Number(button.dataset.cell)]));
  }
})();
