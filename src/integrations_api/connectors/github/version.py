"""Which mapping made a document; apart from the mapping, which nobody needs before the first sync."""

MAPPING_VERSION = 2
"""Raised with every change of what `mapping.map_record` makes of the same issue."""
