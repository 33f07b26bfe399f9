"""Settings: what an app's mailers are made of, read once from the places where deployments keep such things.

A value is taken from the first of these that has it:

1. keywords, then the mapping given: ``Settings({"url": "smtp://..."}, from_="shop@example.com")``
2. the environment: ``MAILER_URL``, ``MAILER_MAILERS__NEWS__URL``; or ``MAILER_URL_FILE``, the name of a file with it
3. ``.env`` in the current folder, with the same names
4. ``mailer.toml`` in the current folder
5. the defaults

A table that is no setting is a section: ``[production]`` in ``mailer.toml`` (or "production" in the mapping) holds when
``MAILER_ENV`` is "production", over what stands beside it. Where values come from is :mod:`mailer.sources`' business,
what they must be is said here; nothing deeper than ``Mailer`` knows that there are settings.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from .address import Address
from .errors import ConfigError, MessageError
from .log import NO_SETTING
from .message import Message
from .plugin_settings import PluginChoice
from .redaction import MASK, forgets_arguments
from .retry import DEFAULT_RETRY, RetryPolicy
from .search_path import SearchPath
from .secret_url import SecretURL
from .settings_files import read_env_file, read_toml_file
from .sources import (
    ANY,
    DEFAULT,
    ENV_FILE,
    LISTED,
    OPAQUE,
    PRESENT,
    TOML_FILE,
    WHOLE,
    Found,
    Place,
    Tree,
    nearest,
    read_settings,
)

if TYPE_CHECKING:
    from .oauth2 import TokenProvider
    from .template_engine import TemplateEngine

__all__ = ["MailerSettings", "OAuth2Settings", "RetrySettings", "Settings"]

# --- what a value must be ---------------------------------------------------------------------------------------------


def _url(value: Any) -> SecretURL | None:
    if value is None or isinstance(value, SecretURL):
        return value
    if hasattr(value, "get_secret_value"):  # pydantic's own
        value = value.get_secret_value()
    if not isinstance(value, str):
        raise ValueError(f"must be a URL, not {type(value).__name__}")
    try:
        return SecretURL.parse(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None


def _from(value: Any) -> str | list[str] | None:
    if value is None:
        return None
    if not isinstance(value, (str, Address, list, tuple)):
        raise ValueError(f"must be an address or a list of them, not {type(value).__name__}")
    if isinstance(value, str) and "://" in value:
        raise ValueError("must be an address, not a URL")  # whose password an error would show
    try:
        addresses = Message(from_=value).from_
    except MessageError as error:
        raise ValueError(str(error).removeprefix("from_: ")) from None
    return value if isinstance(value, str) else [str(address) for address in addresses]


def _retry(value: Any) -> RetryPolicy | None:
    if value is None or value is False or value == "none":
        return None
    if isinstance(value, RetryPolicy):
        return value
    if isinstance(value, Mapping):
        return RetryPolicy(**RetrySettings.model_validate(value).model_dump())
    raise ValueError('must be a table, a RetryPolicy or "none"')


def _shown_retry(policy: RetryPolicy | None) -> Any:
    return "none" if policy is None else {name: getattr(policy, name) for name in RetrySettings.model_fields}


def _templates(value: Any) -> TemplateEngine | list[str] | None:
    if isinstance(value, str):
        if "://" in value:
            raise ValueError("must be folders, not a URL")
        value = [place for one in value.split(",") if (place := one.strip())]
    elif isinstance(value, os.PathLike):
        value = [value]
    if isinstance(value, (list, tuple)):
        try:
            return list(SearchPath(value).labels)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("templates: ")) from None
    from .template_engine import TemplateEngine

    if value is None or isinstance(value, TemplateEngine):
        return value
    raise ValueError(f"must be a folder, a list of them or Templates, not {type(value).__name__}")


def _oauth2(value: Any) -> OAuth2Settings | TokenProvider | None:
    from .oauth2 import TokenProvider

    if value is None or isinstance(value, (OAuth2Settings, TokenProvider)):
        return value
    if not isinstance(value, Mapping):
        raise ValueError("must be a table or a TokenProvider")
    read = OAuth2Settings.model_validate(value)
    read.provider()  # what is wrong is to be known now
    return read


def _shown_oauth2(value: OAuth2Settings | TokenProvider) -> Any:
    if not isinstance(value, OAuth2Settings):
        return repr(value)
    return {name: MASK if isinstance(given, SecretStr) else given for name, given in value if given}


def _shown_templates(value: Any) -> Any:
    return value if isinstance(value, list) else repr(value)


def _plugins(value: Any) -> PluginChoice:
    try:
        return PluginChoice.of(() if value is None else value)
    except ConfigError as error:
        raise ValueError(str(error).removeprefix("plugins: ")) from None


def _folder(value: Any) -> str | None:
    if value is None or isinstance(value, (str, os.PathLike)):
        return None if value is None else os.fspath(value)
    raise ValueError(f"must be a folder's name, not {type(value).__name__}")


_Url = Annotated[
    InstanceOf[SecretURL] | None, BeforeValidator(_url), PlainSerializer(str, when_used="json-unless-none")
]
_From = Annotated[str | list[str] | None, BeforeValidator(_from)]
_Retry = Annotated[
    InstanceOf[RetryPolicy] | None, BeforeValidator(_retry), PlainSerializer(_shown_retry, when_used="json")
]
_Templates = Annotated[
    Any,  # list[str] | TemplateEngine | None; this file is to load without Jinja
    BeforeValidator(_templates),
    PlainSerializer(_shown_templates, when_used="json-unless-none"),
]
_Plugins = Annotated[
    InstanceOf[PluginChoice],
    BeforeValidator(_plugins),
    PlainSerializer(PluginChoice.shown, when_used="json"),
]
_OAuth2 = Annotated[
    Any,  # OAuth2Settings | TokenProvider | None; the latter is loaded on first use
    BeforeValidator(_oauth2),
    PlainSerializer(_shown_oauth2, when_used="json-unless-none"),
]


# --- the settings -----------------------------------------------------------------------------------------------------


class RetrySettings(BaseModel):
    """The table ``retry``: a :class:`RetryPolicy` in numbers and words."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    tries: int = Field(DEFAULT_RETRY.tries, description="How often in all, the first included: 1 to 100.")
    within_s: float = Field(
        DEFAULT_RETRY.within_s, description="No try begins later than so many seconds after the first began: 0 to 3600."
    )
    wait_s: float = Field(DEFAULT_RETRY.wait_s, description="Seconds before the second try; it doubles: 0 to 3600.")
    max_wait_s: float = Field(
        DEFAULT_RETRY.max_wait_s, description="Seconds that doubling comes to at most: 0 to 3600."
    )
    jitter: float = Field(DEFAULT_RETRY.jitter, description="By what share of theirs the waits vary: 0 to 1.")
    on_unknown: str = Field(
        DEFAULT_RETRY.on_unknown,
        description="`keep`, or `resend` to try again also what may have arrived: a risk of two copies.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool(cls, value: Any) -> Any:
        if isinstance(value, bool):  # which is an int to Python
            raise ValueError("must be a number, not true or false")
        return value

    @field_validator("*")
    @classmethod
    def _as_the_policy_has_it(cls, value: Any, info: ValidationInfo) -> Any:
        try:
            RetryPolicy(**{str(info.field_name): value})
        except ConfigError as error:
            raise ValueError(str(error).rpartition(": ")[2]) from None
        return value


class OAuth2Settings(BaseModel):
    """The table ``oauth2``: where access tokens come from. What is given says which grant it is."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    service: str = Field("", description="`google`, `microsoft`, or the token server's https URL.")
    client_id: str = Field("", description="The application's id.")
    client_secret: SecretStr = Field(
        SecretStr(""), description="The application's secret; without a refresh token, it acts for itself."
    )
    refresh_token: SecretStr = Field(SecretStr(""), description="What a user's consent gave.")
    service_account: SecretStr = Field(
        SecretStr(""), description="A Google service account's JSON key, or the name of its file."
    )
    subject: str = Field("", description="The user in whose name the service account sends.")
    tenant: str = Field("", description="Microsoft's directory: its id or domain.")
    scope: str = Field("", description="What for; without it what SMTP needs.")
    cache: str = Field("", description="A file that keeps tokens, for all processes; its folder must exist.")
    _provider: Any = PrivateAttr(None)

    def provider(self) -> TokenProvider:
        """The provider that they mean: one for all mailers, so that one asks.

        Raises:
            ValueError: They mean none, or are wrong; the text shows no secret.
        """
        if self._provider is None:
            self._provider = self._made()
        return cast("TokenProvider", self._provider)

    def _made(self) -> TokenProvider:
        from .oauth2 import TokenProvider

        refresh, account = self.refresh_token.get_secret_value(), self.service_account.get_secret_value()
        given = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name in type(self).model_fields
            if (value := getattr(self, name)) and name != "cache"
        }
        make: Any = TokenProvider.client_credentials
        needed = ["service", "client_id", "client_secret"]
        if account:
            make, needed = TokenProvider.service_account, ["service_account"]
        elif refresh:
            make, needed = TokenProvider.refresh_token, ["service", "client_id", "refresh_token"]
        for name in needed:
            if name not in given:
                raise ValueError(f"{name} is missing")
        allowed = {*needed, "scope", *(["subject"] if account else ["tenant", "client_secret"])}
        if too_many := sorted(given.keys() - allowed):
            raise ValueError(f"{' and '.join(too_many)} cannot stand beside {needed[-1]}")
        first = given.pop(needed[0])
        try:
            return cast("TokenProvider", make(first, **given, cache=self.cache or None))
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("oauth2: ")) from None


class MailerSettings(BaseModel):
    """The settings of one mailer."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: _Url = Field(None, description="The backend's URL. Without one anywhere there is no mailer.")
    from_: _From = Field(
        None,
        validation_alias="from",
        description="The From of messages that have none: an address, or a list of them.",
    )
    unsupported: Literal["default", "error", "degrade"] = Field(
        "default", description="What to do with what the backend cannot carry: `default`, `error` or `degrade`."
    )
    templates: _Templates = Field(
        None, description="Where templates are: a folder, `package:folder`, or several, parted by commas or as a list."
    )
    retry: _Retry = Field(DEFAULT_RETRY, description="When a send tries again: the settings below, or `none`.")
    oauth2: _OAuth2 = Field(
        None, description="Where access tokens come from, for a URL with a user and no password: the settings below."
    )

    plugins: _Plugins = Field(
        PluginChoice(),
        description="The plug-ins that are on: names, parted by commas or as a list; or tables, each one's settings.",
    )
    plugin_folder: Annotated[str | None, BeforeValidator(_folder)] = Field(
        None, description="A folder whose files `*.py` are plug-ins too, all of them on."
    )
    on_plugin_error: Literal["raise", "disable"] = Field(
        "raise", description="If a plug-in cannot be loaded: `raise`, or `disable` to go on without it."
    )
    trace_hooks: bool = Field(
        False, description="Keep what hooks are called, and how long each takes: for `mailer hooks` and the log."
    )

    def check_plugins(self) -> None:
        """Find the plug-ins and read their settings, and register nothing.

        Raises:
            ConfigError: One cannot be loaded, and is not to be disabled then.
        """
        if self.plugins.wanted or self.plugins.tables or self.plugin_folder:
            from .plugin import Plugins

            Plugins.check(self.plugins, folder=self.plugin_folder, on_error=self.on_plugin_error)

    @property
    def tokens(self) -> TokenProvider | None:
        """Where access tokens come from, or None."""
        return self.oauth2.provider() if isinstance(self.oauth2, OAuth2Settings) else self.oauth2


class Settings(MailerSettings, BaseSettings):
    """What an app's mailers are made of, read and checked when it is made; opens no connection.

    ::

        settings = Settings()                                       # environment, .env, mailer.toml
        settings = Settings({"url": "memory:"}, from_="me@example.com")
        mailer = Mailer(settings=settings, name="news")

    URLs show themselves with their secrets masked, in JSON too; a pickle is without the secrets.

    Attributes:
        url, from_, unsupported, templates, retry, oauth2, plugins, plugin_folder, on_plugin_error, trace_hooks: The
            default mailer's.
        env: The section that was chosen, or None.
        mailers: The named mailers, each with what it takes from the default one.
        origins: Setting ("url", "mailers.news.url") to where it stood ("MAILER_URL", "mailer.toml: url").
        sections: All sections that there are.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    env: str | None = Field(None, description="Which section of the mapping or of `mailer.toml` holds.")
    mailers: dict[str, MailerSettings] = Field(default_factory=dict, description="Named mailers.")
    origins: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)
    sections: tuple[str, ...] = Field((), exclude=True, repr=False)

    @forgets_arguments
    def __init__(
        self,
        mapping: Mapping[str, Any] | None = None,
        /,
        *,
        _env_file: str | os.PathLike[str] | None = ENV_FILE,
        _toml_file: str | os.PathLike[str] | None = TOML_FILE,
        _places: Sequence[Place] | None = None,
        **keywords: Any,
    ) -> None:
        """Read and check the settings.

        Args:
            mapping: Settings by name, as ``mailer.toml`` has them: "url", "from", "mailers", sections.
            _env_file: Read instead of ``.env``; it must exist then. None reads none.
            _toml_file: Read instead of ``mailer.toml``; it must exist then. None reads none.
            _places: Read instead of all the others, see :meth:`from_config`.
            keywords: Settings, over all other sources.

        Raises:
            ConfigError: A setting is unknown or wrong, or a file cannot be read. The text names where it stands and
                shows no secret.

        Warns:
            UserWarning: The environment or ``.env`` has a ``MAILER_`` variable that is no setting. Logged, too.
        """
        problems = self._fill(mapping, keywords, _env_file, _toml_file, _places)
        if problems is not None:
            raise ConfigError(problems)  # a new one: the chain behind it has the values

    @classmethod
    @forgets_arguments
    def from_config(
        cls,
        config: Mapping[str, Any],
        *,
        mapping: Mapping[str, Any] | None = None,
        below: Place | None = None,
        others: Sequence[str] = (),
    ) -> Self:
        """Read the settings that a web app's own configuration has, and nothing else: no environment, no file.

        Args:
            config: ``MAILER_URL``, ``MAILER_MAILERS`` ... among other names; what begins so and is no setting is
                refused. See :meth:`mailer.sources.Place.config`.
            mapping: Settings by name, as ``mailer.toml`` has them, that count less: the value of ``MAILER``.
            below: Settings that count less still.
            others: Names in ``config`` that begin so and are for somebody else.

        Raises:
            ConfigError: As when they are made; the text names the name in the configuration.
        """
        places = [Place.config(config, _TREE, others), Place.table(mapping, _TREE, "MAILER."), below or Place()]
        return cls(_places=places)

    def _fill(
        self,
        mapping: Mapping[str, Any] | None,
        keywords: Mapping[str, Any],
        env_file: str | os.PathLike[str] | None,
        toml_file: str | os.PathLike[str] | None,
        places: Sequence[Place] | None,
    ) -> str | None:
        """Read everything and take it. Returns what is wrong."""
        found: Mapping[tuple[str, ...], Found] = {}
        stray: list[tuple[str, str]] = []
        try:
            if places is None:
                environment, stray = Place.variables(os.environ, _TREE)
                variables, stray_too = Place.variables(read_env_file(env_file), _TREE, f" in {env_file}")
                stray += stray_too
                places = [
                    Place.table(keywords, _TREE),
                    Place.table(mapping, _TREE),
                    environment,
                    variables,
                    Place.table(read_toml_file(toml_file), _TREE, f"{toml_file}: "),
                ]
            read = read_settings(places)
            found = read.found
            super().__init__(**{**read.nested(), "origins": read.origins(), "sections": read.sections})
            self.plugins.origins = self._plugin_origins("plugins.")
            for name, mailer in self.mailers.items():
                mailer.plugins.origins = {**self.plugins.origins, **self._plugin_origins(f"mailers.{name}.plugins.")}
        except ConfigError as error:
            return str(error)
        except ValidationError as error:
            return _problems(error, found)
        _warn(stray)
        return None

    def _plugin_origins(self, start: str) -> dict[str, str]:
        return {name.removeprefix(start): text for name, text in self.origins.items() if name.startswith(start)}

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *args: Any, **others: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Everything is read already, more strictly and with its origin."""
        return (init_settings,)

    @property
    def names(self) -> tuple[str, ...]:
        """The mailers there are: "default" if it has a URL, then the named ones."""
        return (*([DEFAULT] if self.url is not None else []), *self.mailers)

    def without_plugins(self) -> Self:
        """A copy for mailers that are given their plug-ins."""
        none = {"plugins": PluginChoice(), "plugin_folder": None}
        named = {name: one.model_copy(update=none) for name, one in self.mailers.items()}
        return self.model_copy(update={**none, "mailers": named})

    def of(self, name: str = DEFAULT, *, needs_url: bool = True) -> MailerSettings:
        """One mailer's settings; what a named one does not say, it takes from the default one.

        Raises:
            ConfigError: There is no such mailer, or (unless ``needs_url`` is False) it has no URL.
        """
        named = self.mailers.get(name.lower()) if isinstance(name, str) else None
        if named is None and name != DEFAULT:
            raise ConfigError(f"there is no mailer {name!r}; {nearest(str(name), [DEFAULT, *self.mailers])}")
        chosen = named or self
        if needs_url and chosen.url is None:
            raise ConfigError(self._without_url(name))
        return chosen

    def rows(self) -> list[tuple[str, Any, str]]:
        """Each setting that holds, to show: its dotted path, its value with secrets masked, where it stood."""
        data = self.model_dump(mode="json")
        rows = []
        for setting, value in _leaves({**data, "mailers": {}}):
            origin = self._origin(setting) or ("not set" if value is None else "default")
            rows.append((setting, value, origin))
        for setting, value in _leaves({"mailers": data["mailers"]}):
            if own := self._origin(setting):
                rows.append((setting, value, own))
        return rows

    def _origin(self, setting: str) -> str | None:
        """Where it stood, or the table that it is in, as one value."""
        return self.origins.get(setting) or self.origins.get(setting.rpartition(".")[0])

    def _without_url(self, name: str) -> str:
        if name != DEFAULT:
            return f"mailer {name!r} has no url, nor has the default one: set MAILER_MAILERS__{name.upper()}__URL"
        text = "there is no backend: give Mailer(url) or set MAILER_URL, e.g. MAILER_URL=smtp://localhost:25"
        return f"{text}; or MAILER_ENV, for there are: {', '.join(self.sections)}" if self.sections else text


_OF_MAILER: Tree = {
    **{field.rstrip("_"): None for field in MailerSettings.model_fields},
    "retry": dict.fromkeys((WHOLE, *RetrySettings.model_fields)),
    "oauth2": dict.fromkeys((WHOLE, *OAuth2Settings.model_fields)),
    "plugins": {LISTED: None, ANY: {PRESENT: None, ANY: OPAQUE}},
}
_TREE: Tree = {**_OF_MAILER, "env": None, "mailers": {ANY: _OF_MAILER}}


# --- telling ----------------------------------------------------------------------------------------------------------


def _problems(error: ValidationError, found: Mapping[tuple[str, ...], Found]) -> str:
    """What is wrong, each with where it stands, in the order of the settings."""
    problems = {}
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        location = tuple(map(str, problem["loc"]))
        while location and location not in found and not _below(location, found):  # it may lead into the value
            location = location[:-1]
        # What is missing from a table is told at the first setting that stands in it.
        named = found[location if location in found else _below(location, found)[0]].origin
        problems[named] = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
    return "; ".join(f"{named}: {text}" for named, text in problems.items())


def _below(table: tuple[str, ...], found: Mapping[tuple[str, ...], Found]) -> list[tuple[str, ...]]:
    return [path for path in found if path[: len(table)] == table]


def _leaves(table: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for field, value in table.items():
        setting = above + field.rstrip("_")
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{setting}.")
        else:
            yield setting.removesuffix("."), value  # a table that also stands for itself has that under ""


def _warn(stray: list[tuple[str, str]]) -> None:
    for variable, remedy in stray:
        text = f"there is no setting {variable}; {remedy}"
        if NO_SETTING.wanted():
            NO_SETTING(variable=variable, remedy=remedy)
        # -W error must not make an exception, and none of ours, of a variable that some other program may need.
        with suppress(UserWarning):
            warnings.warn(text, stacklevel=3)
