"""Time passing in the help desk: plausible changes, one after another."""

from collections import Counter
from random import Random

from integrations_api.simulator.common.clock import ManualClock, stamp
from integrations_api.simulator.common.dice import Dice
from integrations_api.simulator.company import people
from integrations_api.simulator.company.catalogue import THEMES
from integrations_api.simulator.company.people import Values
from integrations_api.simulator.company.talk import ASIDES, REOPENINGS, REPLIES
from integrations_api.simulator.company.words import Words

from .incidents import CLOSE_CODES
from .instance import ServiceNowInstance

TRIES = 60
STEPS = ("new", "assign", "note", "comment", "reply", "hold", "resolve", "close", "reopen", "delete")
WEIGHTS = (14, 14, 24, 12, 8, 5, 12, 7, 2, 2)
SECONDS_BETWEEN = 45


def evolve(instance: ServiceNowInstance, steps: int, seed: int = 1) -> dict[str, int]:
    """Does `steps` changes and says how many of each kind.

    Deterministic for the same instance, steps and seed. A manual clock moves on between the steps; with the
    machine's clock all
    changes happen now.
    """
    random = Random(seed)
    done: Counter[str] = Counter()
    for _ in range(steps):
        if isinstance(instance.clock, ManualClock):
            instance.clock.advance(random.randint(1, 2 * SECONDS_BETWEEN))
        with instance.lock:
            done[_step(instance, random)] += 1
    return dict(done)


def _step(instance: ServiceNowInstance, random: Random) -> str:
    what = random.choices(STEPS, WEIGHTS)[0]
    sys_id = _find(instance, random, what)
    if what == "new" or sys_id is None:
        instance.create(_new_values(random))
        return "new"
    if what == "delete":
        instance.delete(sys_id)
        return what
    _change(instance, random, what, sys_id)
    return what


_STATES_FOR = {
    "assign": ("1", "2"),
    "note": ("2", "3", "1"),
    "comment": ("2", "3"),
    "reply": ("2", "3", "6"),
    "hold": ("2",),
    "resolve": ("2", "3", "1"),
    "close": ("6",),
    "reopen": ("6",),
    "delete": ("7", "8", "1"),
}


def _find(instance: ServiceNowInstance, random: Random, what: str) -> str | None:
    """A random incident in a state that the step fits; late tries take any, so that a closed-down desk still lives."""
    order = instance.incidents.order
    wanted = _STATES_FOR.get(what, ())
    for attempt in range(TRIES if order and wanted else 0):
        row = instance.incidents.rows[order[random.randrange(len(order))]]
        if row.get("state") in wanted or (attempt > TRIES // 2 and what in ("note", "comment")):
            return row.sys_id
    return None


def _change(instance: ServiceNowInstance, random: Random, what: str, sys_id: str) -> None:
    dice = Dice(f"evolve:{random.random()}")
    slots = Words(f"evolve:{random.random()}")
    agent = random.choice(people.AGENTS)
    group = random.choice([name for name, agents in people.AGENTS_OF.items() if agent in agents])
    now = stamp(instance.clock.now())
    changes: dict[str, Values] = {
        "assign": {
            "state": "2",
            "incident_state": "2",
            "assigned_to": agent["sys_id"],
            "assignment_group": people.GROUP_ID[group],
        },
        "hold": {"state": "3", "incident_state": "3", "hold_reason": random.choice("134")},
        "resolve": _resolution(random, agent, slots, now),
        "close": {
            "state": "7",
            "incident_state": "7",
            "active": "false",
            "closed_at": now,
            "closed_by": agent["sys_id"],
        },
        "reopen": {
            "state": "2",
            "incident_state": "2",
            "resolved_at": "",
            "resolved_by": "",
            "close_code": "",
            "close_notes": "",
            "reopen_count": "1",
        },
    }
    if what in ("note", "assign", "hold"):
        instance.work_note(sys_id, dice.pick(ASIDES).format_map(slots), by=agent["user_name"])
    elif what == "comment":
        problem = random.choice(random.choice(THEMES).problems)
        instance.comment(sys_id, dice.pick(problem.comments).format_map(slots), by=agent["user_name"])
    elif what in ("reply", "reopen"):
        texts = REPLIES if what == "reply" else REOPENINGS
        instance.comment(sys_id, dice.pick(texts).format_map(slots), by=random.choice(people.CALLERS)["user_name"])
    if what in changes:
        instance.update(sys_id, changes[what], by=agent["user_name"])


def _resolution(random: Random, agent: Values, slots: Values, now: str) -> Values:
    problem = random.choice(random.choice(THEMES).problems)
    return {
        "state": "6",
        "incident_state": "6",
        "resolved_at": now,
        "resolved_by": agent["sys_id"],
        "close_code": random.choice(CLOSE_CODES),
        "close_notes": random.choice(problem.fixes).format_map(slots),
    }


def _new_values(random: Random) -> Values:
    theme = random.choice(THEMES)
    problem = random.choice(theme.problems)
    slots = Words(f"evolve:{random.random()}")
    caller = random.choice(people.CALLERS)
    return {
        "short_description": random.choice(problem.titles).format_map(slots),
        "description": random.choice(problem.details).format_map(slots),
        "category": theme.category,
        "subcategory": theme.subcategory,
        "caller_id": caller["sys_id"],
        "opened_by": caller["sys_id"],
        "sys_created_by": caller["user_name"],
        "sys_updated_by": caller["user_name"],
        "business_service": people.SERVICE_ID[random.choice(theme.services)],
        "contact_type": "self-service",
    }
