"""Sizes that keep the code readable, and a reason beside every exception from a rule."""

import ast
import io
import re
import tokenize

from support.source_tree import ROOT, SourceFile, all_files, line_count, service_files

FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 70
ROUTE_BODY_LINES_MAX = 10
HTTP_METHODS = {"get", "post", "put", "patch", "delete"}

# An ignore names its rule and is followed by words: "
_IGNORE = re.compile(r"#\s*(noqa|type:\s*ignore|pyright:\s*ignore|pragma:|fmt:\s*(off|skip))")
_REASONED = re.compile(
    r"#\s*noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*\s*[-(].{8,}"
    r"|#\s*type:\s*ignore\[[a-z-]+(, ?[a-z-]+)*\]\s*#.{8,}"
)


def test_files_are_short() -> None:
    """At most 300 lines."""
    found = {file.shown: lines for file in all_files() if (lines := file.text.count("\n")) > FILE_LINES_MAX}
    assert found == {}


def test_functions_are_short() -> None:
    """At most 70 lines."""
    found = {
        f"{file.shown}:{function.name}": line_count(function)
        for file in all_files()
        for function in file.functions()
        if line_count(function) > FUNCTION_LINES_MAX
    }
    assert found == {}


def test_route_bodies_are_short() -> None:
    """At most 10 lines after the docstring: a route parses, calls a service once, and answers."""
    found = {}
    for file in service_files():
        for function in file.functions():
            if _is_route(function) and (lines := _body_lines(function)) > ROUTE_BODY_LINES_MAX:
                found[f"{file.shown}:{function.name}"] = lines
    assert found == {}


def test_every_ignore_has_a_reason() -> None:
    """An exception from a rule names the rule and says why."""
    found = [
        f"{file.shown}:{line}: {comment}"
        for file in all_files()
        for line, comment in _comments(file)
        if _IGNORE.search(comment) and not _REASONED.search(comment)
    ]
    assert found == []


def test_every_configured_ignore_has_a_reason() -> None:
    """Each line of an ignore list in pyproject.toml ends with a comment."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    rules = re.findall(r'^\s+"[A-Z]+\d*",.*$', text, flags=re.MULTILINE)
    assert rules
    assert [rule for rule in rules if not re.search(r"# \S.{8,}", rule)] == []


def _is_route(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr in HTTP_METHODS
        for decorator in function.decorator_list
    )


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _comments(file: SourceFile) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(file.text).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
