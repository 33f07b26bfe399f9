"""The mail log in any database that SQLAlchemy has a URL for."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import ConfigError
from .mail_log import COLUMNS, INDICES, MailLog
from .redaction import forgets_arguments

if TYPE_CHECKING:
    import sqlalchemy

__all__ = ["SqlalchemyMailLog"]


class SqlalchemyMailLog(MailLog):
    """A log in the tables ``mail_log`` and ``mail_log_body``, which are made when it is first used.

    Args:
        url: As SQLAlchemy has it; a driver's own time limits stand there (``?connect_timeout=3``).

    Raises:
        ConfigError: SQLAlchemy or the driver is missing, or the URL is wrong; from all others, the database cannot be
            used. The text shows no password.
    """

    @forgets_arguments
    def __init__(self, url: str) -> None:
        try:
            import sqlalchemy
        except ImportError:
            raise ConfigError("a mail log by URL needs SQLAlchemy: pip install 'mailwright[sqlalchemy]'") from None
        self._url = url
        try:
            self.shown = sqlalchemy.make_url(url).render_as_string(hide_password=True)
            self._engine().dispose()
        except ImportError as error:
            raise ConfigError(f"the mail log {self.shown} needs a driver that is not installed: {error.name}") from None
        except Exception as error:  # noqa: BLE001 - of SQLAlchemy, of any driver
            words = type(error).__name__  # its words may hold the URL
        else:
            return
        raise ConfigError(f"the mail log's URL is not one that SQLAlchemy takes: {words}")

    def _engine(self) -> sqlalchemy.Engine:
        return _engine(self._url, os.getpid())

    def _insert(self, rows: Sequence[Mapping[str, Any]], bodies: Mapping[str, tuple[int, bytes]]) -> None:
        log, kept = _tables()
        with self._begun() as db:
            if rows:
                db.execute(log.insert(), [dict(row) for row in rows])
            for mail_id, (time, body) in bodies.items():
                if db.execute(kept.select().where(kept.c.mail_id == mail_id)).first() is None:
                    db.execute(kept.insert().values(mail_id=mail_id, time=time, content=body))

    def _select(self, criteria: Sequence[tuple[str, str, Any]], limit: int) -> list[Mapping[str, Any]]:
        log, _ = _tables()
        query = log.select().order_by(log.c.time.desc(), log.c.id.desc()).limit(limit)
        for name, comparison, value in criteria:
            column = log.c[name]
            fits: dict[str, Callable[[Any], Any]] = {
                "=": column.__eq__,
                "<": column.__lt__,
                "<=": column.__le__,
                ">=": column.__ge__,
                "like": functools.partial(column.icontains, autoescape=True),
                "before": functools.partial(_is_before, log),
            }
            query = query.where(fits[comparison](value))
        with self._begun() as db:
            return [dict(row) for row in db.execute(query).mappings()]

    def _prune(self, before: int, limit: int) -> int:
        import sqlalchemy

        log, kept = _tables()
        with self._begun() as db:
            # By time, as not every database takes a LIMIT within a DELETE; some more go where many are of one time.
            oldest = sqlalchemy.select(log.c.time).where(log.c.time < before).order_by(log.c.time)
            last = db.execute(oldest.offset(limit - 1).limit(1)).scalar()
            if last is not None:
                return int(db.execute(log.delete().where(log.c.time <= last)).rowcount)
            db.execute(kept.delete().where(kept.c.time < before))
            return int(db.execute(log.delete().where(log.c.time < before)).rowcount)

    def body(self, mail_id: str) -> bytes | None:
        """See :class:`MailLog`."""
        import sqlalchemy

        _, kept = _tables()
        with self._begun() as db:
            found = db.execute(sqlalchemy.select(kept.c.content).where(kept.c.mail_id == mail_id)).scalar()
            return None if found is None else bytes(found)

    def close(self) -> None:
        """Close its connections."""
        self._engine().dispose()

    @contextlib.contextmanager
    def _begun(self) -> Iterator[sqlalchemy.Connection]:
        """A transaction; the tables are there."""
        try:
            engine = self._engine()
            _make_tables(engine)
            with engine.begin() as db:
                yield db
        except ConfigError:
            raise
        except Exception as error:  # noqa: BLE001 - any driver's, and of SQLAlchemy; its words may hold what was logged
            words = type(getattr(error, "orig", None) or error).__name__
        else:
            return
        raise ConfigError(f"the mail log {self.shown} cannot be used: {words}")

    def __repr__(self) -> str:
        return f"<SqlalchemyMailLog {self.shown}>"


def _is_before(log: sqlalchemy.Table, place: tuple[int, int]) -> sqlalchemy.ColumnElement[bool]:
    time, key = place
    return (log.c.time < time) | ((log.c.time == time) & (log.c.id < key))


@functools.lru_cache(maxsize=16)
def _engine(url: str, process: int) -> sqlalchemy.Engine:
    """One for each process: a forked child must not use its parent's connections."""
    import sqlalchemy

    return sqlalchemy.create_engine(url, pool_pre_ping=True)


def _make_tables(engine: sqlalchemy.Engine) -> None:
    """Those that are not there; several processes may be at it at once, and to all but one they are there then."""
    from sqlalchemy.exc import DBAPIError

    metadata = _tables()[0].metadata
    try:
        metadata.create_all(engine)
    except DBAPIError:
        metadata.create_all(engine)


@functools.cache
def _tables() -> tuple[sqlalchemy.Table, sqlalchemy.Table]:
    import sqlalchemy as sql

    metadata = sql.MetaData()
    # SQLite counts up INTEGER keys alone.
    key = sql.BigInteger().with_variant(sql.Integer, "sqlite")
    columns = [
        sql.Column(name, sql.String(longest) if kind is str else sql.BigInteger)
        for name, (kind, longest) in COLUMNS.items()
    ]
    log = sql.Table("mail_log", metadata, sql.Column("id", key, primary_key=True, autoincrement=True), *columns)
    for names in INDICES:
        sql.Index(f"mail_log_{names[0]}", *[log.c[name] for name in names])
    body = sql.Table(
        "mail_log_body",
        metadata,
        sql.Column("mail_id", sql.String(80), primary_key=True),
        sql.Column("time", sql.BigInteger, index=True),
        sql.Column("content", sql.LargeBinary(2**31 - 1)),
    )
    return log, body
