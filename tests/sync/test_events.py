"""Events as values: what a batch names, and how it counts. Pure."""

import json

from integrations_api.sync import events


def test_batches_are_of_the_size_that_is_set_and_counted_on_over_chunks() -> None:
    numbers = [f"INC{n:03d}" for n in range(1, 12)]

    chunks = [
        events.batches(part, done=done, total=11, batch_size=4, noun="incidents")
        for done, part in ((0, numbers[:8]), (8, numbers[8:]))
    ]

    told = [json.loads(event.payload) for chunk in chunks for event in chunk]
    assert [number for batch in told for number in batch["incidents"]] == numbers
    assert [(one["batch"], one["totalBatches"], one["totalIncidents"], one["message"]) for one in told] == [
        (1, 3, 11, "Batch 1 of 3 processed (4 incidents)"),
        (2, 3, 11, "Batch 2 of 3 processed (4 incidents)"),
        (3, 3, 11, "Batch 3 of 3 processed (3 incidents)"),
    ]


def test_a_payload_is_compact_json_on_one_line_with_its_keys_in_order() -> None:
    payload = events.complete(integration={"b": "\n\r\x85\u2028\u2029é", "a": 1}, stats={}, held=True).payload

    assert payload == (
        '{"success":true,"integration":{"b":"\\n\\r\\u0085\\u2028\\u2029é","a":1},"stats":{},"held":true}'
    )
