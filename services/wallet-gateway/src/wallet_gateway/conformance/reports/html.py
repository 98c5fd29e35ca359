"""A run as one HTML page without any outside resource."""

from html import escape

from wallet_gateway.conformance.reports.summary import Run
from wallet_gateway.conformance.rule import Judgement

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1b1f24; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; text-transform: capitalize; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .4rem .6rem;
  border-bottom: 1px solid #d8dee4; } code { font-size: .9em; } .detail { color: #57606a; }
.verdict { white-space: nowrap; font-weight: 600; } .passed { color: #1a7f37; } .failed { color: #cf222e; }
.not-judged { color: #9a6700; } .not-applicable { color: #57606a; }
@media (prefers-color-scheme: dark) { body { background: #0d1117; color: #e6edf3; } td, th { border-color: #30363d; }
  .detail, .not-applicable { color: #8b949e; } .passed { color: #3fb950; } .failed { color: #f85149; } }
"""


def html_page(run: Run) -> str:
    """Return the page."""
    topics = dict.fromkeys(judgement.rule.topic for judgement in run.judgements)
    tables = "\n".join(_table(topic, [each for each in run.judgements if each.rule.topic == topic]) for topic in topics)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>ewp/1 conformance of {escape(run.base_url)}</title><style>{_STYLE}</style></head><body>
<h1>{escape(run.told)}</h1>
<p>{escape(run.base_url)}, wallet <code>{escape(run.wallet_id)}</code>, {escape(run.started_at)}</p>
{tables}
</body></html>
"""


def _table(topic: str, judgements: list[Judgement]) -> str:
    rows = "\n".join(_row(judgement) for judgement in judgements)
    return f"<h2>{escape(topic.replace('_', ' '))}</h2><table>{rows}</table>"


def _row(judgement: Judgement) -> str:
    rule = judgement.rule
    detail = f'<br><span class="detail">{escape(judgement.detail)}</span>' if judgement.detail else ""
    kind = judgement.verdict.replace(" ", "-")
    return (
        f'<tr><td class="verdict {kind}">{escape(judgement.verdict)}</td>'
        f"<td><code>{escape(rule.name)}</code><br>{escape(rule.title)}{detail}</td>"
        f'<td class="detail">{escape(rule.section)}</td><td>{judgement.duration_seconds * 1000:.0f} ms</td></tr>'
    )
