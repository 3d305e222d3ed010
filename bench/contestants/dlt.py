"""What a user would pick instead: dlt, its REST source with offset pages, its PostgreSQL destination.

Runs in bench/out/dlt, an environment of its own, which knows nothing of ours.
"""

import json
import sys
import time

import dlt
from dlt.sources.rest_api import rest_api_source

FIELDS_ARE = "all"


def main(source: str, server: str) -> None:
    """Loads the incident table once into a schema of its own."""
    begun = time.monotonic()
    pipeline = dlt.pipeline(
        pipeline_name=f"bench_{int(begun)}",
        destination=dlt.destinations.postgres(server.replace("postgresql+asyncpg", "postgresql")),
        dataset_name=f"dlt_{int(begun)}",
    )
    incidents = rest_api_source(
        {
            "client": {
                "base_url": f"{source}/api/now/table/",
                "auth": {"type": "http_basic", "username": "integration", "password": "simulator-password"},
                "paginator": {
                    "type": "offset",
                    "limit": 1000,
                    "offset_param": "sysparm_offset",
                    "limit_param": "sysparm_limit",
                    "total_path": None,
                    "stop_after_empty_page": True,
                },
            },
            "resources": [
                {
                    "name": "incident",
                    "endpoint": {
                        "path": "incident",
                        "data_selector": "result",
                        "params": {"sysparm_display_value": FIELDS_ARE, "sysparm_query": "ORDERBYsys_id"},
                    },
                    "max_table_nesting": 0,
                }
            ],
        }
    )
    pipeline.run(incidents)
    print(json.dumps({"wall": time.monotonic() - begun}))


if __name__ == "__main__":
    main(*sys.argv[1:])
