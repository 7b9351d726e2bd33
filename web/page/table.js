// The table of all edges: sorted, filtered, page by page, and exported.

const listed = { rows: [], page: 0, size: 25, by: "probability", up: false };

/** Which genes a filter lets through: a part of the name, or with = the name itself. */
function passing(text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return null;
  return wanted.startsWith("=") ? folded.map((name) => name === wanted.slice(1)) : folded.map((name) => name.includes(wanted));
}

function keysOf(name) {
  if (name === "source" || name === "target") return edges[name];
  return edges.columns.find((column) => column.name === name).values;
}

function filterRows() {
  const [sources, targets] = [passing(at("by-source").value), passing(at("by-target").value)];
  const least = Number(at("by-probability").value) || 0;
  listed.rows = [];
  for (let edge = 0; edge < probability.length; edge += 1) {
    const kept = probability[edge] >= least && (!sources || sources[edges.source[edge]]) &&
      (!targets || targets[edges.target[edge]]);
    if (kept) listed.rows.push(edge);
  }
  sortRows();
}

/** Equal rows stay in the order of their probability; rows without a number come last. */
function sortRows() {
  const keys = keysOf(listed.by);
  const sign = listed.up ? 1 : -1;
  listed.rows.sort((a, b) => {
    const [x, y] = [keys[a], keys[b]];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b;
    return sign * (x - y) || a - b;
  });
  listed.page = 0;
  drawTable();
}

function geneButton(gene) {
  const button = make("button", { type: "button", className: "link" }, genes[gene]);
  button.addEventListener("click", () => { selectGene(gene); goTo("gene"); });
  return make("td", {}, button);
}

function drawTable() {
  const pages = Math.max(1, Math.ceil(listed.rows.length / listed.size));
  listed.page = Math.min(Math.max(listed.page, 0), pages - 1);
  const rows = listed.rows.slice(listed.page * listed.size, (listed.page + 1) * listed.size);
  at("rows").replaceChildren(...rows.map((edge) => {
    const details = make("button", { type: "button" }, "Show");
    details.setAttribute("aria-label", `Show ${genes[edges.source[edge]]} → ${genes[edges.target[edge]]}`);
    details.addEventListener("click", () => {
      selectGene(edges.source[edge]);
      selectEdge(edge);
      goTo("edge");
    });
    return make("tr", {}, geneButton(edges.source[edge]), geneButton(edges.target[edge]),
      ...edges.columns.map((column) => make("td", { className: "number" }, short(column.values[edge]))),
      make("td", {}, details));
  }));
  const total = probability.length;
  at("count").textContent = listed.rows.length === total ? count(total, "edge")
    : `${listed.rows.length.toLocaleString("en")} of ${count(total, "edge")}`;
  at("page").textContent = `Page ${(listed.page + 1).toLocaleString("en")} of ${pages.toLocaleString("en")}`;
  at("first").disabled = at("previous").disabled = listed.page === 0;
  at("next").disabled = at("last").disabled = listed.page === pages - 1;
  at("export").disabled = listed.rows.length === 0;
}

/** A name for a CSV file: quoted where it must be, and never a formula when a spreadsheet opens it. */
function csvName(name) {
  const safe = /^[=+\-@\t\r]/.test(name) ? `'${name}` : name;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function csvText() {
  const lines = [["source", "target", ...edges.columns.map((column) => csvName(column.name))].join(",")];
  for (const edge of listed.rows) {
    const ends = [csvName(genes[edges.source[edge]]), csvName(genes[edges.target[edge]])];
    lines.push([...ends, ...edges.columns.map((column) => exact(column.values[edge]))].join(","));
  }
  return `${lines.join("\n")}\n`;
}

function exportRows() {
  const url = URL.createObjectURL(new Blob([csvText()], { type: "text/csv" }));
  make("a", { href: url, download: `${data.file.replace(/(\.[ct]sv)?\.[^.]*$/, "")}-selection.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Show the rows of one gene; side is the filter that it goes into. */
function tableOf(gene, side) {
  at("by-source").value = at("by-target").value = "";
  at("by-probability").value = "0";
  at(side).value = `=${genes[gene]}`;
  filterRows();
  goTo("table");
}

function setUpTable() {
  const names = ["source", "target", ...edges.columns.map((column) => column.name)];
  at("heads").replaceChildren(...names.map((name) => {
    const button = make("button", { type: "button" }, name);
    const head = make("th", { scope: "col" }, button);
    const text = name === "source" || name === "target";
    if (!text) head.className = "number";
    if (name === listed.by) head.setAttribute("aria-sort", "descending");
    button.addEventListener("click", () => {
      listed.up = listed.by === name ? !listed.up : text;
      listed.by = name;
      for (const each of at("heads").children) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", listed.up ? "ascending" : "descending");
      sortRows();
    });
    return head;
  }), make("th", { scope: "col" }, "details"));
  for (const id of ["by-source", "by-target", "by-probability"]) at(id).addEventListener("input", filterRows);
  const turn = { first: () => 0, previous: () => listed.page - 1, next: () => listed.page + 1, last: () => Infinity };
  for (const [id, page] of Object.entries(turn)) {
    at(id).addEventListener("click", () => { listed.page = page(); drawTable(); });
  }
  at("size").addEventListener("change", () => { listed.size = Number(at("size").value); listed.page = 0; drawTable(); });
  at("clear").addEventListener("click", () => {
    at("by-source").value = at("by-target").value = "";
    at("by-probability").value = "0";
    filterRows();
  });
  at("export").addEventListener("click", exportRows);
  filterRows();
}
