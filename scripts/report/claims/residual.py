"""Claim 6: does each layer know more of the next token than the one below?"""
from report import depths, levels
from report.claims.verdict import NOT_PROBED, NOT_TESTABLE, claim, untested, verdict


def judge(run):
    layers, last = run.probes.layers, depths.last(run)
    if last is None:
        return untested(6, "needs a probe that reads predictions from each layer's residual: "
                           f"{NOT_PROBED}")
    found = depths.rise(run, last)
    if found["smallest_p"] > levels.SIGNIFICANT:
        return untested(6, f"{found['depths']} depths can be put in so few orders that p is at "
                           f"least {found['smallest_p']:.2g}; it takes 3 layers to reach "
                           f"{levels.SIGNIFICANT}")
    since = depths.since(run)
    when = "" if since is None else f" So it is from step {layers.steps[since]} on."
    beyond = "" if found["context"] else (" The output is not shown to predict better than without "
                                          "context.")
    words = found["words"]
    first = "" if not words else (f" Of tokens that begin a word the output predicts "
                                  f"{words['value']:.3f} (the commonest: {words['baseline']:.3f}).")
    unknown = found["alone"] is None
    alone = ("what the current token alone tells is not known" if unknown else
             f"the commonest follower of the current token: {found['alone']:.3f}")
    lack = (f" Whether that is more than the current token alone tells is not testable: "
            f"{run.lacks_followers()}; name the run's data by --data DIR." if unknown else "")
    figure = (f"step {layers.steps[last]}: accuracy "
              f"{' '.join(f'{x:.3f}' for x in found['accuracy'])}, loss "
              f"{' '.join(f'{x:.2f}' for x in found['loss'])} from the embeddings to the output. "
              f"Accuracy above the commonest token's over depth: rho = {found['rho']:+.2f}, p = "
              f"{found['p']:.2g}; loss: rho = {found['loss_rho']:+.2f}, p = "
              f"{found['loss_p']:.2g}; {found['gain']:+.3f} at the output, "
              f"{found['after_first']:+.3f} of it after the first layer.{first}{beyond}{when}{lack}")
    criterion = (f"both p < {levels.SIGNIFICANT}; the gain after the first layer, and that of the "
                 "output over the commonest token, over the commonest follower of the current one "
                 "and, of words' first tokens, over the commonest of these, at least "
                 f"{depths.LEAST_GAIN} and {depths.ERRORS} standard errors")
    kind = NOT_TESTABLE if unknown and found["holds"] else verdict(found["holds"])
    return claim(6, kind, figure, criterion,
                 f"the commonest token: {found['baseline']:.3f}; {alone}; orders of the depths by "
                 f"chance: p is at least {found['smallest_p']:.2g}", f"{found['n']:,} tokens")
