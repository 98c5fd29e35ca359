"""Facts about calls of transfers. What is about the money itself is no problem but a state: ``rejected``, with a code."""

from shared.problems import Conflict, NotFound, ValidationFailed


class TransferUnknown(NotFound):
    """Nothing came under this id so far; it may still be on its way."""

    code, title = "not_found", "Unknown transfer"
    default_detail = "Nothing came under this id so far. That is no proof that nothing will: cancel it to make sure."


class TransferContentDiffers(Conflict):
    """The id is known with other content; nothing was done."""

    code, title = "idempotency_mismatch", "Other content under the same id"
    default_detail = "This id is known with other content, and stands for that for ever. Nothing was done."


class HoldsUnsupported(ValidationFailed):
    """This wallet system moves money at once or not at all, as its well-known document says."""

    code, title = "holds_unsupported", "No holds here"
    default_detail = "This wallet system has no holds; its well-known document says so. Use mode direct."
