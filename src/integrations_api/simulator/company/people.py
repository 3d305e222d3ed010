"""The company: people, groups, places, services, machines. The same for every seed."""

from integrations_api.simulator.common.dice import Dice
from integrations_api.simulator.common.dice import hex_id_for as sys_id_for

Values = dict[str, str]

GROUPS = (
    "Service Desk",
    "Messaging",
    "Collaboration",
    "Network",
    "Identity and Access",
    "Security Operations",
    "Workplace Services",
    "Business Applications",
    "HR Systems",
    "Database Administration",
    "Server Operations",
)
TEAMS = (
    "Accounting",
    "Sales",
    "Purchasing",
    "Logistics",
    "Marketing",
    "Controlling",
    "Production",
    "Legal",
    "Research",
    "Customer Care",
    "Human Resources",
)
SITES = (
    "Hamburg",
    "Lyon",
    "Porto",
    "Leeds",
    "Gdansk",
    "Turin",
    "Utrecht",
    "Austin",
    "Toronto",
    "Pune",
    "Osaka",
    "Cork",
)
COUNTRIES = (
    "Germany",
    "France",
    "Portugal",
    "United Kingdom",
    "Poland",
    "Italy",
    "Netherlands",
    "United States",
    "Canada",
    "India",
    "Japan",
    "Ireland",
)
SERVICES = (
    "Corporate Mail",
    "Mail Gateway",
    "Team Meetings",
    "Room Booking",
    "Telephony",
    "Remote Access VPN",
    "Single Sign-On",
    "Directory Service",
    "File Services",
    "Endpoint Protection",
    "Client Computing",
    "Print Services",
    "Office Wireless",
    "ERP Finance",
    "ERP Logistics",
    "Payroll",
    "Time Recording",
    "CRM",
    "Reporting",
    "Oracle Production",
    "SQL Server Cluster",
    "PostgreSQL Platform",
    "Office Network",
    "Data Centre Network",
    "Web Shop",
    "Backup",
    "Monitoring",
)
FIRST_NAMES = (
    "Ana",
    "Bram",
    "Chiara",
    "Dilan",
    "Elif",
    "Fatou",
    "Goran",
    "Hana",
    "Ines",
    "Jonas",
    "Kavya",
    "Liam",
    "Mei",
    "Noor",
    "Oskar",
    "Priya",
    "Quentin",
    "Rosa",
    "Søren",
    "Tomasz",
    "Uma",
    "Viktor",
    "Wanda",
    "Ximena",
    "Yusuf",
    "Zoë",
)
LAST_NAMES = (
    "Almeida",
    "Becker",
    "Conti",
    "Dubois",
    "Eriksen",
    "Farkas",
    "Greco",
    "Hughes",
    "Ito",
    "Jansen",
    "Kowalska",
    "Lindqvist",
    "Moreau",
    "Nakamura",
    "O'Brien",
    "Pereira",
    "Quist",
    "Rossi",
    "Sharma",
    "Tanaka",
    "Ueda",
    "Varga",
    "Weber",
    "Yilmaz",
)
AGENT_COUNT = 44
CALLER_COUNT = 240


def _person(index: int) -> Values:
    dice = Dice(f"person:{index}")
    first, last = (
        FIRST_NAMES[index % len(FIRST_NAMES)],
        LAST_NAMES[(index // len(FIRST_NAMES) + index % len(FIRST_NAMES) * 5) % len(LAST_NAMES)],
    )
    user_name = f"{first}.{last}".lower().replace("'", "").replace("ø", "o").replace("ë", "e")
    return {
        "sys_id": sys_id_for("sys_user", index),
        "name": f"{first} {last}",
        "user_name": user_name,
        "email": f"{user_name}@example.com",
        "title": "Support Engineer" if index < AGENT_COUNT else "Employee",
        "department": "Information Technology" if index < AGENT_COUNT else dice.pick(TEAMS),
        "active": "true",
        "vip": "true" if dice.percent(3) else "false",
    }


def _named(table: str, names: tuple[str, ...], **more: str) -> list[Values]:
    return [{"sys_id": sys_id_for(table, name), "name": name, "active": "true", **more} for name in names]


def _hosts() -> list[Values]:
    kinds = ("app", "db", "mx", "fs", "gw", "sw", "prn", "web")
    return [
        {
            "sys_id": sys_id_for("cmdb_ci", index),
            "name": f"{kinds[index % len(kinds)]}-{SITES[index % len(SITES)].lower()[:3]}-{index + 1:02d}",
            "ip_address": f"10.{index % 16 + 20}.{index * 3 % 250}.{index * 7 % 250 + 2}",
            "sys_class_name": "cmdb_ci_server",
            "active": "true",
        }
        for index in range(48)
    ]


PEOPLE: tuple[Values, ...] = tuple(_person(index) for index in range(AGENT_COUNT + CALLER_COUNT))
AGENTS = PEOPLE[:AGENT_COUNT]
CALLERS = PEOPLE[AGENT_COUNT:]
AGENTS_OF: dict[str, tuple[Values, ...]] = {group: AGENTS[n :: len(GROUPS)] for n, group in enumerate(GROUPS)}
GROUP_ROWS = tuple(_named("sys_user_group", GROUPS))
SERVICE_ROWS = tuple(_named("cmdb_ci_service", SERVICES))
LOCATION_ROWS = tuple(
    {"sys_id": sys_id_for("cmn_location", site), "name": site, "city": site, "country": country, "active": "true"}
    for site, country in zip(SITES, COUNTRIES, strict=True)
)
HOST_ROWS = tuple(_hosts())
GROUP_ID = {row["name"]: row["sys_id"] for row in GROUP_ROWS}
SERVICE_ID = {row["name"]: row["sys_id"] for row in SERVICE_ROWS}
LOCATION_ID = {row["name"]: row["sys_id"] for row in LOCATION_ROWS}
