"""The version of i2i, said once."""

__version__ = "0.1.0"
