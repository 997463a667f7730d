"use strict";
// Attention pictures: one head on one sentence at one step, from hundredths packed by pictures.py.
(function () {
  const {$, element, choose} = Page;
  const data = Page.data.pictures;
  if (!data) return;
  const scale = Page.data.ink;
  const SVG = Object.assign(document.createElement("div"), {innerHTML: "<svg></svg>"})
      .firstChild.namespaceURI;
  const CELL = 18, LETTER = 6.2, MOST_LETTERS = 12;
  const state = {sentence: 0, layer: 0, head: 0, step: data.steps.length - 1, row: 0, column: 0,
                 drawn: null};
  const unpacked = new Map();
  let weights = null, cells = [];

  // ---- weights -------------------------------------------------------------------------------

  // Bytes of all heads of a sentence at a step; null where they cannot be read.
  async function unpack(sentence, step) {
    const key = `${sentence} ${step}`;
    if (!unpacked.has(key)) {
      const packed = Uint8Array.from(atob(data.sentences[sentence].steps[step]),
                                     letter => letter.charCodeAt(0));
      const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
      unpacked.set(key, new Uint8Array(await new Response(stream).arrayBuffer()));
    }
    return unpacked.get(key);
  }

  function tokens() { return data.sentences[state.sentence].tokens; }

  // Of the chosen head; null where it was not recorded.
  function weight(row, column) {
    const count = tokens().length, triangle = count * (count + 1) / 2;
    const head = state.layer * data.heads + state.head;
    const found = weights[head * triangle + row * (row + 1) / 2 + column];
    return found === data.missing ? null : found / 100;
  }

  // ---- the picture ---------------------------------------------------------------------------

  function short(token) {
    const shown = token.replace(/ /g, "\u00b7").replace(/\u2581/g, "\u00b7").replace(/\n/g, "\u21b5");
    if (!shown) return "(start)";
    return shown.length > MOST_LETTERS ? shown.slice(0, MOST_LETTERS - 1) + "\u2026" : shown;
  }

  function shape(name, attributes, text = "") {
    const made = document.createElementNS(SVG, name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    made.textContent = text;
    return made;
  }

  function draw() {
    const names = tokens().map(short), count = names.length;
    const edge = 8 + LETTER * Math.max(...names.map(name => name.length));
    const side = edge + CELL * count + 4;
    const picture = shape("svg", {viewBox: `0 0 ${side} ${side}`, tabindex: 0, role: "img"});
    picture.style.width = `${side}px`;
    cells = names.map((name, row) => {
      const middle = edge + CELL * (row + 0.5);
      picture.append(
          shape("text", {x: edge - 4, y: middle + 4, "text-anchor": "end"}, name),
          shape("text", {transform: `translate(${middle + 4} ${edge - 4}) rotate(-90)`}, name));
      return names.slice(0, row + 1).map((_, column) => {
        const cell = shape("rect", {x: edge + CELL * column, y: edge + CELL * row,
                                    width: CELL - 1, height: CELL - 1});
        cell.onmouseenter = () => point(row, column);
        picture.append(cell);
        return cell;
      });
    });
    picture.onkeydown = move;
    $("pictures-picture").replaceChildren(picture);
  }

  function paint() {
    let known = 0;
    cells.forEach((row, i) => row.forEach((cell, j) => {
      const found = weight(i, j);
      known += found !== null;
      cell.style.fill = found === null ? "none" : scale[Math.round(found * (scale.length - 1))];
    }));
    const step = data.steps[state.step];
    const name = `layer ${state.layer}, head ${state.head}, step ${step}`;
    $("pictures-at").textContent = `step ${step}` + (known ? "" : ": not recorded");
    $("pictures-step").setAttribute("aria-valuetext", $("pictures-at").textContent);
    $("pictures-picture").firstChild.setAttribute("aria-label",
        `Attention of ${name} on: ${tokens().map(short).join(" ")}. In words below.`);
    $("pictures-words").replaceChildren(...(known ? tokens().map((_, row) =>
        element("li", inWords(row))) : []));
    point(Math.min(state.row, cells.length - 1), state.column);
  }

  // At what a token looks most.
  function inWords(row) {
    const columns = [...Array(row + 1).keys()].sort((a, b) => weight(row, b) - weight(row, a));
    const most = columns.slice(0, 3).filter(column => weight(row, column) > 0)
        .map(column => `${short(tokens()[column])} (${column}) ${weight(row, column).toFixed(2)}`);
    return `${short(tokens()[row])} (${row}) looks at ${most.join(", ") || "nothing above 0.00"}`;
  }

  function point(row, column) {
    if (cells[state.row] && cells[state.row][state.column])
      cells[state.row][state.column].classList.remove("chosen");
    state.row = row;
    state.column = Math.min(column, row);
    cells[row][state.column].classList.add("chosen");
    const found = weight(row, state.column), names = tokens();
    $("pictures-cell").textContent = `${short(names[row])} (${row}) looks at ` +
        `${short(names[state.column])} (${state.column}): ` +
        (found === null ? "not recorded" : found.toFixed(2));
  }

  function move(event) {
    const {row, column} = state, last = cells.length - 1;
    const to = {ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
                ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
                Home: [row, 0], End: [row, row]}[event.key];
    if (!to) return;
    if (to[0] >= 0 && to[0] <= last && to[1] >= 0 && to[1] <= to[0]) point(...to);
    event.preventDefault();
  }

  // ---- controls ------------------------------------------------------------------------------

  // The chosen sentence, step and head; a later choice that was ready earlier stands.
  async function show() {
    const {sentence, step} = state;
    const found = await unpack(sentence, step);
    if (sentence !== state.sentence || step !== state.step) return;
    weights = found;
    if (state.drawn !== sentence) draw();
    state.drawn = sentence;
    paint();
  }

  function start() {
    const numbers = count => [...Array(count).keys()].map(String);
    choose($("pictures-sentence"), data.sentences.map(
        (sentence, i) => `${i + 1}: ${sentence.tokens.slice(0, 6).map(short).join(" ")}\u2026`),
           i => { state.sentence = i; show(); });
    choose($("pictures-layer"), numbers(data.layers), i => { state.layer = i; show(); });
    choose($("pictures-head"), numbers(data.heads), i => { state.head = i; show(); });
    const slider = $("pictures-step");
    slider.max = slider.value = state.step;
    slider.oninput = () => { state.step = Number(slider.value); show(); };
    $("pictures-legend").children[1].style.background =
        `linear-gradient(to right, ${scale.join(",")})`;
    show();
  }

  if (typeof DecompressionStream === "undefined")
    $("pictures-picture").textContent = "This browser cannot unpack the pictures; a newer one can.";
  else start();
})();
