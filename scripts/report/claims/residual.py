"""Claim 6: does each layer know more of the next token than the one below?"""
from report import depths, levels
from report.claims.verdict import NOT_PROBED, claim, untested, verdict


def judge(run):
    layers = run.probes.layers
    last = depths.last(layers)
    if last is None:
        return untested(6, "needs a probe that reads predictions from each layer's residual: "
                           f"{NOT_PROBED}")
    found = depths.rise(layers, last)
    if found["smallest_p"] > levels.SIGNIFICANT:
        return untested(6, f"{found['depths']} depths can be put in so few orders that p is at "
                           f"least {found['smallest_p']:.2g}; it takes 3 layers to reach "
                           f"{levels.SIGNIFICANT}")
    since = depths.since(layers)
    when = "" if since is None else f" So it is from step {layers.steps[since]} on."
    beyond = "" if found["beyond_frequency"] else \
        " The output predicts no better than the commonest token."
    figure = (f"step {layers.steps[last]}: accuracy "
              f"{' '.join(f'{x:.3f}' for x in found['accuracy'])}, loss "
              f"{' '.join(f'{x:.2f}' for x in found['loss'])} from the embeddings to the output. "
              f"Accuracy above the commonest token's over depth: rho = {found['rho']:+.2f}, p = "
              f"{found['p']:.2g}; loss: rho = {found['loss_rho']:+.2f}, p = "
              f"{found['loss_p']:.2g}; {found['gain']:+.3f} at the output, "
              f"{found['after_first']:+.3f} of it after the first layer.{beyond}{when}")
    criterion = (f"both p < {levels.SIGNIFICANT}, and both gains at least {depths.LEAST_GAIN} and "
                 f"{depths.ERRORS} standard errors")
    return claim(6, verdict(found["holds"]), figure, criterion,
                 f"the commonest token: {found['baseline']:.3f}; orders of the depths by chance: p "
                 f"is at least {found['smallest_p']:.2g}", f"{found['n']:,} tokens")
