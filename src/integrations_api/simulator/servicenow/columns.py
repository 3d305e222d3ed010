"""The data dictionary: which tables have which columns, and what their codes are called."""

from enum import StrEnum

from msgspec import Struct


class Kind(StrEnum):
    """How a column's values compare and how they are displayed."""

    STRING = "string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE_TIME = "glide_date_time"
    DURATION = "glide_duration"
    REFERENCE = "reference"
    CHOICE = "choice"
    JOURNAL = "journal"


class Column(Struct, frozen=True):
    """One column; `reference` names the table that a reference points to."""

    name: str
    kind: Kind = Kind.STRING
    reference: str = ""


def _columns(**kinds: str) -> dict[str, Column]:
    """Columns from `name="kind"` or `name="reference:table"`."""
    return {name: Column(name, Kind(kind.partition(":")[0]), kind.partition(":")[2]) for name, kind in kinds.items()}


_SYSTEM = _columns(
    sys_id="string",
    sys_created_on="glide_date_time",
    sys_created_by="string",
    sys_updated_on="glide_date_time",
    sys_updated_by="string",
    sys_mod_count="integer",
)

INCIDENT = _SYSTEM | _columns(
    active="boolean",
    activity_due="glide_date_time",
    approval="choice",
    assigned_to="reference:sys_user",
    assignment_group="reference:sys_user_group",
    business_duration="glide_duration",
    business_service="reference:cmdb_ci_service",
    business_stc="integer",
    calendar_duration="glide_duration",
    calendar_stc="integer",
    caller_id="reference:sys_user",
    category="choice",
    cause="string",
    caused_by="reference:change_request",
    child_incidents="integer",
    close_code="choice",
    close_notes="string",
    closed_at="glide_date_time",
    closed_by="reference:sys_user",
    cmdb_ci="reference:cmdb_ci",
    comments="journal",
    comments_and_work_notes="journal",
    contact_type="choice",
    correlation_id="string",
    description="string",
    due_date="glide_date_time",
    escalation="choice",
    hold_reason="choice",
    impact="choice",
    incident_state="choice",
    knowledge="boolean",
    location="reference:cmn_location",
    made_sla="boolean",
    notify="choice",
    number="string",
    opened_at="glide_date_time",
    opened_by="reference:sys_user",
    parent_incident="reference:incident",
    priority="choice",
    problem_id="reference:problem",
    reassignment_count="integer",
    reopen_count="integer",
    resolved_at="glide_date_time",
    resolved_by="reference:sys_user",
    rfc="reference:change_request",
    service_offering="reference:cmdb_ci_service",
    severity="choice",
    short_description="string",
    sla_due="glide_date_time",
    state="choice",
    subcategory="choice",
    sys_class_name="string",
    sys_domain="reference:domain",
    upon_approval="choice",
    upon_reject="choice",
    urgency="choice",
    u_business_unit="string",
    watch_list="string",
    work_notes="journal",
)

_NAMED = _SYSTEM | _columns(name="string", active="boolean")

TABLES: dict[str, dict[str, Column]] = {
    "incident": INCIDENT,
    "ar_incident": INCIDENT | _columns(sys_archived="glide_date_time"),
    "sys_user": _NAMED
    | _columns(
        user_name="string", email="string", title="string", department="string", vip="boolean", time_zone="string"
    ),
    "sys_user_group": _NAMED | _columns(description="string", manager="reference:sys_user"),
    "cmdb_ci": _NAMED | _columns(ip_address="string", sys_class_name="string"),
    "cmdb_ci_service": _NAMED | _columns(busines_criticality="string"),
    "cmn_location": _NAMED | _columns(city="string", country="string"),
    "problem": _SYSTEM | _columns(number="string", short_description="string", state="choice"),
    "change_request": _SYSTEM | _columns(number="string", short_description="string"),
    "sys_choice": _SYSTEM
    | _columns(
        name="string",
        element="string",
        value="string",
        label="string",
        sequence="integer",
        inactive="boolean",
        language="string",
        dependent_value="string",
    ),
    "sys_journal_field": _SYSTEM | _columns(element="string", element_id="string", name="string", value="string"),
    "sys_audit_delete": _SYSTEM
    | _columns(tablename="string", documentkey="string", display_value="string", undeleted="boolean"),
    "sys_audit": _SYSTEM
    | _columns(
        tablename="string",
        documentkey="string",
        fieldname="string",
        oldvalue="string",
        newvalue="string",
        user="string",
        reason="string",
    ),
    "sys_db_object": _SYSTEM | _columns(name="string", label="string"),
    "sys_properties": _SYSTEM | _columns(name="string", value="string"),
}

TABLE_LABELS = {"incident": "Incident", "problem": "Problem", "sys_user": "User", "sys_user_group": "Group"}

DISPLAY_COLUMNS = {"incident": "number", "ar_incident": "number", "problem": "number", "change_request": "number"}
"""Which column stands for a row when another row refers to it; `name` where nothing else is said."""

STATES = {"1": "New", "2": "In Progress", "3": "On Hold", "6": "Resolved", "7": "Closed", "8": "Canceled"}

CHOICES: dict[str, dict[str, str]] = {
    "state": STATES,
    "incident_state": STATES,
    "impact": {"1": "1 - High", "2": "2 - Medium", "3": "3 - Low"},
    "urgency": {"1": "1 - High", "2": "2 - Medium", "3": "3 - Low"},
    "priority": {"1": "1 - Critical", "2": "2 - High", "3": "3 - Moderate", "4": "4 - Low", "5": "5 - Planning"},
    "severity": {"1": "1 - High", "2": "2 - Medium", "3": "3 - Low"},
    "category": {
        "inquiry": "Inquiry / Help",
        "software": "Software",
        "hardware": "Hardware",
        "network": "Network",
        "database": "Database",
    },
    "subcategory": {
        "antivirus": "Antivirus",
        "email": "Email",
        "internal application": "Internal Application",
        "os": "Operating System",
        "disk": "Disk",
        "printer": "Printer",
        "telephone": "Telephone",
        "dhcp": "DHCP",
        "dns": "DNS",
        "vpn": "VPN",
        "wireless": "Wireless",
        "oracle": "Oracle",
    },
    "contact_type": {
        "email": "Email",
        "phone": "Phone",
        "self-service": "Self-service",
        "monitoring": "Monitoring",
        "walk-in": "Walk-in",
    },
    "close_code": {
        code: code
        for code in (
            "Solution provided",
            "Workaround provided",
            "Resolved by caller",
            "Known error",
            "Duplicate",
            "User error",
            "No resolution provided",
        )
    },
    "hold_reason": {"1": "Awaiting Caller", "3": "Awaiting Problem", "4": "Awaiting Vendor", "5": "Awaiting Change"},
    "escalation": {"0": "Normal", "1": "Moderate", "2": "High", "3": "Overdue"},
    "approval": {"not requested": "Not Yet Requested"},
    "notify": {"1": "Do Not Notify"},
    "upon_approval": {"proceed": "Proceed to Next Task"},
    "upon_reject": {"cancel": "Cancel all future Tasks"},
}
"""Code to label per column, as `sys_choice` has them; a code without a label is shown as itself."""


def display_column(table: str) -> str:
    return DISPLAY_COLUMNS.get(table, "name")
