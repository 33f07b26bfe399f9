"""AWS' own files and metadata answers, pure; the files held against botocore's reading."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mailer import AuthError, ConfigError, TransportError
from mailer.aws.credentials import AwsCredentials
from mailer.aws.metadata import container_url, instance_url, keys_of, role_of, token_of
from mailer.aws.profile import Profile, profile_of, sections_of
from mailer.relay.exchange import Response

CREDENTIALS = """
# a comment
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = de/fault+secret=

[work]
AWS_ACCESS_KEY_ID=AKIAWORK
aws_secret_access_key=w%ork$ecret
aws_session_token = Fwo//token==

[half]
aws_access_key_id = AKIAHALF
"""
CONFIG = """
[default]
region = eu-west-1
s3 =
  max_concurrent_requests = 20

[profile work]
region = us-east-2

[profile "two words"]
aws_access_key_id = AKIATWO
aws_secret_access_key = two
[profile role]
role_arn = arn:aws:iam::1:role/x
source_profile = default
[sso-session corp]
sso_start_url = https://x
[profile sso]
sso_session = corp
"""


def keys(*parts: str) -> AwsCredentials:
    return AwsCredentials(*parts)  # type: ignore[arg-type]


class TestCredentials:
    def test_nothing_of_them_is_shown(self) -> None:
        made = AwsCredentials("AKIAEXAMPLE", "wJalr/secret", "FwoToken", 1.0)
        assert repr(made) == "AwsCredentials(expires_at=1.0)"
        assert made.secrets == ("AKIAEXAMPLE", "wJalr/secret", "FwoToken")
        with pytest.raises(TypeError, match="keeps credentials and is not pickled"):
            made.__reduce__()

    def test_what_cannot_be_one_is_a_config_error_that_does_not_quote_it(self) -> None:
        for wrong in (
            ("", "s"), ("A B", "s"), ("AKIA\n", "s"), ("AKIA/X", "s"), (None, "s"), ("A" * 129, "s"),
            ("A", ""), ("A", "s s3cret"), ("A", "s\r\ns3cret"), ("A", "ü"), ("A", 7), ("A", "s", "t t"), ("A", "s", None),
            ("A", "s", "", "soon"), ("A", "s", "", float("nan")), ("A", "s", "", True),
        ):  # fmt: skip
            with pytest.raises(ConfigError, match="AWS credentials: ") as refused:
                AwsCredentials(*wrong)  # type: ignore[arg-type]
            assert "s3cret" not in str(refused.value)

    def test_they_are_good_until_two_minutes_before_their_end(self) -> None:
        assert AwsCredentials("A", "s").is_good(9e9)
        made = AwsCredentials("A", "s", "", 1000.0)
        assert made.is_good(879.0)
        assert not made.is_good(880.0)


class TestProfiles:
    def found(self, name: str) -> Profile | None:
        return profile_of(sections_of(CREDENTIALS, "c"), sections_of(CONFIG, "d"), name)

    def test_what_the_two_files_say_together(self) -> None:
        assert self.found("default") == Profile(keys("AKIADEFAULT", "de/fault+secret="), "eu-west-1")
        assert self.found("work") == Profile(keys("AKIAWORK", "w%ork$ecret", "Fwo//token=="), "us-east-2")
        assert self.found("two words") == Profile(keys("AKIATWO", "two"))
        assert self.found("role") == Profile(elsewhere="role_arn")
        assert self.found("sso") == Profile(elsewhere="sso_session")
        for name in ("corp", "profile work", "none", ""):
            assert self.found(name) is None, name

    def test_botocore_reads_the_same(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import botocore.session

        for variable, text in (("AWS_SHARED_CREDENTIALS_FILE", CREDENTIALS), ("AWS_CONFIG_FILE", CONFIG)):
            path = tmp_path / variable
            path.write_text(text, encoding="utf-8")
            monkeypatch.setenv(variable, str(path))
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
        for name in ("default", "work", "two words"):
            session = botocore.session.Session(profile=name)
            theirs: Any = session.get_credentials()
            ours = self.found(name)
            assert ours is not None
            assert ours.keys == keys(theirs.access_key, theirs.secret_key, theirs.token or "")
            assert ours.region == (session.get_config_variable("region") or "")

    def test_half_a_pair_and_a_broken_file_name_no_secret(self) -> None:
        with pytest.raises(ConfigError, match="'half' has but one of"):
            self.found("half")
        for text in ("aws_secret_access_key = s3cret\n", "[default\naws_secret_access_key = s3cret", "[a]\n s3cret\n"):
            with pytest.raises(ConfigError, match=r"^/x cannot be read") as refused:
                sections_of(text, "/x")
            assert "s3cret" not in str(refused.value)
            assert refused.value.__cause__ is None
            assert refused.value.__suppress_context__

    def test_a_later_section_of_one_name_adds_to_the_first(self) -> None:
        assert sections_of("\ufeff[a]\nx=1\n[a]\ny=2\n", "c") == {"a": {"x": "1", "y": "2"}}


class TestAddresses:
    def test_only_this_machine_and_the_known_ones_are_asked_for_a_container_s_keys(self) -> None:
        for good in (
            "http://169.254.170.2/v2/x", "http://169.254.170.23/v1/credentials", "http://[fd00:ec2::23]/v1/credentials",
            "http://localhost:7000/x", "http://127.0.0.1:7000/x?y=1", "http://127.9.9.9/", "https://[::1]/x",
        ):  # fmt: skip
            assert container_url({"AWS_CONTAINER_CREDENTIALS_FULL_URI": good}) == good
        for bad in (
            "http://evil.example/x", "https://evil.example/x", "http://169.254.169.254/x", "http://10.0.0.1/",
            "http://127.0.0.1.evil.example/", "http://169.254.170.2@evil.example/", "http://localhost@evil.example/",
            "ftp://127.0.0.1/", "127.0.0.1", "http:///x", "http://127.0.0.1:99999/", "http://127.0.0.1/a b",
            "http://127.0.0.1/\n", "http://2130706433/", "http://[::ffff:10.0.0.1]/",
        ):  # fmt: skip
            with pytest.raises(ConfigError, match=r"^AWS_CONTAINER_CREDENTIALS_FULL_URI: "):
                container_url({"AWS_CONTAINER_CREDENTIALS_FULL_URI": bad})

    def test_a_relative_address_is_ecs(self) -> None:
        name = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
        assert (
            container_url({name: "/v2/x", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://x"})
            == "http://169.254.170.2/v2/x"
        )
        assert container_url({}) == ""
        for bad in ("v2/x", "//evil.example/x", "@evil.example/", "/a b", "/\n", "/ü"):
            with pytest.raises(ConfigError, match="must be a path that begins with /"):
                container_url({name: bad})

    def test_where_an_instance_s_metadata_is(self) -> None:
        endpoint, mode = "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"
        for environ, url in (
            ({}, "http://169.254.169.254"),
            ({mode: "IPv6"}, "http://[fd00:ec2::254]"),
            ({mode: "IPv4"}, "http://169.254.169.254"),
            ({endpoint: "http://127.0.0.1:1338/"}, "http://127.0.0.1:1338"),
            ({"AWS_EC2_METADATA_DISABLED": "True", endpoint: "x"}, ""),
            ({"AWS_EC2_METADATA_DISABLED": "false"}, "http://169.254.169.254"),
        ):
            assert instance_url(environ) == url
        for environ in ({endpoint: "169.254.169.254"}, {endpoint: "http://u:p@h/"}, {mode: "IPv5"}):
            with pytest.raises(ConfigError, match="AWS_EC2_METADATA_SERVICE_ENDPOINT"):
                instance_url(environ)


def said(body: object, status: int = 200) -> Response:
    return Response(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


class TestAnswers:
    good = {"Code": "Success", "AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "t"}  # noqa: RUF012

    def test_keys_with_and_without_an_end(self) -> None:
        assert keys_of(said(self.good), "it") == keys("ASIA", "s", "t")
        ends = keys_of(said({**self.good, "Expiration": "2026-01-02T03:04:05Z"}), "it")
        assert ends.expires_at == 1767323045.0
        assert keys_of(said({"AccessKeyId": "A", "SecretAccessKey": "s"}), "it") == keys("A", "s")

    def test_what_is_none_is_told_without_quoting_it(self) -> None:
        for answer, kind, words in (
            (said({"code": "AccessDenied", "message": "no\nkeys"}, 403), AuthError, "^it gave no AWS credentials: HTTP 403 AccessDenied no keys$"),
            (said({"Code": "Failed", "Message": "tok-3n"}), AuthError, r"HTTP 200 Failed \*\*\*$"),
            (said(b"<html>", 404), AuthError, "HTTP 404$"),
            (said({}, 429), TransportError, "HTTP 429"),
            (said({}, 500), TransportError, "HTTP 500"),
            (said(self.good, 503), TransportError, "HTTP 503"),
            (Response(200, {}, b"{}", cut=TransportError("x")), TransportError, "HTTP 200"),
            (said(b"junk s3cret"), AuthError, "not in the form"),
            (said([1]), AuthError, "not in the form"),
            (said({**self.good, "SecretAccessKey": "s3cret \n"}), AuthError, "not in the form"),
            (said({**self.good, "Expiration": "soon s3cret"}), AuthError, "not in the form"),
            (said({**self.good, "Expiration": "2026-01-02T03:04:05"}), AuthError, "not in the form"),
            (said({**self.good, "Expiration": 7}), AuthError, "not in the form"),
            (said({**self.good, "Token": 7}), AuthError, "not in the form"),
        ):  # fmt: skip
            with pytest.raises(kind, match=words) as refused:
                keys_of(answer, "it", ("tok-3n",))
            assert type(refused.value) is kind
            assert "s3cret" not in str(refused.value)

    def test_the_instance_s_session_and_role(self) -> None:
        assert token_of(said(b"AQAE-x==\n")) == "AQAE-x=="
        assert role_of(said(b"mail-role\nother\n")) == "mail-role"
        for answer in (said(b""), said(b"a b"), said(b"x", 403), said("ü".encode())):
            with pytest.raises(AuthError, match="no session"):
                token_of(answer)
        for answer in (said(b""), said(b"../x"), said(b"a/b"), said(b"x", 401)):
            with pytest.raises(AuthError, match="no role"):
                role_of(answer)
        with pytest.raises(AuthError, match="has no role: give it an instance profile"):
            role_of(said(b"", 404))
