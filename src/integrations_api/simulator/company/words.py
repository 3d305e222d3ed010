"""The words that fill the braces of the catalogue's texts."""

from collections.abc import Callable
from hashlib import blake2b

from integrations_api.simulator.common.dice import SIXTEEN
from integrations_api.simulator.company import people

APPS = (
    "ERP Finance",
    "ERP Logistics",
    "CRM",
    "Payroll",
    "Web Shop",
    "Reporting",
    "Time Recording",
    "the intranet",
    "the ticket shop",
)
ERRORS = (
    "Timeout expired",
    "Access is denied (0x80070005)",
    "Connection reset by peer",
    "Internal error 5021",
    "Object is locked",
    "No authorisation for transaction",
    "Unknown host",
    "Certificate not trusted",
    "Out of memory",
    "Service unavailable",
    "Invalid session",
    "Disk quota exceeded",
    "Mailbox unavailable",
    "IRQL_NOT_LESS_OR_EQUAL",
    "Duplicate key",
)
DEVICES = ("Latitude 5540", "ThinkPad T14", "EliteBook 840", "Surface Laptop 5", "MacBook Pro 14", "Precision 3660")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
FLOORS = ("the ground floor", "floor 1", "floor 2", "floor 3", "floor 4", "floor 7")


class Words(dict[str, str]):
    """Words for one story. Each is chosen when a text first asks for it: a ticket needs a third of them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.numbers: tuple[int, ...] = SIXTEEN.unpack(blake2b(name.encode()).digest())

    def __missing__(self, slot: str) -> str:
        word = self[slot] = SLOTS[slot](self)
        return word


def _pick(choices: tuple[str, ...], position: int) -> Callable[[Words], str]:
    return lambda words: choices[words.numbers[position] % len(choices)]


def _host(words: Words) -> people.Values:
    return people.HOST_ROWS[words.numbers[0] % len(people.HOST_ROWS)]


def _version(words: Words) -> str:
    number = words.numbers[1]
    return f"{number % 23 + 2}.{number // 23 % 10}.{number // 230 % 30}"


def _time(words: Words) -> str:
    number = words.numbers[2]
    return f"{number % 12 + 7:02d}:{number // 12 % 12 * 5:02d}"


def _room(words: Words) -> str:
    number = words.numbers[3]
    return f"{'ABCD'[number % 4]}{number // 4 % 332 + 101}"


SLOTS: dict[str, Callable[[Words], str]] = {
    "app": _pick(APPS, 4),
    "count": lambda words: str(words.numbers[5] % 47 + 2),
    "device": _pick(DEVICES, 6),
    "digit": lambda words: str(words.numbers[7] % 10),
    "error": _pick(ERRORS, 8),
    "floor": _pick(FLOORS, 9),
    "host": lambda words: _host(words)["name"],
    "ip": lambda words: _host(words)["ip_address"],
    "month": _pick(MONTHS, 10),
    "person": lambda words: people.PEOPLE[words.numbers[11] % len(people.PEOPLE)]["name"],
    "printer": lambda words: f"PRN-{words['site'][:3].upper()}-{words.numbers[12] % 30 + 1:02d}",
    "room": _room,
    "site": _pick(people.SITES, 13),
    "team": _pick(people.TEAMS, 14),
    "time": _time,
    "version": _version,
    "weekday": _pick(WEEKDAYS, 15),
}
