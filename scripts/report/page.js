"use strict";
// What the page's scripts share.
const Page = (function () {
  const data = JSON.parse(document.getElementById("report-data").textContent);

  function $(id) { return document.getElementById(id); }

  function element(name, text, properties) {
    const made = document.createElement(name);
    made.textContent = text;
    return Object.assign(made, properties);
  }

  function show(number, digits = 4) {
    return number === null ? "none" : String(Number(number.toPrecision(digits)));
  }

  // Words on a colour: black or white, whichever is farther from it.
  function wordsOn(hex) {
    const [r, g, b] = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
    return 0.3 * r + 0.59 * g + 0.11 * b > 140 ? "#000" : "#fff";
  }

  // Chooses among `names` in a select.
  function choose(select, names, then) {
    names.forEach((name, i) => select.append(element("option", name, {value: i})));
    select.onchange = () => then(Number(select.value));
  }

  return {data, $, element, show, wordsOn, choose};
})();
