"""Programs in Node that use published client packages, installed once per session from the npm registry as npm knows it."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SOURCES = Path(__file__).parent.parent / "clients" / "node"
_INSTALL_TIMEOUT_SECONDS = 180
_RUN_TIMEOUT_SECONDS = 60


class NodeClients:
    """A folder with the packages of ``tests/clients/node`` installed as its lock says."""

    def __init__(self, folder: Path, node: str) -> None:
        self._folder = folder
        self._node = node

    async def run(self, program: str, **environment: str) -> Any:
        """Run one of the programs and return the JSON that it printed; fails with what it said when it fails."""
        process = await asyncio.create_subprocess_exec(
            *(self._node, program),
            cwd=self._folder,
            env={"PATH": os.environ["PATH"], **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_RUN_TIMEOUT_SECONDS):
            printed, said = await process.communicate()
        assert process.returncode == 0, said.decode()
        return json.loads(printed)


@pytest.fixture(scope="session")
def node_clients(tmp_path_factory: pytest.TempPathFactory) -> NodeClients:
    """Return the installed clients; without Node on the machine the test is skipped by name."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip(
            "needs Node.js with npm, which is not on this machine: the packages of tests/clients/node did NOT run"
        )
    folder = tmp_path_factory.mktemp("node-clients")
    for source in SOURCES.iterdir():
        if source.is_file():
            shutil.copy(source, folder)
    installed = subprocess.run(  # noqa: S603 - npm itself, on our own lock
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=_INSTALL_TIMEOUT_SECONDS,
    )
    assert installed.returncode == 0, installed.stderr
    return NodeClients(folder, node)
