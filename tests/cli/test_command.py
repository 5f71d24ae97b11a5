"""What every command shares: exit statuses, and errors without a traceback."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence

import pytest

from hpa_hier.cli.command import Parser, run
from hpa_hier.errors import UserError


def _status(error: BaseException | None) -> int:
    def main(arguments: Sequence[str]) -> None:
        if error is not None:
            raise error

    with pytest.raises(SystemExit) as end:
        run(main)
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_command_that_returns_ends_with_status_0() -> None:
    assert _status(None) == 0


def test_a_users_mistake_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert _status(UserError("labels.csv:3: label 99 is unknown; give it a leaf")) == 2
    assert capsys.readouterr().err == "error: labels.csv:3: label 99 is unknown; give it a leaf\n"


@pytest.mark.parametrize(
    ("number", "cure"), [(errno.ENOSPC, "make room"), (errno.EEXIST, "in the way"), (errno.ENAMETOOLONG, "shorter")]
)
def test_what_the_system_refuses_names_the_file_and_a_cure(
    number: int, cure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _status(OSError(number, os.strerror(number), "out/pack")) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: out/pack: {os.strerror(number)}; ")
    assert cure in said


def test_a_wrong_flag_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        Parser("report", "Draw.").parse_args(["--colour"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said == ("error: unrecognized arguments: --colour; python -m hpa_hier.report --help lists what there is\n")


def test_ctrl_c_ends_with_status_130() -> None:
    assert _status(KeyboardInterrupt()) == 130


def test_a_bug_keeps_its_traceback() -> None:
    def main(arguments: Sequence[str]) -> None:
        raise OSError(errno.EBADF, "a file that this program closed too early")

    with pytest.raises(OSError, match="closed too early"):
        run(main)


def test_no_control_character_of_a_name_is_printed_and_colours_are(capsys: pytest.CaptureFixture[str]) -> None:
    def main(_: object) -> int:
        print("wrote out\x1b[2J\x9b1A\r/a.csv:\t\x1b[31m3\x1b[0m images", flush=True)
        return 0

    with pytest.raises(SystemExit) as ended:
        run(main)
    assert ended.value.code == 0
    assert capsys.readouterr().out == "wrote out\\x1b[2J\\x9b1A\\r/a.csv:\t\x1b[31m3\x1b[0m images\n"
