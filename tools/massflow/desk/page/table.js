// table.js - a table that is sorted by its heads, filtered by a text, and saved as CSV. Rows are
// made as far as they are scrolled to: tables may have a hundred thousand.
import {el, put} from "./dom.js";
import {number} from "./chart.js";

const PIECE = 200;

// RFC 4180; a text that a spreadsheet would take for a formula gets a quote in front.
function cell(value) {
  if (value === null || value === undefined) return "";
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csv(columns, rows) {
  return [columns.map((c) => c.name), ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

export function save(name, text) {
  const url = URL.createObjectURL(new Blob([text], {type: "text/csv"}));
  el("a", {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// "dice > 0.8", "case = 012", or a text that any cell of the row has; several words all have to hold.
function reader(columns, text) {
  const tests = [];
  const names = columns.map((c) => c.name.toLowerCase());
  const rest = text.replace(/(\S+)\s*(<=|>=|!=|=|<|>)\s*(\S+)/g, (whole, name, op, value) => {
    const at = names.indexOf(name.toLowerCase());
    if (at < 0) return whole;
    const limit = Number(value), numbers = columns[at].number && !Number.isNaN(limit);
    const compare = {"=": (a, b) => a === b, "!=": (a, b) => a !== b, "<": (a, b) => a < b, ">": (a, b) => a > b,
      "<=": (a, b) => a <= b, ">=": (a, b) => a >= b}[op];
    tests.push((row) => row[at] !== null && (numbers ? compare(row[at], limit)
      : compare(String(row[at]).toLowerCase(), value.toLowerCase())));
    return "";
  });
  for (const word of rest.toLowerCase().split(/\s+/).filter(Boolean))
    tests.push((row) => row.some((v) => v !== null && String(v).toLowerCase().includes(word)));
  return (row) => tests.every((test) => test(row));
}

// columns: [{name, number}], rows: arrays of values in that order.
export function table(columns, rows, file) {
  let by = -1, down = false, shown = rows, drawn = 0;
  const filter = el("input", {type: "search", class: "filter", placeholder: "filter: a text, or dice > 0.8",
    "aria-label": "filter the rows", spellcheck: "false"});
  const count = el("span", {class: "soft", role: "status"});
  const body = el("tbody", {});
  const heads = columns.map((column, i) => el("th", {class: column.number ? "n" : "", scope: "col"},
    el("button", {class: "sort", onclick: () => sort(i)}, column.name)));
  const scroll = el("div", {class: "scroll", tabindex: 0}, el("table", {class: "data"},
    el("thead", {}, el("tr", {}, heads)), body));
  const element = el("div", {class: "sheet"}, el("div", {class: "tools"}, filter,
    el("button", {onclick: () => save(file, csv(columns, shown))}, "CSV"), count), scroll);

  function more() {
    const piece = shown.slice(drawn, drawn + PIECE);
    body.append(...piece.map((row) => el("tr", {}, columns.map((column, i) =>
      el("td", {class: column.number ? "n" : "", title: row[i] === null ? null : String(row[i])},
        column.number ? number(row[i]) : row[i])))));
    drawn += piece.length;
  }

  function draw() {
    const test = reader(columns, filter.value);
    shown = rows.filter(test);
    if (by >= 0)
      shown.sort((a, b) => {
        const [x, y] = [a[by], b[by]];
        if (x === null || y === null) return (x === null) - (y === null);   // what is missing stands last
        const order = columns[by].number ? x - y : String(x).localeCompare(String(y), undefined, {numeric: true});
        return down ? -order : order;
      });
    heads.forEach((head, i) => head.setAttribute("aria-sort", i !== by ? "none" : down ? "descending" : "ascending"));
    put(count, shown.length === rows.length ? `${rows.length} rows` : `${shown.length} of ${rows.length} rows`);
    put(body);
    drawn = 0;
    scroll.scrollTop = 0;
    more();
  }

  function sort(i) {
    if (by === i && down) by = -1;
    else if (by === i) down = true;
    else [by, down] = [i, false];
    draw();
  }

  scroll.addEventListener("scroll", () => {
    if (scroll.scrollTop + scroll.clientHeight > scroll.scrollHeight - 400 && drawn < shown.length) more();
  });
  filter.addEventListener("input", draw);
  draw();
  return element;
}
