"""The version of this package; what is below it may not import the package itself."""

__version__ = "0.1.0"
