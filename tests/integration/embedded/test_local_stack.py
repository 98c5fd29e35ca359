"""The whole local stack as `make run` starts it: the demo, what it offers to try, a death, and an orderly end."""

import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # the package ships no types
import pytest

_READY_WITHIN_SECONDS = 120
_STOP_WITHIN_SECONDS = 15
_COMPLETE = "Demo complete: 12 of 12 deliveries verified. Ctrl-C stops the stack."


@dataclass(frozen=True)
class RunningStack:
    """A supervisor with its data folder and what it has printed so far."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    output_path: Path

    @property
    def output(self) -> str:
        return self.output_path.read_text()

    def file(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.data_dir / "stack.json").read_text())
        return document

    def until(self, condition: Callable[[], bool], *, within_seconds: float) -> None:
        deadline = time.monotonic() + within_seconds
        while not condition():
            assert self.process.poll() is None, f"the stack has ended:\n{self.output}"
            assert time.monotonic() < deadline, f"not within {within_seconds} s:\n{self.output}"
            time.sleep(0.05)

    def commands(self) -> list[str]:
        """Find the lines that the demo offers to paste."""
        return re.findall(r"^ {2}(curl .*)$", self.output, re.MULTILINE)

    def paste(self, containing: str, **replacements: str) -> Any:
        [line] = [line for line in self.commands() if containing in line]
        for old, new in replacements.items():
            line = line.replace(old, new)
        command = shlex.split(line)
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)  # noqa: S603 (our own line)


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    folder = Path(tempfile.mkdtemp(prefix="causeway-stack-"))
    output_path = folder / "output.txt"
    own = {"CAUSEWAY_PORT_BASE": "0", "CAUSEWAY_DATA_DIR": str(folder / "data"), "CAUSEWAY_DEMO": "1"}
    # Its own engines, whatever the tests use: this is about them too.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CAUSEWAY_")}
    with output_path.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "embedded"], stdout=output, stderr=subprocess.STDOUT, env=inherited | own
        )
    running = RunningStack(process, folder / "data", output_path)
    running.until(lambda: "Ctrl-C stops the stack." in running.output, within_seconds=_READY_WITHIN_SECONDS)
    yield running
    if process.poll() is None:
        process.terminate()
    process.wait(timeout=_STOP_WITHIN_SECONDS)
    shutil.rmtree(folder)


def test_the_demo_delivers_every_event_and_says_so(stack: RunningStack) -> None:
    """Its last line counts what an independent verifier accepted."""
    assert stack.output.rstrip().endswith(_COMPLETE)


def test_the_demo_moves_money_each_way_and_shows_what_survived(stack: RunningStack) -> None:
    """A balance read, a transfer each way, one whose answer was dropped with its timeline, and sums that agree."""
    shown = stack.output
    assert re.search(r"balances of client-42 +acct-42 1000.00 USD +w-118 250.00 USD", shown)
    assert len(re.findall(r"(?:home → partner|partner → home) .* completed", shown)) == 3
    timeline = re.findall(r"^ {6}(\w+) +(\w+) +(\w+) +(\w+)", shown, re.MULTILINE)
    assert [row for row in timeline if row[0] == "credit"] == [
        ("credit", "put", "unknown", "response_broken"),
        ("credit", "put", "definitive", "committed"),
    ]
    assert re.search(r"balances of client-42 +acct-42 980.00 USD +w-118 270.00 USD", shown)
    assert "nothing lost or doubled" in shown
    assert stack.paste("/v1/transfers/tr_")["status"] == "completed"
    assert stack.paste("/balances?view=all")["partial"] is False


def test_what_transfers_came_to_reaches_the_dispatcher(stack: RunningStack) -> None:
    """The gateway publishes with a key of its own, which the stack gave it."""
    url = f"{stack.file()['services']['webhook-dispatcher']['url']}/v1/events?type=transfer.completed"
    command = ["curl", "-s", "-K", str(stack.data_dir / "owner.curl"), url]

    def published() -> int:
        return len(json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["data"])  # noqa: S603 - our own line

    stack.until(lambda: published() == 3, within_seconds=20)
    assert "outbox.not_published" not in stack.output


def test_stack_json_is_private_and_names_every_process(stack: RunningStack) -> None:
    """Tests, chaos and tools find the APIs, the workers and both engines there, each alive."""
    document = stack.file()
    assert stat.S_IMODE((stack.data_dir / "stack.json").stat().st_mode) == 0o600
    services = ("credentials", "webhook-dispatcher", "wallet-gateway")
    wallets = ("reference-wallet", "home-wallet")
    assert set(document["services"]) == set(document["databases"]) == {*services, *wallets}
    roles = {f"{service}-{role}-1" for service in services for role in ("api", "worker")}
    roles |= {f"{wallet}-api-1" for wallet in wallets}
    assert set(document["processes"]) == roles | {"postgres", "valkey", "demo-receiver"}
    assert all(psutil.pid_exists(process["pid"]) for process in document["processes"].values())


def test_what_the_demo_offers_to_try_works_when_pasted(stack: RunningStack) -> None:
    """Each line answers; the published event arrives at the receiver and in the ledger."""
    assert stack.paste("deliveries?limit")["data"][0]["status"] == "delivered"
    assert stack.paste("/v1/deliveries/dlv_")["id"].startswith("dlv_")
    assert stack.paste("/v1/events", w0n3xt77="pasted01")["accepted"] == 1
    stack.until(lambda: "pasted01" in stack.output, within_seconds=10)
    assert stack.paste("/received")["data"][-1]["subject"] == "pasted01"
    assert stack.paste("/v1/ledger")["balanced"] is True


def test_no_secret_is_printed_or_put_into_arguments(stack: RunningStack) -> None:
    """Keys and passwords are in private files alone."""
    document = stack.file()
    passwords = [
        re.findall(r":([^:@]+)@", url)[0] for url in (document["queue"]["url"], *document["databases"].values())
    ]
    shown = stack.output
    for process in document["processes"].values():
        shown += " ".join(psutil.Process(process["pid"]).cmdline())
    assert [
        secret
        for secret in (*document["keys"].values(), document["wallet_control"]["token"], *passwords)
        if secret in shown
    ] == []


@pytest.mark.parametrize(
    "name", ["postgres", "valkey", "webhook-dispatcher-worker-1", "webhook-dispatcher-api-1", "home-wallet-api-1"]
)
def test_a_killed_process_comes_back_and_the_main_job_goes_on(stack: RunningStack, name: str) -> None:
    """After kill -9 stack.json has the new process, and the next event on the way is delivered."""
    old_pid = stack.file()["processes"][name]["pid"]
    os.kill(old_pid, signal.SIGKILL)
    stack.until(lambda: stack.file()["processes"][name]["pid"] != old_pid, within_seconds=10)
    subject = f"k{abs(hash(name)) % 10**7:07d}"

    def published() -> bool:
        try:
            return bool(stack.paste("/v1/events", w0n3xt77=subject).get("accepted"))
        except (subprocess.CalledProcessError, json.JSONDecodeError):
            return False

    stack.until(published, within_seconds=20)
    stack.until(lambda: subject in stack.output, within_seconds=20)


def test_sigterm_ends_everything_in_order(stack: RunningStack) -> None:
    """Exit code 0 within 15 seconds, no process and no stack.json left; the last of this file."""
    processes = [psutil.Process(process["pid"]) for process in stack.file()["processes"].values()]
    stack.process.terminate()
    assert stack.process.wait(timeout=_STOP_WITHIN_SECONDS) == 0
    assert [process for process in processes if process.is_running()] == []
    assert not (stack.data_dir / "stack.json").exists()
    assert not list(stack.data_dir.glob("*.curl"))
