"""Facts about the caller of ``ewp/1``."""

from shared.ewp.signature_errors import SignatureRefusedError
from shared.problems import Problem


class SignatureRefused(Problem):
    """The request does not prove who sent it; nothing was done. The detail begins with what is wrong."""

    status, code, title = 401, "signature_refused", "Signature refused"
    default_detail = "signature_missing: the message is not signed"

    def __init__(self, reason: SignatureRefusedError | None = None) -> None:
        detail = f"{reason.code}: {reason}" if reason is not None else None
        super().__init__(detail, headers={"WWW-Authenticate": 'Signature realm="ewp/1"'})
