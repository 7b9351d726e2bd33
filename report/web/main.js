// What is chosen, and who is told of it.

/** Choose a gene; its strongest edge is shown with it. */
function selectGene(gene, scroll = false) {
  focused = state.gene >= 0;
  state.gene = gene;
  drawGene();
  drawNetwork();
  let strongest = edges.source.indexOf(gene);
  if (strongest < 0) strongest = edges.target.indexOf(gene);
  selectEdge(strongest);
  at("found").textContent = `${genes[gene]}: ${degree(gene)}`;
  if (scroll) at("gene").scrollIntoView();
}

function selectEdge(edge, scroll = false) {
  state.edge = edge;
  drawEdge();
  markEdge();
  if (scroll) at("edge").scrollIntoView({ block: "nearest" });
}

function drawAll() {
  drawEdge();
  drawReliability();
  drawNetwork();
}

function start() {
  const sources = outgoing.reduce((sum, number) => sum + (number > 0), 0);
  const targets = incoming.reduce((sum, number) => sum + (number > 0), 0);
  at("summary").textContent = `${count(probability.length, "edge")} of ${count(sources, "source")} and ` +
    `${count(targets, "target")}`;
  at("theme").addEventListener("change", () => {
    document.documentElement.dataset.theme = at("theme").value;
    drawAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  at("targets-all").addEventListener("click", () => tableOf(state.gene, "by-source"));
  at("regulators-all").addEventListener("click", () => tableOf(state.gene, "by-target"));
  setUpSearch();
  setUpTable();
  setUpNetwork();
  drawReliability();
  selectGene(edges.source[0]);
}

start();
