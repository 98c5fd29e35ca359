"""What a connection test found, line by line. Pure: three calls in, five checks out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.ewp.messages import BalancePage, WellKnown
from wallet_gateway.external_wallets.retention import forgets_too_early
from wallet_gateway.external_wallets.schemas import ConnectionCheck
from wallet_gateway.protocols.endpoint import Protocol
from wallet_gateway.protocols.results import Read, ReadFailed

TLS_FAILED: Final = "tls_failed"
SKEW_SECONDS_MAX: Final = 300
"""What the protocol accepts."""
SKEW_SECONDS_GOOD: Final = 30
_UNAUTHORIZED: Final = 401
_NOT_REACHED: Final = "The wallet was not reached."


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """How the calls went. ``well_known`` is None for a protocol that has none; ``forged`` was signed with a wrong key."""

    protocol: Protocol
    is_plain_http: bool
    well_known: Read[WellKnown] | ReadFailed | None
    signed: Read[BalancePage] | ReadFailed
    forged: Read[BalancePage] | ReadFailed
    review_after: timedelta
    """After so long without an outcome a transfer goes to a person."""

    def calls(self) -> Sequence[Read[WellKnown] | Read[BalancePage] | ReadFailed]:
        """Return every outcome there is."""
        return [call for call in (self.well_known, self.signed, self.forged) if call is not None]

    @property
    def unsent(self) -> ReadFailed | None:
        """Return why nothing could be sent; None where something was."""
        failures = [call for call in self.calls() if isinstance(call, ReadFailed) and not call.sent]
        return failures[0] if len(failures) == len(self.calls()) else None


def judge(observed: Observed, *, twin: str | None = None) -> list[ConnectionCheck]:
    """Return all checks, in the order in which a connection comes about.

    ``twin``: the name of another wallet of the realm that says it is the same system.
    """
    capabilities = _capabilities(observed) if twin is None else _registered_twice(twin)
    return [_address(observed), _tls(observed), _signature(observed), _clock_skew(observed), capabilities]


def _address(observed: Observed) -> ConnectionCheck:
    unsent = observed.unsent
    if unsent is None or unsent.code == TLS_FAILED:
        return ConnectionCheck(
            name="address", status="ok", detail="The address is allowed, and a server listens there."
        )
    return ConnectionCheck(name="address", status="failed", code=unsent.code, detail="No connection came about.")


def _tls(observed: Observed) -> ConnectionCheck:
    unsent = observed.unsent
    if observed.is_plain_http:
        return ConnectionCheck(
            name="tls", status="skipped", detail="Plain http, opened for this address by the operator."
        )
    if unsent is None:
        return ConnectionCheck(name="tls", status="ok", detail="The certificate is valid and the name fits.")
    if unsent.code == TLS_FAILED:
        return ConnectionCheck(name="tls", status="failed", code=TLS_FAILED, detail="The certificate is not trusted.")
    return ConnectionCheck(name="tls", status="skipped", detail=_NOT_REACHED)


def _signature(observed: Observed) -> ConnectionCheck:
    signed, forged = observed.signed, observed.forged
    if observed.unsent is not None:
        return ConnectionCheck(name="signature", status="skipped", detail=_NOT_REACHED)
    if isinstance(signed, ReadFailed):
        if signed.call.response_status == _UNAUTHORIZED:
            detail = "The wallet refuses our signature: compare API key and api_key_id on both sides."
            return ConnectionCheck(name="signature", status="failed", code=signed.code, detail=detail)
        detail = "A signed read brought no usable answer."
        return ConnectionCheck(name="signature", status="failed", code=signed.code, detail=detail)
    if isinstance(forged, Read):
        detail = "The wallet answers whoever asks: it took a request signed with a wrong key."
        return ConnectionCheck(name="signature", status="failed", code="any_signature_accepted", detail=detail)
    if forged.call.response_status != _UNAUTHORIZED:
        detail = "The wallet answers ours, but did not answer a wrong signature with 401."
        return ConnectionCheck(name="signature", status="warning", code=forged.code, detail=detail)
    answers = "its answers are signed" if signed.call.signature_verified else "its answers are not signed"
    return ConnectionCheck(name="signature", status="ok", detail=f"Ours is taken, a wrong one refused; {answers}.")


def _clock_skew(observed: Observed) -> ConnectionCheck:
    skews = [call.call.clock_skew_seconds for call in observed.calls() if call.call.clock_skew_seconds is not None]
    if not skews:
        detail = _NOT_REACHED if observed.unsent is not None else "The wallet's answers have no Date header to tell by."
        return ConnectionCheck(name="clock_skew", status="skipped", detail=detail)
    skew = max(skews, key=abs)
    detail = f"The wallet's clock differs from ours by {skew:+.0f} s."
    if abs(skew) > SKEW_SECONDS_MAX:
        return ConnectionCheck(name="clock_skew", status="failed", code="clock_skew", detail=detail)
    status = "ok" if abs(skew) <= SKEW_SECONDS_GOOD else "warning"
    return ConnectionCheck(
        name="clock_skew", status=status, code=None if status == "ok" else "clock_skew", detail=detail
    )


def _registered_twice(twin: str) -> ConnectionCheck:
    detail = (
        f"By its system_id it is the system that is registered as {twin!r}: no transfer between the two is possible."
    )
    return ConnectionCheck(name="capabilities", status="failed", code="wallet_registered_twice", detail=detail)


def _capabilities(observed: Observed) -> ConnectionCheck:
    found = observed.well_known
    if found is None:
        return ConnectionCheck(name="capabilities", status="skipped", detail=f"{observed.protocol} does not tell them.")
    if observed.unsent is not None:
        return ConnectionCheck(name="capabilities", status="skipped", detail=_NOT_REACHED)
    if isinstance(found, ReadFailed):
        detail = "The well-known document is missing or malformed."
        return ConnectionCheck(name="capabilities", status="failed", code=found.code, detail=detail)
    able = found.value
    retention = timedelta(days=min(able.retention_days, timedelta.max.days))
    if forgets_too_early(retention, review_after=observed.review_after):
        detail = f"It knows transfers for {able.retention_days} days only: too short to take part in any."
        return ConnectionCheck(name="capabilities", status="failed", code="wallet_retention_too_short", detail=detail)
    holds = "holds that expire" if able.holds and able.holds_expire else "holds" if able.holds else "no holds"
    detail = (
        f"{len(able.currencies)} currencies, {holds}, {'a feed' if able.feed else 'no feed: it cannot be reconciled'}."
    )
    return ConnectionCheck(
        name="capabilities",
        status="ok" if able.feed else "warning",
        code=None if able.feed else "no_feed",
        detail=detail,
    )
