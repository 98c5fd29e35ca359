"""What may be in shared: used by two services or a wire contract, no service's business, and it says for whom it is."""

import re
from functools import lru_cache

from support.source_tree import SERVICES, SHARED, package_files

SERVICE_MODULES = set(SERVICES)
# Commands and proofs rather than parts of a service.
RUN_BY_THE_MAKEFILE = {"shared.openapi_export"}
_NAMES_USERS = re.compile(r"\bUsers:|\b[Uu]sed by\b|\bcalls? this\b|`make ")
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "constants", "misc"}


@lru_cache
def _shared_modules_used_by(service: str) -> set[str]:
    """Return the shared modules that a service imports, directly or through one another."""
    known = {file.module: file for file in package_files(SHARED)}
    reached: set[str] = set()
    pending = [(module, name) for file in package_files(SERVICES[service]) for module, name, _ in file.imports()]
    while pending:
        module, name = pending.pop()
        for candidate in (module, f"{module}.{name}"):
            if candidate in known and candidate not in reached:
                reached.add(candidate)
                pending += [(imported, alias) for imported, alias, _ in known[candidate].imports()]
    return reached


def _docstrings_of(module: str) -> str:
    """Return the docstrings of a module and of the packages it is part of."""
    return " ".join(file.docstring for file in package_files(SHARED) if f"{module}.".startswith(f"{file.module}."))


def test_two_services_use_it_or_it_is_a_wire_contract() -> None:
    """Everything else belongs to the one service that needs it."""
    users: dict[str, set[str]] = {
        file.module: {service for service in SERVICES if file.module in _shared_modules_used_by(service)}
        for file in package_files(SHARED)
        if file.module not in {"shared", *RUN_BY_THE_MAKEFILE}
    }
    found = {
        module: sorted(services)
        for module, services in users.items()
        if len(services) < 2 and "wire contract" not in _docstrings_of(module).lower()
    }
    assert found == {}


def test_shared_imports_no_service() -> None:
    """Dependencies point from services to shared."""
    found = [
        f"{file.shown}:{line}"
        for file in package_files(SHARED)
        for module, _, line in file.imports()
        if module.split(".")[0] in SERVICE_MODULES
    ]
    assert found == []


def test_each_module_names_its_users() -> None:
    """The docstring says who uses it."""
    found = [
        file.module
        for file in package_files(SHARED)
        if file.module != "shared" and not _NAMES_USERS.search(_docstrings_of(file.module))
    ]
    assert found == []


def test_no_module_is_a_drawer() -> None:
    """A file is named for the one thing in it."""
    found = [
        file.shown
        for source in (SHARED, *SERVICES.values())
        for file in package_files(source)
        if file.path.stem in FORBIDDEN_NAMES
    ]
    assert found == []
