"use strict";
// The course of one head over training.
Page.course = (function () {
  const {show} = Page;
  const WIDTH = 560, HEIGHT = 170, LEFT = 56, RIGHT = 20, TOP = 22, BOTTOM = 36;
  const FLOOR = HEIGHT - BOTTOM, END = WIDTH - RIGHT;

  // 0, 1, 10, … to the last step.
  function decades(last) {
    const found = [0];
    for (let step = 1; step <= last; step *= 10) found.push(step);
    return found;
  }

  function axes(x, y, last, bounds) {
    const across = decades(last).map(step =>
        `<path class="tick" d="M${x(step)} ${FLOOR}v3"/>
        <text class="x" x="${x(step)}" y="${FLOOR + 14}">${step.toLocaleString("en")}</text>`);
    const up = [...new Set(bounds)].map(value =>
        `<path class="grid" d="M${LEFT} ${y(value)}H${END}"/>
        <text class="y" x="${LEFT - 4}" y="${y(value) + 4}">${show(value, 3)}</text>`);
    return `${across.join("")}${up.join("")}<path class="tick" d="M${LEFT} ${TOP}V${FLOOR}H${END}"/>
        <text class="name" x="2" y="12"></text><text class="x name" x="${(LEFT + END) / 2}"
        y="${FLOOR + 30}">training step (log axis)</text>`;
  }

  // A picture of values and baselines at steps, null where there is none, and what it shows in
  // words; `chosen`: the step that is marked.
  return function (name, steps, values, baselines, chosen) {
    const last = Math.max(steps[steps.length - 1], 1);
    const known = values.concat(baselines).filter(value => value !== null);
    const low = Math.min(...known), high = Math.max(...known);
    const x = step => LEFT + (END - LEFT) * Math.log1p(step) / Math.log1p(last);
    const y = value => FLOOR - (FLOOR - TOP) * (high > low ? (value - low) / (high - low) : 0.5);
    const line = list => list.map((value, i) => value === null ? ""
        : `${x(steps[i]).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
    const picture = document.createElement("figure");
    picture.innerHTML = `<svg class="panel" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">
        ${axes(x, y, last, known.length ? [low, high] : [])}
        <path class="chosen" d="M${x(chosen)} ${TOP}V${FLOOR}"/>
        <polyline class="line base" points="${line(baselines)}"/>
        <polyline class="line" points="${line(values)}"/></svg>`;
    picture.querySelector(".name").textContent = name;
    picture.firstChild.setAttribute("aria-label", `${name}, over training steps`);
    const range = known.length ? `${show(low)} to ${show(high)}` : "not recorded";
    return [picture, `${name}, over training: ${range}; dotted: baseline; upright: this step`];
  };
})();
