"""Every fault of an answer (proofs.md), at every call that moves money: one effect, and the truth is told.

``bench`` checks after each test that the wallets and the journal agree to the last cent.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from support.transfer_bench import Bench, Place

SHORT_TIMEOUT = 1


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong, by the reference wallet's switch; ``code`` is what the timeline says of the call."""

    name: str
    kind: str
    code: str
    rule: dict[str, Any] = field(default_factory=dict)
    moves_before: int = 0
    """So many transfers go well first: a signature that is replayed is an earlier answer's."""


UNKNOWN_OUTCOMES = [
    Fault(name="reset before it is applied", kind="drop", rule={"when": "before"}, code="response_broken"),
    Fault(name="applied, then reset", kind="drop", code="response_broken"),
    Fault(name="applied, then 500", kind="status", code="http_500"),
    Fault(name="500 and not applied", kind="status", rule={"when": "before"}, code="http_500"),
    *(
        Fault(name=f"a proxy's {status}", kind="html", rule={"status": status, "when": when}, code=f"http_{status}")
        for status, when in ((401, "before"), (403, "before"), (404, "before"), (502, "before"), (502, "after"))
    ),
    Fault(name="a redirect", kind="status", rule={"status": 302}, code="http_302"),
    Fault(name="200 and HTML", kind="html", rule={"status": 200}, code="response_signature_missing"),
    Fault(name="200 and nothing", kind="empty", code="answer_malformed"),
    Fault(name="200 and repeat", kind="repeat_true", code="answer_malformed"),
    Fault(name="truncated", kind="truncated", code="response_broken"),
    Fault(name="an unknown state", kind="wrong_state", code="answer_malformed"),
    Fault(name="the amount as a number", kind="number_amount", code="answer_malformed"),
    Fault(name="NaN", kind="nan", code="answer_malformed"),
    Fault(name="1e400", kind="huge_number", code="answer_malformed"),
    Fault(name="duplicate keys", kind="duplicate_keys", code="answer_malformed"),
    Fault(name="deep JSON", kind="deep_json", code="response_too_large"),
    Fault(name="gzip bomb", kind="gzip_bomb", code="response_too_large"),
    Fault(name="endless body", kind="endless", code="response_too_large"),
    Fault(name="drip", kind="drip", rule={"delay_ms": 400}, code="timeout"),
    Fault(name="too slow", kind="delay", rule={"delay_ms": 1400}, code="timeout"),
    Fault(name="no signature", kind="no_signature", code="response_signature_missing"),
    Fault(name="bad signature", kind="bad_signature", code="response_signature_mismatch"),
    Fault(
        name="replayed signature",
        kind="replayed_signature",
        code="response_signature_mismatch",
        moves_before=1,
    ),
    Fault(name="old signature", kind="old_signature", code="response_signature_time"),
    Fault(name="altered body", kind="altered_body", code="response_content_digest_mismatch"),
]
CALLS = [("source", "put", "hold"), ("source", "commit", "commit"), ("target", "put", "credit")]


async def _pair(bench: Bench) -> tuple[Place, Place]:
    return (
        await bench.connect(home=True, timeout_seconds=SHORT_TIMEOUT),
        await bench.connect(timeout_seconds=SHORT_TIMEOUT),
    )


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[2])
@pytest.mark.parametrize("fault", UNKNOWN_OUTCOMES, ids=lambda fault: fault.name)
async def test_an_unknown_outcome_is_found_out_with_one_effect(
    bench: Bench, fault: Fault, call: tuple[str, str, str]
) -> None:
    """The same call again brings the state, whether the first one was applied or not."""
    home, partner = await _pair(bench)
    side, operation, kind = call
    for _ in range(fault.moves_before):
        await bench.move(home, partner)
    await (home if side == "source" else partner).system.arm(fault.kind, operations=[operation], **fault.rule)
    transfer = await bench.move(home, partner)
    assert (transfer["status"], transfer["outcome_unknown"]) == ("completed", False)
    (step,) = [step for step in transfer["steps"] if step["kind"] == kind]
    first, *_, last = step["attempts"]
    assert (first["outcome"], first["code"]) == ("unknown", fault.code)
    assert (last["outcome"], step["outcome"]) == ("definitive", "applied")
    moved = Decimal("10.00") * (fault.moves_before + 1)
    assert (await home.ledger(), await partner.ledger()) == (Decimal("100.00") - moved, Decimal("100.00") + moved)


@pytest.mark.parametrize("kind", ["wrong_id", "wrong_amount", "wrong_currency"])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[2])
async def test_a_wrong_echo_is_quarantined_with_the_funds_held(
    bench: Bench, kind: str, call: tuple[str, str, str]
) -> None:
    """Nothing more is called: a person must look."""
    home, partner = await _pair(bench)
    await (home if call[0] == "source" else partner).system.arm(kind, operations=[call[1]])
    transfer = await bench.move(home, partner)
    assert (transfer["status"], transfer["failure"]["code"]) == ("manual_review", "echo_mismatch")
    assert transfer["steps"][-1]["kind"] == call[2]
    assert len(transfer["steps"][-1]["attempts"]) == 1
    # What the wallet did is not known to the journal: undo it there, so that the bench's check is about the rest.
    await bench.resolve(transfer["id"], "completed" if call[2] != "hold" else "failed")


async def test_nothing_is_sent_to_a_wallet_that_was_frozen_meanwhile(bench: Bench) -> None:
    """It may have forgotten what it did: it is not even told once more, and what is held is let go of in time."""
    home, partner = await bench.connect(home=True), await bench.connect(step_seconds=2)
    await home.system.arm("delay", operations=["put"], when="after", delay_ms=1500)
    transfer_id = await bench.begin(home, partner)
    await bench.step_of(transfer_id, "hold")
    await bench.freeze(partner)
    transfer = await bench.ended(transfer_id)
    assert transfer["status"] == "failed"
    credit = transfer["steps"][1]
    assert {(each["outcome"], each["code"]) for each in credit["attempts"]} == {("not_sent", "wallet_frozen")}
    assert (await partner.system.caller.feed())["latest_seq"] == 0
    assert await home.available() == Decimal("100.00")
