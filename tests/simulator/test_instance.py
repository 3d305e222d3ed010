"""What people, scripts and administrators do to an instance."""

import threading

import pytest

from integrations_api.simulator.servicenow import ManualClock, ServiceNowInstance


def log(instance: ServiceNowInstance, table: str) -> list[tuple[str, str]]:
    rows = instance.tables[table].rows.values()
    return [(row.get("documentkey"), row.get("fieldname")) for row in rows]


def test_an_update_moves_the_stamp_and_counts(instance: ServiceNowInstance, clock: ManualClock) -> None:
    sys_id = instance.sys_ids()[0]
    before = int(instance.row(sys_id).get("sys_mod_count"))
    clock.advance(5)

    instance.update(sys_id, {"priority": "1"})

    row = instance.row(sys_id)
    assert (row.get("priority"), row.sys_updated_on) == ("1", "2026-03-02 09:00:05")
    assert int(row.get("sys_mod_count")) == before + 1


def test_a_script_may_change_a_row_without_moving_the_stamp(instance: ServiceNowInstance) -> None:
    sys_id = instance.sys_ids()[0]
    row = instance.row(sys_id)
    before = (row.sys_updated_on, row.get("sys_mod_count"))

    instance.update(sys_id, {"priority": "1"}, touch=False)

    assert row.get("priority") == "1"
    assert (row.sys_updated_on, row.get("sys_mod_count")) == before


def test_a_bulk_update_puts_all_rows_into_one_second(instance: ServiceNowInstance) -> None:
    instance.update_many(instance.sys_ids(), {"escalation": "1"})

    assert {row["sys_updated_on"] for row in instance.listing()} == {"2026-03-02 09:00:00"}


def test_a_note_updates_its_incident_and_joins_its_journal(instance: ServiceNowInstance) -> None:
    sys_id = instance.sys_ids()[0]
    before = len(instance.journal(sys_id))

    instance.work_note(sys_id, "Looked at it")
    instance.comment(sys_id, "Please wait")

    assert [entry.text for entry in instance.journal(sys_id)[before:]] == ["Looked at it", "Please wait"]
    assert instance.row(sys_id).sys_updated_on == "2026-03-02 09:00:00"


def test_a_created_incident_gets_the_next_number_and_an_id(instance: ServiceNowInstance) -> None:
    sys_id = instance.create({"short_description": "Help"})

    assert instance.row(sys_id).number == "INC0010061"
    assert instance.row(sys_id).sys_created_on == "2026-03-02 09:00:00"
    assert sys_id in instance.sys_ids()


@pytest.mark.parametrize(
    ("audit", "workflow", "lines"), [(True, True, (1, 1)), (True, False, (0, 1)), (False, True, (0, 0))]
)
def test_deletes_leave_more_or_fewer_traces(
    instance: ServiceNowInstance, audit: bool, workflow: bool, lines: tuple[int, int]
) -> None:
    sys_id = instance.sys_ids()[0]

    instance.delete(sys_id, audit=audit, workflow=workflow)

    assert sys_id not in instance.sys_ids()
    assert (len(log(instance, "sys_audit_delete")), len(log(instance, "sys_audit"))) == lines


def test_an_undeleted_incident_is_as_it_was_and_its_line_goes_unless_left_stale(instance: ServiceNowInstance) -> None:
    first, second = instance.sys_ids()[:2]
    before = instance.listing()
    for sys_id in (first, second):
        instance.delete(sys_id)

    instance.undelete(first)
    instance.undelete(second, keep_log=True)

    assert instance.listing() == before
    assert [key for key, _ in log(instance, "sys_audit_delete")] == [second]
    assert (first, "RECOVERED") in log(instance, "sys_audit")


def test_an_archived_incident_moves_to_the_archive_without_a_trace_in_the_logs(instance: ServiceNowInstance) -> None:
    sys_id = instance.sys_ids()[0]

    instance.archive(sys_id)

    assert sys_id not in instance.sys_ids()
    assert instance.sys_ids("ar_incident") == [sys_id]
    assert log(instance, "sys_audit_delete") == log(instance, "sys_audit") == []


def test_two_ids_that_differ_in_case_only_are_one(instance: ServiceNowInstance) -> None:
    sys_id = instance.sys_ids()[0]

    with pytest.raises(ValueError, match="already holds"):
        instance.create({"sys_id": sys_id.upper()})
    instance.rename(sys_id, sys_id.upper())

    assert instance.sys_ids()[0] == sys_id.upper()
    assert instance.row(sys_id).sys_id == sys_id.upper()


def test_what_is_not_there_is_a_key_error(instance: ServiceNowInstance) -> None:
    for change in (instance.update, instance.delete, instance.archive):
        with pytest.raises(KeyError):
            change("nothing")


def test_threads_may_change_it_at_the_same_time(instance: ServiceNowInstance) -> None:
    def work() -> None:
        for _ in range(100):
            instance.create()
            instance.update(instance.sys_ids()[0], {"priority": "1"})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(instance.sys_ids()) == len(set(instance.sys_ids())) == 460
