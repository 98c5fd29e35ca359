"""Who may call: RFC 9421 signatures of requests, RFC 9530 digests, and the signatures of answers."""

import base64
import secrets
import time
from collections.abc import Mapping, Sequence

import orjson

from shared.ewp.signature_fields import content_digest
from shared.ewp.signatures import normal_authority
from shared.ewp.signing_keys import HmacKey
from wallet_gateway.conformance.bench import Bench
from wallet_gateway.conformance.peer import Peer, Reply, Signing
from wallet_gateway.conformance.rule import NotApplicableError, demand, rule

_COMPONENTS = ("@method", "@authority", "@path", "@query", "content-digest")
_UNAUTHORIZED = 401
_TOO_FAR_SECONDS = 600
_NEAR_SECONDS = 240


async def _put_is_refused(
    bench: Bench, what: str, headers: Mapping[str, str], body: bytes, target: str, *, unseen: bool = True
) -> None:
    reply = await bench.peer.send("PUT", target, body, headers)
    demand(reply.status == _UNAUTHORIZED, f"{what} was answered with {reply.status} instead of 401")
    if unseen:
        known = await bench.peer.call("GET", target)
        demand(known.status == 404, f"{what} was refused, and yet the transfer is known")


def _target_and_body(bench: Bench) -> tuple[str, bytes]:
    return f"/v1/transfers/{bench.new_id()}", orjson.dumps(bench.order())


@rule("Signatures")
async def unsigned_requests_are_refused(bench: Bench) -> None:
    """A request without a signature is a 401, and has no effect."""
    target, body = _target_and_body(bench)
    await _put_is_refused(bench, "an unsigned request", {}, body, target)


@rule("Signatures")
async def unknown_keys_are_refused(bench: Bench) -> None:
    """A signature under a key id that is not known, or under another key's text, is a 401, and has no effect."""
    for key in (
        HmacKey.of_text(f"unknown-{bench.run_id}", secrets.token_urlsafe(32)),
        HmacKey.of_text(bench.peer.key.key_id, secrets.token_urlsafe(32)),
    ):
        target, body = _target_and_body(bench)
        headers = bench.peer.signed_headers("PUT", target, body, Signing(keys=[key]))
        await _put_is_refused(bench, f"a signature by a wrong key as {key.key_id}", headers, body, target)


@rule("Signatures")
async def altered_bodies_are_refused(bench: Bench) -> None:
    """A body that is not the one whose digest was signed is a 401, and has no effect."""
    target, body = _target_and_body(bench)
    headers = bench.peer.signed_headers("PUT", target, body)
    other = orjson.dumps(bench.order(minor_units=2))
    await _put_is_refused(bench, "another body than the signed one", headers, other, target)


@rule("Signatures", needs=[altered_bodies_are_refused])
async def altered_digests_are_refused(bench: Bench) -> None:
    """A body and a digest that fit one another, but not the signature, are a 401: the digest is signed."""
    target, body = _target_and_body(bench)
    headers = bench.peer.signed_headers("PUT", target, body)
    other = orjson.dumps(bench.order(minor_units=2))
    headers = {**headers, "content-digest": content_digest(other)}
    await _put_is_refused(bench, "another body with its own digest", headers, other, target)


@rule("Signatures")
async def signatures_are_for_one_target(bench: Bench) -> None:
    """A signature made for another path, query or method is a 401."""
    target, body = _target_and_body(bench)
    other, _ = _target_and_body(bench)
    for what, method, signed in (
        ("path", "PUT", other),
        ("query", "PUT", f"{target}?a=1"),
        ("method", "POST", target),
    ):
        headers = bench.peer.signed_headers(method, signed, body)
        await _put_is_refused(bench, f"a signature for another {what}", headers, body, target)


@rule("Signatures")
async def every_component_has_to_be_signed(bench: Bench) -> None:
    """A signature that leaves out `@method`, `@authority`, `@path`, `@query` or `content-digest` is a 401."""
    for left_out in _COMPONENTS:
        target, body = _target_and_body(bench)
        covered = [name for name in _COMPONENTS if name != left_out]
        headers = _signed_over(bench.peer, "PUT", target, body, covered)
        await _put_is_refused(bench, f"a signature without {left_out}", headers, body, target)


@rule("Signatures")
async def created_and_nonce_are_demanded(bench: Bench) -> None:
    """A signature without `created` or without `nonce` is a 401."""
    for left_out in ("created", "nonce"):
        target, body = _target_and_body(bench)
        headers = _signed_over(bench.peer, "PUT", target, body, _COMPONENTS, left_out=left_out)
        await _put_is_refused(bench, f"a signature without {left_out}", headers, body, target)


@rule("Signatures")
async def old_and_future_signatures_are_refused(bench: Bench) -> None:
    """A signature of ten minutes ago, or of ten minutes ahead, is a 401, and has no effect."""
    for seconds in (-_TOO_FAR_SECONDS, _TOO_FAR_SECONDS):
        target, body = _target_and_body(bench)
        headers = bench.peer.signed_headers("PUT", target, body, Signing(clock_seconds=seconds))
        await _put_is_refused(bench, f"a signature of {seconds:+} s", headers, body, target)


@rule("Signatures")
async def clocks_may_differ_by_minutes(bench: Bench) -> None:
    """A signature of four minutes ago, or of four minutes ahead, is accepted: up to 300 s are."""
    for seconds in (-_NEAR_SECONDS, _NEAR_SECONDS):
        reply = await _read(bench, Signing(clock_seconds=seconds))
        demand(reply.status == 200, f"a signature of {seconds:+} s was answered with {reply.status}")


@rule("Signatures")
async def a_nonce_counts_once(bench: Bench) -> None:
    """The same signed request a second time is a 401; so is another request with the same nonce."""
    target = f"/v1/wallets/{bench.account.wallet_id}/balance"
    nonce = secrets.token_urlsafe(18)
    headers = bench.peer.signed_headers("GET", target, signing=Signing(nonce=nonce))
    (await bench.peer.send("GET", target, b"", headers)).expect(200)
    again = await bench.peer.send("GET", target, b"", headers)
    demand(again.status == _UNAUTHORIZED, f"the same signed request again was answered with {again.status}")
    other = await _read(bench, Signing(nonce=nonce))
    demand(other.status == _UNAUTHORIZED, f"another request with the same nonce was answered with {other.status}")


@rule("Signatures")
async def one_good_signature_of_two_is_enough(bench: Bench) -> None:
    """During a rotation two signatures are sent, and one under a key that is known is enough, in either place."""
    unknown = HmacKey.of_text(f"unknown-{bench.run_id}", secrets.token_urlsafe(32))
    for keys in ([unknown, bench.peer.key], [bench.peer.key, unknown]):
        reply = await _read(bench, Signing(keys=keys))
        demand(reply.status == 200, f"two signatures, one of them good, were answered with {reply.status}")


@rule("Signatures")
async def answers_are_signed_and_bound_to_their_request(bench: Bench) -> None:
    """An answer's signature covers `@status`, `content-digest` and `"signature";req`, and fits."""
    target, body = _target_and_body(bench)
    replies = [
        await _read(bench, Signing()),
        await bench.peer.call("PUT", target, body=body),
        await bench.peer.call("GET", target),
        await bench.peer.call("GET", f"/v1/transfers/{bench.new_id()}"),
    ]
    answers = [reply for reply in replies if reply.status == 200]
    for reply in replies:
        demand(
            reply.signature in {"good", "absent"},
            f"{reply.call}: the answer's signature is refused ({reply.signature})",
        )
    if any(reply.signature == "absent" for reply in answers):
        demand(bench.response_signatures == "optional", "answers without a signature came, and signatures are required")
        demand(all(reply.signature == "absent" for reply in answers), "some answers are signed and some are not")
        raise NotApplicableError("answers are not signed, and need not be")


async def _read(bench: Bench, signing: Signing) -> Reply:
    return await bench.peer.call("GET", f"/v1/wallets/{bench.account.wallet_id}/balance", signing=signing)


def _signed_over(
    peer: Peer, method: str, target: str, body: bytes, components: Sequence[str], *, left_out: str = ""
) -> dict[str, str]:
    """Return the fields of a request that is signed over these components: a good signature of too little."""
    request = peer.request(method, target, body)
    path, _, query = request.target.partition("?")
    values = {
        "@method": method,
        "@authority": normal_authority(request.authority, request.scheme),
        "@path": path,
        "@query": f"?{query}",
        "content-digest": content_digest(body),
    }
    given = {
        "created": str(int(time.time())),
        "nonce": f'"{secrets.token_urlsafe(18)}"',
        "keyid": f'"{peer.key.key_id}"',
    }
    params = "".join(f";{name}={value}" for name, value in given.items() if name != left_out)
    names = " ".join(f'"{name}"' for name in components)
    params = f'({names}){params};alg="hmac-sha256"'
    lines = [f'"{name}": {values[name]}' for name in components]
    base = "\n".join([*lines, f'"@signature-params": {params}'])
    signature = base64.b64encode(peer.key.sign(base.encode())).decode()
    return {
        "content-digest": values["content-digest"],
        "signature-input": f"sig1={params}",
        "signature": f"sig1=:{signature}:",
    }
