"""`--help` and `--version`, printed as all output is: a closed or broken stdout is no error."""

from __future__ import annotations

import sys

import click

from dgmm.cli.streams import print_line
from dgmm.version import __version__


def _show_help(context: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked and not context.resilient_parsing:
        print_line(context.get_help(), sys.stdout)
        context.exit()


def _show_version(context: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked and not context.resilient_parsing:
        print_line(f"dgmm, version {__version__}", sys.stdout)
        context.exit()


class Command(click.Command):
    """A command whose help is printed with `print_line`, which survives a closed stdout."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Click's own option with another callback."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


class CommandGroup(Command, click.Group):
    """A group of such commands."""

    command_class = Command


version_option = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
