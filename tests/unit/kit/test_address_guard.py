"""The address guard: which URLs and addresses a client may make this server open."""

import ipaddress

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.errors import ImageError
from deployments.kit.address_guard import AddressGuard, is_public, pin


def _code(guard: AddressGuard, url: str, *addresses: str) -> str:
    try:
        target = guard.check_url(url)
        guard.check_addresses(target.host, addresses or (target.host,))
    except ImageError as error:
        return error.code
    return "ok"


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.251",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700:4700::1111%1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_no_reserved_address_is_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    assert _code(AddressGuard(), "http://pictures.example/", address) == "forbidden_address"


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111"])
def test_an_address_of_the_open_internet_is_permitted(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert _code(AddressGuard(), "http://pictures.example/", address) == "ok"


@given(st.ip_addresses())
def test_an_address_that_python_calls_private_is_never_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(address):
        assert not any((address.is_private, address.is_multicast, address.is_reserved, address.is_unspecified))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://127。0。0。1/",
    ],
)
def test_a_private_address_in_the_url_is_forbidden_however_it_is_written(url: str) -> None:
    assert _code(AddressGuard(), url) == "forbidden_address"


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://017700000001/",
        "http://4294967297/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://[fe80::1%25eth0]/",
        "http://①②⑦.⓪.⓪.①/",
        "http://１２７.０.０.１/",
        "http://public.example@127.0.0.1/",
        "http://127.0.0.1:80@pictures.example/",
        "http://user:secret@pictures.example/",
        "http://user@pictures.example/",
        "http://pictures.example\\@127.0.0.1/",
        "http://pictures%2eexample/",
        "file:///etc/passwd",
        "ftp://pictures.example/a.jpg",
        "gopher://pictures.example/",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "//pictures.example/a.jpg",
        "pictures.example/a.jpg",
        "http:///a.jpg",
        "http://./",
        "https://",
        "",
        "http://a\nb/",
        "http://a\r\nHost: b/",
        "http://[/",
        "http://pictures.example:99999/",
        "http://pictures.example:0/",
        "http://" + "x" * 9000,
    ],
)
def test_a_url_that_tricks_a_parser_is_refused_before_its_name_is_resolved(url: str) -> None:
    with pytest.raises(ImageError) as caught:
        AddressGuard().check_url(url)
    assert caught.value.code in {"forbidden_address", "fetch_failed"}


def test_the_host_is_normalised_and_the_port_is_that_of_the_scheme() -> None:
    guard = AddressGuard()
    target = guard.check_url("HTTPS://Pictures.Example./a.jpg?x=1#y")
    assert (target.host, target.port) == ("pictures.example", 443)
    assert guard.check_url("http://pictures.example:8080/").port == 8080
    assert guard.check_url("http://bücher.example/").host == "xn--bcher-kva.example"
    assert guard.check_url("http://[2606:4700::1]/").host == "2606:4700::1"


def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    assert _code(AddressGuard(), "http://pictures.example/", "8.8.8.8", "10.0.0.1") == "forbidden_address"


def test_an_allowed_host_may_be_private_and_others_may_not() -> None:
    guard = AddressGuard(allowed_hosts=["Bucket.Internal."])
    assert _code(guard, "http://bucket.internal/", "10.0.0.1") == "ok"
    assert _code(guard, "http://BUCKET.internal./", "10.0.0.1") == "ok"
    assert _code(guard, "http://x.bucket.internal/", "10.0.0.1") == "forbidden_address"
    assert _code(guard, "http://bucket.internal.evil.example/", "10.0.0.1") == "forbidden_address"


def test_an_allowed_network_opens_its_addresses_and_no_others() -> None:
    guard = AddressGuard(allowed_networks=["10.1.0.0/16", "::1/128"])
    assert _code(guard, "http://pictures.example/", "10.1.2.3") == "ok"
    assert _code(guard, "http://[::1]/") == "ok"
    assert _code(guard, "http://pictures.example/", "10.2.0.1") == "forbidden_address"
    assert _code(guard, "http://pictures.example/", "::ffff:10.1.2.3") == "forbidden_address"


def test_a_network_that_is_none_is_named_at_once() -> None:
    with pytest.raises(ValueError, match="10"):
        AddressGuard(allowed_networks=["10.0.0.0/99"])


def test_the_message_does_not_tell_what_a_name_resolves_to() -> None:
    guard = AddressGuard()
    with pytest.raises(ImageError) as caught:
        guard.check_addresses("intranet.example", ["10.20.30.40"])
    assert "10.20" not in caught.value.message


def test_an_ipv6_address_is_pinned_in_brackets() -> None:
    target = AddressGuard().check_url("https://pictures.example:81/a?b")
    request = pin(httpx.Request("GET", target.url), target, "::1")
    assert str(request.url) == "https://[::1]:81/a?b"
    assert request.headers["host"] == "pictures.example:81"
    assert request.extensions["sni_hostname"] == "pictures.example"
