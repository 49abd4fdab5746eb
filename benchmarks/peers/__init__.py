"""The libraries dgmm is compared with, each in a process and an environment of its own.

`environments` says which they are and makes their environments; `process` starts one and talks to
it. The other files run inside those environments: `serving` is the conversation's other end, and
`with_*` do EM the way each library does it. Those import NumPy, their library and nothing of dgmm.
"""
