"""What the programs that judge figures share: verdicts, the lines that show them, exit statuses."""

PASS, FAIL, NOT_MEASURED = "PASS", "FAIL", "NOT MEASURED"
EXIT = {PASS: 0, FAIL: 1, NOT_MEASURED: 3}


def verdict(goal, verdict_is, figure=None, where=None, note=""):
    return {"goal": goal, "verdict": verdict_is, "figure": figure, "where": where, "note": note}


def judge(goal, values, is_met, missing="", worst=min):
    """On {name: figure}: the worst decides. `missing` says what was not measured."""
    if not values:
        return verdict(goal, NOT_MEASURED, note=missing or "no figure")
    where = worst(values, key=values.get)
    state = FAIL if not is_met(values[where]) else NOT_MEASURED if missing else PASS
    return verdict(goal, state, values[where], where, missing or f"{len(values)} judged")


def summary(verdicts):
    states = {v["verdict"] for v in verdicts}
    return FAIL if FAIL in states else NOT_MEASURED if NOT_MEASURED in states else PASS


def number(figure):
    return f"{figure:.3f}" if figure < 1000 else f"{figure:.0f}"


def verdict_lines(verdicts):
    lines = []
    for v in verdicts:
        told = [] if v["figure"] is None else [f"worst {number(v['figure'])} at {v['where']}"]
        told += [v["note"]] if v["note"] else []
        line = f"{v['verdict']:12}  {v['goal']}"
        lines.append(f"{line}: {'; '.join(told)}" if told else line)
    return lines
