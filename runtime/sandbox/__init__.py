"""The walls around a job of the process backend.

`filter` makes the system-call filter, `command` the bubblewrap command, `probe` finds out what this machine can do. The
supervisor runs outside the sandbox, detached from the server, one per job: `supervisor`, `cage`, `cgroups`, `tree`, `log` and
`identity` are imported by a bare interpreter at each job's start, so they use the standard library only, and little of it.
"""
