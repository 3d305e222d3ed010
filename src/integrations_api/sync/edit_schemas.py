"""What an edit that is not stored would do, on the wire."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from integrations_api.api.envelope import Success
from integrations_api.connectors.records import Mode
from integrations_api.sync.schemas import PreviewedIncident
from integrations_api.sync.trial import EditPreview, Effect


class EffectOnTheWire(BaseModel):
    """A record as it is stored, and as it would be."""

    number: str | None
    external_id: str
    before: PreviewedIncident | None = Field(description="As the head has it; null for one that is not stored.")
    after: PreviewedIncident
    fields: list[str] = Field(description="Fields in which the two differ, such as `attributes.u_store`.")

    @classmethod
    def of(cls, effect: Effect) -> "EffectOnTheWire":
        """Shapes what an edit would make of one record."""
        after = PreviewedIncident.of(effect.after)
        before = None if effect.before is None else PreviewedIncident.model_validate({**effect.before, **_NOT_REJECTED})
        number = after.number or (before.number if before else None)
        return cls(number=number, external_id=after.external_id, before=before, after=after, fields=list(effect.fields))


_NOT_REJECTED = {"rejection": None}

EDIT_EXAMPLE: dict[str, Any] = {
    "service_name": "ServiceNow",
    "auth_type": "basic_auth",
    "config": {
        "url": "https://dev12345.service-now.com",
        "username": "admin",
        "password": "********",
        "fields": ["u_store", {"name": "u_details", "to": "text"}],
    },
    "is_active": True,
}

_BEFORE: dict[str, Any] = {
    "number": "INC0010001",
    "external_id": "9bc030dabd468446b0bab2142803aa77",
    "title": "No address from DHCP on floor 3 at Osaka",
    "text": "Laptops on floor 3 get an address beginning with 169.254.",
    "notes": [],
    "attributes": {"state": "Closed", "state_code": "7"},
    "url": "https://dev12345.service-now.com/incident.do?sys_id=9bc030dabd468446b0bab2142803aa77",
    "source_updated_at": "2025-01-30T13:20:02Z",
    "rejection": None,
}
_AFTER = {**_BEFORE, "attributes": {"state": "Closed", "state_code": "7", "u_store": "Osaka 2"}}


class EditPreviewAnswer(Success):
    """What an edit would make of stored incidents."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "success": True,
                    "mode": "full",
                    "to_read": 2024,
                    "notes": [],
                    "incidents": [
                        {
                            "number": "INC0010001",
                            "external_id": "9bc030dabd468446b0bab2142803aa77",
                            "before": _BEFORE,
                            "after": _AFTER,
                            "fields": ["attributes.u_store"],
                        }
                    ],
                }
            ]
        }
    )

    mode: Mode = Field(description="How the first sync after the edit would read: `full` where the source is another.")
    to_read: int | None = Field(description="Records a full sync would read; null where the source cannot count.")
    notes: list[str]
    incidents: list[EffectOnTheWire]

    @classmethod
    def of(cls, preview: EditPreview) -> "EditPreviewAnswer":
        """Shapes a preview."""
        return cls(
            mode=preview.mode,
            to_read=preview.to_read,
            notes=list(preview.notes),
            incidents=[EffectOnTheWire.of(effect) for effect in preview.effects],
        )
