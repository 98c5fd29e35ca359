"""A run as JUnit XML: a suite for each topic, a case for each rule."""

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from wallet_gateway.conformance.reports.summary import Run
from wallet_gateway.conformance.rule import Judgement


def junit_xml(run: Run) -> bytes:
    """Return the document, UTF-8. Rules that are not about the wallet, or rest on one that failed, are skipped cases."""
    root = ET.Element("testsuites", {"name": "ewp/1 conformance", **_counts(run.judgements)})
    topics = dict.fromkeys(judgement.rule.topic for judgement in run.judgements)
    for topic in topics:
        judgements = [judgement for judgement in run.judgements if judgement.rule.topic == topic]
        suite = ET.SubElement(root, "testsuite", {"name": topic, **_counts(judgements), "timestamp": run.started_at})
        properties = ET.SubElement(suite, "properties")
        for name, value in (("base_url", run.base_url), ("wallet_id", run.wallet_id)):
            ET.SubElement(properties, "property", {"name": name, "value": _printable(value)})
        for judgement in judgements:
            _add_case(suite, judgement)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _add_case(suite: ET.Element, judgement: Judgement) -> None:
    rule = judgement.rule
    attributes = {"classname": f"ewp1.{rule.topic}", "name": rule.name, "time": f"{judgement.duration_seconds:.3f}"}
    case = ET.SubElement(suite, "testcase", attributes)
    if judgement.verdict == "failed":
        failure = ET.SubElement(case, "failure", {"message": _printable(judgement.detail), "type": rule.section})
        failure.text = f"{rule.title}\n{_printable(judgement.detail)}"
    elif judgement.verdict != "passed":
        ET.SubElement(case, "skipped", {"message": _printable(f"{judgement.verdict}: {judgement.detail}")})


def _counts(judgements: Sequence[Judgement]) -> dict[str, str]:
    failed = sum(judgement.verdict == "failed" for judgement in judgements)
    skipped = sum(judgement.verdict.startswith("not") for judgement in judgements)
    seconds = sum(judgement.duration_seconds for judgement in judgements)
    return {
        "tests": str(len(judgements)),
        "failures": str(failed),
        "errors": "0",
        "skipped": str(skipped),
        "time": f"{seconds:.3f}",
    }


def _printable(text: str) -> str:
    """Return text that XML can hold: a wallet may have answered anything."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
