// The table of measurements: a column's button sorts by it, the form's fields filter.
"use strict";

const body = document.querySelector("#measurements tbody");
const rows = [...body.rows];
const heads = [...document.querySelectorAll("#measurements thead th")];
const filters = document.getElementById("filters");

function compare(column, sign) {
  const value = (row) => row.cells[column].dataset.value;
  const number = heads[column].classList.contains("number");
  return (one, other) => {
    const [a, b] = [value(one), value(other)];
    return sign * (number ? a - b : a.localeCompare(b));
  };
}

function sort(column) {
  const ascending = heads[column].ariaSort !== "ascending";
  for (const head of heads) head.ariaSort = "none";
  heads[column].ariaSort = ascending ? "ascending" : "descending";
  rows.sort(compare(column, ascending ? 1 : -1));
  body.append(...rows);
}

function filter() {
  const wanted = Object.fromEntries(new FormData(filters));
  const words = wanted.words.toLowerCase();
  let shown = 0;
  for (const row of rows) {
    row.hidden =
      !row.textContent.toLowerCase().includes(words) ||
      ["group", "trainer", "kind"].some((name) => wanted[name] && row.dataset[name] !== wanted[name]);
    shown += !row.hidden;
  }
  document.getElementById("count").textContent = `${shown} of ${rows.length} measurements`;
}

heads.forEach((head, column) => head.firstChild.addEventListener("click", () => sort(column)));
filters.addEventListener("input", filter);
filters.addEventListener("submit", (event) => event.preventDefault());
filter();
