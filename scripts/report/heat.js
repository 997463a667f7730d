"use strict";
// The heat map of heads, and the course of one head. Measures come from two sources, samples of
// training and probes of checkpoints, each with its own steps.
(function () {
  const {$, element, show, wordsOn} = Page;
  const sources = [Page.data.heat, Page.data.probes].filter(Boolean);
  if (!sources.some(source => Object.keys(source.metrics).length)) return;
  const layers = Math.max(...sources.map(source => source.layers));
  const heads = Math.max(...sources.map(source => source.heads));
  const metrics = sources.flatMap(
      source => Object.values(source.metrics).map(metric => ({...metric, source})));

  // ---- numbers -------------------------------------------------------------------------------

  // Where all heads of a sample agree, one number stands for them.
  function at(metric, name, sample, cell) {
    const {steps, layers: rows, heads: columns} = metric.source, list = metric[name];
    const layer = Math.floor(cell / heads), head = cell % heads;
    if (layer >= rows || head >= columns) return null;
    return list.length === steps.length ? list[sample]
                                        : list[(sample * rows + layer) * columns + head];
  }

  function excess(metric, sample, cell) {
    const value = at(metric, "value", sample, cell), baseline = at(metric, "baseline", sample, cell);
    if (value === null || metric.against === "none") return value;
    if (baseline === null) return null;
    if (metric.against === "difference") return value - baseline;
    return baseline > 0 ? value / baseline : null;
  }

  function showExcess(metric, number) {
    if (number === null) return "none";
    if (metric.against === "ratio") return "×" + number.toFixed(2);
    if (metric.against === "none") return show(number, 3);
    const digits = metric.high - metric.low < 0.2 ? 4 : 2;
    return (number < 0 ? "−" : "+") + Math.abs(number).toFixed(digits);
  }

  function colour(metric, number) {
    const scale = metric.against === "none" ? metric.source.sequential : metric.source.diverging;
    const place = metric.against === "ratio" ? Math.log2 : x => x;
    if (number === null || (metric.against === "ratio" && number <= 0)) return null;
    const low = place(metric.low), high = place(metric.high);
    const share = high > low ? (place(number) - low) / (high - low) : 0.5;
    return scale[Math.round(Math.min(Math.max(share, 0), 1) * (scale.length - 1))];
  }

  // ---- the heat map --------------------------------------------------------------------------

  const state = {metric: metrics[0], sample: 0, cell: 0, kept: null};
  let cells = [];

  function nameOf(cell) {
    return `layer ${Math.floor(cell / heads)}, head ${cell % heads}`;
  }

  function makeGrid() {
    const map = $("heat-map"), head = map.createTHead().insertRow(), body = map.createTBody();
    map.setAttribute("role", "grid");
    map.classList.toggle("many", heads > 8);
    head.append(element("th", "layer \\ head", {scope: "col"}));
    head.firstChild.textContent = "";
    head.firstChild.setAttribute("aria-label", "layer");
    for (let h = 0; h < heads; h++) head.append(element("th", h, {scope: "col"}));
    for (let l = layers - 1; l >= 0; l--) {
      const row = body.insertRow();
      row.append(element("th", "L" + l, {scope: "row"}));
      for (let h = 0; h < heads; h++) {
        const cell = row.insertCell(), index = l * heads + h;
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
    const metric = state.metric;
    cells.forEach((cell, index) => {
      const number = excess(metric, state.sample, index), fill = colour(metric, number);
      cell.style.background = fill || "repeating-linear-gradient(45deg,#fff 0 4px,#bbb 4px 6px)";
      cell.style.color = fill ? wordsOn(fill) : "#000";
      cell.textContent = heads > 16 ? "" : showExcess(metric, number);
      cell.setAttribute("aria-label", `${nameOf(index)}: ${showExcess(metric, number)}`);
    });
    const {steps, tokens} = metric.source;
    $("heat-at").textContent =
        `step ${steps[state.sample]}, ${tokens[state.sample].toLocaleString("en")} tokens`;
    $("heat-step").setAttribute("aria-valuetext", $("heat-at").textContent);
    point(state.cell);
    if (state.kept !== null) showHead(state.kept);
  }

  function describe(metric, sample, cell) {
    const value = at(metric, "value", sample, cell), baseline = at(metric, "baseline", sample, cell);
    const beside = baseline === null ? "no baseline"
        : `baseline ${show(baseline)}, ${showExcess(metric, excess(metric, sample, cell))}`;
    return `${metric.title} ${show(value)} (${beside}, n = ${at(metric, "n", sample, cell)})`;
  }

  function point(cell) {
    cells[state.cell].tabIndex = -1;
    state.cell = cell;
    cells[cell].tabIndex = 0;
    const words = describe(state.metric, state.sample, cell);
    $("heat-cell").textContent = `${nameOf(cell)}: ${words}`;
    cells[cell].title = $("heat-cell").textContent;
  }

  function move(event, cell) {
    const layer = Math.floor(cell / heads), head = cell % heads;
    const to = {ArrowLeft: [layer, head - 1], ArrowRight: [layer, head + 1],
                ArrowUp: [layer + 1, head], ArrowDown: [layer - 1, head],
                Home: [layer, 0], End: [layer, heads - 1]}[event.key];
    if (event.key === "Enter" || event.key === " ") keep(cell);
    else if (!to) return;
    else if (to[0] >= 0 && to[0] < layers && to[1] >= 0 && to[1] < heads)
      cells[to[0] * heads + to[1]].focus();
    event.preventDefault();
  }

  function legend() {
    const {metric} = state, bar = $("heat-legend");
    const scale = metric.against === "none" ? metric.source.sequential : metric.source.diverging;
    bar.children[0].textContent = showExcess(metric, metric.low);
    bar.children[1].style.background = `linear-gradient(to right, ${scale.join(",")})`;
    bar.children[2].textContent = showExcess(metric, metric.high);
    const against = {difference: "Cells show value less baseline.",
                     ratio: "Cells show value over baseline.",
                     none: "There is no baseline: cells show the value."}[metric.against];
    $("heat-meaning").textContent = `${metric.title}: ${metric.meaning}. ${against}`;
  }

  // ---- one head ------------------------------------------------------------------------------

  function showHead(cell) {
    const box = $("heat-head"), list = document.createElement("ul");
    for (const each of metrics.filter(each => each.source === state.metric.source))
      list.append(element("li", describe(each, state.sample, cell)));
    const {metric} = state, {steps} = metric.source, step = steps[state.sample];
    const over = name => steps.map((_, sample) => at(metric, name, sample, cell));
    const name = metric.unit ? `${metric.title} (${metric.unit})` : metric.title;
    const [picture, words] = Page.course(name, steps, over("value"), over("baseline"), step);
    box.replaceChildren(element("h3", `${nameOf(cell)} at step ${step}`), picture,
                        element("p", words, {className: "hint"}), list);
  }

  function keep(cell) {
    if (state.kept !== null) cells[state.kept].removeAttribute("aria-selected");
    state.kept = cell;
    cells[cell].setAttribute("aria-selected", "true");
    point(cell);
    showHead(cell);
  }

  // ---- controls ------------------------------------------------------------------------------

  // The sample of a source that is nearest to a step.
  function nearest(source, step) {
    const away = source.steps.map(each => Math.abs(each - step));
    return away.indexOf(Math.min(...away));
  }

  function measure(metric) {
    const step = state.metric.source.steps[state.sample];
    state.metric = metric;
    state.sample = nearest(metric.source, step);
    $("heat-step").max = metric.source.steps.length - 1;
    $("heat-step").value = state.sample;
    legend();
    paint();
  }

  makeGrid();
  state.sample = state.metric.source.steps.length - 1;
  $("heat-step").oninput = () => { state.sample = Number($("heat-step").value); paint(); };
  Page.choose($("heat-metric"), metrics.map(metric => metric.title), i => measure(metrics[i]));
  measure(metrics[0]);
})();
