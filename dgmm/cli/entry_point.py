"""From arguments to an exit code; every error of every command becomes one here."""

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
from dgmm.cli.streams import close_broken, open_missing, print_line
from dgmm.cli.utf8_mode import restart_in_utf8_mode
from dgmm.exit_codes import ExitCode


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit with its code."""
    if arguments is None:
        restart_in_utf8_mode()
    open_missing()
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code. The last line on stderr is its status and reason."""
    invocation = Invocation()
    try:
        with stopped_by_signals():
            status = _invoke(arguments, invocation)
    except click.exceptions.Exit as end:  # --help and --version
        status = ExitStatus(ExitCode(end.exit_code))
    except click.UsageError as error:
        status = _usage(error)
    except BaseException as error:  # noqa: BLE001 - the one place where an error becomes an exit code
        if os.environ.get("DGMM_TRACEBACK") == "1":
            print_line(traceback.format_exc(), sys.stderr)
        status = exit_status_of(error, invocation)
    for line in status.lines():
        print_line(line, sys.stderr)
    close_broken()
    return int(status.exit_code)


def _invoke(arguments: Sequence[str], invocation: Invocation) -> ExitStatus:
    """click without its own `main`, which turns EOFError into an abort and EPIPE into exit 1."""
    context = commands.make_context("dgmm", list(arguments), obj=invocation)
    with context:
        status = commands.invoke(context)
    return status if isinstance(status, ExitStatus) else ExitStatus(ExitCode.DONE)


def _usage(error: click.UsageError) -> ExitStatus:
    usage = "dgmm --help shows the commands"
    if error.ctx is not None:
        usage = f"{error.ctx.get_usage()}\n{error.ctx.command_path} --help shows the options"
    return ExitStatus(ExitCode.USAGE, "failed", f"{error.format_message()}\n{usage}")
