"""Benchmarks: figures for a person to read, each measured beside what it is compared with. `make bench` runs them."""
