"""The command line: words to jobs, ends to exit codes. The only room that knows click and rich.

`main` is the console script. Nothing heavy is imported until a command needs it.
"""

from dgmm.cli.entry_point import main

__all__ = ["main"]
