"use strict";
(function () {
  const data = JSON.parse(document.getElementById("report-data").textContent).heat;
  const $ = id => document.getElementById(id);

  // ---- numbers -------------------------------------------------------------------------------

  // Where all heads of a sample agree, one number stands for them.
  function at(list, sample, cell) {
    return list.length === data.steps.length ? list[sample]
                                             : list[sample * data.layers * data.heads + cell];
  }

  function excess(metric, sample, cell) {
    const value = at(metric.value, sample, cell), baseline = at(metric.baseline, sample, cell);
    if (value === null || metric.against === "none") return value;
    if (baseline === null) return null;
    if (metric.against === "difference") return value - baseline;
    return baseline > 0 ? value / baseline : null;
  }

  function show(number, digits = 4) {
    return number === null ? "none" : String(Number(number.toPrecision(digits)));
  }

  function showExcess(metric, number) {
    if (number === null) return "none";
    if (metric.against === "ratio") return "×" + number.toFixed(2);
    if (metric.against === "none") return show(number, 3);
    return (number < 0 ? "−" : "+") + Math.abs(number).toFixed(2);
  }

  function colour(metric, number) {
    const scale = metric.against === "none" ? data.sequential : data.diverging;
    const place = metric.against === "ratio" ? Math.log2 : x => x;
    if (number === null || (metric.against === "ratio" && number <= 0)) return null;
    const low = place(metric.low), high = place(metric.high);
    const share = high > low ? (place(number) - low) / (high - low) : 0.5;
    return scale[Math.round(Math.min(Math.max(share, 0), 1) * (scale.length - 1))];
  }

  // Words on a colour: black or white, whichever is farther from it.
  function wordsOn(hex) {
    const [r, g, b] = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
    return 0.3 * r + 0.59 * g + 0.11 * b > 140 ? "#000" : "#fff";
  }

  // ---- the heat map --------------------------------------------------------------------------

  const state = {metric: "", sample: 0, cell: 0, kept: null};
  let cells = [];

  function nameOf(cell) {
    return `layer ${Math.floor(cell / data.heads)}, head ${cell % data.heads}`;
  }

  function element(name, text, properties) {
    const made = document.createElement(name);
    made.textContent = text;
    return Object.assign(made, properties);
  }

  function makeGrid() {
    const map = $("heat-map"), head = map.createTHead().insertRow(), body = map.createTBody();
    map.setAttribute("role", "grid");
    map.classList.toggle("many", data.heads > 8);
    head.append(element("th", "layer \\ head", {scope: "col"}));
    head.firstChild.textContent = "";
    head.firstChild.setAttribute("aria-label", "layer");
    for (let h = 0; h < data.heads; h++) head.append(element("th", h, {scope: "col"}));
    for (let l = data.layers - 1; l >= 0; l--) {
      const row = body.insertRow();
      row.append(element("th", "L" + l, {scope: "row"}));
      for (let h = 0; h < data.heads; h++) {
        const cell = row.insertCell(), index = l * data.heads + h;
        cell.tabIndex = -1;
        cell.setAttribute("role", "gridcell");
        cell.onfocus = cell.onmouseenter = () => point(index);
        cell.onclick = () => keep(index);
        cell.onkeydown = event => move(event, index);
        cells[index] = cell;
      }
    }
  }

  function paint() {
    const metric = data.metrics[state.metric];
    cells.forEach((cell, index) => {
      const number = excess(metric, state.sample, index), fill = colour(metric, number);
      cell.style.background = fill || "repeating-linear-gradient(45deg,#fff 0 4px,#bbb 4px 6px)";
      cell.style.color = fill ? wordsOn(fill) : "#000";
      cell.textContent = data.heads > 16 ? "" : showExcess(metric, number);
      cell.setAttribute("aria-label", `${nameOf(index)}: ${showExcess(metric, number)}`);
    });
    const step = data.steps[state.sample], tokens = data.tokens[state.sample].toLocaleString("en");
    $("heat-at").textContent = `step ${step}, ${tokens} tokens`;
    $("heat-step").setAttribute("aria-valuetext", $("heat-at").textContent);
    point(state.cell);
    if (state.kept !== null) showHead(state.kept);
  }

  function describe(metric, sample, cell) {
    const value = at(metric.value, sample, cell), baseline = at(metric.baseline, sample, cell);
    const beside = baseline === null ? "no baseline"
        : `baseline ${show(baseline)}, ${showExcess(metric, excess(metric, sample, cell))}`;
    return `${metric.title} ${show(value)} (${beside}, n = ${at(metric.n, sample, cell)})`;
  }

  function point(cell) {
    cells[state.cell].tabIndex = -1;
    state.cell = cell;
    cells[cell].tabIndex = 0;
    const words = describe(data.metrics[state.metric], state.sample, cell);
    $("heat-cell").textContent = `${nameOf(cell)}: ${words}`;
    cells[cell].title = $("heat-cell").textContent;
  }

  function move(event, cell) {
    const layer = Math.floor(cell / data.heads), head = cell % data.heads;
    const to = {ArrowLeft: [layer, head - 1], ArrowRight: [layer, head + 1],
                ArrowUp: [layer + 1, head], ArrowDown: [layer - 1, head],
                Home: [layer, 0], End: [layer, data.heads - 1]}[event.key];
    if (event.key === "Enter" || event.key === " ") keep(cell);
    else if (!to) return;
    else if (to[0] >= 0 && to[0] < data.layers && to[1] >= 0 && to[1] < data.heads)
      cells[to[0] * data.heads + to[1]].focus();
    event.preventDefault();
  }

  function legend() {
    const metric = data.metrics[state.metric], bar = $("heat-legend");
    const scale = metric.against === "none" ? data.sequential : data.diverging;
    bar.children[0].textContent = showExcess(metric, metric.low);
    bar.children[1].style.background = `linear-gradient(to right, ${scale.join(",")})`;
    bar.children[2].textContent = showExcess(metric, metric.high);
    const against = {difference: "Cells show value less baseline.",
                     ratio: "Cells show value over baseline.",
                     none: "There is no baseline: cells show the value."}[metric.against];
    $("heat-meaning").textContent = `${metric.title}: ${metric.meaning}. ${against}`;
  }

  // ---- one head ------------------------------------------------------------------------------

  const WIDTH = 560, HEIGHT = 120, EDGE = 8;

  function course(metric, cell) {
    const value = data.steps.map((_, s) => at(metric.value, s, cell));
    const base = data.steps.map((_, s) => at(metric.baseline, s, cell));
    const known = value.concat(base).filter(x => x !== null);
    const low = Math.min(...known), high = Math.max(...known), last = data.steps.length - 1;
    const x = s => EDGE + (WIDTH - 2 * EDGE) * (last ? s / last : 0.5);
    const y = v => HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (high > low ? (v - low) / (high - low) : 0.5);
    const line = list => list.map((v, s) => v === null ? "" : `${x(s).toFixed(1)},${y(v).toFixed(1)}`)
        .join(" ");
    const picture = document.createElement("figure");
    picture.innerHTML = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" fill="none">
      <path d="M${x(state.sample)} 0V${HEIGHT}" stroke="#bbb"/>
      <polyline points="${line(base)}" stroke="#000" stroke-dasharray="2 3"/>
      <polyline points="${line(value)}" stroke="#0072b2" stroke-width="2"/></svg>`;
    picture.firstChild.setAttribute("aria-label", `${metric.title} over the samples`);
    return [picture, `${metric.title} over the samples, ${show(low)} to ${show(high)}; dotted: baseline`];
  }

  function showHead(cell) {
    const box = $("heat-head"), list = document.createElement("ul");
    for (const name in data.metrics)
      list.append(element("li", describe(data.metrics[name], state.sample, cell)));
    const [picture, words] = course(data.metrics[state.metric], cell);
    box.replaceChildren(element("h3", `${nameOf(cell)} at step ${data.steps[state.sample]}`),
                        picture, element("p", words, {className: "hint"}), list);
  }

  function keep(cell) {
    if (state.kept !== null) cells[state.kept].removeAttribute("aria-selected");
    state.kept = cell;
    cells[cell].setAttribute("aria-selected", "true");
    point(cell);
    showHead(cell);
  }

  // ---- controls ------------------------------------------------------------------------------

  function startHeat() {
    if (!data || !Object.keys(data.metrics).length) return;
    const chooser = $("heat-metric"), slider = $("heat-step");
    for (const name in data.metrics)
      chooser.append(element("option", data.metrics[name].title, {value: name}));
    makeGrid();
    slider.max = data.steps.length - 1;
    slider.value = state.sample = data.steps.length - 1;
    slider.oninput = () => { state.sample = Number(slider.value); paint(); };
    chooser.onchange = () => { state.metric = chooser.value; legend(); paint(); };
    state.metric = chooser.value;
    legend();
    paint();
  }

  // One measure's panels at a time.
  function startLayers() {
    const panels = [...document.querySelectorAll("[data-metric]")], chooser = $("layers-metric");
    if (!chooser) return;
    panels.forEach(panel => chooser.append(
        element("option", panel.firstChild.textContent, {value: panel.dataset.metric})));
    chooser.onchange = () => panels.forEach(
        panel => { panel.hidden = panel.dataset.metric !== chooser.value; });
    chooser.onchange();
    $("layers-control").hidden = false;
  }

  startHeat();
  startLayers();
})();
