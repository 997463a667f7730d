"""The claims, one by one, with what this run says of each."""
from report.markup import paragraph, section, table, text

SIGNS = {"supported": "✓", "not supported": "✗", "not testable": "?"}


def judged(claim):
    """Verdict, figure, criterion, baseline and n."""
    kind = claim["verdict"].replace(" ", "-")
    sides = "".join(f"<p><b>{name}:</b> {text(claim[key])}</p>"
                    for name, key in (("asked", "criterion"), ("baseline", "baseline"), ("n", "n"))
                    if claim[key])
    return (f'<p class="verdict {kind}">{SIGNS[claim["verdict"]]} {claim["verdict"]}</p>'
            f'{paragraph(claim["figure"])}{sides}')


def item(claim):
    part = claim["part"]
    below = f'<h4>{text(part["title"])}</h4>{judged(part)}' if part else ""
    figures = table(**claim["table"]) if claim["table"] else ""
    return f'<li><h3>{text(claim["title"])}</h3>{judged(claim)}{figures}{below}</li>'


def render(claims):
    return section("claims", "What this run says of the claims", paragraph(
        "Of one run. \"Supported\" means that this run's figures agree with the claim by the "
        "criterion printed, \"not supported\" that they do not, \"not testable\" that the run has "
        "not recorded what it takes.") + f"<ol>{''.join(map(item, claims))}</ol>")
