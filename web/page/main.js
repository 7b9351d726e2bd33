// What is chosen, and who is told of it.

/** Bring a part of the page into view, and the focus to its title. */
function goTo(part) {
  at(part).scrollIntoView();
  at(`${part}-title`).focus({ preventScroll: true });
}

/** Choose a gene; its strongest edge is shown with it. */
function selectGene(gene) {
  focused = state.gene >= 0;
  state.gene = gene;
  drawGene();
  drawNetwork();
  let strongest = edges.source.indexOf(gene);
  if (strongest < 0) strongest = edges.target.indexOf(gene);
  selectEdge(strongest);
  at("found").textContent = `${genes[gene]}: ${degree(gene)}`;
}

function selectEdge(edge) {
  state.edge = edge;
  drawEdge();
  markEdge();
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
  let pause;
  addEventListener("resize", () => { clearTimeout(pause); pause = setTimeout(drawNetwork, 200); });
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
