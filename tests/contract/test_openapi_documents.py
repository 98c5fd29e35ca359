"""The OpenAPI documents: exported as they are served, and naming every problem that the code can answer."""

import ast
import importlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import problems
from shared.openapi_export import SERVICES, document, render
from shared.problems import Problem

ROOT = Path(__file__).parents[2]
#: The frame of every service, and what stands around its calls.
FRAME = ("shared.app_factory", "shared.request_envelope")
AROUND_CALLS = ("shared.access.dependencies", "shared.access.presented", "shared.request_body", "shared.pagination")


@pytest.mark.parametrize("name", SERVICES)
def test_the_exported_document_is_the_one_that_is_served(name: str) -> None:
    """After a change: ``make openapi``, and commit what it wrote."""
    exported = (ROOT / "services" / name / "openapi.json").read_text(encoding="utf-8")
    assert exported == render(document(SERVICES[name])), f"services/{name}/openapi.json is out of date: make openapi"


@pytest.mark.parametrize("name", SERVICES)
def test_every_problem_that_is_raised_is_documented(name: str) -> None:
    """By its code, as an example of an answer, in the document of the service that raises it."""
    described = document(SERVICES[name])
    modules = {*FRAME, *_modules_of(SERVICES[name])}
    if any(path.startswith("/v1/") for path in described["paths"]):
        modules |= set(AROUND_CALLS)
    raised = {(problem.code, problem.status) for module in modules for problem in _raised_in(module)}
    assert len(raised) >= len(FRAME)
    assert raised - set(_documented(described)) - set(_documented_for_oauth(described)) == set()


@pytest.mark.parametrize("name", SERVICES)
def test_every_error_answer_is_a_problem(name: str) -> None:
    """With the one media type and schema, and at least one example whose status is that of the answer."""
    described = document(SERVICES[name])
    components = described["components"]["responses"]
    checked = 0
    for path, operations in described["paths"].items():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if not path.startswith("/v1/") or int(status) < 400:
                    continue
                answer = components[response["$ref"].rpartition("/")[2]] if "$ref" in response else response
                assert answer["content"].keys() == {problems.PROBLEM_MEDIA_TYPE}
                content = answer["content"][problems.PROBLEM_MEDIA_TYPE]
                assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
                assert {example["value"]["status"] for example in content["examples"].values()} == {int(status)}
                checked += 1
    assert checked or not any(path.startswith("/v1/") for path in described["paths"])


def _documented(node: Any) -> Iterator[tuple[str, int]]:
    """Give the code and status of every example of a problem in a document."""
    if isinstance(node, dict):
        if str(node.get("type", "")).startswith("/problems/"):
            yield node["code"], node["status"]
        for child in node.values():
            yield from _documented(child)
    elif isinstance(node, list):
        for child in node:
            yield from _documented(child)


def _documented_for_oauth(described: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Give the error and status of every example under ``/oauth2/``, where errors have the form of RFC 6749."""
    for path, operations in described["paths"].items():
        for operation in operations.values() if path.startswith("/oauth2/") else ():
            for status, response in operation["responses"].items():
                for example in response.get("content", {}).get("application/json", {}).get("examples", {}).values():
                    yield example["value"]["error"], int(status)


def _modules_of(package: str) -> Iterator[str]:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations
    root = Path(next(iter(spec.submodule_search_locations)))
    for path in root.rglob("*.py"):
        if path.name != "__main__.py":
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join((package, *(part for part in parts if part != "__init__")))


def _raised_in(module_name: str) -> Iterator[type[Problem]]:
    """Give the problems that a module raises, makes or defines."""
    module = importlib.import_module(module_name)
    assert module.__file__
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        names: list[ast.expr | str | None] = []
        if isinstance(node, ast.Raise):
            names = [node.exc.func if isinstance(node.exc, ast.Call) else node.exc]
        elif isinstance(node, ast.Call):
            names = [node.func]
        elif isinstance(node, ast.ClassDef):
            names = [node.name]
        for name in names:
            text = name.id if isinstance(name, ast.Name) else name
            found = getattr(module, text, None) if isinstance(text, str) else None
            if isinstance(found, type) and issubclass(found, Problem):
                yield found


def test_the_search_for_raised_problems_finds_them() -> None:
    """So the table above is not of nothing."""
    assert problems.InsufficientScope in set(_raised_in("shared.access.dependencies"))
    assert problems.HeadersTooLarge in set(_raised_in("shared.request_envelope"))
    example = json.loads(json.dumps(document("webhook_dispatcher")))
    assert ("webhook_disabled", 409) in set(_documented(example))
