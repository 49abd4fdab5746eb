"""The command line: arguments to jobs, results to exit codes. The only package with click and rich.

`main` is the console script. `commands` has the commands, `exit_status` the exit code and the last
line on stderr, `progress` what is shown while a job runs, `signals` SIGTERM and Ctrl-C. Libraries
such as NumPy and Dask are imported only by the commands that need them.
"""

from dgmm.cli.entry_point import main

__all__ = ["main"]
