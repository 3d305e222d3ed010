"""This release's number, as it was installed. Not in the package itself, for to look it up takes a part of a start."""

from importlib.metadata import version

__version__ = version("integrations-api")
