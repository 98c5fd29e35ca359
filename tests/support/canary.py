"""Planted secrets: every place of a request a caller could put one, and the search for traces of it."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
from redis.asyncio import Redis

_ENDS_CHARS = 4
"""The first and last characters of a secret's random part: shown on purpose, so that its owner knows it again."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A planted secret. ``core`` is its part that is shown nowhere."""

    name: str
    text: str

    @property
    def core(self) -> str:
        """Return the part that no trace may hold: what stands between the ends, of a token its signature."""
        return self.text.rpartition("." if "." in self.text else "_")[2][_ENDS_CHARS:-_ENDS_CHARS]

    def needles(self) -> dict[str, str]:
        """Return the core as text, in hexadecimal, and in base64 at each of the three places it can start."""
        core = self.core.encode()
        shifted = {}
        for shift in range(3):
            # The characters at both ends depend on what stands around the core.
            encoded = base64.b64encode(b"\0" * shift + core).decode()[4 if shift else 0 : -4]
            shifted[f"base64+{shift}"] = encoded
            shifted[f"base64url+{shift}"] = encoded.replace("+", "-").replace("/", "_")
        return {"text": self.core, "hex": core.hex(), **shifted}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One request that holds a secret; ``place`` says where."""

    place: str
    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path of an OpenAPI document. ``path`` has its parameters filled in."""

    method: str
    template: str
    path: str
    query: tuple[str, ...]
    media_type: str | None
    schema: Mapping[str, Any]
    example: Mapping[str, Any]


def operations(document: Mapping[str, Any], ids: Mapping[str, str]) -> list[Operation]:
    """Return all operations; those that end what others need come last."""
    found = []
    for template, methods in document["paths"].items():
        for method, described in methods.items():
            content = described.get("requestBody", {}).get("content", {})
            media_type = next(iter(content), None)
            schema = _resolved(document, content[media_type]["schema"]) if media_type else {}
            query = (item["name"] for item in described.get("parameters", ()) if item["in"] == "query")
            found.append(
                Operation(
                    method=method.upper(),
                    template=template,
                    path=template.format(**ids),
                    query=tuple(query),
                    media_type=media_type,
                    schema=schema,
                    example=(schema.get("examples") or [{}])[0],
                )
            )
    return sorted(found, key=lambda each: each.method == "DELETE" or each.template.endswith(("revoke", "leaked-keys")))


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    schema = next(iter(schema.get("anyOf", ())), schema)
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema


def requests_with(secret: Secret, operation: Operation, good: Mapping[str, str]) -> Iterator[Sent]:
    """Return the operation's requests with ``secret`` in each place; ``good`` are the headers of an allowed caller."""
    common: dict[str, Any] = {
        "method": operation.method,
        "path": operation.path,
        "content": _body(operation, operation.example),
    }
    body_type = {"content-type": operation.media_type} if operation.media_type else {}
    good = {**good, **body_type}
    text = secret.text
    basic = base64.b64encode(f"key_01j9zq3s8hf3mbq5w7t2k4v6xy:{text}".encode()).decode()
    for name, value in {
        "authorization": f"Bearer {text}",
        "Authorization": f"Basic {basic}",
        "x-api-key": text,
        "key": text,
    }.items():
        yield Sent(place=f"{name} {value.split()[0][:5]}", headers={**body_type, name: value}, **common)
    for name in ("x-request-id", "idempotency-key", "x-tenant-id", "x-environment", "user-agent", "key", "cookie"):
        yield Sent(place=f"header {name}", headers={**good, "idempotency-key": str(uuid4()), name: text}, **common)
    for name in (*operation.query, "x", "api_key", text):
        path = f"{operation.path}?{name}={text if name != text else 1}"
        yield Sent(place="query", headers=good, **{**common, "path": path})
    for path in (f"{operation.path}/{text}", re.sub(r"\{\w+\}", text, operation.template)):
        yield Sent(place="path", headers=good, **{**common, "path": path})
    yield Sent(place="method", headers=good, **{**common, "method": text})
    if operation.media_type:
        for place, content in _bodies(operation, text):
            headers = {**good, "idempotency-key": str(uuid4())}  # so that the answer is kept, if it gets that far
            yield Sent(place=f"body {place}", headers=headers, **{**common, "content": content})


def _body(operation: Operation, value: Mapping[str, Any]) -> str | None:
    if operation.media_type is None:
        return None
    if operation.media_type == "application/json":
        return json.dumps(value)
    return "&".join(f"{quote(name)}={quote(str(item))}" for name, item in value.items())


def _bodies(operation: Operation, text: str) -> Iterator[tuple[str, str]]:
    changes: dict[str, dict[str, Any]] = {"unknown value": {"unknown": text}, "unknown name": {text: 1}}
    for name in operation.schema.get("properties", ()):
        changes[name] = {name: text}
        changes[f"within {name}"] = {name: f"my key is {text}, keep it"}
        changes[f"[{name}]"] = {name: [text]}
        changes[f"zone in {name}"] = {name: f"::%{text}"}
        changes[f"zone in [{name}]"] = {name: [f"::%{text}"]}
        changes[f"value in {name}"] = {name: {"a": text}}
        changes[f"name in {name}"] = {name: {text: 1}}
    for place, change in changes.items():
        body = _body(operation, {**operation.example, **change})
        assert body is not None
        yield place, body
    yield "malformed", f'{{"name": "{text}'
    yield "twice", f'{{"{text}": 1, "{text}": 2}}'
    yield "NUL", f'{{"{text}": "\\u0000"}}'
    yield "alone", text
    yield "alone as JSON", json.dumps(text)


def traces(secrets: list[Secret], text: str) -> list[str]:
    """Return which secrets ``text`` holds and in which form, with what stands before it; in capitals or not."""
    found, lowered = [], text.lower()
    for secret in secrets:
        for form, needle in secret.needles().items():
            at = lowered.find(needle.lower())
            if at >= 0:
                found.append(f"{secret.name} as {form} after {text[max(0, at - 200) : at]!r}")
    return found


async def all_rows(database_url: str) -> dict[str, str]:
    """Return every row of every table as text, bytes in hexadecimal, by the table's name."""
    connection = await asyncpg.connect(database_url)
    try:
        names = await connection.fetch("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        return {
            name: "\n".join(row[0] for row in await connection.fetch(f"SELECT t::text FROM {name} t"))  # noqa: S608 - quoted names
            for (name,) in names
        }
    finally:
        await connection.close()


async def all_in_queue(url: str) -> str:
    """Return every key and value of a Valkey database."""
    client: Redis = Redis.from_url(url, decode_responses=True)
    readers: dict[str, Any] = {
        "string": client.get,
        "hash": client.hgetall,
        "set": client.smembers,
        "list": lambda key: client.lrange(key, 0, -1),
        "zset": lambda key: client.zrange(key, 0, -1),
        "stream": client.xrange,
    }
    try:
        return "\n".join([f"{key}: {await readers[await client.type(key)](key)}" async for key in client.scan_iter()])
    finally:
        await client.aclose()
