# ruff: noqa: INP001 - a file that is run, not a package
"""The main job, driven from outside through the published APIs: ``deploy/containers.sh`` runs these steps in order.

``prepare`` makes a tenant, its keys and a webhook to the receiver; ``stream`` prints events as queue commands; ``publish`` sends
events over HTTP; ``reached`` waits until the receiver verified so many; ``settle`` waits until it verified every event and the
ledger balances. Between steps a state file (mode 0600) holds the ids and keys.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx2

_STREAM = "causeway:events"
_BATCH_EVENTS = 100
_REQUEST_TIMEOUT_SECONDS = 15.0
_POLL_SECONDS = 0.05
_NODES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What ``prepare`` made and the later steps need."""

    dispatcher_url: str
    receiver_counts_url: str
    tenant_id: str
    owner_key: str
    publisher_key: str
    webhook_id: str


def prepare(args: argparse.Namespace) -> Job:
    """Do what an operator and then an integrator would do, each with their own key."""
    platform_key = args.platform_key_file.read_text(encoding="utf-8").strip()
    platform = client_of(args.credentials_url, platform_key)
    tenant_id = post(platform, "/v1/tenants", {"name": "Trial broker"})["id"]
    platform.headers["X-Tenant-Id"] = tenant_id
    owner_key = post(platform, "/v1/api-keys", _key("owner", roles=["owner"]))["key"]
    owner = client_of(args.credentials_url, owner_key)
    publisher_key = post(owner, "/v1/api-keys", _key("publisher", scopes=["events:publish"]))["key"]
    webhook = {
        "name": "Trial receiver",
        "url": args.receiver_url,
        "events": ["withdrawal.*"],
        "secret": os.environ["CAUSEWAY_TRY_SECRET"],
    }
    return Job(
        dispatcher_url=args.dispatcher_url,
        receiver_counts_url=args.receiver_counts_url,
        tenant_id=tenant_id,
        owner_key=owner_key,
        publisher_key=publisher_key,
        webhook_id=post(client_of(args.dispatcher_url, owner_key), "/v1/webhooks", webhook)["id"],
    )


def stream(job: Job, *, first: int, count: int) -> None:
    """Print one XADD line for each event, as the command-line client of the queue reads them."""
    for event in _events(first=first, count=count):
        text = json.dumps(event | {"tenant_id": job.tenant_id, "environment": "live"})
        sys.stdout.write(f"XADD {_STREAM} * event {json.dumps(text)}\n")


def publish(job: Job, *, first: int, count: int) -> None:
    """Send the events over HTTP in batches; each is accepted once it is committed."""
    client = client_of(job.dispatcher_url, job.publisher_key)
    events = list(_events(first=first, count=count))
    for start in range(0, count, _BATCH_EVENTS):
        batch = events[start : start + _BATCH_EVENTS]
        answer = post(client, "/v1/events", {"events": batch})
        if answer["accepted"] != len(batch):
            raise SystemExit(f"published {len(batch)} events, accepted were {answer['accepted']}")


def reached(job: Job, *, verified: int, within_seconds: float) -> int:
    """Wait until the receiver verified that many distinct events; return how many it were by then."""
    deadline = time.monotonic() + within_seconds
    while (counts := _received(job))["verified"] < verified:
        if time.monotonic() > deadline:
            raise SystemExit(f"not reached in time: {json.dumps(counts)}")
        time.sleep(_POLL_SECONDS)
    return counts["verified"]


def settle(job: Job, *, expected: int, within_seconds: float) -> str:
    """Wait until ``expected`` distinct events are verified at the receiver and delivered by the ledger, which must balance."""
    owner = client_of(job.dispatcher_url, job.owner_key)
    deadline = time.monotonic() + within_seconds
    while True:
        counts = _received(job)
        ledger = owner.get("/v1/ledger", params={"webhook_id": job.webhook_id}).raise_for_status().json()
        if counts["refused"]:
            raise SystemExit(f"the receiver refused signatures: {json.dumps(counts)}")
        if counts["verified"] == expected and _is_settled(ledger, expected=expected):
            return (
                f"{counts['verified']} verified, {counts['repeated']} repeated, {counts['refused']} refused; "
                f"ledger: {ledger['matched']} owed = {ledger['delivered']} delivered, balanced"
            )
        if time.monotonic() > deadline:
            raise SystemExit(f"not settled in time, expected {expected}: {json.dumps([counts, ledger])}")
        time.sleep(_POLL_SECONDS)


def _received(job: Job) -> dict[str, int]:
    answer = httpx2.get(job.receiver_counts_url, timeout=_REQUEST_TIMEOUT_SECONDS, trust_env=False)
    counts: dict[str, int] = answer.raise_for_status().json()
    return counts


def _is_settled(ledger: dict[str, Any], *, expected: int) -> bool:
    return bool(ledger["balanced"]) and ledger["matched"] == ledger["delivered"] == expected


def _events(*, first: int, count: int) -> Iterator[dict[str, Any]]:
    for number in range(first, first + count):
        yield {
            "id": f"trial-{number:06d}",
            "type": f"withdrawal.approved.node.{number % _NODES + 1}",
            "subject": f"withdrawal-{number:06d}",
            "data": {"amount": f"{number}.50", "currency": "USD", "comment": 'quotes " and \\ survive'},
        }


def _key(name: str, **grants: list[str]) -> dict[str, Any]:
    return {"name": name, "kind": "secret", "environment": "live", "scopes": [], **grants}


def client_of(base_url: str, key: str) -> httpx2.Client:
    """Return a client of an API that sends a bearer key."""
    return httpx2.Client(
        base_url=base_url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=_REQUEST_TIMEOUT_SECONDS,
        trust_env=False,
    )


def post(client: httpx2.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Post JSON; return the answer's. Exits where it is refused."""
    return checked(client.post(path, json=body))


def checked(answer: httpx2.Response) -> dict[str, Any]:
    """Return an answer's JSON. Exits where it is not a success."""
    if not answer.is_success:
        raise SystemExit(
            f"{answer.request.method} {answer.request.url.path} answered {answer.status_code}: {answer.text}"
        )
    result: dict[str, Any] = answer.json()
    return result


def _write(path: Path, job: Job) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(job), file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, required=True)
    steps = parser.add_subparsers(dest="step", required=True)
    preparing = steps.add_parser("prepare")
    preparing.add_argument("--credentials-url", required=True)
    preparing.add_argument("--dispatcher-url", required=True)
    preparing.add_argument("--platform-key-file", type=Path, required=True)
    preparing.add_argument("--receiver-url", required=True, help="as the dispatcher reaches it")
    preparing.add_argument("--receiver-counts-url", required=True, help="as this host reaches it")
    for name in ("stream", "publish"):
        sending = steps.add_parser(name)
        sending.add_argument("--first", type=int, required=True)
        sending.add_argument("--count", type=int, required=True)
    reaching = steps.add_parser("reached")
    reaching.add_argument("--verified", type=int, required=True)
    settling = steps.add_parser("settle")
    settling.add_argument("--expected", type=int, required=True)
    for waiting in (reaching, settling):
        waiting.add_argument("--within-seconds", type=float, default=90.0)
    return parser


def main() -> None:
    """Run one step; exits non-zero with the reason where it fails."""
    args = _parser().parse_args()
    if args.step == "prepare":
        _write(args.state, prepare(args))
        return
    job = Job(**json.loads(args.state.read_text(encoding="utf-8")))
    if args.step == "stream":
        stream(job, first=args.first, count=args.count)
    elif args.step == "publish":
        publish(job, first=args.first, count=args.count)
    elif args.step == "reached":
        sys.stdout.write(f"{reached(job, verified=args.verified, within_seconds=args.within_seconds)}\n")
    else:
        sys.stdout.write(settle(job, expected=args.expected, within_seconds=args.within_seconds) + "\n")


if __name__ == "__main__":
    main()
