"use strict";
// Tables: a column's head sorts its rows, averages stay below; switches choose between tables of the same cells.
(() => {
  const numberIn = (text) => {
    const found = /^[^\d+-]*([+-]?\d[\d,]*(\.\d+)?)/.exec(text.replace("−", "-"));
    return found ? Number(found[1].replaceAll(",", "")) : NaN;
  };

  const compared = (one, other) => {
    const numbers = [numberIn(one), numberIn(other)];
    if (/^[+-]?\d/.test(one) && /^[+-]?\d/.test(other)) return numbers[0] - numbers[1];
    return one.localeCompare(other, "en", { numeric: true });
  };

  const sort = (table, column) => {
    const heads = table.tHead.rows[0].cells;
    const falling = heads[column].getAttribute("aria-sort") === "ascending";
    for (const head of heads) head.removeAttribute("aria-sort");
    heads[column].setAttribute("aria-sort", falling ? "descending" : "ascending");
    const body = table.tBodies[0];
    const text = (row) => row.cells[column].textContent.trim();
    const missing = (row) => text(row) === "–" || text(row) === "";
    const rows = [...body.rows].filter((row) => !row.classList.contains("total"));
    rows.sort((one, other) => {
      if (missing(one) || missing(other)) return missing(one) - missing(other);
      return (falling ? -1 : 1) * compared(text(one), text(other));
    });
    body.append(...rows, ...body.querySelectorAll("tr.total"));
  };

  for (const button of document.querySelectorAll("button.sort")) {
    const head = button.closest("th");
    button.addEventListener("click", () => sort(head.closest("table"), head.cellIndex));
  }

  for (const group of document.querySelectorAll(".views")) {
    const views = group.querySelectorAll(".view");
    const choose = (index) => views.forEach((view, place) => { view.hidden = place !== index; });
    for (const input of group.querySelectorAll("input")) {
      input.addEventListener("change", () => choose(Number(input.value)));
    }
    group.querySelector("fieldset").hidden = false;
    choose(0);
  }
})();
