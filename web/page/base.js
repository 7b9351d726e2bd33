// The edges, unpacked, and the few helpers that all parts of a report share.

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}
const whole = (text) => new Int32Array(bytes(text));
const real = (text) => new Float32Array(bytes(text));

const genes = data.genes;
const edges = {
  source: whole(data.source),
  target: whole(data.target),
  columns: data.columns.map((column) => ({ name: column.name, values: real(column.values) })),
};
const probability = edges.columns[0].values;
const state = { gene: -1, edge: -1 };

const count = (number, one, many = one + "s") => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** A number for reading: four decimals, very small ones as a power of ten. */
function short(value) {
  if (Number.isNaN(value)) return "–";
  return value !== 0 && Math.abs(value) < 0.00005 ? value.toExponential(1) : value.toFixed(4);
}

/** A float32 as the shortest decimal that reads back as the same float32. */
function exact(value) {
  if (Number.isNaN(value)) return "";
  for (let digits = 1; digits < 9; digits += 1) {
    const text = String(Number(value.toPrecision(digits)));
    if (Math.fround(Number(text)) === value) return text;
  }
  return String(Number(value.toPrecision(9)));
}

/** A colour of the style sheet as it stands in the present scheme. */
function colour(name) {
  const probe = make("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const plotOptions = { displayModeBar: false, responsive: true, typesetMath: false }; // a $ in a name is a $

/** Plotly's layout in the page's font and colours; axes stand still unless told otherwise. */
function plotLayout(x, y, more = {}) {
  const axis = (title) => ({
    title: { text: title, standoff: 8, font: { size: 13 } }, nticks: 7, fixedrange: true, automargin: true, zeroline: false,
    gridcolor: colour("line"), linecolor: colour("line"), tickcolor: colour("line"),
  });
  return {
    font: { family: "system-ui, sans-serif", size: 13, color: colour("text") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 12, t: 34, b: 44 }, showlegend: false, dragmode: false,
    hoverlabel: { bgcolor: colour("soft"), bordercolor: colour("line"), font: { color: colour("text") } },
    xaxis: axis(x), yaxis: axis(y), ...more,
  };
}

/** Names go into Plotly as text: it would read tags in them as its own markup. */
const plain = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** A table of numbers under their names. */
function numbersTable(caption, heads, rows) {
  const line = (cells, tag) => make("tr", {}, ...cells.map((cell) => make(tag, {}, cell)));
  return make("table", {}, make("caption", {}, caption), make("thead", {}, line(heads, "th")),
    make("tbody", {}, ...rows.map((row) => line(row, "td"))));
}
