"""Check the signature of an ewp/1 request, and sign the answer to it. Python 3.11 or newer, standard library alone."""

import base64
import hashlib
import hmac
import json
import re
import sys
from collections.abc import Callable, Mapping

TOLERANCE_SECONDS = 300
REQUIRED = ["@method", "@authority", "@path", "@query"]
# Signature-Input: label=("@method" "@path" …);created=…;nonce="…";keyid="…";alg="…", label=…
INPUT = re.compile(r'([a-z][a-z0-9_-]*)=(\(((?:"[a-z@-]+"(?: "[a-z@-]+")*)?)\)((?:;[a-z]+=(?:\d{1,15}|"[^"\\]*"))*))')
SIGNATURE = re.compile(r"([a-z][a-z0-9_-]*)=:([A-Za-z0-9+/]+={0,2}):")
PARAMETER = re.compile(r';([a-z]+)=(?:(\d+)|"([^"]*)")')
DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")


class RefusedError(Exception):
    """Answer 401 and do nothing."""


def verify_request(
    *,
    method: str,
    authority: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
    keys: Mapping[str, str],
    now: int,
    use_nonce: Callable[[str], bool],
) -> str:
    """Return the id of the key that signed; raises RefusedError.

    ``headers``: by lower-case name, several lines of one name joined by ", ". ``authority``: the Host field. ``target``: path
    and query as they stand in the request line. ``keys``: API keys by their id. ``use_nonce(nonce)``: keeps a nonce for ten
    minutes in one place for all your servers, and returns False if it was there already.
    """
    path, _, query = target.partition("?")
    values = {
        "@method": method,
        "@authority": authority.lower().removesuffix(":443"),
        "@path": path,
        "@query": "?" + query,
        "content-digest": headers.get("content-digest", ""),
    }
    required = list(REQUIRED)
    if body:
        required.append("content-digest")
        found = DIGEST.fullmatch(values["content-digest"])
        if not found or base64.b64decode(found[1]) != hashlib.sha256(body).digest():
            raise RefusedError("the body is not the one that was signed")
    signatures = {member[0]: member[1] for member in _members(SIGNATURE, headers.get("signature", ""))}
    for label, params, names, parameters in _members(INPUT, headers.get("signature-input", "")):
        given: dict[str, str] = {name: number or text for name, number, text in PARAMETER.findall(parameters)}
        components = [name.strip('"') for name in names.split()]
        key = keys.get(given.get("keyid", ""))
        # During a rotation there are two signatures, and perhaps one of them is under a key that you do not know yet.
        if key is None or label not in signatures or given.get("alg") != "hmac-sha256":
            continue
        if not set(required) <= set(components) or len(set(components)) != len(components):
            continue
        if not given.get("nonce") or abs(int(given.get("created", 0)) - now) > TOLERANCE_SECONDS:
            continue
        if not set(components) <= set(values):
            continue
        lines = [f'"{name}": {values[name]}' for name in components] + [f'"@signature-params": {params}']
        expected = hmac.digest(key.encode(), "\n".join(lines).encode(), "sha256")
        if not hmac.compare_digest(expected, base64.b64decode(signatures[label])):
            continue
        if not use_nonce(given["nonce"]):
            raise RefusedError("the nonce was used before")
        return given["keyid"]
    raise RefusedError("no signature holds")


def sign_answer(*, status: int, body: bytes, request_signature: str, key_id: str, key: str, now: int) -> dict[str, str]:
    """Return the headers to add to an answer; ``request_signature`` is the request's Signature field as it was received."""
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"
    params = f'("@status" "content-digest" "signature";req);created={now};keyid="{key_id}";alg="hmac-sha256"'
    base = f'"@status": {status}\n"content-digest": {digest}\n"signature";req: {request_signature}\n"@signature-params": {params}'
    signature = base64.b64encode(hmac.digest(key.encode(), base.encode(), "sha256")).decode()
    return {"content-digest": digest, "signature-input": f"sig1={params}", "signature": f"sig1=:{signature}:"}


def _members(pattern: re.Pattern[str], field: str) -> list[tuple[str, ...]]:
    """Return the members of a dictionary field; raises RefusedError unless the field consists of nothing else."""
    members, end = [], 0
    while field:
        found = pattern.match(field, end)
        if not found:
            raise RefusedError("a signature field is malformed")
        members.append(found.groups())
        end = found.end()
        if end == len(field):
            break
        separator = re.compile(r"[ \t]*,[ \t]*").match(field, end)
        if not separator:
            raise RefusedError("a signature field is malformed")
        end = separator.end()
    if len({member[0] for member in members}) != len(members):
        raise RefusedError("a label occurs twice")
    return members


if __name__ == "__main__":
    # One case a line in, one verdict a line out: how the tests of this sample run it.
    seen: set[str] = set()

    def use_nonce(nonce: str) -> bool:
        fresh = nonce not in seen
        seen.add(nonce)
        return fresh

    for line in sys.stdin:
        case = json.loads(line)
        request = {name: case[name] for name in ("method", "authority", "target", "headers", "keys", "now")}
        request["body"] = case["body"].encode()
        try:
            key_id = verify_request(**request, use_nonce=use_nonce)
        except RefusedError as refused:
            print(json.dumps({"refused": str(refused)}))
            continue
        answer = {"status": 200, "body": case["answer"].encode(), "request_signature": request["headers"]["signature"]}
        headers = sign_answer(**answer, key_id=key_id, key=request["keys"][key_id], now=request["now"])
        print(json.dumps({"key_id": key_id, "headers": headers}))
