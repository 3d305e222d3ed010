"""What the oauth room writes on the wire."""

from typing import Annotated

from pydantic import ConfigDict, Field

from integrations_api.api.envelope import Success, Timestamp


class AuthorizeAnswer(Success):
    """Where somebody signs in at the service, so that the integration gets access."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "success": True,
                "authorize_url": "https://dev12345.service-now.com/oauth_auth.do?response_type=code&client_id=…&state=…",
                "redirect_uri": "https://api.example.com/integrations/oauth/callback",
                "expires_at": "2026-03-01T10:40:00Z",
            }
        }
    )

    authorize_url: Annotated[str, Field(description="Open it in a browser, as whom the service is to give access for")]
    redirect_uri: Annotated[str, Field(description="What has to be registered at the service, to the letter")]
    expires_at: Timestamp
