"""Named facts about transfers.

Tree: Problem ── IdempotencyKeyRequired 400 · SameWallet 422 · UnknownWallet 422 · ProtocolCannotTransfer 409 · NotInReview 409
"""

from shared.problems import BadRequest, Conflict, ValidationFailed
from wallet_gateway.transfers.plan import Side


class IdempotencyKeyRequired(BadRequest):
    """A transfer needs an Idempotency-Key: without one, a repetition could move the money twice."""

    code, title = "idempotency_key_required", "Idempotency-Key required"
    default_detail = "Send an Idempotency-Key: it makes a repeated request the same transfer, for ever."


class SameWallet(ValidationFailed):
    """Source and target are the same wallet, also where one wallet system is registered twice."""

    code, title = "same_wallet", "Same wallet"
    default_detail = "A transfer moves money between two different wallets."

    def __init__(self) -> None:
        super().__init__(errors=[{"pointer": "/target/wallet", "detail": "the source is this wallet as well"}])


class UnknownWallet(ValidationFailed):
    """There is no such wallet; ``errors`` points at where it stands. The same for one of somebody else."""

    code, title = "unknown_wallet", "Unknown wallet"
    default_detail = "There is no such wallet; nothing was moved."

    def __init__(self, side: Side | None = None) -> None:
        super().__init__(errors=[{"pointer": f"/{side}/wallet", "detail": "there is no such wallet"}] if side else ())


class ProtocolCannotTransfer(Conflict):
    """The wallet speaks a protocol that has no call for transfers, and none was described."""

    code, title = "protocol_cannot_transfer", "Protocol cannot transfer"
    default_detail = (
        "crm-v1 has no documented call for transfers: describe the wallet's own in transfer_call, or use ewp/1."
    )


class NotInReview(Conflict):
    """The transfer does not wait for a person's decision."""

    code, title = "transfer_not_in_review", "Transfer not in review"
    default_detail = "Only a transfer in manual_review can be resolved."
