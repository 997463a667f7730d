"use strict";
// One measure's panels at a time.
(function () {
  const {$, choose} = Page;
  const panels = [...document.querySelectorAll("[data-metric]")];
  if (!$("layers-metric")) return;
  const pick = i => panels.forEach((panel, j) => { panel.hidden = i !== j; });
  choose($("layers-metric"), panels.map(panel => panel.firstChild.textContent), pick);
  pick(0);
  $("layers-control").hidden = false;
})();
