"""HTTP ends at the routes, SQL lives in repositories, services do not know one another, and importing does nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.source_tree import ROOT, SERVICES, SourceFile, service_files

HTTP_MODULES = {"routes.py", "app.py", "callers.py"}
# What integrators run calls the API from outside, as any client of it does.
OUTSIDE_CLIENTS = "webhook_dispatcher/commands/options.py:0"
# HTTP that is not one feature's routes: app.py puts it around all of them, or it is the class of one.
AROUND_ROUTES = {
    "audit/forbidden.py",  # answers every refusal, and notes it for the credential's owner
    "oauth/documentation.py",  # what FastAPI cannot read from the code, for the document
    "oauth/error_form.py",  # gives problems under /oauth2/ the form of RFC 6749
    "balances/quick_route.py",  # the class of the one route that reads a wallet's balances
    "faults/sending.py",  # faults of HTTP itself: cut connections, endless bodies
    "faults/strike.py",  # the answer that a fault gives instead of the true one
    "signed_calls/documents.py",  # how those routes stand in the document
    "signed_calls/quick_calls.py",  # the calls that move money, straight to their routes
    "transfers/quick_route.py",  # the class of the one route that begins transfers
    "signed_calls/route.py",  # the class of the signed routes: who calls is proved first, the answer is signed
    "verification/quick_route.py",  # the class of the one route that siblings wait for
}
# The dependency that hands the opened resources to routes names the request it gets them from.
HANDED_BY_REQUEST = {("resources.py", "Request")}
SQL_MODULES = re.compile(r"(.*_)?(repository|models|tables)\.py")
# What SQLAlchemy offers beside statements: sessions and engines to pass on, errors to classify, events to listen to.
NOT_STATEMENTS = {"sqlalchemy.ext.asyncio", "sqlalchemy.exc", "sqlalchemy.orm"}
SQL_TEXT = re.compile(
    r"^\s*(SELECT|INSERT INTO|UPDATE \S+ SET|DELETE FROM|WITH \w+ AS|CREATE (TABLE|INDEX)|TRUNCATE|LOCK TABLE)\b"
)

_IMPORT_EVERYTHING = """
import importlib, os, pkgutil, socket, sys, threading

class Watched(dict):
    def _note(self, name):
        if str(name).startswith("CAUSEWAY_"):
            raise AssertionError(f"importing read {name}")
    def __getitem__(self, name): self._note(name); return super().__getitem__(name)
    def get(self, name, default=None): self._note(name); return super().get(name, default)
    def __contains__(self, name): self._note(name); return super().__contains__(name)

def no_socket(*args, **kwargs):
    raise AssertionError("importing opened a socket")

os.environ = Watched(os.environ)
socket.socket.connect = socket.socket.bind = no_socket
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert threading.active_count() == 1, threading.enumerate()
"""


def shown(file: SourceFile, line: int) -> str:
    """Return the place of a finding."""
    return f"{file.shown}:{line}"


def test_http_ends_at_the_routes() -> None:
    """Nothing of a service but routes, what stands around them, and app.py imports the web framework; the rest raises facts."""
    found = [
        shown(file, line)
        for file in service_files()
        if file.path.name not in HTTP_MODULES and "/".join(file.path.parts[-2:]) not in AROUND_ROUTES
        for module, name, line in file.imports()
        if module.split(".")[0] in {"fastapi", "starlette"} and (file.path.name, name) not in HANDED_BY_REQUEST
    ]
    assert found == []


def test_sql_lives_in_repositories() -> None:
    """No other module of a service makes a statement, by SQLAlchemy or as text."""
    found = []
    for file in service_files():
        if SQL_MODULES.fullmatch(file.path.name):
            continue
        found += [
            shown(file, line)
            for module, name, line in file.imports()
            if module.split(".")[0] in {"sqlalchemy", "asyncpg"} and module not in NOT_STATEMENTS and name != "event"
        ]
        found += [
            f"{file.shown}: {text[:40]!r}"
            for text in re.findall(r'"((?:[^"\\]|\\.)*)"', file.text)
            if SQL_TEXT.match(text)
        ]
    assert found == []


def test_repositories_know_no_http_and_no_service_rules() -> None:
    """Below the repository there is only Postgres."""
    found = [
        shown(file, line)
        for file in service_files()
        if SQL_MODULES.fullmatch(file.path.name)
        for module, name, line in file.imports()
        if {"service", "routes"} & {module.rpartition(".")[2], name}
    ]
    assert found == []


def test_services_build_outbound_http_only_on_shared() -> None:
    """No service makes an HTTP client of its own: what goes out passes shared.egress, what goes to a sibling shared.access."""
    found = [
        shown(file, line)
        for file in service_files()
        for module, name, line in file.imports()
        if (
            module.split(".")[0] in {"httpx", "httpx2", "requests", "urllib3"}
            and not shown(file, 0).endswith(OUTSIDE_CLIENTS)
        )
        or (module.split(".")[0] == "aiohttp" and name == "ClientSession")
        or module == "urllib.request"
    ]
    assert found == []


@pytest.mark.parametrize("package", ["shared", *SERVICES, "reference_wallet"])
def test_importing_does_nothing(package: str) -> None:
    """Importing every module of a package reads no setting, opens no socket and starts no thread."""
    run = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-W", "error", "-c", _IMPORT_EVERYTHING, package],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd="/",
    )
    assert run.returncode == 0, run.stderr[-2000:]


def test_import_contracts_hold() -> None:
    """The contracts in pyproject.toml: services are independent, shared imports no service, layers point downwards."""
    command = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run(  # noqa: S603 - an installed tool
        [command, "--no-cache"], capture_output=True, text=True, check=False, timeout=120, cwd=ROOT
    )
    assert run.returncode == 0, run.stdout[-4000:]
