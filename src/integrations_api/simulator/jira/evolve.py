"""Time passing at a site: plausible changes, one after another."""

from collections import Counter
from random import Random

from integrations_api.simulator.common.clock import ManualClock
from integrations_api.simulator.company import people
from integrations_api.simulator.company.catalogue import THEMES
from integrations_api.simulator.company.talk import ASIDES, REPLIES
from integrations_api.simulator.company.words import Words

from .issues import PROJECTS, RESOLUTIONS
from .site import JiraSite

STEPS = ("new", "assign", "note", "reply", "wait", "resolve", "close", "reopen", "move", "delete")
WEIGHTS = (16, 14, 22, 14, 6, 12, 6, 3, 4, 2)
SECONDS_BETWEEN = 45


def evolve(site: JiraSite, steps: int, seed: int = 1) -> dict[str, int]:
    """Does `steps` changes and says how many of each kind; the same for the same site, steps and seed.

    A manual clock moves on between the steps; with the machine's clock all changes happen now.
    """
    random = Random(seed)
    done: Counter[str] = Counter()
    for _ in range(steps):
        if isinstance(site.clock, ManualClock):
            site.clock.advance(random.randint(1, 2 * SECONDS_BETWEEN))
        with site.lock:
            done[_step(site, random)] += 1
    return dict(done)


def _step(site: JiraSite, random: Random) -> str:
    what = random.choices(STEPS, WEIGHTS)[0]
    if what == "new" or not site.issues:
        _create(site, random)
        return "new"
    issue_id = random.choice(list(site.issues))
    words = Words(f"jira-evolve:{random.random()}")
    agent = random.choice(people.AGENTS)["user_name"]
    match what:
        case "delete":
            site.delete(issue_id)
        case "move":
            site.move(issue_id, random.choice([key for key in PROJECTS if key != site.issues[issue_id].project]))
        case "note":
            site.comment(issue_id, random.choice(ASIDES).format_map(words), by=agent, is_public=False)
        case "reply":
            caller = random.choice(people.CALLERS)["user_name"]
            site.comment(issue_id, random.choice(REPLIES).format_map(words), by=caller)
        case "assign":
            site.update(issue_id, {"assignee": agent, "status": "In Progress", "resolution": "", "resolved": 0})
        case _:
            status = {"wait": "Waiting for customer", "resolve": "Resolved", "close": "Closed", "reopen": "Open"}[what]
            site.transition(issue_id, status, resolution=random.choice(list(RESOLUTIONS)))
    return what


def _create(site: JiraSite, random: Random) -> None:
    theme = random.choice(THEMES)
    problem = random.choice(theme.problems)
    words = Words(f"jira-evolve:{random.random()}")
    site.create(
        {
            "summary": random.choice(problem.titles).format_map(words),
            "description": random.choice(problem.details).format_map(words),
            "reporter": random.choice(people.CALLERS)["user_name"],
            "components": (random.choice(theme.services),),
        },
        project=random.choice(list(PROJECTS)),
    )
