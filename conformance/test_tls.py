"""TLS: unmodified clients over it, which versions are taken, and what those who speak otherwise are told.

The store's own certificate authority is what clients trust, by `AWS_CA_BUNDLE` as `coffer env` prints it.
"""

import http.client
import json
import os
import pathlib
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError

import serving


@pytest.fixture(scope="module")
def store():
    store = serving.Store()
    try:
        store.init()
        store.start("--tls", "--tls-name", "coffer.test", tls=True)
        yield store
        assert store.server.stop() == 0, store.server.said()
        assert "panicked" not in store.server.said()
    finally:
        if store.server and store.server.process.poll() is None:
            store.server.kill()
        store.remove()


def ca(store):
    return store.home / "tls" / "ca.pem"


def client(store, verify):
    access_key_id, secret_access_key = store.keys
    return boto3.client(
        "secretsmanager",
        endpoint_url=store.server.endpoint,
        region_name=serving.REGION,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        verify=verify,
        config=Config(retries={"total_max_attempts": 1}),
    )


def exported(store):
    """What `coffer env` has a shell export, as that shell sees it."""
    script = f'eval "$({serving.binary_path()} env)" && exec {sys.executable} -c "import json, os; print(json.dumps(dict(os.environ)))"'
    environment = store.environment(AWS_PROFILE="nowhere", https_proxy="http://127.0.0.1:9")
    done = subprocess.run(["sh", "-c", script], env=environment, cwd=store.folder, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout), done.stderr.decode()


def test_boto3_with_the_exports_and_nothing_else(store):
    environment, said = exported(store)
    assert environment["AWS_ENDPOINT_URL"] == store.server.endpoint
    assert environment["AWS_CA_BUNDLE"] == str(ca(store))
    assert "127.0.0.1" in environment["NO_PROXY"] and "127.0.0.1" in environment["no_proxy"]
    assert "AWS_PROFILE" not in environment
    assert said == ""
    script = """
import boto3
client = boto3.client("secretsmanager")
client.create_secret(Name="tls/boto3", SecretString="over tls")
print(client.get_secret_value(SecretId="tls/boto3")["SecretString"])
"""
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, timeout=60)
    assert done.stdout == b"over tls\n", done.stderr.decode()


def test_the_aws_cli_with_the_exports_and_nothing_else(store):
    environment, _ = exported(store)
    aws = pathlib.Path(sys.executable).parent / "aws"
    create = [aws, "secretsmanager", "create-secret", "--name", "tls/cli", "--secret-string", "over tls"]
    subprocess.run(create, env=environment, check=True, capture_output=True, timeout=60)
    get = [aws, "secretsmanager", "get-secret-value", "--secret-id", "tls/cli", "--query", "SecretString"]
    done = subprocess.run([*get, "--output", "text"], env=environment, capture_output=True, timeout=60)
    assert done.stdout == b"over tls\n", done.stderr.decode()


def test_a_client_that_trusts_another_authority_does_not_talk_to_it(store):
    with pytest.raises(SSLError):
        client(store, verify=True).list_secrets()


def test_a_large_secret_passes(store):
    value = "x" * 65536
    through = client(store, verify=str(ca(store)))
    through.create_secret(Name="tls/large", SecretString=value)
    assert through.get_secret_value(SecretId="tls/large")["SecretString"] == value


def test_a_record_tells_what_protected_the_request(store):
    through = client(store, verify=str(ca(store)))
    through.create_secret(Name="tls/recorded", SecretString="over tls")
    through.get_secret_value(SecretId="tls/recorded")
    with pytest.raises(through.exceptions.ResourceNotFoundException):
        through.get_secret_value(SecretId="tls/not-there")
    host = store.server.endpoint.removeprefix("https://")
    read, refused = [
        record["tlsDetails"]
        for record in store.audit_records()
        if record["eventName"] == "GetSecretValue"
        and record["requestParameters"]["secretId"] in ("tls/recorded", "tls/not-there")
    ]
    assert read == refused
    assert read["tlsVersion"] == "TLSv1.3" and read["cipherSuite"].startswith("TLS_AES_")
    assert read["clientProvidedHostHeader"] == host


def context(store, version):
    context = ssl.create_default_context(cafile=ca(store))
    # As strict as Python 3.13 is by default.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    # OpenSSL's own defaults take nothing below 1.2 any more.
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "spoken"),
    [
        (ssl.TLSVersion.TLSv1_1, None),
        (ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        (ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
    ],
)
def test_which_versions_are_taken(store, version, spoken):
    def speak(name):
        with socket.create_connection(("127.0.0.1", store.server.port), timeout=10) as plain:
            with context(store, version).wrap_socket(plain, server_hostname=name) as secure:
                return secure.version()

    if spoken is None:
        with pytest.raises(ssl.SSLError, match="(?i)alert"):
            speak("localhost")
    else:
        for name in ("localhost", "127.0.0.1", "coffer.test"):
            assert speak(name) == spoken


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_verifies_the_chain(store, version):
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{store.server.port}", version, "-CAfile", ca(store)]
    command += ["-verify_return_error", "-verify_hostname", "localhost", "-x509_strict", "-alpn", "h2,http/1.1"]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=60)
    said = done.stdout.decode()
    assert "Verify return code: 0 (ok)" in said, said + done.stderr.decode()
    assert "ALPN protocol: http/1.1" in said


def test_the_certificate_lasts_no_longer_than_clients_take(store):
    secure = context(store, ssl.TLSVersion.TLSv1_3)
    with socket.create_connection(("127.0.0.1", store.server.port), timeout=10) as plain:
        with secure.wrap_socket(plain, server_hostname="localhost") as stream:
            certificate = stream.getpeercert()
    begins, ends = (ssl.cert_time_to_seconds(certificate[when]) for when in ("notBefore", "notAfter"))
    assert begins < time.time() < ends
    assert 80 < (ends - begins) / 86_400 <= 397


def test_plain_http_is_told_to_use_tls_and_recorded(store):
    connection = http.client.HTTPConnection("127.0.0.1", store.server.port, timeout=10)
    connection.request("GET", "/health")
    answer = connection.getresponse()
    assert answer.status == 400
    assert b"use https://" in answer.read()
    assert any(record.get("errorCode") == "HttpsRequired" for record in store.audit_records())


def test_the_key_is_its_owners_alone_and_never_beside_the_store(store):
    (kept,) = (store.data / "tls").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    key = json.loads(kept.read_text())["key"]
    assert len(key) > 100
    for path in store.home.rglob("*"):
        if path.is_file():
            assert key.encode()[:40] not in path.read_bytes(), path
    assert b"PRIVATE" not in ca(store).read_bytes()


def test_a_store_made_before_there_was_tls_gets_its_authority(tmp_path):
    store = serving.Store()
    try:
        store.init()
        shutil.rmtree(store.data / "tls")
        shutil.rmtree(store.home / "tls")
        store.start("--tls", tls=True)
        assert client(store, verify=str(ca(store))).list_secrets()["SecretList"] == []
        first = ca(store).read_bytes()
        assert store.server.stop() == 0
        # Plain HTTP, and then TLS again: clients go on trusting what they trusted.
        store.start()
        environment, _ = exported(store)
        assert "AWS_CA_BUNDLE" not in environment
        assert store.server.stop() == 0
        os.remove(ca(store))
        store.start("--tls", tls=True)
        assert ca(store).read_bytes() == first
        assert store.server.stop() == 0
        done = store.run("env")
        assert b"no server of this store answers" in done.stderr
    finally:
        if store.server and store.server.process.poll() is None:
            store.server.kill()
        store.remove()


def test_beyond_loopback_it_is_tls_unless_told_otherwise():
    store = serving.Store()
    try:
        store.init()
        server = serving.start_anywhere([serving.binary_path(), "serve"], store, tls=True)
        assert "https://" in server.said()
        assert f"copy `{ca(store)}` there" in server.said(), server.said()
        environment, _ = exported(store)
        assert environment["AWS_CA_BUNDLE"] == str(ca(store))
        assert environment["AWS_ENDPOINT_URL"] == f"https://127.0.0.1:{server.port}"
        assert server.stop() == 0
        told = [serving.binary_path(), "serve", "--plain-http-beyond-loopback"]
        server = serving.start_anywhere(told, store, tls=False)
        assert "everybody on the way can read" in server.said()
        assert f"from other machines: http://NAME:{server.port}" in server.said()
        assert server.stop() == 0
    finally:
        store.remove()
