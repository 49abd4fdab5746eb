"""`dgmm inspect`: what a path holds, as comments, and a job file that runs on it as it is.

`inspect` is the entry; `descriptions` has a function for each kind of content, `quick_look` opens
the rows that a job would read and looks at a few, `job_text` writes the job.
"""
