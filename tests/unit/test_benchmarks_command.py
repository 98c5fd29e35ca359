"""The command line of the benchmarks: what it runs, and what it refuses to run."""

import pytest

from benchmarks.run import BENCHMARKS, parse_names


def test_without_names_everything_runs() -> None:
    """All benchmarks are the default, and `--quick` is no name."""
    assert parse_names(["--quick"]) == (frozenset(BENCHMARKS), True)


def test_one_name_stands_for_all_of_verification() -> None:
    """`verify` runs whatever begins with it, and nothing else."""
    names, quick = parse_names(["verify"])
    assert names == {name for name in BENCHMARKS if name.startswith("verify_")}
    assert not quick


@pytest.mark.parametrize("arguments", [["throughputs"], ["--quik"], ["throughput", "foo"]])
def test_what_is_not_known_runs_nothing(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A name or an option that does not exist is refused, with the names that do."""
    with pytest.raises(SystemExit) as ended:
        parse_names(arguments)
    assert ended.value.code == 2
    assert "throughput" in capsys.readouterr().err or arguments == ["--quik"]


def test_help_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` names every benchmark and ends."""
    with pytest.raises(SystemExit) as ended:
        parse_names(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in BENCHMARKS)
