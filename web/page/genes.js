// The search, and the targets and regulators of the chosen gene.

const MOST_MATCHES = 12;
const MOST_PARTNERS = 12;
const folded = genes.map((name) => name.toLowerCase());
let matches = [];
let active = -1;

const outgoing = new Int32Array(genes.length);
const incoming = new Int32Array(genes.length);
edges.source.forEach((gene) => { outgoing[gene] += 1; });
edges.target.forEach((gene) => { incoming[gene] += 1; });
const degree = (gene) => `${count(outgoing[gene], "target")}, ${count(incoming[gene], "regulator")}`;

/** The best matching genes: the name itself, then beginnings, then parts; the most connected first. */
function findGenes(text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const found = [];
  folded.forEach((name, gene) => {
    const place = name.indexOf(wanted);
    if (place >= 0) found.push([name === wanted ? 0 : place === 0 ? 1 : 2, -outgoing[gene] - incoming[gene], gene]);
  });
  found.sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
  return found.map((each) => each[2]);
}

function showMatches(list, text) {
  matches = list.slice(0, MOST_MATCHES);
  active = matches.length ? 0 : -1;
  at("matches").replaceChildren(...matches.map((gene, place) => {
    const option = make("li", { id: `match-${place}`, role: "option" }, make("span", {}, genes[gene]),
      make("span", { className: "quiet" }, degree(gene)));
    option.addEventListener("mousedown", (event) => event.preventDefault()); // the box keeps the focus
    option.addEventListener("click", () => choose(place));
    return option;
  }));
  markActive();
  if (!text.trim()) at("found").textContent = "";
  else if (!list.length) at("found").textContent = `No gene of this page has “${text.trim()}” in its name.`;
  else at("found").textContent = list.length > MOST_MATCHES
    ? `${MOST_MATCHES} of ${list.length.toLocaleString("en")} genes; type more of the name` : count(list.length, "gene");
}

function markActive() {
  const open = matches.length > 0;
  at("matches").hidden = !open;
  at("search").setAttribute("aria-expanded", String(open));
  at("search").setAttribute("aria-activedescendant", open ? `match-${active}` : "");
  [...at("matches").children].forEach((option, place) => {
    option.setAttribute("aria-selected", String(place === active));
    if (place === active) option.scrollIntoView({ block: "nearest" });
  });
}

function closeMatches() {
  matches = [];
  markActive();
}

function choose(place) {
  const gene = matches[place];
  closeMatches();
  at("search").value = genes[gene];
  selectGene(gene);
}

function setUpSearch() {
  const box = at("search");
  box.addEventListener("input", () => showMatches(findGenes(box.value), box.value));
  box.addEventListener("blur", closeMatches);
  box.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && !matches.length) showMatches(findGenes(box.value), box.value);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      active = (active + (event.key === "ArrowDown" ? 1 : matches.length - 1)) % Math.max(matches.length, 1);
      markActive();
    } else if (event.key === "Enter" && matches.length) choose(active);
    else if (event.key === "Escape") closeMatches();
    else return;
    event.preventDefault();
  });
}

/** The strongest edges at one end of a gene; edges come strongest first. */
function partners(gene, near, far, side, title) {
  const rows = [];
  near.forEach((each, edge) => { if (each === gene) rows.push(edge); });
  const top = rows.slice(0, MOST_PARTNERS);
  at(`${side}-title`).textContent = `${title} ${genes[gene]}`;
  at(side).replaceChildren(...top.map((edge) => {
    const bar = make("span", { className: "meter" }, make("span"));
    bar.firstChild.style.width = `${100 * probability[edge]}%`;
    const button = make("button", { type: "button" }, make("span", { className: "name" }, genes[far[edge]]), bar,
      make("span", { className: "value" }, short(probability[edge])));
    button.dataset.edge = edge;
    button.addEventListener("click", () => {
      selectEdge(edge);
      at("edge").scrollIntoView({ block: "nearest" });
    });
    return make("li", {}, button);
  }));
  if (!top.length) at(side).replaceChildren(make("li", { className: "quiet" }, "none on this page"));
  const all = at(`${side}-all`);
  all.hidden = rows.length <= top.length;
  all.textContent = `All ${rows.length.toLocaleString("en")} in the table`;
}

function drawGene() {
  partners(state.gene, edges.source, edges.target, "targets", "Top targets of");
  partners(state.gene, edges.target, edges.source, "regulators", "Top regulators of");
}

function markEdge() {
  for (const button of document.querySelectorAll(".partners button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.edge) === state.edge));
  }
}
