"""Whether a received request carries a signature that its receiver can trust, in every form that webhooks are signed in."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from shared.ed25519_signatures import VerifyingKey
from shared.webhook_signatures import (
    TOLERANCE_SECONDS,
    SignatureRefusedError,
    SigningSecret,
    crm_signature,
    timestamped_signature,
    verify_standard,
)

_CRM_HEADER = "x-crm-signature"
_TIMESTAMPED_HEADER = "x-signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``forms`` are the signatures that fit; ``faults`` say why others do not."""

    forms: list[str]
    faults: list[str]


def verify(
    secret: SigningSecret,
    *,
    public_key: VerifyingKey | None,
    signature_header: str | None,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
) -> Verdict:
    """Judge a request by the signatures it carries. ``headers`` is looked up by lower-case names, ``now`` is unix seconds."""
    forms: list[str] = []
    faults: list[str] = []
    try:
        verify_standard([secret.key], headers=headers, body=body, now=now)
        forms.append("v1")
    except SignatureRefusedError as exc:
        faults.append(f"v1: {exc}")
    if public_key is not None:
        signed = f"{headers.get('webhook-id', '')}.{headers.get('webhook-timestamp', '')}.".encode() + body
        fits = public_key.verifies(headers.get("webhook-signature", "").split(" "), signed)
        (forms if fits else faults).append("v1a" if fits else "v1a: no signature of this key fits the body")
    for name, form in (
        (signature_header or _CRM_HEADER, "crm"),
        (signature_header or _TIMESTAMPED_HEADER, "timestamped"),
    ):
        offered = headers.get(name.lower())
        if offered is None:
            continue
        fits = _fits_crm(secret, offered, body) if form == "crm" else _fits_timestamped(secret, offered, body, now=now)
        if fits:
            forms.append(form)
        elif not signature_header:
            faults.append(f"{form}: {name} does not fit the body")
    return Verdict(forms=forms, faults=faults)


def _fits_crm(secret: SigningSecret, offered: str, body: bytes) -> bool:
    forms = (crm_signature(secret.key, body, form="hex"), crm_signature(secret.key, body, form="prefixed"))
    return any(hmac.compare_digest(offered.encode("utf-8", "replace"), form.encode()) for form in forms)


def _fits_timestamped(secret: SigningSecret, offered: str, body: bytes, *, now: float) -> bool:
    first, *signatures = offered.split(",")
    sent_at = first.removeprefix("t=")
    if not (sent_at.isascii() and sent_at.isdigit()) or abs(now - int(sent_at[:12])) > TOLERANCE_SECONDS:
        return False
    wanted = timestamped_signature([secret.key], timestamp=int(sent_at[:12]), body=body).partition(",")[2].encode()
    return any(hmac.compare_digest(item.encode("utf-8", "replace"), wanted) for item in signatures)
