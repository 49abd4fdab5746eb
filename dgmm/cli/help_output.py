"""`--help` and `--version`, said like everything else: nobody has to be able to read them."""

from __future__ import annotations

import sys

import click

from dgmm.cli.streams import say
from dgmm.version import __version__


def _show_help(context: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked and not context.resilient_parsing:
        say(context.get_help(), sys.stdout)
        context.exit()


def _show_version(context: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked and not context.resilient_parsing:
        say(f"dgmm, version {__version__}", sys.stdout)
        context.exit()


class Command(click.Command):
    """A command whose help goes where output goes, also where that cannot be written to."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Click's own option with another output."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


class CommandGroup(Command, click.Group):
    """Such commands."""

    command_class = Command


version_option = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version and exit.",
)
