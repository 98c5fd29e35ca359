"""The containers' health check says what is wrong with a worker."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from shared.heartbeat import INTERVAL_SECONDS

SCRIPT = Path(__file__).parents[3] / "deploy" / "healthcheck.py"
TOUCHED_AT = 1_700_000_000


@pytest.fixture(scope="module")
def healthcheck() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthcheck", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def heartbeat_file(tmp_path: Path) -> Path:
    path = tmp_path / "heartbeat"
    path.touch()
    os.utime(path, (TOUCHED_AT, TOUCHED_AT))
    return path


@pytest.mark.parametrize("age_seconds", [0, INTERVAL_SECONDS, 2 * INTERVAL_SECONDS])
def test_a_young_heartbeat_is_well(healthcheck: ModuleType, heartbeat_file: Path, age_seconds: float) -> None:
    """A beat that comes late by one interval is no fault."""
    assert healthcheck.worker_fault(str(heartbeat_file), now=TOUCHED_AT + age_seconds) is None


def test_an_old_heartbeat_is_a_hang(healthcheck: ModuleType, heartbeat_file: Path) -> None:
    """A loop that no longer turns is named, with the time since when."""
    fault = healthcheck.worker_fault(str(heartbeat_file), now=TOUCHED_AT + 61)
    assert fault == "the worker hangs: its last heartbeat was 61 s ago"


def test_no_heartbeat_yet_is_a_start(healthcheck: ModuleType, tmp_path: Path) -> None:
    """A worker that has not begun is not well."""
    assert "still starting" in healthcheck.worker_fault(str(tmp_path / "none"), now=TOUCHED_AT)


def test_the_command_reports_by_its_exit_code(heartbeat_file: Path) -> None:
    """As the engine runs it: 0 for a fresh file, 1 and the reason for an old one."""
    old = _run(heartbeat_file)
    heartbeat_file.touch()
    fresh = _run(heartbeat_file)
    assert (old.returncode, fresh.returncode) == (1, 0)
    assert old.stderr.startswith("the worker hangs")


def _run(heartbeat_file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-IS", str(SCRIPT), "worker"],
        env={"CAUSEWAY_HEARTBEAT_FILE": str(heartbeat_file)},
        capture_output=True,
        text=True,
        check=False,
    )
