"""The run card: what was trained, on what, and what sampling attention cost."""
from report import weights_file
from report.markup import bullets, facts, paragraph, number, section, table, text


def model_of(run):
    names = run.config.get("architectures")
    name = names[0] if isinstance(names, list) and names else run.config.get("model_type")
    return f"{run.options.get('model', 'unknown')} ({name})" if name else run.options.get("model")


def shape_of(run):
    layers, heads = run.size("num_hidden_layers", "n_layer"), run.size("num_attention_heads",
                                                                       "n_head")
    if not layers or not heads:
        return None
    kv_heads = run.size("num_key_value_heads") or heads
    grouped = f" ({kv_heads} of keys and values)" if kv_heads != heads else ""
    width, words = run.size("hidden_size", "n_embd"), run.size("vocab_size")
    head_dim = run.size("head_dim") or (width // heads if width else None)
    return (f"{layers} layers x {heads} heads{grouped} of {head_dim or 'unknown'}, width "
            f"{width or 'unknown'}, {words or 'unknown'} words")


def parameters_of(run):
    count = weights_file.parameters(run.folder)
    return f"{count:,}" if count else None


def batch_of(run):
    batch, length = run.option("batch-size"), run.option("seq-len")
    if not batch or not length:
        return None
    return (f"{batch} sequences of {length} tokens, {run.option('grad-accum', 1)} micro-step(s) "
            "a step")


def sampling_of(run):
    if run.samples is None:
        return "none: train with --lens-every N"
    every = run.option("lens-every")
    return (f"{len(run.samples)} samples, steps {run.samples.steps[0]} to {run.samples.steps[-1]}"
            + (f", every {every} steps and the first" if every else ""))


def probing_of(run):
    steps = run.probes.steps
    if not steps:
        return "none: train with --lens-probes N, then quern inspect --run DIR"
    pictures = run.pictures.steps()
    return (f"{len(steps)} checkpoints, steps {steps[0]} to {steps[-1]}"
            + (f"; pictures of {len(run.pictures.of)} sentences at {len(pictures)} steps"
               if pictures else ""))


def cost_of(cost):
    if "reason" in cost:
        return f"not measurable: {cost['reason']}"
    milli = {name: 1e3 * cost[name] for name in ("extra_seconds", "extra_low", "extra_high",
                                                 "plain_step_seconds")}
    told = "" if cost["extra_low"] > 0 else "; not told from zero"
    return (f"{milli['extra_seconds']:+.2f} ms a sampled step of {milli['plain_step_seconds']:.1f} "
            f"ms (median; 95 % interval {milli['extra_low']:+.2f} to {milli['extra_high']:+.2f} "
            f"ms{told}; half of the samples between {1e3 * cost['quartiles'][0]:+.1f} and "
            f"{1e3 * cost['quartiles'][1]:+.1f} ms), {100 * cost['share_of_run']:+.2f} % of all "
            f"steps' time (95 % interval {100 * cost['share_low']:+.2f} to "
            f"{100 * cost['share_high']:+.2f} %); {cost['sampled']} sampled steps with the step "
            f"after each against the {cost['plain']} other pairs nearest to them")


def last_of(entries, name):
    return next((entry[name] for entry in reversed(entries)
                 if isinstance(entry.get(name), (int, float))), None)


def facts_of(run, cost):
    environment = run.environment
    tokens = run.steps[-1]["tokens"] if run.steps else None
    return [("model", model_of(run)), ("shape", shape_of(run)),
            ("parameters", parameters_of(run)), ("seed", run.options.get("seed")),
            ("steps", f"{run.steps[-1]['step']} of {run.options.get('steps', 'unknown')}"
             if run.steps else None),
            ("tokens", f"{tokens:,}" if tokens is not None else None), ("batch", batch_of(run)),
            ("rate", f"{run.options.get('lr')}, {run.options.get('schedule', 'unknown')}, warmup "
                     f"{run.options.get('warmup', 'unknown')} steps"
             if "lr" in run.options else None),
            ("last loss", number(last_of(run.steps, "loss"))),
            ("held out", number(last_of(run.evaluations, "val_loss"))),
            ("bits a byte", number(last_of(run.evaluations, "bits_per_byte"))),
            ("quern", environment.get("version")),
            ("commit", environment.get("commit", "not recorded")),
            ("device", environment.get("device")), ("precision", environment.get("precision")),
            ("probes", probing_of(run)),
            ("sampling of attention", sampling_of(run)), ("cost of sampling", cost_of(cost))]


def comparison(runs):
    rows = [(run.name, run.options.get("model", "–"), run.options.get("seed", "–"),
             f"{run.steps[-1]['tokens']:,}" if run.steps else "–",
             number(last_of(run.steps, "loss")), number(last_of(run.evaluations, "val_loss")),
             number(last_of(run.evaluations, "bits_per_byte"))) for run in runs]
    return table(("run", "model", "seed", "tokens", "last loss", "held out", "bits a byte"), rows,
                 "the runs that are compared")


def all_options(run):
    rows = [(key, value) for key, value in run.options.items()
            if isinstance(value, (str, int, float, bool))]
    return (f"<details><summary>all options</summary>"
            f"{table(('option', 'value'), rows, 'run.json')}</details>" if rows else "")


def card(runs, cost):
    run = runs[0]
    changes = run.environment.get("changes")
    inside = facts(facts_of(run, cost))
    if isinstance(changes, list) and changes:
        inside += bullets(changes)
    if len(runs) > 1:
        inside += comparison(runs)
    notes = [f"{each.name}: {note}" if len(runs) > 1 else note
             for each in runs for note in each.notes]
    if notes:
        inside += paragraph("Left out of this report:", "warn") + bullets(notes)
    return section("card", f"Run {run.name}", inside + all_options(run))


def title(run):
    return text(f"{run.name}: report of a training run")
