"""One file per peer: each runs as a worker process, see :mod:`benchmarks.macro.worker`."""
