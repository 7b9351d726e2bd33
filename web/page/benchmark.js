// All results: filtered by words, sorted by a column, some rows at a time.

const columns = data;
const order = columns[0].values.map((_, row) => row);
const text = (column, row) => {
  const value = column.values[row];
  return value === null ? "–" : column.levels ? column.levels[value] : value.toFixed(column.digits);
};
const named = columns.filter((column) => column.levels || column.name === "panel");
const words = order.map((row) => " " + named.map((column) => text(column, row)).join(" ").toLowerCase());
let limit = 100;
function draw() {
  const wanted = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = order.filter((row) => wanted.every((word) => words[row].includes(" " + word)));
  at("rows").replaceChildren(...found.slice(0, limit).map((row) => {
    const line = make("tr");
    for (const column of columns) {
      line.append(make("td", column.levels ? { className: "name" } : {}, text(column, row)));
    }
    return line;
  }));
  at("count").textContent = `${Math.min(limit, found.length)} of ${found.length} rows shown`;
  at("more").hidden = found.length <= limit;
}
for (const column of columns) {
  const button = make("button", { type: "button" }, column.name);
  const head = make("th", { scope: "col", className: column.levels ? "name" : "number" }, button);
  button.addEventListener("click", () => {
    const before = head.getAttribute("aria-sort");
    const up = before ? before === "descending" : Boolean(column.levels);
    for (const each of at("heads").children) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    order.sort((a, b) => {
      const [x, y] = [column.values[a], column.values[b]];
      if (x === y) return a - b;
      return x === null ? 1 : y === null ? -1 : up ? x - y : y - x;
    });
    draw();
  });
  at("heads").append(head);
}
at("filter").addEventListener("input", () => { limit = 100; draw(); });
at("more").addEventListener("click", () => { limit += 1000; draw(); });
draw();
