// Response and gradient of the chosen pair, and the reliability diagram.

const probes = data.curves;
const withCurves = new Map([...whole(probes.edges)].map((edge, place) => [edge, place]));
const values = { response: real(probes.response.values), gradient: real(probes.gradient.values) };

/** Levels and values of one curve; the response at the baseline is zero because it is measured from there. */
function curve(probe, place) {
  const { levels } = probes[probe];
  const points = levels.map((level, index) => [level, values[probe][place * levels.length + index]]);
  if (probe === "response" && !levels.includes(probes.baseline)) points.push([probes.baseline, 0]);
  return points.sort((a, b) => a[0] - b[0]);
}

function drawCurve(probe, title, axis, source, points) {
  const chart = at(probe);
  const [levels, heights] = [points.map((point) => point[0]), points.map((point) => point[1])];
  const trace = {
    x: levels, y: heights, mode: "lines+markers", hovertemplate: "level %{x}<br>%{y:.4g}<extra></extra>",
    line: { color: colour(probe), width: 2.5 },
    marker: { color: colour(probe), size: 8, symbol: probe === "response" ? "circle" : "square" },
  };
  const rule = (ends) => ({ type: "line", ...ends, line: { color: colour("quiet"), width: 1, dash: "dot" } });
  const layout = plotLayout(`level of ${plain(source)}`, axis, {
    title: { text: title, x: 0.02, xanchor: "left", font: { size: 14 } },
    shapes: [
      rule({ x0: probes.baseline, x1: probes.baseline, yref: "paper", y0: 0, y1: 1 }),
      rule({ y0: 0, y1: 0, xref: "paper", x0: 0, x1: 1 }),
    ],
  });
  chart.setAttribute("aria-label", `${title} from ${heights[0].toPrecision(3)} at level ${levels[0]} to ` +
    `${heights.at(-1).toPrecision(3)} at level ${levels.at(-1)}; all numbers are in the list below.`);
  Plotly.react(chart, [trace], layout, plotOptions);
}

function drawEdge() {
  const edge = state.edge;
  const [source, target] = [genes[edges.source[edge]], genes[edges.target[edge]]];
  at("edge-title").textContent = `${source} → ${target}`;
  at("edge-facts").replaceChildren(...edges.columns.map((column) =>
    make("span", { className: "fact" }, `${column.name} `, make("b", {}, short(column.values[edge])))));
  const place = withCurves.get(edge);
  at("curves").hidden = place === undefined;
  at("no-curves").hidden = place !== undefined;
  if (place === undefined) return;
  const [response, gradient] = [curve("response", place), curve("gradient", place)];
  drawCurve("response", "Response (VVP)", `change of ${plain(target)}`, source, response);
  drawCurve("gradient", "Gradient (GDT)", `slope of ${plain(target)}`, source, gradient);
  at("units").textContent = `Response: what the model predicts for ${target} with ${source} at a level, less what it ` +
    `predicts at the baseline ${probes.baseline} (dotted). Gradient: the slope of that prediction at the level. ` +
    `Units of a level: ${probes.units}.`;
  const texts = (points) => points.map((point) => [String(point[0]), point[1].toPrecision(4)]);
  at("numbers").replaceChildren(
    numbersTable("Response", ["level", "change"], texts(response)),
    numbersTable("Gradient", ["level", "slope"], texts(gradient)));
}

/** Share of edges against probability, where the artifact has the bins. */
function drawReliability() {
  const chart = at("reliability-chart");
  if (!chart) return;
  const styles = { before: ["gradient", "square-open"], after: ["response", "circle"] };
  const traces = Object.entries(data.reliability).map(([when, bins]) => ({
    name: `${when} calibration`, x: bins.map((bin) => bin[0]), y: bins.map((bin) => bin[1]), mode: "lines+markers",
    line: { color: colour(styles[when][0]), width: 2 }, marker: { symbol: styles[when][1], size: 9 },
    hovertemplate: "probability %{x:.3f}<br>share of edges %{y:.3f}<extra></extra>",
  }));
  const layout = plotLayout("probability", "share of edges", {
    showlegend: traces.length > 1, legend: { x: 0.02, y: 0.98 }, margin: { l: 56, r: 12, t: 12, b: 44 },
    shapes: [{ type: "line", x0: 0, y0: 0, x1: 1, y1: 1, line: { color: colour("quiet"), width: 1, dash: "dash" } }],
  });
  layout.xaxis.range = [0, 1];
  layout.yaxis.range = [0, 1];
  Plotly.react(chart, traces, layout, plotOptions);
}
