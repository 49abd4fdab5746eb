"""What dgmm's speed is measured with, outside the package and outside the test suite.

Each benchmark is a module with `run(results)`: `passes` (one EM iteration), `fits` (a whole fit),
`disk` (out of core), `overhead` (beyond compute) and `scaling`. They measure with `measuring`, tell
`results`, and `goals` names what each number is held against. `peers` runs the libraries dgmm is
compared with, each in an environment of its own. `tables` and `picture` write the page and the
figure from what `results` saved.

    make bench                # all of it
    make bench WHAT=pass      # one part: pass, fit, disk, overhead, scale
"""
