"""The version of i2i and its name on package indexes, said once."""

__version__ = "0.1.0"
DISTRIBUTION = "i2i-toolkit"
"""i2i belongs to another project there."""
