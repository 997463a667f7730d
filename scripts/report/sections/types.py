"""The table of heads with their types, what they were named for, and what each is worth."""
import math

from report import heads
from report.markup import bullets, number, paragraph, section, table
from report.sections.common import not_sampled


def beside(row, name, form=".3f"):
    value, baseline = row.get(name, (math.nan, math.nan))
    return f"{number(value, form)} ({number(baseline, form)})" if math.isfinite(value) else "–"


def offset(row):
    at = row.get("distance_of_offset", math.nan)
    return f"{beside(row, 'offset')} at {at:.0f}" if math.isfinite(at) else "–"


def cost(row):
    value, _ = row.get("ablation", (math.nan, math.nan))
    if not math.isfinite(value):
        return "–"
    error = row["ablation_error"]
    return f"{value:+.4f}" + (f" ± {error:.4f}" if math.isfinite(error) else "")


def cells(row):
    return (row["layer"], row["head"], ", ".join(row["types"]) or "unlabelled", cost(row),
            beside(row, "previous_token"), beside(row, "induction"), offset(row),
            beside(row, "sink"), beside(row, "local"), beside(row, "distance", ".1f"),
            beside(row, "entropy"), row["n"] or "–")


def when(run):
    parts = []
    if run.samples is not None:
        parts.append(f"sample of step {run.samples.steps[-1]}")
    if run.probes.heads is not None:
        parts.append(f"probes of step {run.probes.heads.steps[-1]}")
    return ", ".join(parts)


def rules(run):
    lacking = {name: "needs probes, none recorded" for name in heads.FROM_PROBES
               if run.probes.heads is None}
    lacking |= {name: "needs samples, none recorded" for name in heads.FROM_SAMPLES
                if run.samples is None}
    found = [f"{name}: {rule}" for name, rule in heads.RULES.items() if name not in lacking]
    for reason in dict.fromkeys(lacking.values()):
        names = [name for name in heads.RULES if lacking.get(name) == reason]
        found.append(f"{', '.join(names)}: {reason}")
    return found


def worth(rows):
    """Words on which heads cost most when they are taken out."""
    told = [row for row in rows if math.isfinite(row.get("ablation", (math.nan,))[0])]
    if not told:
        return ""
    told.sort(key=lambda row: -row["ablation"][0])
    named = ", ".join(f"layer {row['layer']}, head {row['head']} ({cost(row)})"
                      for row in told[:3])
    return paragraph(f"Taking a head out costs most, in nats a token: {named}.")


def render(run):
    if run.samples is None and run.probes.heads is None:
        return not_sampled("types", "Types of heads")
    rows = heads.table(run.samples, run.probes.heads)
    counts = {name: sum(name in row["types"] for row in rows) for name in heads.RULES}
    rows.sort(key=lambda row: not row["types"])
    summary = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    unlabelled = sum(not row["types"] for row in rows)
    return section("types", "Types of heads", paragraph(
        f"Of {len(rows)} heads ({when(run)}): {summary + ', ' if summary else ''}{unlabelled} "
        "unlabelled. A label says what a head's weights look like, not what the head is for.")
        + bullets(rules(run)) + worth(rows)
        + table(("layer", "head", "type", "cost of ablation", "previous token", "induction",
                 "best offset", "sink mass", "local mass", "distance", "entropy", "rows (n)"),
                map(cells, rows), "heads, baselines in brackets; cost in nats a token", "fit"))
