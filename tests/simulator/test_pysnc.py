"""The simulator read by PySNC, a client that nobody here wrote. It insists on https and keeps cookies."""

import datetime as dt
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pysnc import ServiceNowClient
from pysnc.exceptions import AuthenticationException, RequestException, RoleException

from integrations_api.simulator.servicenow import Certificate, ServiceNowInstance, SimulatorServer
from tests.simulator.reading import AUTH


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "simulator")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    files = Certificate(folder / "certificate.pem", folder / "key.pem")
    files.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


@pytest.fixture
def secure(instance: ServiceNowInstance, certificate: Certificate) -> Iterator[SimulatorServer]:
    with SimulatorServer(instance, certificate=certificate) as running:
        yield running


def connect(server: SimulatorServer, certificate: Path, auth: tuple[str, str] = AUTH) -> Any:
    client = ServiceNowClient(server.url, auth, verify=str(certificate), auto_retry=False)
    # Proxies and certificate bundles of the machine's environment would come before what is said here.
    client.session.trust_env = False
    return client


@pytest.fixture
def snc(secure: SimulatorServer, certificate: Certificate) -> Iterator[Any]:
    client = connect(secure, certificate.certificate)
    yield client
    client.session.close()


def test_iterates_over_all_pages(snc: Any, instance: ServiceNowInstance) -> None:
    record = snc.GlideRecord("incident", batch_size=7)
    record.query()

    assert [row.get_value("sys_id") for row in record] == instance.sys_ids()
    assert record.get_row_count() == 60


def test_queries_sorts_and_limits(snc: Any) -> None:
    record = snc.GlideRecord("incident")
    record.add_query("active", "false")
    record.add_not_null_query("short_description")
    condition = record.add_query("priority", "4")
    condition.add_or_condition("priority", "5")
    record.order_by_desc("number")
    record.limit = 5
    record.query()

    numbers = [row.get_value("number") for row in record]
    assert len(numbers) == 5
    assert numbers == sorted(numbers, reverse=True)
    assert {row.get_value("priority") for row in record} <= {"4", "5"}


def test_gets_one_record_by_id_and_by_number(snc: Any, instance: ServiceNowInstance) -> None:
    sys_id = instance.sys_ids()[0]
    by_id, by_number, missing = (snc.GlideRecord("incident") for _ in range(3))

    assert by_id.get(sys_id)
    assert by_number.get("number", by_id.get_value("number"))
    assert by_number.get_value("sys_id") == sys_id
    assert not missing.get("0" * 32)


def test_reads_values_display_values_and_times(snc: Any, instance: ServiceNowInstance) -> None:
    sys_id = instance.create({"state": "3", "opened_at": "2026-01-15 12:00:00"})
    record = snc.GlideRecord("incident")
    record.get(sys_id)

    assert record.get_value("state") == "3"
    assert record.get_display_value("state") == "On Hold"
    assert record.get_display_value("caller_id") == instance.display_of("sys_user", record.get_value("caller_id"))
    assert record.opened_at.date_value() == dt.datetime(2026, 1, 15, 12, tzinfo=dt.UTC)
    assert record.get_display_value("opened_at") == "2026-01-15 04:00:00"


def test_reads_only_the_fields_asked_for_dotted_ones_too(snc: Any) -> None:
    record = snc.GlideRecord("incident")
    record.fields = ["number", "caller_id.name"]
    record.limit = 1
    record.query()

    assert record.next()
    assert set(record.fields) == {"sys_id", "number", "caller_id.name"}
    assert " " in record.get_value("caller_id.name")


def test_reads_journals(snc: Any, instance: ServiceNowInstance) -> None:
    sys_id = instance.create()
    instance.work_note(sys_id, "Looked at the mailbox")
    instance.grant("journal_reader")
    record = snc.GlideRecord("incident")
    record.get(sys_id)
    journal = snc.GlideRecord("sys_journal_field")
    journal.add_query("element_id", sys_id)
    journal.query()

    assert record.get_value("work_notes") == ""
    assert record.get_display_value("work_notes").endswith("(Work notes)\nLooked at the mailbox\n\n")
    assert [entry.get_value("value") for entry in journal] == ["Looked at the mailbox"]


def test_pages_by_offset_go_astray_when_acls_hide_rows(snc: Any, instance: ServiceNowInstance) -> None:
    instance.hide(instance.sys_ids()[:4])
    record = snc.GlideRecord("incident", batch_size=100)
    record.query()

    found = [row.get_value("sys_id") for row in record]

    # The count knows of the hidden rows, so the client asks for a second page and gets four rows again.
    assert record.get_row_count() == 60
    assert set(found) == set(instance.sys_ids()[4:])
    assert len(found) == 60


def test_errors_are_understood(secure: SimulatorServer, certificate: Certificate, snc: Any) -> None:
    stranger = connect(secure, certificate.certificate, ("integration", "wrong"))
    with pytest.raises(AuthenticationException):
        stranger.GlideRecord("incident").query()
    stranger.session.close()
    with pytest.raises(RoleException):
        snc.GlideRecord("sys_audit_delete").query()
    secure.add_fault("rate_limited")
    with pytest.raises(RequestException):
        snc.GlideRecord("incident").query()
    secure.add_fault("quota_timeout", most_rows=50, shape="trailing_comma")
    with pytest.raises(ValueError):
        snc.GlideRecord("incident", batch_size=60).query()
