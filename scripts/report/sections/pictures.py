"""Attention pictures of fixed sentences, drawn by the page's own script."""
from report.markup import paragraph, section
from report.sections.common import not_probed

CONTROLS = """
<p>One head on one sentence: a row is a token that looks, a column one that it may look at, and the
darker a cell, the larger the weight. Weights are in hundredths.</p>
<noscript><p class="warn">This section needs JavaScript.</p></noscript>
<div id="pictures-controls" class="controls">
<label>sentence <select id="pictures-sentence"></select></label>
<label>layer <select id="pictures-layer"></select></label>
<label>head <select id="pictures-head"></select></label>
<label class="long">step <input id="pictures-step" type="range" min="0" step="1"></label>
<output id="pictures-at" for="pictures-step"></output></div>
<div id="pictures-legend" class="legend"><span>0</span><i></i><span>1</span></div>
<div id="pictures-picture" class="scroll"></div>
<p class="hint">Arrow keys go from weight to weight of the picture.</p>
<p id="pictures-cell" aria-live="polite"></p>
<details><summary>in words</summary><ul id="pictures-words"></ul></details>"""


def render(run, packed):
    if packed is None:
        return not_probed("pictures", "Attention pictures", "pictures are", "pictures.jsonl")
    left_out = packed["left_out"]
    note = paragraph(f"To keep the page small, {left_out} of the {left_out + len(packed['steps'])} "
                     "recorded steps are left out.") if left_out else ""
    return section("pictures", "Attention pictures", CONTROLS + note)
