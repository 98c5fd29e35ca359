"""What each protocol gives no meaning to, and what an operator is warned of. Pure."""

from typing import Final

from wallet_gateway.protocols.endpoint import Protocol, ResponseSignatures

CRM_V1_READS: Final = (
    "crm_v1_weak_signatures",
    "crm-v1 sends the API key in clear, signs no reads, and knows neither time nor nonce: who sees one request can make more.",
)
CRM_V1_WRITES: Final = (
    "crm_v1_transfers_not_repeatable",
    "The write call of crm-v1 cannot be repeated safely: every outcome that is not a clean success goes to manual review.",
)


def misfit_of(
    protocol: Protocol, *, response_signatures: ResponseSignatures, has_transfer_call: bool
) -> tuple[str, str] | None:
    """Return the field that the protocol gives no meaning to, and why; None where all fits."""
    if protocol == "crm-v1" and response_signatures == "required":
        return "response_signatures", "crm-v1 answers carry no signature that could be required"
    if protocol == "ewp/1" and has_transfer_call:
        return "transfer_call", "transfer_call is for crm-v1 alone: ewp/1 says how transfers are ordered"
    return None


def warnings_of(protocol: Protocol, *, has_transfer_call: bool) -> list[tuple[str, str]]:
    """Return code and text of each warning."""
    if protocol == "ewp/1":
        return []
    return [CRM_V1_READS, CRM_V1_WRITES] if has_transfer_call else [CRM_V1_READS]
