"""What a sample of attention costs, from the times of steps in log.jsonl."""
import numpy as np

from runs.intervals import median_interval

MIN_SPANS = 8  # of each kind


def span_times(run):
    """Seconds from the end of step s - 1 to that of s + 1, of sampled steps s (reading a sample and
    writing it come after the step) and of steps s with no sample near. Spans with an evaluation or
    a checkpoint, of probes too, in them are left out."""
    seconds = {entry["step"]: entry["seconds"] for entry in run.steps
               if isinstance(entry.get("seconds"), (int, float))}
    sampled = set(run.samples.steps.tolist())
    slow = {entry["step"] for entry in run.evaluations}
    save_every = run.option("save-every", 0)
    if save_every:
        slow |= {step for step in seconds if step % save_every == 0}
    probe_every = run.option("lens-probes", 0)
    if probe_every:
        slow |= {step for step in seconds if step % probe_every == 0}
        slow |= {2**power for power in range(10)}
    found = {"sampled": {}, "plain": {}}
    for step in seconds:
        if step - 1 not in seconds or step + 1 not in seconds or {step - 1, step} & slow:
            continue
        span = seconds[step + 1] - seconds[step - 1]
        near = sampled & {step - 1, step, step + 1}
        if span > 0 and near in ({step}, set()):
            found["sampled" if near else "plain"][step] = span
    return found


def measure(run):
    """The extra time of a sampled step against plain ones near it; {"reason": …} where it cannot
    be told."""
    if run.samples is None:
        return {"reason": "nothing was sampled"}
    spans = span_times(run)
    sampled, plain = spans["sampled"], spans["plain"]
    if min(len(sampled), len(plain)) < MIN_SPANS:
        return {"reason": f"{len(sampled)} sampled and {len(plain)} other pairs of steps free of "
                          f"evaluations and checkpoints; it takes {MIN_SPANS} of each"}
    steps, times = np.array(list(plain)), np.array(list(plain.values()))
    # The machine's speed drifts, so each sample stands beside the plain spans nearest to it.
    extra = [span - np.median(times[np.argsort(abs(steps - step), kind="stable")[:MIN_SPANS]])
             for step, span in sampled.items()]
    plain_step = float(np.median(times)) / 2
    low, high = median_interval(extra)
    every = float(np.median(np.diff(run.samples.steps)))
    share = [float(seconds) / (plain_step * every) for seconds in (np.median(extra), low, high)]
    return {"plain_step_seconds": plain_step, "extra_seconds": float(np.median(extra)),
            "extra_low": float(low), "extra_high": float(high),
            "quartiles": [float(x) for x in np.quantile(extra, (0.25, 0.75))],
            "sampled": len(sampled), "plain": len(plain), "every": every,
            "share_of_run": share[0], "share_low": share[1], "share_high": share[2]}
