"""The rules, as tables: every spelling of an address that must not be reached, and what a setting opens."""

import pytest

from integrations_api.egress.addresses import as_address, forbidden_kind
from integrations_api.egress.client import check_url, open_client
from integrations_api.egress.guard import EgressPolicy, EgressRefused, check_addresses, target_of
from integrations_api.errors import ConfigurationError
from tests.egress.spellings import HERE, ODD_HOSTS, ODD_URLS

CLOSED = EgressPolicy()

OUT_THERE = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "172.15.0.1", "172.32.0.1", "192.169.0.1", "2606:4700::1111",
             "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808"]  # fmt: skip


@pytest.mark.parametrize("text", HERE)
def test_an_address_that_is_not_on_the_public_internet_is_refused(text: str) -> None:
    address = as_address(text)
    assert address is not None
    assert forbidden_kind(address) is not None
    with pytest.raises(EgressRefused, match="EGRESS_ALLOWED_HOSTS"):
        check_addresses(target_of(scheme="https", host="name.example.com", port=None), [address], CLOSED)


@pytest.mark.parametrize("text", HERE)
def test_such_an_address_is_refused_in_a_url_as_well(text: str) -> None:
    host = f"[{text.replace('%', '%25')}]" if ":" in text else text
    with pytest.raises(EgressRefused):
        check_url(f"https://{host}/api", CLOSED)


@pytest.mark.parametrize("text", OUT_THERE)
def test_a_public_address_may_be_reached(text: str) -> None:
    address = as_address(text)
    assert address is not None
    assert forbidden_kind(address) is None


@pytest.mark.parametrize("host", ODD_HOSTS)
def test_odd_spellings_of_a_host_are_refused(host: str) -> None:
    with pytest.raises(EgressRefused):
        check_url(f"https://{host}/api", CLOSED)


@pytest.mark.parametrize("url", ODD_URLS)
def test_schemes_and_ports_that_nobody_allowed_are_refused(url: str) -> None:
    with pytest.raises(EgressRefused):
        check_url(url, CLOSED)


@pytest.mark.parametrize("url", ["https://dev1.service-now.com", "https://DEV1.service-now.com./x?y=1",
                                 "https://example.com:443", "https://jira.example.com:8443", "https://8.8.8.8",
                                 "https://bücher.example"])  # fmt: skip
def test_ordinary_https_addresses_are_fine(url: str) -> None:
    check_url(url, CLOSED)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("sim.local", "http://sim.local:9000"),
        ("SIM.local.", "http://sim.LOCAL"),
        ("sim.local:9000", "http://sim.local:9000"),
        ("127.0.0.1", "http://127.0.0.1:8500"),
        ("127.0.0.1:8500", "http://127.0.0.1:8500"),
        ("10.0.0.0/8", "https://10.1.2.3:9443"),
        ("10.0.0.0/8", "http://[::ffff:10.1.2.3]"),
        ("::1", "http://[::1]:80"),
        ("[::1]:8443", "https://[::1]:8443"),
        ("fd00::/8", "https://[fd12::1]"),
        ("169.254.169.254", "http://169.254.169.254"),
    ],
)
def test_an_entry_opens_what_it_names(entry: str, url: str) -> None:
    check_url(url, EgressPolicy(allowed_hosts=(entry,)))


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("sim.local", "http://other.local"),
        ("sim.local", "http://sub.sim.local"),
        ("sim.local:9000", "http://sim.local:9001"),
        ("127.0.0.1:8500", "http://127.0.0.1:8501"),
        ("10.0.0.0/8", "http://11.0.0.1"),
        ("[::1]:8443", "https://[::1]:8444"),
        ("10.0.0.0/8", "https://127.0.0.1"),
    ],
)
def test_an_entry_opens_nothing_else(entry: str, url: str) -> None:
    with pytest.raises(EgressRefused):
        check_url(url, EgressPolicy(allowed_hosts=(entry,)))


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "host:port", "host:0", "host:70000", "http://host", "a b", "*", "*.x",
                                   "2130706433", "host/24", "", "300.1.1.1"])  # fmt: skip
def test_a_malformed_entry_stops_the_start_and_is_named(entry: str) -> None:
    with pytest.raises(ConfigurationError, match="EGRESS_ALLOWED_HOSTS"):
        EgressPolicy(allowed_hosts=(entry,))


@pytest.mark.parametrize(
    "spelt",
    ["169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "fd00:42::42", "169.254.170.2", "169.254.170.23",
     "fd00:ec2::23", "168.63.129.16", "100.100.100.200", "192.0.0.192"],
)  # fmt: skip
def test_an_allowed_name_opens_private_addresses_but_never_a_clouds_metadata(spelt: str) -> None:
    policy = EgressPolicy(allowed_hosts=("intern.example.com",))
    target = target_of(scheme="https", host="intern.example.com", port=None)
    private, metadata = as_address("10.1.1.1"), as_address(spelt)
    assert private is not None
    assert metadata is not None
    check_addresses(target, [private], policy)
    with pytest.raises(EgressRefused, match="metadata"):
        check_addresses(target, [metadata], policy)


def test_one_bad_address_among_good_ones_refuses_them_all() -> None:
    good, bad = as_address("8.8.8.8"), as_address("192.168.1.1")
    assert good is not None
    assert bad is not None
    with pytest.raises(EgressRefused, match="a private address"):
        check_addresses(target_of(scheme="https", host="mixed.example.com", port=None), [good, bad], CLOSED)


def test_a_refusal_never_shows_credentials_path_or_query() -> None:
    with pytest.raises(EgressRefused) as refused:
        check_url("http://admin:s3cret@example.com/private?token=abc", CLOSED)
    with pytest.raises(EgressRefused) as plain:
        check_url("http://example.com/private?token=abc", CLOSED)
    for text in (str(refused.value), str(plain.value)):
        assert not any(word in text for word in ("s3cret", "admin", "private", "token", "abc"))


def test_an_unreadable_ca_file_is_named_by_its_setting(tmp_path) -> None:  # type: ignore[no-untyped-def]
    broken = tmp_path / "ca.pem"
    broken.write_text("not a certificate")
    for path in (broken, tmp_path / "missing.pem"):
        with pytest.raises(ConfigurationError, match="EGRESS_CA_FILE"):
            open_client(EgressPolicy(ca_file=path), "https://example.com")
