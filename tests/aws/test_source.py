"""Where AWS credentials come from, in each world: asked for once, in AWS' own order, kept until near their end."""

# ruff: noqa: E501 - a table's row is a line

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from mailer import AuthError, ConfigError, DeliveryError, Message, TransportError, backend_from_url
from mailer.aws.credentials import AwsCredentials
from mailer.aws.source import AwsSource, region_of
from mailer.backends.relay import RelayBackend
from mailer.testing import Answer, FakeRelay, RelayRequest

NO_FILES = {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere/x", "AWS_CONFIG_FILE": "/nowhere/y"}
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIAENV", "AWS_SECRET_ACCESS_KEY": "env/secret", "AWS_SESSION_TOKEN": "env-token"}
START = 1_767_323_045.0  # 2026-01-02T03:04:05Z


class Clock:
    """Seconds since 1970, set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class Metadata(FakeRelay):
    """A metadata service on loopback: gives keys, numbered, to who has a session or a token.

    Attributes:
        count: How many keys it has given.
        authorization: What a container must send.
        expiration: When the next keys end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.authorization: str | None = None
        self.expiration = "2999-01-02T03:04:05Z"

    def accept(self, request: RelayRequest) -> Answer:
        if request.path == "/latest/api/token":
            is_asked = (
                request.method == "PUT" and request.headers.get("x-aws-ec2-metadata-token-ttl-seconds") == "21600"
            )
            return Answer(body="AQAE-session==") if is_asked else Answer(status=405)
        if request.path.startswith("/latest/"):
            if request.method != "GET" or request.headers.get("x-aws-ec2-metadata-token") != "AQAE-session==":
                return Answer(status=401)
            if request.path == "/latest/meta-data/iam/security-credentials/":
                return Answer(body="mail+role\n")
            if request.path != "/latest/meta-data/iam/security-credentials/mail%2Brole":
                return Answer(status=404)
        elif request.headers.get("authorization") != self.authorization:
            return Answer(status=403, body={"code": "AccessDenied", "message": "no such token"})
        return self.keys()

    def keys(self) -> Answer:
        self.count += 1
        return Answer(
            body={
                "Code": "Success",
                "AccessKeyId": f"ASIA{self.count}",
                "SecretAccessKey": "s3cret/key",
                "Token": "t0ken",
                "Expiration": self.expiration,
            }
        )

    @property
    def instance(self) -> dict[str, str]:
        """The environment that points there as an instance."""
        return {**NO_FILES, "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{self.base}/"}

    @property
    def container(self) -> dict[str, str]:
        """The same as a container."""
        return {**NO_FILES, "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.base}/v1/credentials"}


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    with Metadata() as made:
        yield made


def ask(world: World, source: AwsSource, stale: AwsCredentials | None = None, seconds: float = 30) -> AwsCredentials:
    async def asked() -> AwsCredentials:
        return await source.credentials(world.runtime, world.runtime.now() + seconds, stale=stale)

    return world.run(asked)


def files(folder: Path, credentials: str = "", config: str = "") -> dict[str, str]:
    (folder / "credentials").write_text(credentials, encoding="utf-8")
    (folder / "config").write_text(config, encoding="utf-8")
    return {"AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"), "AWS_CONFIG_FILE": str(folder / "config")}


PROFILES = """
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = default/secret
[work]
aws_access_key_id = AKIAWORK
aws_secret_access_key = work/secret
[role]
role_arn = x
"""


class TestOrder:
    def test_the_environment_comes_first_then_the_profile(self, world: World, tmp_path: Path) -> None:
        shared = files(tmp_path, PROFILES, "[profile work]\nregion=eu-west-3\n")
        for environ, profile, key in (
            ({**shared, **ENVIRONMENT}, "", "AKIAENV"),
            ({**shared, **ENVIRONMENT, "AWS_PROFILE": "work"}, "", "AKIAENV"),
            ({**shared, **ENVIRONMENT}, "work", "AKIAWORK"),
            ({**shared, "AWS_PROFILE": "work"}, "", "AKIAWORK"),
            (shared, "", "AKIADEFAULT"),
        ):
            assert ask(world, AwsSource(environ=environ, profile=profile)).access_key == key
        assert ask(world, AwsSource(environ=ENVIRONMENT)) == AwsCredentials("AKIAENV", "env/secret", "env-token")

    def test_the_files_in_the_home_folder(self, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / ".aws").mkdir()
        files(tmp_path / ".aws", PROFILES)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert ask(world, AwsSource(environ={})).access_key == "AKIADEFAULT"

    def test_a_container_s_service_with_its_token(self, world: World, metadata: Metadata, tmp_path: Path) -> None:
        assert ask(world, AwsSource(environ=metadata.container)).access_key == "ASIA1"
        assert "authorization" not in metadata.requests[0].headers
        metadata.authorization = "from-environment"
        environ = {**metadata.container, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "from-environment"}
        assert ask(world, AwsSource(environ=environ)).access_key == "ASIA2"
        metadata.authorization = "from-file"
        (tmp_path / "token").write_text("from-file\n")
        environ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(tmp_path / "token")
        assert ask(world, AwsSource(environ=environ)).access_key == "ASIA3"
        assert [request.path for request in metadata.requests] == ["/v1/credentials"] * 3

    def test_an_instance_s_service_with_a_session_first(self, world: World, metadata: Metadata) -> None:
        found = ask(world, AwsSource(environ=metadata.instance))
        assert found == AwsCredentials("ASIA1", "s3cret/key", "t0ken", 32472241445.0)
        assert [(request.method, request.path) for request in metadata.requests] == [
            ("PUT", "/latest/api/token"),
            ("GET", "/latest/meta-data/iam/security-credentials/"),
            ("GET", "/latest/meta-data/iam/security-credentials/mail%2Brole"),
        ]
        assert {request.connection for request in metadata.requests} == {0}

    def test_who_gives_no_session_is_not_asked_without_one(self, world: World, metadata: Metadata) -> None:
        metadata.next(Answer(status=404))
        with pytest.raises(AuthError, match="HTTP 404 no session"):
            ask(world, AwsSource(environ=metadata.instance))
        assert len(metadata.requests) == 1

    def test_what_is_set_up_and_fails_is_not_passed_over(
        self, world: World, metadata: Metadata, tmp_path: Path
    ) -> None:
        shared = files(tmp_path, PROFILES)
        metadata.authorization = "x"
        for environ, profile, kind, words in (
            ({**metadata.instance, "AWS_ACCESS_KEY_ID": "AKIA"}, "", ConfigError, "but one of AWS_ACCESS_KEY_ID"),
            ({**metadata.instance, "AWS_PROFILE": "nobody"}, "", ConfigError, "no AWS profile 'nobody' in /nowhere/x or /nowhere/y"),
            (shared, "nobody", ConfigError, "no AWS profile 'nobody'"),
            ({**metadata.instance, **shared, "AWS_PROFILE": "role"}, "", AuthError, "by role_arn: .* give a callable"),
            ({**metadata.instance, "AWS_WEB_IDENTITY_TOKEN_FILE": "x"}, "", AuthError, "AWS_WEB_IDENTITY_TOKEN_FILE"),
            ({**metadata.instance, **metadata.container}, "", AuthError, "HTTP 403 AccessDenied no such token"),
            ({**NO_FILES, "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://evil.example/"}, "", ConfigError, "evil.example"),
            ({**metadata.container, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a\r\nb"}, "", ConfigError, "on one line"),
            ({**metadata.container, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nowhere/z"}, "", ConfigError, "nothing in /nowhere/z"),
            ({**NO_FILES, "AWS_EC2_METADATA_DISABLED": "true"}, "", AuthError, "there are no AWS credentials: give them"),
        ):  # fmt: skip
            with pytest.raises(kind, match=words):
                ask(world, AwsSource(environ=environ, profile=profile))
        assert [request.path for request in metadata.requests] == ["/v1/credentials"]

    def test_where_nothing_answers_there_are_none(self, world: World) -> None:
        with Metadata() as gone:
            environ = gone.instance
        with pytest.raises(AuthError, match="none in the URL, the environment or a profile") as refused:
            ask(world, AwsSource(environ=environ))
        assert isinstance(refused.value.__cause__, TransportError)

    def test_a_service_that_says_nothing_takes_no_longer_than_its_time(self, world: World, metadata: Metadata) -> None:
        metadata.next(Answer(hold=True), Answer(hold=True))
        source = AwsSource(environ=metadata.container, metadata_timeout_s=0.05)
        with pytest.raises(TransportError, match="the container's credentials service gave no"):
            ask(world, source)
        with pytest.raises(AuthError, match="does not answer"):
            ask(world, AwsSource(environ=metadata.instance, metadata_timeout_s=0.05))

    def test_the_region_of_the_environment_or_the_profile(self, tmp_path: Path) -> None:
        shared = files(tmp_path, "", "[default]\nregion=eu-west-1\n[profile work]\nregion=eu-west-3\n")
        for environ, profile, region in (
            ({**shared, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-2"}, "", "us-east-1"),
            ({**shared, "AWS_DEFAULT_REGION": "us-east-2"}, "", "us-east-2"),
            ({**shared, "AWS_REGION": "us-east-1"}, "work", "eu-west-3"),
            ({**shared, "AWS_PROFILE": "work"}, "", "eu-west-3"),
            (shared, "", "eu-west-1"),
            (NO_FILES, "", ""),
        ):
            assert region_of(environ, profile) == region


class TestKeeping:
    def test_they_are_kept_and_renewed_before_their_end(self, world: World, metadata: Metadata) -> None:
        clock = Clock()
        metadata.expiration = "2026-01-02T04:04:05Z"  # in an hour
        source = AwsSource(environ=metadata.container, clock=clock)
        assert [ask(world, source).access_key for _ in range(3)] == ["ASIA1"] * 3
        clock.now += 3600 - 121
        assert ask(world, source).access_key == "ASIA1"
        metadata.expiration = "2026-01-02T05:04:05Z"
        clock.now += 1
        assert [ask(world, source).access_key for _ in range(2)] == ["ASIA2"] * 2
        assert len(metadata.requests) == 2

    def test_what_cannot_be_renewed_is_used_to_its_end(self, world: World, metadata: Metadata) -> None:
        clock = Clock()
        metadata.expiration = "2026-01-02T04:04:05Z"
        source = AwsSource(environ=metadata.container, clock=clock)
        ask(world, source)
        clock.now += 3600 - 60
        metadata.next(Answer(status=500), Answer(status=500))
        assert ask(world, source).access_key == "ASIA1"
        clock.now += 60
        with pytest.raises(TransportError, match="HTTP 500"):
            ask(world, source)

    def test_keys_that_have_ended_already_are_none(self, world: World, metadata: Metadata) -> None:
        metadata.expiration = "2026-01-02T03:04:05Z"
        with pytest.raises(AuthError, match="that have ended"):
            ask(world, AwsSource(environ=metadata.container, clock=Clock()))

    def test_who_was_refused_is_asked_for_others_once(self, world: World, metadata: Metadata) -> None:
        source = AwsSource(environ=metadata.container, clock=Clock())
        first = ask(world, source)
        assert [ask(world, source, stale=first).access_key for _ in range(3)] == ["ASIA2"] * 3

    def test_that_there_are_none_stands_for_ten_seconds(self, world: World, metadata: Metadata) -> None:
        clock = Clock()
        metadata.authorization = "x"
        source = AwsSource(environ=metadata.container, clock=clock)
        for _ in range(3):
            with pytest.raises(AuthError, match="HTTP 403"):
                ask(world, source)
        assert len(metadata.requests) == 1
        metadata.authorization = None
        clock.now += 10
        assert ask(world, source).access_key == "ASIA1"

    def test_many_who_need_them_at_once_ask_once(self, world: World, metadata: Metadata) -> None:
        source = AwsSource(environ=metadata.instance)

        async def all_of_them() -> list[Any]:
            runtime = world.runtime

            async def one() -> AwsCredentials:
                return await source.credentials(runtime, runtime.now() + 30)

            return await runtime.gather([one] * 8, 8)

        assert {found.access_key for found in world.run(all_of_them)} == {"ASIA1"}
        assert len(metadata.requests) == 3


class TestCallables:
    def test_a_plain_one_and_what_it_must_give(self, world: World) -> None:
        keys = AwsCredentials("AKIACALL", "s3cret")
        assert ask(world, AwsSource(lambda: keys)) is keys
        assert ask(world, AwsSource(keys)) is keys

        def broken() -> AwsCredentials:
            raise ValueError("s3cret vault")

        for source, words in (
            (lambda: ("AKIA", "s3cret"), "must give AwsCredentials; it gave tuple"),
            (lambda: None, "must give AwsCredentials; it gave NoneType"),
            (broken, "broken gave no AWS credentials: it raised ValueError"),
        ):
            with pytest.raises(AuthError, match=words):
                ask(world, AwsSource(source))  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="come from a callable, not from str"):
            AwsSource("AKIA:s3cret")  # type: ignore[arg-type]

    def test_an_async_one_needs_a_loop(self, world: World) -> None:
        async def vault() -> AwsCredentials:
            return AwsCredentials("AKIAVAULT", "s3cret")

        if world.name == "blocking":
            with pytest.raises(ConfigError, match="use AsyncMailer"):
                ask(world, AwsSource(vault))
        else:
            assert ask(world, AwsSource(vault)).access_key == "AKIAVAULT"


class TestSending:
    """By ``ses://`` without keys: AWS' settings have them and the region."""

    message = Message(from_="a@example.com", to="ann@example.org", subject="Hi", text="Hi")

    def set(self, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> None:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)

    def test_the_region_is_the_environment_s(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.set(monkeypatch, {**NO_FILES, "AWS_REGION": "eu-west-2"})
        backend = backend_from_url("ses://default")
        assert isinstance(backend, RelayBackend)
        assert backend.provider.base == "https://email.eu-west-2.amazonaws.com"
        assert str(backend) == "ses://default"
        self.set(monkeypatch, files(tmp_path, PROFILES, "[profile work]\nregion=eu-west-3\n"))
        backend = backend_from_url("ses://default?profile=work")
        assert isinstance(backend, RelayBackend)
        assert backend.provider.base == "https://email.eu-west-3.amazonaws.com"
        self.set(monkeypatch, {**NO_FILES, "AWS_REGION": "eu-west-2"})
        with pytest.raises(ConfigError, match="no region"):  # a URL with keys reads no environment
            backend_from_url("ses://KEY:s3cret@default")
        self.set(monkeypatch, NO_FILES)
        with pytest.raises(ConfigError, match="no region"):
            backend_from_url("ses://default")

    def test_a_mail_is_signed_with_what_the_container_has(
        self, world: World, metadata: Metadata, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.set(monkeypatch, metadata.container)
        with FakeRelay("ses", token="s3cret/key") as relay:
            relay.next(Answer(body={"MessageId": "m-1"}))  # the fake knows no such key
            with world.mailer(f"ses://{relay.authority}?scheme=http&region=eu-west-2") as mailer:
                assert mailer.send(self.message).provider_ids == ("m-1",)
            [request] = relay.requests
        assert request.headers["x-amz-security-token"] == "t0ken"
        assert "Credential=ASIA1/" in request.headers["authorization"]
        assert "/eu-west-2/ses/aws4_request" in request.headers["authorization"]

    def test_without_any_nothing_is_sent(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.set(monkeypatch, {**NO_FILES, "AWS_EC2_METADATA_DISABLED": "true"})
        with (
            FakeRelay("ses") as relay,
            world.mailer(f"ses://{relay.authority}?scheme=http&region=eu-west-2") as mailer,
            pytest.raises(DeliveryError, match="there are no AWS credentials") as refused,
        ):
            mailer.send(self.message)
        assert isinstance(refused.value.__cause__, AuthError)
        assert relay.requests == []

    def test_no_key_is_shown_by_whatever_goes_wrong(
        self, world: World, metadata: Metadata, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        self.set(monkeypatch, metadata.container)
        shown = ""
        with FakeRelay("ses") as relay, world.mailer(f"ses://{relay.authority}?scheme=http&region=eu-west-2") as mailer:

            def echo(request: RelayRequest) -> Answer:
                return Answer(status=403, body={"message": f"{request.headers}"})

            relay.next(echo, Answer(body=b"junk"), Answer(lose=True), Answer(raw=b"s3cret/key"))
            for _ in range(4):
                with pytest.raises(DeliveryError) as refused:
                    mailer.send(self.message)
                shown += "".join(traceback.format_exception(refused.value)) + repr(refused.value.receipt)
                shown += str(refused.value.receipt.to_dict())
            shown += repr(mailer.backend) + repr(mailer.backend.provider)
        for secret in ("s3cret/key", "t0ken", "ASIA1"):
            assert secret not in shown + caplog.text
