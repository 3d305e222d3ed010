"""Generated incidents: always the same, and like a help desk's."""

import re
from collections import Counter

from integrations_api.simulator.company.catalogue import THEMES
from integrations_api.simulator.company.people import PEOPLE, Values
from integrations_api.simulator.company.words import SLOTS, Words
from integrations_api.simulator.servicenow import ManualClock, ServiceNowInstance, evolve
from integrations_api.simulator.servicenow.columns import CHOICES, INCIDENT, Kind
from integrations_api.simulator.servicenow.incidents import GENERATED_UNTIL, IncidentGenerator


def everything(instance: ServiceNowInstance) -> list[tuple[Values, list[object]]]:
    return [(dict(instance.row(each).values), list(instance.journal(each))) for each in instance.sys_ids()]


def test_the_same_count_and_seed_make_the_same_incidents_whatever_is_read_first() -> None:
    first = ServiceNowInstance.with_incidents(50, seed=3, clock=ManualClock())
    second = ServiceNowInstance.with_incidents(50, seed=3, clock=ManualClock())
    for sys_id in reversed(second.sys_ids()):
        second.journal(sys_id)

    assert everything(first) == everything(second)


def test_another_seed_makes_others() -> None:
    assert (
        ServiceNowInstance.with_incidents(50, seed=3).sys_ids()
        != ServiceNowInstance.with_incidents(50, seed=4).sys_ids()
    )


def test_ids_are_32_hex_digits_that_do_not_sort_like_the_numbers() -> None:
    rows = ServiceNowInstance.with_incidents(300).listing(("sys_id", "number"))

    assert all(re.fullmatch("[0-9a-f]{32}", row["sys_id"]) for row in rows)
    assert sorted(row["number"] for row in rows) == [f"INC{n:07d}" for n in range(10_001, 10_301)]
    assert [row["number"] for row in rows] != sorted(row["number"] for row in rows)


def test_times_are_ordered_and_end_before_the_stated_instant() -> None:
    generator = IncidentGenerator(400)

    for index in range(400):
        values, journal = generator.told(index)
        moments = [values["sys_created_on"], values.get("resolved_at", ""), values.get("closed_at", "")]
        known = [moment for moment in moments if moment]
        assert known == sorted(known)
        assert values["sys_created_on"] <= values["sys_updated_on"] <= GENERATED_UNTIL
        assert [entry.at for entry in journal] == sorted(entry.at for entry in journal)


def test_numbers_follow_the_order_of_creation() -> None:
    generator = IncidentGenerator(400)
    created = [generator.times(index)[0] for index in range(400)]

    assert created == sorted(created)


def test_states_and_their_fields_agree() -> None:
    generator = IncidentGenerator(2_000)
    states: Counter[str] = Counter()
    for index in range(2_000):
        values, _ = generator.told(index)
        states[values["state"]] += 1
        assert ("close_code" in values) == (values["state"] in ("6", "7"))
        assert (values["active"] == "false") == (values["state"] in ("7", "8"))

    assert set(states) >= {"1", "2", "6", "7", "8"}
    assert states["7"] > 1_000


def test_every_value_belongs_to_a_column_and_every_code_has_a_label() -> None:
    generator = IncidentGenerator(2_000)
    for index in range(0, 2_000, 3):
        for name, value in generator.told(index)[0].items():
            if value and INCIDENT[name].kind is Kind.CHOICE:
                assert value in CHOICES[name]


def test_every_text_of_the_catalogue_can_be_told() -> None:
    slots = set()
    for theme in THEMES:
        for problem in theme.problems:
            for texts in (problem.titles, problem.details, problem.notes, problem.comments, problem.fixes):
                slots |= set(re.findall(r"\{(\w+)\}", " ".join(texts)))

    assert slots <= set(SLOTS)
    assert all(Words("x")[slot] for slot in SLOTS)


def test_texts_vary_while_recurring_problems_share_their_words() -> None:
    rows = ServiceNowInstance.with_incidents(3_000).listing(("short_description", "description"))

    assert len({row["short_description"] for row in rows}) > 1_000
    assert len({row["description"] for row in rows}) > 2_000
    assert sum("VPN" in row["short_description"] for row in rows) > 40
    assert sum("\n" in row["description"] for row in rows) > 800


def test_people_have_names_of_their_own() -> None:
    assert len({person["user_name"] for person in PEOPLE}) == len(PEOPLE)


def test_evolving_changes_the_desk_the_same_way_each_time() -> None:
    first = ServiceNowInstance.with_incidents(300, clock=ManualClock())
    second = ServiceNowInstance.with_incidents(300, clock=ManualClock())

    done = evolve(first, 200, seed=5)
    evolve(second, 200, seed=5)

    assert everything(first) == everything(second)
    assert sum(done.values()) == 200
    assert {"new", "note", "resolve", "delete"} <= set(done)
    assert first.listing(("sys_updated_on",)) != ServiceNowInstance.with_incidents(300).listing(("sys_updated_on",))


def test_what_filters_see_of_an_unread_incident_is_what_readers_get() -> None:
    generator = IncidentGenerator(500)

    for index in range(500):
        values = generator.told(index)[0]
        assert generator.facts(index).items() <= values.items()
