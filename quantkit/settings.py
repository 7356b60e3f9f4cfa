"""Settings, from the environment and ``quantkit.toml``; keys are never shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from quantkit.core.errors import SettingsError
from quantkit.core.schema import check_symbols

__all__ = ["DEFAULT_WATCHLIST", "AlertRules", "Settings"]

DEFAULT_WATCHLIST = ("AAPL", "AMZN", "GOOG", "META", "MSFT", "NFLX", "NVDA", "^GSPC")

Names = Annotated[tuple[str, ...], NoDecode]


class AlertRules(BaseModel):
    """When a report raises an alert: ``[alerts]`` in quantkit.toml, or such as ``QUANTKIT_ALERTS__DRAWDOWN=0.3``.

    Attributes
    ----------
    var_breach : bool
        The last session's return fell below the VaR said the session before.
    forecast_flip : bool
        The forecast's trend is another one than in the report before, and one of the two was called.
    drawdown : float or None
        Share below the highest wealth of five years from which it is said; None never says it.
    volatility_quantile : float or None
        Volatility crossed this quantile of its own past, or the same below.
    stale_sessions : int or None
        Sessions without a bar.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    var_breach: bool = True
    forecast_flip: bool = True
    drawdown: float | None = Field(default=0.2, gt=0.0, le=1.0)
    volatility_quantile: float | None = Field(default=0.9, gt=0.5, lt=1.0)
    stale_sessions: int | None = Field(default=2, ge=1)


class Settings(BaseSettings):
    """What can be set; each is ``QUANTKIT_`` and its name in upper case, or a line of ``quantkit.toml``.

    With nothing set: the embedded sample, SQLite in the platform's user data folder, everything on loopback.
    """

    model_config = SettingsConfigDict(
        env_prefix="QUANTKIT_", env_nested_delimiter="__", extra="ignore", frozen=True, populate_by_name=True
    )

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("quantkit", appauthor=False)),
        description="Folder of the store and the reports; the platform's user data folder unless set",
    )
    provider: Names = Field(default=("sample",), description="One provider, or several in order of preference")
    database_url: SecretStr | None = Field(default=None, description="PostgreSQL instead of SQLite under home")
    redis_url: SecretStr | None = Field(default=None, description="Redis that carries word of new bars")
    watchlist: Names = Field(default=DEFAULT_WATCHLIST, description="Symbols of a new visitor, and of reports")
    token: SecretStr | None = Field(default=None, description="What a visitor of the dashboards must know")
    api_keys: SecretStr | None = Field(default=None, description="Keys of the REST API, separated by commas")
    api_cors_origins: Names = Field(default=(), description="Web pages' origins that may ask the REST API")
    api_rate_limit: float = Field(default=100.0, ge=0, description="Requests a second of each key or address; 0: any")
    api_timeout: float = Field(default=60.0, gt=0, description="Seconds after which a REST question is given up")
    warm: bool = Field(default=True, description="At its start quantkit up works the watchlist out")
    max_kernels: int = Field(default=16, ge=1, le=1000, description="Visitors of the dashboards at a time")
    scheduler: str | None = Field(default=None, description="Address of a Dask scheduler, or the file that holds it")
    dashboard_port: int = Field(default=8866, ge=1, le=65535, description="The next free one is taken if in use")
    api_port: int = Field(default=8000, ge=1, le=65535, description="The next free one is taken if in use")
    keep_results_days: int = Field(default=90, ge=1, description="Days that a kept answer outlives its last use")
    alerts: AlertRules = Field(default=AlertRules(), description="Rules of alerts, by name: QUANTKIT_ALERTS__DRAWDOWN")
    mail_host: str | None = Field(default=None, description="SMTP server that reports are sent through")
    mail_port: int = Field(default=587, ge=1, le=65535)
    mail_security: Literal["starttls", "tls", "none"] = Field(default="starttls", description="starttls, tls or none")
    mail_user: str | None = Field(default=None, description="Name that the SMTP server knows")
    mail_password: SecretStr | None = Field(default=None, description="Its password")
    mail_sender: str | None = Field(default=None, description="Address that reports come from")
    mail_to: Names = Field(default=(), description="Addresses that reports go to, separated by commas")
    yahoo_url: str | None = Field(default=None, description="Base URL in place of Yahoo's hosts")
    yahoo_stream_url: str | None = Field(default=None, description="The same of its stream")
    alphavantage_url: str | None = Field(default=None, description="Base URL in place of Alpha Vantage's")
    massive_url: str | None = Field(default=None, description="Base URL in place of Massive's")
    massive_stream_url: str | None = Field(default=None, description="The same of its stream")
    vendor_timeout: float = Field(default=15.0, gt=0, le=300, description="Seconds that a vendor may take to answer")
    refresh_seconds: float = Field(default=60.0, ge=1, description="Age at which an open market is asked about again")
    alphavantage_per_day: int = Field(default=25, ge=1, description="Requests that the plan allows")
    alphavantage_premium: bool = Field(default=False, description="The plan has adjusted bars and full histories")
    massive_per_minute: int = Field(default=5, ge=1, description="Requests that the plan allows")
    alphavantage_api_key: SecretStr | None = Field(
        default=None, validation_alias="ALPHAVANTAGE_API_KEY", description="Key of Alpha Vantage"
    )
    massive_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("MASSIVE_API_KEY", "POLYGON_API_KEY"), description="Key of Massive"
    )

    @field_validator("provider", "watchlist", "api_cors_origins", "mail_to", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("watchlist")
    @classmethod
    def _symbols(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_symbols(list(value)))

    @field_validator("yahoo_url", "alphavantage_url", "massive_url", "yahoo_stream_url", "massive_stream_url")
    @classmethod
    def _address(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None or not value.strip():
            return None
        schemes = ("ws", "wss") if str(info.field_name).endswith("stream_url") else ("http", "https")
        parts = urlsplit(value.strip())
        if parts.scheme not in schemes or not parts.netloc:
            raise ValueError(f"expected a base URL such as {schemes[0]}://127.0.0.1:9000")
        return value.strip().rstrip("/")

    @field_validator("home", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then quantkit.toml in the working directory."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path("quantkit.toml"))

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """The settings in force.

        Raises
        ------
        SettingsError
            A value cannot be used; names each setting, and what is wrong with it, without repeating secrets.
        """
        try:
            return cls(**{name: value for name, value in overrides.items() if value is not None})
        except ValidationError as error:
            faults = "; ".join(
                f"QUANTKIT_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}"
                for fault in error.errors(include_input=False, include_url=False)
            )
            raise SettingsError(f"unusable settings: {faults}") from None

    @property
    def database(self) -> Path:
        """Where the SQLite file lies when no ``database_url`` is set."""
        return self.home / "quantkit.db"
