"""jose, for the few things that tokens need of it. Apart, so that it is imported with the first token."""

from jose import jwk, jws, jwt
from jose.exceptions import JOSEError


class Signing:
    """Signs and verifies under one key and by one algorithm."""

    def __init__(self, key: bytes, algorithm: str) -> None:
        self._algorithm = algorithm
        self.key = jwk.construct(key, algorithm=algorithm)

    def sign(self, claims: dict[str, object]) -> str:
        """The token that says this."""
        return str(jwt.encode(claims, self.key, algorithm=self._algorithm))

    def header_of(self, token: str) -> dict[str, object]:
        """Raises `ValueError`."""
        try:
            return dict(jwt.get_unverified_header(token))
        except JOSEError as error:
            raise ValueError("no header") from error

    def verified(self, token: str) -> bytes:
        """The claims as they were signed, as text. Raises `ValueError`."""
        try:
            return bytes(jws.verify(token, self.key, algorithms=[self._algorithm]))
        except JOSEError as error:
            raise ValueError("not signed by us") from error
