"""Connect service-management systems; keep their incidents in a versioned knowledge base in PostgreSQL."""

from importlib.metadata import version

__version__ = version("integrations-api")
