"""What a stack leaves on disk, for whom, and how its plan is read."""

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.errors import PortInUseError, SettingError
from embedded.folder_lock import FolderInUseError, FolderLock
from embedded.plan import CREDENTIALS, HOME_WALLET, PARTS, REFERENCE_WALLET, Service, plan_from
from embedded.private_file import KeptValues
from embedded.stack_file import StackFile


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _publish(file: StackFile) -> None:
    file.publish(
        service_urls={"credentials": "http://127.0.0.1:8001"},
        database_urls={"credentials": "postgresql://postgres:secret@127.0.0.1:5000/credentials"},
        queue_url="redis://:secret@127.0.0.1:6000/0",
        tenant_id="ten_01j",
        keys={"platform": "cw_sv_p", "owner": "cw_sk_o", "publisher": "cw_sv_q"},
        wallet_control_token="w-token",
        pids={"credentials-api-1": 10},
    )


def test_stack_json_has_the_documented_form_and_is_private(tmp_path: Path) -> None:
    """Tests and tools rely on each of these names."""
    file = StackFile(tmp_path)
    _publish(file)
    assert json.loads(file.path.read_text()) == {
        "ready": True,
        "services": {"credentials": {"url": "http://127.0.0.1:8001"}},
        "databases": {"credentials": "postgresql://postgres:secret@127.0.0.1:5000/credentials"},
        "queue": {"url": "redis://:secret@127.0.0.1:6000/0", "stream": "causeway:events"},
        "tenant_id": "ten_01j",
        "keys": {"platform": "cw_sv_p", "owner": "cw_sk_o", "publisher": "cw_sv_q"},
        "wallet_control": {"token": "w-token"},
        "processes": {"credentials-api-1": {"pid": 10}},
    }
    assert _mode(file.path) == 0o600


def test_stack_json_follows_the_process_ids_only_while_the_stack_runs(tmp_path: Path) -> None:
    """Nothing is written before all is ready, every change afterwards, and nothing stays behind."""
    file = StackFile(tmp_path)
    file.update_processes({"postgres": 1})
    assert list(tmp_path.iterdir()) == []
    _publish(file)
    file.update_processes({"postgres": 2, "credentials-api-1": 11})
    processes = json.loads(file.path.read_text())["processes"]
    assert processes == {"postgres": {"pid": 2}, "credentials-api-1": {"pid": 11}}
    file.remove()
    assert list(tmp_path.iterdir()) == []


def test_curl_reads_keys_from_private_files(tmp_path: Path) -> None:
    """The lines to paste carry no key; the publisher's also names its tenant."""
    file = StackFile(tmp_path)
    _publish(file)
    assert file.curl_path("owner").read_text() == 'header = "Authorization: Bearer cw_sk_o"\n'
    assert 'header = "X-Tenant-Id: ten_01j"\n' in file.curl_path("publisher").read_text()
    assert {_mode(path) for path in tmp_path.iterdir()} == {0o600}


def test_kept_values_are_the_same_on_the_next_run_and_private(tmp_path: Path) -> None:
    """A secret is generated once per data folder."""
    path = tmp_path / "secrets.json"
    KeptValues(path).get_or_make("pepper", lambda: "first")
    assert KeptValues(path).get_or_make("pepper", lambda: "second") == "first"
    assert _mode(path) == 0o600


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_the_plan_moves_all_ports_with_the_base() -> None:
    """CAUSEWAY_PORT_BASE moves every port; workers and data folder are the environment's."""
    environment = {"CAUSEWAY_PORT_BASE": "21000", "CAUSEWAY_DISPATCHER_WORKERS": "2", "CAUSEWAY_DATA_DIR": "/srv/else"}
    plan = plan_from(environment)
    assert plan.url(CREDENTIALS) == "http://127.0.0.1:21001"
    assert (plan.url(REFERENCE_WALLET), plan.url(HOME_WALLET)) == ("http://127.0.0.1:21011", "http://127.0.0.1:21012")
    assert plan.demo_receiver_url == "http://127.0.0.1:21010"
    assert plan.workers == {"credentials": 1, "webhook-dispatcher": 2, "wallet-gateway": 1}
    assert plan.data_dir == Path("/srv/else")


def test_port_base_zero_takes_free_ports_that_differ() -> None:
    """Two stacks with base 0 do not meet."""
    plan = plan_from({"CAUSEWAY_PORT_BASE": "0"})
    assert len({*plan.api_ports.values(), plan.demo_receiver_port}) == 6


def test_a_port_in_use_is_named_with_the_way_out(busy_port: int) -> None:
    """The newcomer learns which port, and how to move the stack."""
    # The reference wallet's is looked at first: whether a neighbour is in use, by whatever runs here, does not matter then.
    with pytest.raises(PortInUseError, match=rf"port {busy_port} is in use .*\n.*CAUSEWAY_PORT_BASE=9000 make run"):
        plan_from({"CAUSEWAY_PORT_BASE": str(busy_port - REFERENCE_WALLET.port_offset)})


@pytest.mark.parametrize("part", [*PARTS, None])
def test_every_port_is_looked_at(part: Service | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each service, each wallet, and of the demo's receiver (None)."""
    busy = 21_000 + (10 if part is None else part.port_offset)
    monkeypatch.setattr("embedded.plan.is_free", lambda port: port != busy)
    with pytest.raises(PortInUseError, match=f"port {busy} is in use"):
        plan_from({"CAUSEWAY_PORT_BASE": "21000"})


@pytest.mark.parametrize("value", ["-1", "eight", "70000", "8e3", "٨"])
def test_a_setting_that_is_no_number_is_named(value: str) -> None:
    """A bad value is refused by its variable's name."""
    with pytest.raises(SettingError, match="CAUSEWAY_PORT_BASE must be a whole number"):
        plan_from({"CAUSEWAY_PORT_BASE": value})


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    """The second owner is told who has it; a dead owner's lock is gone."""
    lock = FolderLock(tmp_path)
    with pytest.raises(FolderInUseError, match=f"in use by process {os.getpid()}"):
        FolderLock(tmp_path)
    lock.release()
    killed = "import os, pathlib, sys, embedded.folder_lock as l; l.FolderLock(pathlib.Path(sys.argv[1])); os._exit(9)"
    subprocess.run([sys.executable, "-c", killed, str(tmp_path)], check=False)  # noqa: S603 (our own code)
    FolderLock(tmp_path).release()
