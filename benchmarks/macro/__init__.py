"""End-to-end benchmarks: all peers of a scenario interleaved, on the same servers, in the same run."""
