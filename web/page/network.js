// The strongest edges as a network. Places come with the page; they are spread for the edges that are shown.

const net = data.network;
const placed = new Map([...whole(net.genes)].map((gene, index) => [gene, index]));
const [rawX, rawY] = [real(net.x), real(net.y)];
const SPREAD = 0.6;
const FADED = 0.12;
const LABEL_HEIGHT = 15;
const LETTER_WIDTH = 7.8;
const LABEL_AREA = 16000; // pixels for each label
const graph = at("graph");
let view = null; // ranges of both axes
let placeX, placeY;
let focused = false; // whether all but the chosen gene's edges are faded

/** Places of the shown genes, part of the way to their ranks: the crowd round a hub spreads, left of stays left of. */
function spread(values, nodes) {
  const mine = nodes.map((node) => placed.get(node.gene));
  const order = [...mine].sort((a, b) => values[a] - values[b] || a - b);
  const [low, high] = [values[order[0]], values[order.at(-1)]];
  const out = new Float64Array(values.length);
  order.forEach((index, rank) => {
    out[index] = (1 - SPREAD) * ((values[index] - low) / (high - low || 1)) + SPREAD * (rank / (order.length - 1 || 1));
  });
  return out;
}

/** Degree of every gene among the shown edges, sources of which counted apart. */
function shownGenes() {
  const found = new Map();
  const of = (gene) => found.get(gene) ?? found.set(gene, { gene, out: 0, in: 0 }).get(gene);
  for (let edge = 0; edge < net.shown; edge += 1) {
    of(edges.source[edge]).out += 1;
    of(edges.target[edge]).in += 1;
  }
  return [...found.values()].sort((a, b) => b.out + b.in - a.out - a.in || a.gene - b.gene);
}

const touches = (edge) => edges.source[edge] === state.gene || edges.target[edge] === state.gene;

/** One trace for edges of one look; a gap after each keeps them apart. */
function edgeTrace(rows, name, width, opacity) {
  const [x, y] = [[], []];
  for (const edge of rows) {
    const [a, b] = [placed.get(edges.source[edge]), placed.get(edges.target[edge])];
    x.push(placeX[a], placeX[b], null);
    y.push(placeY[a], placeY[b], null);
  }
  return { x, y, mode: "lines", hoverinfo: "skip", opacity, line: { color: colour(name), width } };
}

function edgeTraces(near) {
  const all = [...Array(net.shown).keys()];
  if (!near.size) {
    const third = Math.ceil(net.shown / 3);
    const faint = net.shown > 500 ? 0.35 : 0.65;
    return [[2, faint], [1, (faint + 0.95) / 2], [0, 0.95]].map(([part, opacity]) =>
      edgeTrace(all.slice(part * third, (part + 1) * third), "edge", 0.9, opacity));
  }
  return [
    edgeTrace(all.filter((edge) => !touches(edge)), "edge", 0.8, FADED),
    edgeTrace(all.filter((edge) => edges.target[edge] === state.gene), "gradient", 1.8, 0.9),
    edgeTrace(all.filter((edge) => edges.source[edge] === state.gene), "response", 1.8, 0.9),
  ];
}

/** The chosen gene and its neighbours; none where it is not in view or nothing is to be faded. */
function neighbours() {
  const found = new Set();
  if (!focused) return found;
  for (let edge = 0; edge < net.shown; edge += 1) {
    if (touches(edge)) found.add(edges.source[edge]).add(edges.target[edge]);
  }
  return found;
}

/** Diameter in pixels: grows with the degree, and is smaller in a small view. */
function size(node) {
  const small = Math.min(1, Math.sqrt(graph.clientWidth * graph.clientHeight) / 700);
  return small * Math.min(22, 6 + 1.6 * Math.sqrt(node.out + node.in - 1));
}

/** The genes; hubs lie on top of others, and the chosen gene on top of all. */
function nodeTrace(shown, near) {
  const nodes = shown.toReversed();
  const chosen = nodes.findIndex((node) => node.gene === state.gene);
  if (chosen >= 0) nodes.push(...nodes.splice(chosen, 1));
  const regulator = (node) => node.out > 0;
  return {
    x: nodes.map((node) => placeX[placed.get(node.gene)]), y: nodes.map((node) => placeY[placed.get(node.gene)]),
    mode: "markers", customdata: nodes.map((node) => node.gene),
    text: nodes.map((node) => `<b>${plain(genes[node.gene])}</b><br>${count(node.out, "target")}, ` +
      `${count(node.in, "regulator")} here`),
    hovertemplate: "%{text}<extra></extra>",
    marker: {
      size: nodes.map(size),
      symbol: nodes.map((node) => (regulator(node) ? "diamond" : "circle")),
      color: nodes.map((node) => colourOf[node.gene === state.gene ? "chosen" : regulator(node) ? "regulator" : "node"]),
      opacity: nodes.map((node) => (!near.size || near.has(node.gene) ? 1 : FADED * 2)),
      line: { width: 1, color: colourOf.page },
    },
  };
}
let colourOf = {};

/** Labels for the chosen gene, its neighbours and the hubs, as many as fit without covering each other or a hub. */
function labels(nodes, near) {
  const [width, height] = [graph.clientWidth, graph.clientHeight];
  const most = (width * height) / LABEL_AREA;
  const left = (index) => ((placeX[index] - view.x[0]) / (view.x[1] - view.x[0])) * width;
  const top = (index) => ((view.y[1] - placeY[index]) / (view.y[1] - view.y[0])) * height;
  const around = (x, y, halfWidth, halfHeight) => [x - halfWidth, y - halfHeight, x + halfWidth, y + halfHeight];
  const taken = nodes.slice(0, most).map((node) => {
    const [index, half] = [placed.get(node.gene), size(node) / 2];
    return around(left(index), top(index), half, half);
  });
  const out = [];
  const [text, veil] = [colour("text"), colour("veil")];
  const rank = (node) => (node.gene === state.gene ? 2 : near.has(node.gene) ? 1 : 0);
  const wanted = nodes.filter((node) => !near.size || rank(node)).sort((a, b) => rank(b) - rank(a));
  for (const node of wanted) {
    const index = placed.get(node.gene);
    const rise = size(node) / 2 + LABEL_HEIGHT / 2 + 1;
    const half = (LETTER_WIDTH * [...genes[node.gene]].length) / 2 + 3;
    const middle = Math.min(Math.max(left(index), half), width - half); // a label at the edge is drawn inwards
    const box = around(middle, top(index) - rise, half, LABEL_HEIGHT / 2);
    const inside = left(index) > 0 && left(index) < width && box[0] >= 0 && box[1] > 0 && box[3] < height;
    const free = taken.every((other) => box[2] < other[0] || box[0] > other[2] || box[3] < other[1] || box[1] > other[3]);
    if (!inside || !(free || rank(node) === 2)) continue;
    taken.push(box);
    out.push({
      x: placeX[index], y: placeY[index], text: plain(genes[node.gene]), showarrow: false, xshift: middle - left(index), yshift: rise,
      font: { size: 12, color: text }, bgcolor: veil, borderpad: 0,
    });
    if (out.length >= most) break;
  }
  return out;
}

/** Ranges that show everything; places fill 0 to 1, and the margins leave room for labels. */
function wholeView() {
  const span = (pixels, margin) => {
    const room = margin / Math.max(pixels - 2 * margin, 1);
    return [-room, 1 + room];
  };
  return { x: span(graph.clientWidth, 44), y: span(graph.clientHeight, 32) };
}

function drawNetwork(fit = false) {
  const nodes = shownGenes();
  [placeX, placeY] = [spread(rawX, nodes), spread(rawY, nodes)];
  if (fit) view = wholeView();
  const near = neighbours();
  for (const name of ["chosen", "regulator", "node", "page"]) colourOf[name] = colour(name);
  const touch = matchMedia("(pointer: coarse)").matches; // a finger on the view scrolls the page
  const axis = (range) => ({ range, visible: false, fixedrange: touch });
  const layout = plotLayout("", "", {
    margin: { l: 0, r: 0, t: 0, b: 0 }, dragmode: touch ? false : "pan", hovermode: "closest",
    xaxis: axis(view.x), yaxis: axis(view.y), annotations: labels(nodes, near),
  });
  Plotly.react(graph, [...edgeTraces(near), nodeTrace(nodes, near)], layout, plotOptions);
  const genesNow = count(nodes.length, "gene");
  graph.setAttribute("aria-label", `Network of ${count(net.shown, "edge")} between ${genesNow}.`);
  at("network-facts").textContent = `${count(net.shown, "edge")} between ${genesNow}, probability from ` +
    `${short(probability[net.shown - 1])} to ${short(probability[0])}` +
    (near.size ? `; ${genes[state.gene]} has ${count(near.size - 1, "neighbour")} here` : "");
  at("hubs").replaceChildren(...nodes.slice(0, 12).map((node) => {
    const button = make("button", { type: "button" }, `${genes[node.gene]} ${node.out + node.in}`);
    button.addEventListener("click", () => selectGene(node.gene));
    return button;
  }));
}

/** Zoom about the chosen gene where it stands out, else about the middle. */
function zoom(factor) {
  const index = neighbours().size ? placed.get(state.gene) : undefined;
  const span = ([low, high], places) => {
    const middle = index === undefined ? (low + high) / 2 : places[index];
    const half = ((high - low) / 2) * factor;
    return [middle - half, middle + half];
  };
  view = { x: span(view.x, placeX), y: span(view.y, placeY) };
  drawNetwork();
}

function setUpNetwork() {
  const [range, number] = [at("shown"), at("shown-number")];
  const show = (text) => {
    net.shown = Math.min(Math.max(Math.round(Number(text)) || 1, 1), net.edges);
    range.value = number.value = net.shown;
    drawNetwork(true);
  };
  for (const input of [range, number]) {
    input.max = net.edges;
    input.value = net.shown;
    input.addEventListener("change", () => show(input.value));
  }
  range.addEventListener("input", () => { number.value = range.value; });
  at("zoom-in").addEventListener("click", () => zoom(1 / 1.5));
  at("zoom-out").addEventListener("click", () => zoom(1.5));
  at("zoom-all").addEventListener("click", () => { focused = false; drawNetwork(true); });
  drawNetwork(true);
  graph.on("plotly_click", (event) => {
    const gene = event.points[0]?.customdata;
    if (gene !== undefined) selectGene(gene);
  });
  graph.on("plotly_relayout", (change) => {
    if (!("xaxis.range[0]" in change)) return;
    view = { x: [...graph.layout.xaxis.range], y: [...graph.layout.yaxis.range] };
    drawNetwork();
  });
}
