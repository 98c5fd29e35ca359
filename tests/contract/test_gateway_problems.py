"""Every problem of the gateway is in its document, and some test provokes it."""

import ast
import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import wallet_gateway
from shared.openapi_export import document
from shared.problems import Problem

TESTS = Path(__file__).parents[1]
#: Where calls of the gateway are made; this file says every code and proves none.
WHERE = ("integration/wallet_gateway*/*.py", "contract/test_gateway*.py", "contract/test_transfer*.py")


def _own_problems() -> Iterator[type[Problem]]:
    """Give every kind of problem that the gateway itself defines."""
    for module in pkgutil.walk_packages(wallet_gateway.__path__, "wallet_gateway."):
        if not module.name.endswith("errors"):
            continue
        for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(found, Problem) and found.__module__ == module.name:
                yield found


PROBLEMS = sorted({(problem.code, problem.status) for problem in _own_problems()})


def test_the_list_of_problems_is_whole() -> None:
    """Those known to be there are found: the list is not empty by some mistake."""
    codes = {code for code, _ in PROBLEMS}
    assert {"same_wallet", "wallet_frozen", "wallet_registered_twice", "operation_not_supported"} <= codes
    assert len(codes) == len(PROBLEMS), "one code, one status"


@pytest.mark.parametrize(("code", "status"), PROBLEMS)
def test_a_problem_is_documented_and_provoked(code: str, status: int) -> None:
    """The document shows it as an answer; a test that calls the gateway demands its code with its status."""
    assert f'"code": "{code}"' in _document_text(), f"{code} is in no answer of the OpenAPI document"
    tests = [path for pattern in WHERE for path in TESTS.glob(pattern) if path.name != Path(__file__).name]
    provoking = [path.name for path in tests if _demands(path.read_text(encoding="utf-8"), code, status)]
    assert provoking, f"no test provokes {code} ({status})"


def _demands(text: str, code: str, status: int) -> bool:
    """Tell whether one test, or one table of cases, holds this code and its status."""
    lines = text.splitlines()
    for node in ast.parse(text).body:
        begins = min([node.lineno, *(item.lineno for item in getattr(node, "decorator_list", ()))])
        part = "\n".join(lines[begins - 1 : node.end_lineno])
        if re.search(rf'["\']{code}["\']', part) and re.search(rf"\b{status}\b", part):
            return True
    return False


def _document_text() -> str:
    return json.dumps(document("wallet_gateway"))
