"""The authority: its files, what it certifies, and what is trusted besides."""

from __future__ import annotations

import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from autobahnlike.awsproxy import Authority, CannotUseAuthority, write_bundle

DOMAINS = ["amazonaws.com", "amazonaws.com.cn"]
HOST = "abc.execute-api.us-west-2.amazonaws.com"
BEGIN = datetime(2026, 1, 2, tzinfo=UTC)


def authority(folder: Path, domains: list[str] = DOMAINS, now: datetime | None = None) -> Authority:
    return Authority(folder / "ca.pem", folder / "ca.key", domains, None if now is None else lambda: now)


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """Have the two shake hands, in memory; returns the client's end."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
    return ends[0]


def trusting(path: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(path))
    # What Python 3.13 does by itself.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def test_it_is_made_once(tmp_path: Path) -> None:
    made = authority(tmp_path)
    assert stat.S_IMODE((tmp_path / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ca.pem").stat().st_mode) == 0o644
    assert (tmp_path / "ca.pem").read_text() == made.pem
    key = (tmp_path / "ca.key").read_bytes()
    assert authority(tmp_path).pem == made.pem
    assert (tmp_path / "ca.key").read_bytes() == key
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.key", "ca.pem"]


def test_it_certifies_hosts(tmp_path: Path) -> None:
    made = authority(tmp_path)
    for host in (HOST, "abc.execute-api.cn-north-1.amazonaws.com.cn"):
        client = handshake(made.context_for(host), trusting(tmp_path / "ca.pem"), host)
        assert (client.version(), client.selected_alpn_protocol()) == ("TLSv1.3", None)
    assert made.context_for(HOST) is made.context_for(HOST)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(made.context_for(HOST), trusting(tmp_path / "ca.pem"), "other.execute-api.us-west-2.amazonaws.com")


def test_it_speaks_http_1_1_with_those_who_ask(tmp_path: Path) -> None:
    client = trusting_both(tmp_path)
    assert handshake(authority(tmp_path).context_for(HOST), client, HOST).selected_alpn_protocol() == "http/1.1"


def trusting_both(folder: Path) -> ssl.SSLContext:
    authority(folder)
    context = trusting(folder / "ca.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def test_nobody_who_trusts_it_trusts_it_with_other_domains(tmp_path: Path) -> None:
    context = authority(tmp_path).context_for("bank.example.com")
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(context, trusting(tmp_path / "ca.pem"), "bank.example.com")


def test_certificates_are_made_again_before_they_end(tmp_path: Path) -> None:
    now = BEGIN
    made = Authority(tmp_path / "ca.pem", tmp_path / "ca.key", DOMAINS, lambda: now)
    first = made.context_for(HOST)
    now = BEGIN + timedelta(days=29)
    assert made.context_for(HOST) is first
    now = BEGIN + timedelta(days=31)
    assert made.context_for(HOST) is not first


def test_the_number_of_hosts_is_bounded(tmp_path: Path) -> None:
    made = authority(tmp_path)
    contexts = [made.context_for(f"{number}.amazonaws.com") for number in range(256)]
    assert made.context_for("0.amazonaws.com") is contexts[0]
    made.context_for("one.more.amazonaws.com")
    # Who was asked for last is kept, who was not for the longest time has to go.
    assert made.context_for("0.amazonaws.com") is contexts[0]
    assert made.context_for("1.amazonaws.com") is not contexts[1]


def test_a_key_without_its_certificate_is_given_one(tmp_path: Path) -> None:
    authority(tmp_path)
    (tmp_path / "ca.pem").unlink()
    made = authority(tmp_path)
    handshake(made.context_for(HOST), trusting(tmp_path / "ca.pem"), HOST)


def test_files_that_are_no_authority(tmp_path: Path) -> None:
    certificate, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    authority(tmp_path)
    good_certificate, good_key = certificate.read_bytes(), key.read_bytes()
    key.unlink()
    with pytest.raises(CannotUseAuthority, match=r"ca\.pem is there, and its key is not"):
        authority(tmp_path)
    certificate.unlink()
    authority(tmp_path)
    certificate.write_bytes(good_certificate)
    with pytest.raises(CannotUseAuthority, match="do not belong together"):
        authority(tmp_path)
    key.write_bytes(b"nonsense")
    with pytest.raises(CannotUseAuthority, match=r"ca\.key has no private key"):
        authority(tmp_path)
    key.write_bytes(good_key)
    certificate.write_bytes(b"nonsense")
    with pytest.raises(CannotUseAuthority, match=r"ca\.pem has no certificate"):
        authority(tmp_path)
    certificate.write_bytes(good_certificate)
    with pytest.raises(CannotUseAuthority, match=r"are for amazonaws\.com, amazonaws\.com\.cn, not for example\.com"):
        authority(tmp_path, ["example.com"])
    with pytest.raises(CannotUseAuthority, match="are out of date"):
        authority(tmp_path, now=datetime.now(UTC) + timedelta(days=3651))
    key.chmod(0o640)
    with pytest.raises(CannotUseAuthority, match="can be read by others"):
        authority(tmp_path)
    with pytest.raises(CannotUseAuthority, match="No such file"):
        authority(tmp_path / "nowhere")


def test_one_of_other_make(tmp_path: Path) -> None:
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    made.private_key_pem.write_to_path(str(tmp_path / "ca.key"))
    os.chmod(tmp_path / "ca.key", 0o600)
    context = authority(tmp_path, ["example.com"]).context_for("ws.example.com")
    handshake(context, ssl.create_default_context(cafile=str(tmp_path / "ca.pem")), "ws.example.com")


def test_a_certificate_of_a_server_is_none(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("example.com")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "ca.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "ca.key"))
    os.chmod(tmp_path / "ca.key", 0o600)
    with pytest.raises(CannotUseAuthority, match="are of a server"):
        authority(tmp_path)


def test_a_bundle_has_what_is_trusted_anyway(tmp_path: Path) -> None:
    made = authority(tmp_path)
    path = tmp_path / "bundle.pem"
    for _ in range(2):
        write_bundle(path, made)
        context = ssl.create_default_context(cafile=str(path))
        names = [str(each["subject"]) for each in context.get_ca_certs()]
        assert len([name for name in names if "autobahnlike aws-proxy" in name]) == 1
        assert [name for name in names if "ISRG Root X1" in name]
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
    handshake(made.context_for(HOST), trusting(path), HOST)
    with pytest.raises(CannotUseAuthority, match="cannot be written"):
        write_bundle(tmp_path / "nowhere" / "bundle.pem", made)


def test_a_bundle_that_the_environment_names_is_no_source_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle.pem"
    write_bundle(path, authority(tmp_path))
    size = path.stat().st_size
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    other = tmp_path / "other"
    other.mkdir()
    made = authority(other)
    write_bundle(path, made)
    text = path.read_text()
    assert made.pem in text
    assert (tmp_path / "ca.pem").read_text() not in text
    assert path.stat().st_size <= size
