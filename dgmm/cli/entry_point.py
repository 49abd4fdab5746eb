"""From the words of the command line to an exit code; every end of every command passes here."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from dgmm.cli.commands import commands
from dgmm.cli.exit_status import ExitStatus, Invocation, exit_status_of
from dgmm.cli.signals import stopped_by_signals
from dgmm.cli.streams import close_broken, open_missing, say
from dgmm.cli.utf8_mode import restart_in_utf8_mode
from dgmm.errors import ExitCode


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code."""
    if arguments is None:
        restart_in_utf8_mode()
    open_missing()
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. stderr ends with the line that says how it ended."""
    invocation = Invocation()
    try:
        with stopped_by_signals():
            ending = _invoke(arguments, invocation)
    except click.exceptions.Exit as end:  # --help and --version
        ending = ExitStatus(ExitCode(end.exit_code))
    except click.UsageError as error:
        ending = _usage(error)
    except BaseException as error:  # noqa: BLE001 - the one place where an error becomes an exit code
        if os.environ.get("DGMM_TRACEBACK") == "1":
            say(traceback.format_exc(), sys.stderr)
        ending = exit_status_of(error, invocation)
    for line in ending.lines():
        say(line, sys.stderr)
    close_broken()
    return int(ending.exit_code)


def _invoke(arguments: Sequence[str], invocation: Invocation) -> ExitStatus:
    """click without its own `main`, which turns EOFError into an abort and EPIPE into exit 1."""
    context = commands.make_context("dgmm", list(arguments), obj=invocation)
    with context:
        ending = commands.invoke(context)
    return ending if isinstance(ending, ExitStatus) else ExitStatus(ExitCode.DONE)


def _usage(error: click.UsageError) -> ExitStatus:
    usage = "dgmm --help shows the commands"
    if error.ctx is not None:
        usage = f"{error.ctx.get_usage()}\n{error.ctx.command_path} --help says more"
    return ExitStatus(ExitCode.USAGE, "failed", f"{error.format_message()}\n{usage}")
