"""A server that answers every request with the bytes it is told, and remembers what it was sent."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
    """A whole HTTP/1.1 response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class RawServer:
    """Where it listens, what it says, and the request heads it got."""

    port: int = 0
    respond: bytes | Answer = field(default_factory=answer)
    heads: list[str] = field(default_factory=list)
    sni: list[str | None] = field(default_factory=list)
    connections: int = 0
    still_open: int = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.still_open += 1
        try:
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
                if isinstance(self.respond, bytes):
                    writer.write(self.respond)
                    await writer.drain()
                else:
                    await self.respond(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.still_open -= 1
            writer.close()


@asynccontextmanager
async def raw_server(tls: ssl.SSLContext | None = None, **given: bytes | Answer) -> AsyncIterator[RawServer]:
    """Listens on a free port of loopback."""
    state = RawServer(**given)  # type: ignore[arg-type]
    if tls is not None:
        tls.sni_callback = lambda _, name, __: state.sni.append(name)
    listener = await asyncio.start_server(state._serve, "127.0.0.1", 0, ssl=tls)
    state.port = listener.sockets[0].getsockname()[1]
    try:
        yield state
    finally:
        listener.close()


def make_certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """A self-signed certificate and its key, as PEM files, for the given names and addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    general = [x509.IPAddress(ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in names]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(general), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "cert.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file
