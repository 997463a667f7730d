"""The sections of the report below the run card."""
from report import drawing, heads
from report.markup import bullets, details, number, paragraph, section, table, text
from report.samples import metric_of

WIDE, NARROW = (10.5, 5.6), (4.2, 5.2)  # inches: the second for screens of a telephone


def both(draw, name, label):
    """A figure for wide screens and one for narrow ones."""
    return "".join(f'<figure class="{kind}">{drawing.svg_of(draw(*size), f"{name}-{kind}", label)}'
                   "</figure>" for kind, size in (("wide", WIDE), ("narrow", NARROW)))


def absent(name, title):
    return section(name, title, paragraph(
        "Not in this report: attention was not sampled. quern train --lens-every N samples it in "
        "every N-th step, into lens.jsonl.", "warn"))


# ---- loss -----------------------------------------------------------------------------------

def marks_of(run):
    """[(tokens, name)] of what the options say happened on the way."""
    warmup, steps = run.option("warmup", 0), run.option("steps", 0)
    found = [(warmup, "end of warmup")] if warmup else []
    if run.options.get("schedule") == "wsd" and steps:
        fall = steps * (1 - run.option("decay", 0))
        found += [(fall, "rate falls")] if warmup < fall < steps else []
    last = run.steps[-1]["step"]
    return [(run.tokens_at(step), name) for step, name in found if 0 < step < last]


def loss(runs):
    run = runs[0]
    drawn = [each for each in runs if each.steps]
    if not run.steps:
        return section("loss", "Loss", paragraph(
            "Not in this report: log.jsonl has no step.", "warn"))
    marks = marks_of(run)
    words = ("Training loss is smoothed" + (" (pale: every step)" if len(drawn) == 1 else "")
             + "; held-out loss and bits a byte are of text that was not trained on. Tokens are on "
             "a log axis.")
    rows = [(entry["step"], f"{run.tokens_at(entry['step']):,.0f}", number(entry["val_loss"]),
             number(entry.get("bits_per_byte"))) for entry in run.evaluations]
    numbers = details("numbers", table(("step", "tokens", "held-out loss", "bits a byte"), rows,
                                       f"evaluations of {run.name}")) if rows else ""
    figures = both(lambda *size: drawing.loss_figure(drawn, marks, *size), "loss",
                   "loss, bits a byte and rate over tokens")
    return section("loss", "Loss", paragraph(words) + figures + numbers)


# ---- attention ------------------------------------------------------------------------------

def heat(run):
    if run.samples is None:
        return absent("heat", "Heads over training")
    return section("heat", "Heads over training", """
<p>Each cell is a head, beside what uniform attention over the visible keys would give: blue is
below that baseline, white at it, brown above. The scale is the same at all steps.</p>
<noscript><p class="warn">This section needs JavaScript; all else does not.</p></noscript>
<div id="heat-controls">
<label>measure <select id="heat-metric"></select></label>
<label>sample <input id="heat-step" type="range" min="0" step="1"></label>
<output id="heat-at" for="heat-step"></output></div>
<p id="heat-meaning"></p>
<div id="heat-legend"><span></span><i></i><span></span></div>
<div class="scroll"><table id="heat-map"></table></div>
<p class="hint">Arrow keys go from head to head, Enter keeps one.</p>
<p id="heat-cell" aria-live="polite"></p>
<div id="heat-head"></div>""")


def layers(runs):
    samples = runs[0].samples
    if samples is None:
        return absent("layers", "Layers over training")
    others = [f"{run.name} ({('dashed', 'dotted', 'dash-dotted')[(i - 1) % 3]})"
              for i, run in enumerate(runs) if i and run.samples]
    words = ("Line: mean over the heads of a layer. Band: from the lowest head to the highest. "
             "Dotted black: the baseline.")
    if others:
        words += f" Also the means of {', '.join(others)}."
    left_out = [run.name for run in runs[1:] if not run.samples]
    if left_out:
        words += f" Not sampled: {', '.join(left_out)}."
    panels = ""
    for name in samples.metrics():
        known = metric_of(name)
        figures = "".join(f"<figure>{svg}</figure>" for svg in drawing.layer_panels(runs, name))
        panels += (f'<div class="panels" data-metric="{text(name)}"><h3>{text(known.title)}</h3>'
                   f"{paragraph(known.meaning)}<div>{figures}</div></div>")
    chooser = '<label id="layers-control" hidden>measure <select id="layers-metric"></select></label>'
    return section("layers", "Layers over training", paragraph(words) + chooser + panels)


def head_cells(row):
    def beside(name, form=".3f"):
        value, baseline = row[name]
        return f"{number(value, form)} ({number(baseline, form)})"

    return (row["layer"], row["head"], ", ".join(row["types"]) or "unlabelled", beside("sink"),
            beside("local"), beside("distance", ".1f"), beside("entropy"), row["n"])


def types(run):
    samples = run.samples
    if samples is None:
        return absent("types", "Types of heads")
    rows = heads.table(samples)
    counts = {name: sum(name in row["types"] for row in rows) for name in heads.RULES}
    rows.sort(key=lambda row: not row["types"])
    summary = ", ".join(f"{count} {name}" for name, count in counts.items())
    step = samples.steps[-1]
    return section("types", "Types of heads", paragraph(
        f"At step {step}, of {len(rows)} heads: {summary}, "
        f"{sum(not row['types'] for row in rows)} unlabelled. A label says what a head's weights "
        "look like, not what the head is for.")
        + bullets([f"{name}: {rule}" for name, rule in heads.RULES.items()]
                  + [f"{', '.join(heads.NEED_PROBES)}: needs probes, none recorded"])
        + table(("layer", "head", "type", "sink mass", "local mass", "distance", "entropy",
                 "rows (n)"), map(head_cells, rows),
                f"heads at step {step}, baselines in brackets"))


def stability(run):
    samples = run.samples
    if samples is None:
        return absent("stability", "Stability")
    inside, extreme = "", heads.extreme_logit(samples)
    if extreme:
        inside += paragraph(
            f"Largest logit: {extreme['value']:.4g}, in layer {extreme['layer']}, head "
            f"{extreme['head']} at step {extreme['step']}. Heads that exceeded "
            f"{heads.LOGIT_HIGH} in a sample (Kimi K2 clips there): "
            f"{heads.above(samples, heads.LOGIT_HIGH)}; {heads.LOGIT_DANGER:,} (seen before "
            f"divergence): {heads.above(samples, heads.LOGIT_DANGER)}. Of "
            f"{samples.n_layers * samples.n_heads} heads in {len(samples)} samples; between "
            "samples nothing is known.")
        thresholds = ((heads.LOGIT_HIGH, "100: Kimi K2 clips"), (heads.LOGIT_DANGER, "1,000"))
        inside += both(lambda width, height: drawing.logit_figure(samples, thresholds, width,
                                                                  0.6 * height),
                       "logit", "largest logit of each layer over tokens")
    else:
        inside += paragraph("No max logit is recorded.", "warn")
    found = heads.collapsed(samples)
    inside += paragraph(f"Collapsed heads, normalised entropy below {heads.COLLAPSED} (a convention "
                        f"of this report): {len(found) or 'none'}."
                        if "entropy" in samples.value else "No entropy is recorded.")
    if found:
        inside += table(("layer", "head", "first at step", "entropy at the end", "still collapsed"),
                        [(x["layer"], x["head"], x["step"], number(x["entropy"], ".3f"),
                          "yes" if x["at_end"] else "no") for x in found], "collapsed heads")
    return section("stability", "Stability", inside)


# ---- claims ---------------------------------------------------------------------------------

SIGNS = {"supported": "✓", "not supported": "✗", "not testable": "?"}


def claim_item(claim):
    sides = "".join(f"<p><b>{name}:</b> {text(claim[key])}</p>"
                    for name, key in (("baseline", "baseline"), ("n", "n")) if claim[key])
    return (f'<li><h3>{text(claim["title"])}</h3><p class="verdict {claim["verdict"].replace(" ", "-")}">'
            f'{SIGNS[claim["verdict"]]} {claim["verdict"]}</p>{paragraph(claim["figure"])}{sides}</li>')


def claims(judged):
    return section("claims", "What this run says of the claims", paragraph(
        "Of one run. \"Supported\" means that this run's figures agree with the claim by the "
        "criterion printed, \"not supported\" that they do not, \"not testable\" that the run has "
        "not recorded what it takes.") + f"<ol>{''.join(map(claim_item, judged))}</ol>")
