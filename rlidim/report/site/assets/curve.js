// A measurement's curve, drawn as wide as the page: the share of runs that solve, and every run.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 44, RIGHT = 62, TOP = 22, SHARES = 110, GAP = 26, SCORES = 230, BOTTOM = 40;

function make(parent, name, attributes, words) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (words !== undefined) node.textContent = words;
  parent.append(node);
  return node;
}

function logarithmic(values, width) {
  const low = Math.log(Math.min(...values)), high = Math.log(Math.max(...values));
  const margin = 0.05 * (high - low || 1);
  const scale = (width - LEFT - RIGHT) / (high - low + 2 * margin);
  return (d) => LEFT + (Math.log(d) - low + margin) * scale;
}

const linear = (low, high, top, height) => (value) => top + (height * (high - value)) / (high - low);

/** Runs of one rung with nearly the same score stand side by side, in the order of their seeds. */
function sideBySide(runs, room) {
  const groups = [];
  for (const run of [...runs].sort((a, b) => a.value - b.value || a.seed - b.seed)) {
    const last = groups.at(-1);
    if (last && run.value - last[0].value < 0.03) last.push(run);
    else groups.push([run]);
  }
  return groups.flatMap((group) => {
    const step = Math.min(8, room / Math.max(group.length, 1));
    group.sort((a, b) => a.seed - b.seed);
    return group.map((run, place) => [run, (place - (group.length - 1) / 2) * step]);
  });
}

function drawLabels(svg, x, rungs, bottom) {
  let before = -Infinity;
  for (const { d } of rungs) {
    const label = d.toLocaleString("en-US"), half = 3.6 * label.length;
    make(svg, "line", { class: "zero", x1: x(d), x2: x(d), y1: bottom, y2: bottom + 5 });
    if (x(d) - half < before + 6) continue;
    make(svg, "text", { x: x(d), y: bottom + 19, "text-anchor": "middle" }, label);
    before = x(d) + half;
  }
}

function draw(place, about) {
  const width = place.clientWidth, bottom = TOP + SHARES + GAP + SCORES;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${bottom + BOTTOM}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "Scores and the share of runs that solve, against d");
  const others = [...about.published, ...(about.known ? [{ d: about.known, label: "known" }] : [])];
  const ds = [...about.rungs.map((rung) => rung.d), ...others.map((other) => other.d)];
  const x = logarithmic([...ds, ...about.interval.filter((end) => end !== null)], width);
  const share = linear(0, 1, TOP, SHARES);
  const values = [...about.runs.map((run) => run.value), 0, 1.05];
  const score = linear(Math.min(...values) - 0.04, Math.max(...values) + 0.04, TOP + SHARES + GAP, SCORES);
  const right = width - RIGHT;
  const level = (name, y, words) => {
    make(svg, "line", { class: name, x1: LEFT, x2: right, y1: y, y2: y });
    make(svg, "text", { x: right + 6, y: y + 4 }, words);
  };

  if (!about.unreached) {
    const from = about.interval[0] === null ? LEFT : x(about.interval[0]);
    const to = about.interval[1] === null ? right : x(about.interval[1]);
    const size = { x: from, width: Math.max(to - from, 2), y: TOP, height: bottom - TOP };
    make(svg, "rect", { class: "interval", ...size });
  }
  for (const value of about.native) {
    const y = score(value);
    make(svg, "line", { class: "native", x1: right - 8, x2: right, y1: y, y2: y });
  }
  level("axis", share(1), "all");
  level("level", share(0.5), "half");
  level("axis", share(0), "none");
  // Two labels closer than a line would cover each other: the fraction's gives way.
  const apart = Math.abs(score(1) - score(about.fraction)) > 13;
  level("axis", score(1), about.one);
  level("level", score(about.fraction), apart ? `${100 * about.fraction} %` : "");
  level("zero", score(0), "random");

  let above = -Infinity;
  for (const other of [...others].sort((a, b) => a.d - b.d)) {
    make(svg, "line", { class: "other", x1: x(other.d), x2: x(other.d), y1: TOP - 6, y2: bottom });
    const half = 3.3 * other.label.length, at = Math.min(Math.max(x(other.d), half), width - half);
    if (at - half > above) {
      make(svg, "text", { x: at, y: TOP - 10, "text-anchor": "middle" }, other.label);
      above = at + half + 6;
    }
  }
  if (about.d_int !== null) {
    make(svg, "line", { class: "reading", x1: x(about.d_int), x2: x(about.d_int), y1: TOP, y2: bottom });
  }
  make(svg, "polyline", { class: "fit", points: about.fit.map(([d, y]) => `${x(d)},${share(y)}`).join(" ") });
  for (const rung of about.rungs) make(svg, "circle", { class: "share", cx: x(rung.d), cy: share(rung.share), r: 4 });

  const places = [...new Set(about.rungs.map((rung) => x(rung.d)))].sort((a, b) => a - b);
  const gaps = places.slice(1).map((place, index) => place - places[index]);
  const room = 0.8 * Math.min(60, ...gaps);
  for (const { d } of about.rungs) {
    for (const [run, aside] of sideBySide(about.runs.filter((each) => each.d === d), room)) {
      const link = make(svg, "a", { href: run.href });
      const at = { cx: x(d) + aside, cy: score(run.value) };
      make(link, "circle", { class: run.status === "ok" ? "run" : "lost", r: 4.2, ...at });
      make(link, "title", {}, `d = ${d}, seed ${run.seed}: ${run.status === "ok" ? run.score : run.status}`);
    }
  }
  drawLabels(svg, x, about.rungs, bottom);
  make(svg, "text", { x: (LEFT + right) / 2, y: bottom + BOTTOM - 3, "text-anchor": "middle" }, "subspace dimension d");
  place.replaceChildren(svg);
}

for (const place of document.querySelectorAll(".curve")) {
  const about = JSON.parse(document.getElementById(place.dataset.from).textContent);
  let drawn = 0;
  new ResizeObserver(() => {
    if (place.clientWidth !== drawn) draw(place, about);
    drawn = place.clientWidth;
  }).observe(place);
}
