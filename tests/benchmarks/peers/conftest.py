"""The peers are not installed where the tests run: nothing here is imported to look for doctests."""

collect_ignore_glob = ["*.py"]
