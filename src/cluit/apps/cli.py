"""The command line: one of the commands, with its exit code."""

import functools
import os
import sys
import warnings
from contextlib import suppress
from typing import NoReturn

from cluit.apps import flags
from cluit.apps.commands import COMMANDS, SUMMARIES
from cluit.core.errors import UserError
from cluit.core.files import FULL
from cluit.core.release import release


def parse(argv: list[str]) -> functools.partial[None]:
    """The command that ``argv`` asks for, not yet run; see `flags.parse`."""
    return flags.parse(argv, COMMANDS, SUMMARIES)


def main(argv: list[str] | None = None) -> None:
    """Run a command and leave with its exit code; a user's mistake is one sentence and code 2.

    A reader that closes the pipe early, such as ``head``, ends the command without a word and with code 141,
    as SIGPIPE would.
    """
    argv = sys.argv[1:] if argv is None else argv
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell's >&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (for as long as the process lives)
    warnings.showwarning = lambda message, *_: say(f"warning: {message}")
    try:
        try:
            if argv == ["--version"]:
                print(f"cluit {release()}")
            else:
                parse(argv)()
        finally:
            sys.stdout.flush()
    except UserError as error:
        leave(2, str(error))
    except KeyboardInterrupt:
        leave(130, "interrupted")
    except BrokenPipeError:
        leave(141)
    except OSError as error:
        if error.filename is None and error.errno not in FULL:
            raise
        where = "the output" if error.filename is None else os.fsdecode(error.filename)
        leave(2, f"cannot use {where}: {error.strerror}; choose another place")


def say(text: str) -> None:
    """One line on standard error, or nothing where that is closed or full."""
    with suppress(OSError):
        print(f"cluit: {text}", file=sys.stderr)


def leave(code: int, text: str = "") -> NoReturn:
    """End with this exit code, whatever has become of the outputs."""
    if text:
        say(text)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # what is left unwritten would be tried again, and complained of, at the very end
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    raise SystemExit(code) from None
