"""Settings: where they come from, what is refused, and that no secret gets out."""

from __future__ import annotations

import copy
import json
import logging
import os
import pickle
import traceback
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

import mailer
from mailer import AsyncMailer, ConfigError, Mailer, Message, RetryPolicy, Settings, Templates
from mailer.secret_url import SecretURL

SECRET = "S3cr3tT0ken"
URL = f"smtp://user:{SECRET}@smtp.example.com"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder and no variable of ours."""
    for name in [name for name in os.environ if name.startswith("MAILER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def set_variables(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def whole(error: BaseException) -> str:
    """Everything that a log could show of an error: its chain, traceback, arguments, attributes."""
    parts, seen = ["".join(traceback.format_exception(error))], set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            parts += [str(one), repr(one), repr(one.args), repr(vars(one))]
            left += [one.__cause__, one.__context__]
    return "\n".join(parts)


# --- where a value comes from -----------------------------------------------------------------------------------------


def test_each_source_counts_more_than_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def url() -> tuple[str, str]:
        settings = Settings(mapping, **keywords)
        return str(settings.url), settings.origins["url"]

    (tmp_path / "secret").write_text("file:by-secret-file\n")
    mapping: dict[str, Any] = {"url": "file:by-mapping"}
    keywords: dict[str, Any] = {"url": "file:by-keyword"}
    set_variables(monkeypatch, MAILER_URL="file:by-variable")
    Path(".env").write_text("MAILER_URL=file:by-dot-env\n")
    Path("mailer.toml").write_text('url = "file:by-toml"\n')

    assert url() == ("file:by-keyword", "url")
    keywords.clear()
    assert url() == ("file:by-mapping", "url")
    mapping.clear()
    assert url() == ("file:by-variable", "MAILER_URL")
    monkeypatch.delenv("MAILER_URL")
    monkeypatch.setenv("MAILER_URL_FILE", "secret")
    assert url() == ("file:by-secret-file", "MAILER_URL_FILE")
    monkeypatch.delenv("MAILER_URL_FILE")
    assert url() == ("file:by-dot-env", "MAILER_URL in .env")
    Path(".env").write_text("MAILER_URL_FILE=secret\n")
    assert url() == ("file:by-secret-file", "MAILER_URL_FILE in .env")
    Path(".env").unlink()
    assert url() == ("file:by-toml", "mailer.toml: url")
    Path("mailer.toml").unlink()
    assert Settings().url is None
    assert Settings().unsupported == "default"


def test_sources_complete_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, MAILER_MAILERS__NEWS__URL=URL)
    Path(".env").write_text("MAILER_UNSUPPORTED=error\nDATABASE_URL=postgres://x\n")
    Path("mailer.toml").write_text('url = "null:"\n[mailers.news]\nfrom = "News <news@example.com>"\nurl = "memory:"\n')
    settings = Settings({"from": "shop@example.com"})
    assert (str(settings.url), settings.from_, settings.unsupported) == ("null:", "shop@example.com", "error")
    news = settings.of("news")
    assert news.url is not None
    assert (news.url.get_secret_value(), news.from_, news.unsupported) == (URL, "News <news@example.com>", "error")


def test_a_section_holds_over_what_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mailer.toml").write_text("""
        url = "console:"
        from = "shop@example.com"
        [mailers.news]
        url = "console:"
        [production]
        url = "null:"
        [production.mailers.news]
        from = "news@example.com"
        [staging]
        url = "file:staging"
    """)
    assert str(Settings().url) == "console:"
    monkeypatch.setenv("MAILER_ENV", "production")
    settings = Settings()
    assert (settings.env, str(settings.url), settings.from_) == ("production", "null:", "shop@example.com")
    assert (str(settings.of("news").url), settings.of("news").from_) == ("console:", "news@example.com")
    assert settings.origins["url"] == "mailer.toml: production.url"
    assert str(Settings(env="staging").url) == "file:staging"
    monkeypatch.setenv("MAILER_URL", "memory:")
    assert str(Settings().url) == "memory:", "the environment counts more than any section of a file"


def test_a_section_of_a_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    mapping = {"from": "shop@example.com", "development": {"url": "console:"}, "production": {"url": URL}}
    monkeypatch.setenv("MAILER_ENV", "development")
    assert str(Settings(mapping).url) == "console:"
    assert str(Settings({**mapping, "env": "production"}).url) == "smtp://user:***@smtp.example.com"
    monkeypatch.delenv("MAILER_ENV")
    with pytest.raises(ConfigError, match=r"MAILER_ENV, for there are: development, production"):
        Mailer(settings=mapping)


def test_retry_is_told_by_its_parts_or_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mailer.toml").write_text(
        "url = 'null:'\n[retry]\ntries = 5\nwait_s = 2\n[mailers.a.retry]\njitter = 0\n[mailers.b]\nretry = 'none'"
    )
    monkeypatch.setenv("MAILER_RETRY__TRIES", "4")
    settings = Settings()
    assert settings.retry == RetryPolicy(tries=4, wait_s=2)
    assert settings.of("a").retry == RetryPolicy(tries=4, wait_s=2, jitter=0), "each part is inherited for itself"
    assert settings.of("b").retry is None
    monkeypatch.setenv("MAILER_MAILERS__B__RETRY__TRIES", "7")
    assert Settings().of("b").retry == RetryPolicy(tries=7, wait_s=2)
    assert Settings(retry=None).retry is Settings(retry=False).retry is None
    mine = RetryPolicy(random=lambda: 0.5)
    assert Settings(retry=mine).retry is mine
    assert Settings({"a": {"retry": "none"}}, retry={"jitter": 0}, env="a").retry == RetryPolicy(jitter=0)
    monkeypatch.setenv("MAILER_RETRY", "none")
    with pytest.raises(ConfigError, match="MAILER_RETRY and MAILER_RETRY__TRIES say the same setting"):
        Settings()


def test_templates_are_folders_and_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / "hi.txt").write_text("Hello {{ name }}")
    set_variables(monkeypatch, MAILER_URL="memory:", MAILER_FROM="a@b.test", MAILER_TEMPLATES=" mail, mailer:contrib")
    assert Settings().templates == ["mail", "mailer:contrib"]
    message = Message(to="c@d.test", subject="s", template="hi", context={"name": "Ann"})
    assert Mailer().render(message).text == "Hello Ann"
    assert Settings(templates=tmp_path / "mail").templates == [str(tmp_path / "mail")]
    own = Templates("mail")
    assert Settings(templates=own).templates is own
    assert Mailer(settings={"templates": ["mailer:contrib"]}, templates="mail").render(message).text == "Hello Ann"


@pytest.mark.parametrize("spelling", [{"from": "a@b.test"}, {"from_": "a@b.test"}])
def test_from_is_spelt_as_python_or_as_everybody_else_spells_it(spelling: dict[str, str]) -> None:
    assert Settings(spelling).from_ == Settings(**spelling).from_ == "a@b.test"


def test_the_default_mailer_may_be_named() -> None:
    settings = Settings({"mailers": {"default": {"url": "null:"}, "News": {"from": "news@example.com"}}})
    assert settings.names == ("default", "news")
    assert str(settings.of("NEWS").url) == str(settings.url) == "null:"


def test_empty_variables_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, MAILER_URL=" ", MAILER_FROM="", MAILER_NONSENSE="")
    Path(".env").write_text("MAILER_URL=null:\nMAILER_FROM\n")
    assert (str(Settings().url), Settings().from_) == ("null:", None)


def test_dot_env_is_read_as_python_dotenv_reads_it() -> None:
    Path(".env").write_bytes(
        b'\xef\xbb\xbf# the shop\'s\r\nexport MAILER_FROM="Gr\xc3\xbc\xc3\x9fe <shop@example.com>"  # who\r\n'
        b"MAILER_URL='smtp://user:a%23b@h'\r\n"
    )
    settings = Settings()
    assert settings.from_ == "Grüße <shop@example.com>"
    assert settings.url is not None
    assert settings.url.get_secret_value() == "smtp://user:a%23b@h"


def test_a_variable_has_an_underscore_where_the_name_has_a_hyphen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be written otherwise; else it made a mailer of its own, and the one that was meant sent elsewhere."""
    Path("mailer.toml").write_text('url = "null:"\n[mailers.news-letter]\nfrom = "news@example.com"\n')
    set_variables(monkeypatch, MAILER_MAILERS__NEWS_LETTER__URL="memory:", MAILER_RETRY__MAX_WAIT_S="2")
    settings = Settings()
    assert settings.names == ("default", "news-letter")
    assert str(settings.of("news-letter").url) == "memory:"
    assert settings.origins["mailers.news-letter.url"] == "MAILER_MAILERS__NEWS_LETTER__URL"
    both = Settings({"mailers": {"news_letter": {"from": "other@example.com"}}})
    assert (str(both.of("news-letter").url), str(both.of("news_letter").url)) == ("null:", "memory:")


def test_files_may_be_named_and_must_exist_then(tmp_path: Path) -> None:
    Path("mailer.toml").write_text("this is not read")
    Path("other.toml").write_text('\ufeffurl = "null:"\r\n', encoding="utf-8")
    Path("other.env").write_text("MAILER_FROM=a@b.test")
    settings = Settings(_toml_file="other.toml", _env_file=tmp_path / "other.env")
    assert settings.origins == {"url": "other.toml: url", "from": f"MAILER_FROM in {tmp_path / 'other.env'}"}
    assert Settings(_toml_file=None).origins == {}
    for missing in ({"_toml_file": "gone.toml"}, {"_env_file": "gone.env"}):
        with pytest.raises(ConfigError, match=r"gone\.\w+ is not there"):
            Settings(**{"_toml_file": None, **missing})


# --- what is refused --------------------------------------------------------------------------------------------------

WRONG_TABLES = {
    "an unknown setting": ({"urll": "null:"}, "urll: .*did you mean 'url'"),
    "capitals": ({"URL": "null:"}, "URL: .*did you mean 'url'"),
    "a variable's name": ({"MAILER_FROM": "a@b.test"}, "MAILER_FROM: .*did you mean 'from'"),
    "a slip of a table": ({"mailer": {"news": {"url": "null:"}}}, "mailer: .*did you mean 'mailers'"),
    "unknown below": ({"mailers": {"news": {"form": "a@b.test"}}}, r"mailers\.news\.form: .*did you mean 'from'"),
    "unknown in a section": ({"production": {"ulr": "null:"}}, r"production\.ulr: .*did you mean 'url'"),
    "env in a section": ({"production": {"env": "staging"}}, r"production\.env: there is no such setting"),
    "a section in a section": ({"production": {"eu": {"url": "null:"}}}, r"production\.eu: there is no such setting"),
    "mailers as a value": ({"mailers": "null:"}, "mailers: must be a table, not str"),
    "a mailer as a value": ({"mailers": {"news": "null:"}}, r"mailers\.news: must be a table, not str"),
    "a table as a value": ({"url": {"host": "h"}}, "url: must be a value, not a table"),
    "a number as URL": ({"url": 5}, "url: must be a URL, not int"),
    "an unknown scheme": ({"url": "smpt://h"}, "url: .*did you mean 'smtp'"),
    "a wrong option": ({"url": "smtp://h?tiemout=5"}, "url: .*did you mean 'timeout'"),
    "a wrong URL below": ({"mailers": {"news": {"url": "smtp://h:70000"}}}, r"mailers\.news\.url: .*70000"),
    "a wrong address": ({"from": "nobody"}, "from: .*nobody"),
    "addresses of a wrong type": ({"from": 5}, "from: must be an address or a list of them, not int"),
    "a URL as address": ({"from": URL}, "from: must be an address, not a URL"),
    "a wrong choice": ({"unsupported": "warn"}, "unsupported: must be 'default', 'error' or 'degrade'"),
    "an unknown part of retry": ({"retry": {"tires": 5}}, r"retry\.tires: .*did you mean 'tries'"),
    "retry out of range": ({"retry": {"tries": 0}}, r"retry\.tries: must be a whole number from 1 to 100"),
    "retry as a word": ({"retry": "often"}, 'retry: must be a table, a RetryPolicy or "none"'),
    "no folder": ({"templates": ["/", "gone"]}, "templates: there is no folder '.*gone'"),
    "no package": ({"templates": "no_such_package:mail"}, "templates: there is no package 'no_such_package'"),
    "templates of a wrong type": (
        {"templates": 5},
        "templates: must be a folder, a list of them or Templates, not int",
    ),
    "a URL as folder": ({"templates": URL}, "templates: must be folders, not a URL"),
    "no number": ({"retry": {"jitter": "much"}}, r"retry\.jitter: must be a valid number"),
    "true as a number": ({"retry": {"tries": True}}, r"retry\.tries: must be a number, not true or false"),
    "below, as well": (
        {"mailers": {"n": {"retry": {"wait_s": -1}}}},
        r"mailers\.n\.retry\.wait_s: must be a number from 0",
    ),
    "an unknown section": ({"env": "prodction", "production": {}}, "env: .*'prodction'; did you mean 'production'"),
    "no section at all": ({"env": "prod"}, "env: there is no section 'prod'; there are: none"),
    "a section of a wrong type": ({"env": 7, "production": {}}, "env: must be a section's name, not int"),
    "no name of a mailer": ({"mailers": {"n__s": {"url": "null:"}}}, r"mailers\.n__s: a name here"),
    "the default twice": (
        {"url": "null:", "mailers": {"default": {"url": "null:"}}},
        r"url and mailers\.default\.url say the same",
    ),
    "a mailer twice": (
        {"mailers": {"news": {"url": "null:"}, "NEWS": {"url": "null:"}}},
        r"mailers\.news\.url and mailers\.NEWS\.url",
    ),
    "no name at all": ({5: "null:"}, "there is no such setting"),
    "two at once": ({"url": "smpt://h", "unsupported": "warn"}, "url: .*; unsupported: "),
}


@pytest.mark.parametrize(("table", "said"), WRONG_TABLES.values(), ids=WRONG_TABLES)
def test_wrong_settings_are_named_with_the_remedy(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Settings(table)
    with pytest.raises(ConfigError, match=said):
        mailer.configure(table)
    with pytest.raises(ConfigError, match=said):
        Mailer(settings=table)


@pytest.mark.parametrize("value", ["null:", 5, ["url"], object()])
def test_a_mapping_must_be_one(value: Any) -> None:
    with pytest.raises(ConfigError, match="as a mapping or as Settings, not as"):
        Settings(value)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('urll = "null:"', r"mailer\.toml: urll: .*did you mean 'url'"),
        ("[mailers]\nnews = 1979-05-27", r"mailer\.toml: mailers\.news: must be a table, not date"),
        ("url = 1979-05-27T07:32:00Z", r"mailer\.toml: url: must be a URL, not datetime"),
        ('[[mailers]]\nurl = "null:"', r"mailer\.toml: mailers: must be a table, not list"),
        ("url = smtp://h", r"mailer\.toml is not TOML: .*line 1"),
        ('url = "\udcff"', r"mailer\.toml is not UTF-8"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_it(toml: str, said: str) -> None:
    Path("mailer.toml").write_text(toml, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError, match=said):
        Settings()


def test_a_file_that_is_nested_too_deeply_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_deep(text: str) -> None:
        raise RecursionError(SECRET)  # as tomllib does; a real one upsets what else runs in this process

    monkeypatch.setattr("tomllib.loads", too_deep)
    Path("mailer.toml").touch()
    with pytest.raises(ConfigError, match="not TOML: it is nested too deeply"):
        Settings()


@pytest.mark.parametrize("name", [".env", "mailer.toml"])
def test_a_file_that_cannot_be_read_is_named(name: str) -> None:
    Path(name).mkdir()
    with pytest.raises(ConfigError, match=f"{name} cannot be read"):
        Settings()


def test_dot_env_that_is_not_utf8_is_named() -> None:
    Path(".env").write_bytes(b"MAILER_FROM=Gr\xfc\xdfe")
    with pytest.raises(ConfigError, match=r"\.env is not UTF-8"):
        Settings()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x" * 70_000, "larger than 65536 bytes"),
        (b"smpt://h\n", "did you mean 'smtp'"),
    ],
)
def test_a_secret_file_that_is_no_good(monkeypatch: pytest.MonkeyPatch, content: bytes | None, said: str) -> None:
    if content is not None:
        Path("secret").write_bytes(content)
    monkeypatch.setenv("MAILER_URL_FILE", "secret")
    with pytest.raises(ConfigError, match=f"MAILER_URL_FILE: .*{said}"):
        Settings()
    assert str(Settings(url="null:").url) == "null:", "it is not read where it does not count"


@pytest.mark.parametrize("path", ["", "/dev/zero", f"{URL}", "a\0b"])
def test_a_secret_in_place_of_its_file_is_not_told(path: str) -> None:
    from mailer.sources import Place, read_settings

    place, _ = Place.variables({"MAILER_URL_FILE": path or "/"}, {"url": None})
    with pytest.raises(ConfigError, match="MAILER_URL_FILE: the file") as caught:
        read_settings([place]).nested()
    assert SECRET not in whole(caught.value)


def test_a_value_and_its_file_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, MAILER_URL="null:", MAILER_URL_FILE="secret")
    with pytest.raises(ConfigError, match="MAILER_URL and MAILER_URL_FILE say the same setting"):
        Settings()


# --- variables that are no settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("MAILER_URLL", "did you mean MAILER_URL?"),
        ("MAILER_FORM", "did you mean MAILER_FROM?"),
        ("MAILER_url", "did you mean MAILER_URL?"),
        ("MAILER_MAILERS__NEWS__ULR", "did you mean MAILER_MAILERS__NEWS__URL?"),
        ("MAILER_MAILERS__NEWS", "MAILER_MAILERS__NAME__"),
        ("MAILER_PASSWORD", "there are: MAILER_URL, MAILER_FROM"),
        ("MAILER_NONSENSE", "there are: MAILER_URL, MAILER_FROM"),
        ("MAILER_URL__FILE", "did you mean MAILER_URL_FILE?"),
        ("MAILER_PORT", "there are: "),
    ],
)
@pytest.mark.parametrize("place", ["environment", ".env"])
def test_an_unknown_variable_is_a_warning_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, near: str, place: str
) -> None:
    if place == "environment":
        monkeypatch.setenv(name, SECRET)
    else:
        Path(".env").write_text(f"{name}={SECRET}\n")
        name += " in .env"
    with pytest.warns(UserWarning, match=name) as caught:
        Settings()
    [text] = [str(warning.message) for warning in caught]
    assert text.startswith(f"there is no setting {name}; ")
    assert near in text
    assert caplog.record_tuples == [("mailer.settings", logging.WARNING, f"setting.unknown: {text}")]
    assert SECRET not in text


def test_a_warning_is_never_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILER_URLL", "null:")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Settings().url is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAILER_SERVICE_HOST", "10.0.0.1"),
        ("MAILER_SERVICE_PORT", "25"),
        ("MAILER_SERVICE_PORT_SMTP", "25"),
        ("MAILER_PORT", "tcp://10.0.0.1:25"),
        ("MAILER_PORT_25_TCP", "tcp://10.0.0.1:25"),
        ("MAILER_PORT_25_TCP_ADDR", "10.0.0.1"),
        ("MAILER_PORT_53_UDP_PROTO", "udp"),
        ("MAILER_WEB_SERVICE_HOST", "10.0.0.1"),
        ("MAILER_WEB_PORT", "tcp://10.0.0.1:80"),
        ("MAILERS", "x"),
        ("DJANGO_MAILER_URL", "x"),
    ],
)
def test_what_a_platform_sets_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    Path(".env").write_text(f"{name}={value}\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert Settings().origins == {}
    assert caught == caplog.records == []


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_b43_no_way_to_show_settings_shows_a_secret() -> None:
    settings = Settings({"url": URL, "mailers": {"news": {"url": f"failover(null: smtp://u:{SECRET}@h)"}}})
    shown = [
        *(repr(settings), str(settings), f"{settings.model_dump()}", settings.model_dump_json()),
        *(json.dumps(settings.model_dump(mode="json")), repr(settings.of("news")), str(settings.rows())),
        *(repr(settings.url), str(settings.mailers), repr(vars(settings)), repr(list(settings))),
        repr(pickle.dumps(settings)),
        repr(pickle.dumps(settings.url, 0)),
    ]
    assert SECRET not in "".join(shown)
    assert "smtp://user:***@smtp.example.com" in shown[3]


def test_what_came_by_pickle_says_that_its_secrets_stayed_behind() -> None:
    settings = pickle.loads(pickle.dumps(Settings(url=URL, from_="a@b.test")))
    assert settings.from_ == "a@b.test"
    with pytest.raises(ConfigError, match=r"smtp://user:\*\*\*@smtp\.example\.com came by pickle"):
        Mailer(settings=settings)


def test_copies_keep_their_secrets() -> None:
    settings = Settings(url=SecretStr(URL))
    for other in (copy.copy(settings), copy.deepcopy(settings), settings.model_copy(), Settings(url=settings.url)):
        assert other.url == settings.url == SecretURL.parse(URL)
        assert hash(other.url) == hash(settings.url)
        assert other.url is not None
        assert other.url.get_secret_value() == URL


@pytest.mark.parametrize(
    "url",
    [
        f"smtp://user:{SECRET}@h:99999",
        f"smtp://user:{SECRET}@h?nonsense=1",
        f"smpt://user:{SECRET}@h",
        f"smtp://user:{SECRET} x@h",
        f"smtp://user:{SECRET}#x@h",
        f"failover(null: smtp://user:{SECRET}@h",
        f"smtp://user:p@h?password={SECRET}",
        f"{SECRET}",
        ["smtp://", SECRET],
        {SECRET},
    ],
)
def test_no_error_holds_a_secret_nor_the_validator_s_own(url: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(url=url)
    assert SECRET not in whole(caught.value)
    assert "ValidationError" not in whole(caught.value)
    assert SECRET not in whole(pickle.loads(pickle.dumps(caught.value)))


@pytest.mark.parametrize(
    "table",
    [
        {"url": URL, "ulr": URL},
        {"url": f"{URL}:x"},
        {"url": URL, "unsupported": "x"},
        {"url": URL, "mailers": {"default": {"url": URL}}},
        {"url": URL, "env": "gone"},
    ],
)
def test_no_frame_below_holds_a_secret(table: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """There are error reporters that show every variable of every frame."""
    monkeypatch.setenv("MAILER_MAILERS__NEWS__URL", URL)
    with pytest.raises(ConfigError) as caught:
        Settings(table)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)][1:]
    assert SECRET not in repr([{k: v for k, v in frame.f_locals.items() if k != "self"} for frame in frames])
    assert caught.value.__context__ is caught.value.__cause__ is None


PIECES = st.sampled_from(
    [SECRET, "smtp", "://", ":", "@", "host", "?", "#", "=", "%", "%0d", "&", "(", ")", " ", "\n", "'", '"', "\\", "é"]
)
VALUES = st.lists(PIECES, max_size=8).map("".join)
KEYS = st.sampled_from(["url", "from_", "from", "unsupported", "mailers", "env", "prod", "news", "default", "ulr", ""])
TABLES = st.recursive(
    VALUES | st.none() | st.integers() | st.booleans() | st.lists(VALUES, max_size=2),
    lambda below: st.dictionaries(KEYS, below, max_size=4),
    max_leaves=8,
)


def settles_or_is_refused(*args: Any, **keywords: Any) -> None:
    """A ConfigError without the secret's traces, or settings that show none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            shown = repr(Settings(*args, **keywords))
        except ConfigError as error:
            shown = whole(error)
    # As a user name, host or address it is no secret.
    assert f":{SECRET}@" not in shown


@given(st.dictionaries(KEYS, TABLES, max_size=5))
@example({"url": f"smtp://u:{SECRET}@h?nonsense=1"})
@hypothesis_settings(deadline=None)
def test_any_mapping_is_read_or_refused(table: dict[str, Any]) -> None:
    settles_or_is_refused(table, _env_file=None, _toml_file=None)


@given(st.sampled_from(["MAILER_URL", "MAILER_FROM", "MAILER_MAILERS__A__URL", "MAILER_URL_FILE"]), VALUES)
@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_dot_env_and_toml_is_read_or_refused(name: str, value: str) -> None:
    Path("some.env").write_text(f"{name}={value}\n", encoding="utf-8")
    settles_or_is_refused(_env_file="some.env", _toml_file=None)
    Path("some.toml").write_text(f"url = {value}\n[mailers.a]\nurl = '{value}'\n", encoding="utf-8")
    settles_or_is_refused(_env_file=None, _toml_file="some.toml")


# --- the mailers that are built of them -------------------------------------------------------------------------------


def hello() -> Message:
    return Message(to="ann@example.org", subject="s", text="t")


@pytest.mark.parametrize("face", [Mailer, AsyncMailer])
def test_both_faces_take_settings_and_a_name(face: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings({"url": "null:", "mailers": {"news": {"url": "memory:"}}})
    assert str(face(settings=settings).backend) == "null:"
    assert str(face(settings=settings, name="news").backend) == "memory:"
    assert str(face("console:", settings=settings).backend) == "console:"
    assert str(face(settings={"url": "null:"}).backend) == "null:"
    monkeypatch.setenv("MAILER_MAILERS__NEWS__URL", "memory:")
    assert str(face(name="news").backend) == "memory:"
    with pytest.raises(ConfigError, match="did you mean 'news'"):
        face(name="nws")
    with pytest.raises(ConfigError, match="name='news' is for settings"):
        face("null:", name="news")


def test_keywords_of_the_mailer_count_more() -> None:
    settings = Settings(url="memory:", from_="shop@example.com", unsupported="error", retry={"tries": 9})
    assert Mailer(settings=settings)._pipeline._retry == RetryPolicy(tries=9)
    assert Mailer(settings=settings, retry=None)._pipeline._retry is None
    with Mailer(settings=settings, from_="other@example.com", unsupported="degrade") as ours:
        ours.send(hello())
    [mail] = ours.backend.mails  # type: ignore[attr-defined]
    assert mail.envelope.sender.addr_spec == "other@example.com"
    assert ours.backend.unsupported == "degrade"


@pytest.mark.parametrize("from_", [["a@b.test", "c@d.test"], ("Shop", "a@b.test"), [("Shop", "a@b.test")]])
def test_several_senders_and_pairs(from_: Any) -> None:
    with Mailer(settings={"url": "memory:", "from": from_}) as ours:
        assert ours.compose(hello().with_(sender="a@b.test")).message.from_ == Message(from_=from_).from_


def test_a_mailer_with_a_url_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, MAILER_URL="smpt://", MAILER_FROM="nobody", MAILER_UNSUPPORTED="x")
    Path("mailer.toml").write_text("junk")
    assert Mailer("null:", from_="a@b.test").send(hello()).ok


def test_a_named_mailer_without_any_url() -> None:
    settings = Settings({"mailers": {"news": {"from": "a@b.test"}}})
    with pytest.raises(ConfigError, match="MAILER_MAILERS__NEWS__URL"):
        Mailer(settings=settings, name="news")


# --- access tokens ----------------------------------------------------------------------------------------------------

CONSENT = {"service": "google", "client_id": "app", "client_secret": SECRET, "refresh_token": f"1//{SECRET}"}


def test_oauth2_is_told_by_its_parts_its_secrets_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "refresh").write_text(f"1//{SECRET}\n")
    (tmp_path / "mailer.toml").write_text("url = 'smtp+gmail://me@default'\n[oauth2]\nservice = 'google'\n")
    set_variables(
        monkeypatch,
        MAILER_OAUTH2__CLIENT_ID="app",
        MAILER_OAUTH2__CLIENT_SECRET=SECRET,
        MAILER_OAUTH2__REFRESH_TOKEN_FILE=str(tmp_path / "refresh"),
    )
    settings = Settings()
    assert settings.tokens._source.form(0, None) == {
        "grant_type": "refresh_token",
        "client_id": "app",
        "client_secret": SECRET,
        "refresh_token": f"1//{SECRET}",
    }
    shown = f"{settings!r} {settings.model_dump_json()} {settings.rows()}"
    assert SECRET not in shown
    assert ("oauth2.client_id", "app", "MAILER_OAUTH2__CLIENT_ID") in settings.rows()
    assert ("oauth2.refresh_token", "***", "MAILER_OAUTH2__REFRESH_TOKEN_FILE") in settings.rows()
    assert ("oauth2.service", "google", "mailer.toml: oauth2.service") in settings.rows()
    assert Mailer(settings=settings).backend.endpoint.tokens is settings.tokens
    assert AsyncMailer(settings=settings).backend.endpoint.tokens is settings.tokens, "one for both: asked once"
    with pytest.raises(TypeError, match="keeps credentials and is not pickled"):
        pickle.dumps(settings)
    assert copy.deepcopy(settings).tokens is settings.tokens


def test_what_is_given_says_which_grant() -> None:
    robot = json.dumps({"type": "service_account"})
    app = Settings(url="null:", oauth2={**CONSENT, "service": "microsoft", "tenant": "x.test", "refresh_token": ""})
    assert type(app.tokens._source).__name__ == "ClientCredentialsGrant"
    with pytest.raises(ConfigError, match=r"oauth2\.service_account: service_account: the key has no client_email"):
        Settings(url="null:", oauth2={"service_account": robot})
    tokens = mailer.TokenProvider(lambda: "t")
    assert Settings(url="null:", oauth2=tokens).tokens is tokens
    assert "<lambda>" in Settings(url="null:", oauth2=tokens).model_dump_json()


@pytest.mark.parametrize(
    ("oauth2", "says"),
    [
        ({"servise": "google"}, "oauth2.servise: .*did you mean 'service'"),
        ({"service": "google"}, "oauth2.service: client_id is missing"),
        ({"client_id": "a", "refresh_token": SECRET}, "oauth2.client_id: service is missing"),
        ({**CONSENT, "service": "gogle"}, "'google' or 'microsoft'"),
        ({**CONSENT, "subject": "me@x.test"}, "subject cannot stand beside refresh_token"),
        ({**CONSENT, "service_account": SECRET}, "client_id and client_secret and refresh_token and service cannot"),
        ({"service_account": SECRET}, "cannot be read"),
        ({**CONSENT, "cache": "no/such/folder/tokens"}, "there is no folder"),
        ({**CONSENT, "client_secret": [SECRET]}, "oauth2.client_secret: must be a valid string"),
        (SECRET, "must be a table or a TokenProvider"),
    ],
)
def test_what_oauth2_cannot_be_is_told_with_its_place_and_no_secret(oauth2: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        Settings(url="null:", oauth2=oauth2)
    assert SECRET not in whole(caught.value)


def test_tokens_belong_to_their_url() -> None:
    """They are not taken over by a named mailer with another URL, nor given to a backend that wants none."""
    settings = Settings(
        {
            "url": "smtp+gmail://me@default",
            "oauth2": CONSENT,
            "mailers": {
                "same": {"from": "same@example.com"},
                "other": {"url": "smtp://me@other.example.com?auth=xoauth2"},
                "own": {"url": "smtp+outlook://me@default", "oauth2": {**CONSENT, "service": "microsoft"}},
            },
        }
    )
    assert Mailer(settings=settings, name="same").backend.endpoint.tokens._source.shown["client_id"] == "app"
    with pytest.raises(ConfigError, match="no password"):
        Mailer(settings=settings, name="other")
    assert Mailer(settings=settings, name="own").backend.endpoint.tokens is settings.of("own").tokens
    assert str(Mailer(settings=Settings({"url": "memory:", "oauth2": CONSENT})).backend) == "memory:"
