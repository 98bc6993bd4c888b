"""The outcome of a database's error: a passing one, the row's own, or one that an operator has to repair.

faults.json lists the codes and texts of the databases.
https://www.postgresql.org/docs/current/errcodes-appendix.html and https://dev.mysql.com/doc/mysql-errors/8.4/en/
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, TimeoutError as PoolTimeout

from functions.notify.destinations.sql.settings import Driver
from shared.delivery import Disabled, Failed, Outcome, RetryLater
from shared.event import oneline

Kind: TypeAlias = Literal["row", "repeat", "contended", "passing", "connection", "no_table", "setup"]

UNREACHABLE_SECONDS: Final = 60.0
"""The least wait after a connection failed."""
MAX_CHARACTERS: Final = 500
"""How much of a database's text is kept."""

_FACTS: Final = json.loads(Path(__file__).with_name("faults.json").read_bytes())
_KINDS_OF_POSTGRESQL: Final[Mapping[Kind, Sequence[str]]] = _FACTS["postgresql"]
"""The beginnings of the SQLSTATEs of each kind. The first kind that fits is the state's."""
_KINDS_OF_MYSQL: Final[Mapping[Kind, Sequence[int]]] = _FACTS["mysql"]
"""The numbers of MySQL and MariaDB of each kind."""
_LOST_BY_MYSQL: Final = range(2000, 2100)
"""The numbers of a client's errors: the connection failed, and the server has not answered."""
_WRAPAROUND: Final = "wraparound"
"""In the message of a 54000 of a PostgreSQL that takes no transactions until it is vacuumed. Otherwise, a 54000 is a
row or a key that is too long."""
_ADVICE: Final[Mapping[str, str]] = {code: advice for advice, codes in _FACTS["advice"].items() for code in codes}
"""By code of PostgreSQL or MySQL."""
_SQLITE_ADVICE: Final[Mapping[str, str]] = _FACTS["advice_by_text_of_sqlite"]
"""The advice for a part of SQLite's texts, which has no codes here."""
_TLS_ADVICE: Final[Mapping[str, str]] = _FACTS["advice_by_text_about_tls"]
"""The advice for a part of what the drivers and OpenSSL say."""
DRIVER_ERRORS: Final = (SQLAlchemyError, ArithmeticError, ValueError, RuntimeError, OSError)
"""Drivers raise Python's own errors too: for a value that they cannot encode, or a certificate that is not valid."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An error of a database.

    code     the database's own code, for people; empty if it has none
    message  what the database says about it, for people
    kind     whom the error concerns:
             row         this row alone
             repeat      this row alone: its key is there
             contended   this row now: somebody else has locked it, or changed it at the same time
             passing     every row now
             connection  every row now: the connection is useless
             no_table    every row until there is the table
             setup       every row until an operator acts
    """

    kind: Kind
    code: str
    message: str

    @property
    def concerns_row(self) -> bool:
        """Return whether the error concerns one row alone, which can never be written."""
        return self.kind in ("row", "repeat")

    @property
    def advice(self) -> str:
        """Return what the operator can do about it, or what the code means for a row; nothing where it is not known."""
        if self.kind == "connection":
            return next((advice for text, advice in _TLS_ADVICE.items() if text in self.message), "")
        if not self.code:
            sqlite_advice = next((advice for text, advice in _SQLITE_ADVICE.items() if text in self.message), None)
            if sqlite_advice is not None:
                return sqlite_advice
        default = "correct the configuration, the table or its rights" if self.kind in ("setup", "no_table") else ""
        return _ADVICE.get(self.code[:5], default)  # a SQLSTATE has 5 characters, before the names; a number has 4

    @property
    def spares_other_rows(self) -> bool:
        """Return whether the other rows of the transaction can be written without the row that has the fault."""
        return self.concerns_row or self.kind == "contended"

    @property
    def outcome(self) -> Outcome:
        """Return the outcome of a row that was not written because of this fault."""
        code = f" ({self.code})" if self.code else ""
        advice = f": {self.advice}" if self.advice else ""
        match self.kind:
            case "row" | "repeat":
                return Failed("request_rejected", f"the database rejects the row{code}{advice}", self.message)
            case "setup" | "no_table":
                return Disabled(f"the database rejects every row{code}{advice}", self.message)
            case "connection":
                return RetryLater(f"the database is not reachable{code}{advice}", UNREACHABLE_SECONDS, self.message)
        return RetryLater(f"the database cannot write the row now{code}{advice}", None, self.message)


def fault_of_connecting(error: Exception, driver: Driver) -> Fault:
    """Return the fault of a connection that could not be made: no row takes part in it.

    For a response that it does not expect, a driver can raise any of Python's errors.
    """
    if isinstance(error, UnicodeEncodeError):
        return Fault(
            "setup", "", "the host, the database, the user or the password has a character that cannot be sent"
        )
    if not isinstance(error, SQLAlchemyError | OSError | RuntimeError):
        return Fault("connection", type(error).__name__, "the server's answer is not that of a database")
    fault = fault_of(error, driver)
    return replace(fault, kind="setup") if fault.concerns_row else fault


def fault_of(error: Exception, driver: Driver) -> Fault:
    """Return the fault. An error that is not the database's is one of the connection."""
    if isinstance(error, PoolTimeout):
        return Fault("passing", "", "every connection of this instance is in use")
    original = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(original, ArithmeticError | ValueError) and not isinstance(original, OSError):
        return Fault("row", type(original).__name__, "the driver cannot encode a value")
    if isinstance(original, RuntimeError):
        return Fault("setup", "", _text(original))
    if driver == "postgresql":
        return _postgresql_fault(original)
    return _mysql_fault(original) if driver == "mysql" else _sqlite_fault(original)


def _postgresql_fault(error: object) -> Fault:
    """Return the fault in an error of pg8000, whose argument has the fields of PostgreSQL's message by their letters.

    https://www.postgresql.org/docs/current/protocol-error-fields.html
    """
    fields = error.args[0] if isinstance(error, Exception) and error.args else None
    if not isinstance(fields, dict):
        return Fault("connection", "", _text(error))
    state = str(fields.get("C", ""))
    message = oneline(str(fields.get("M", "")))[:MAX_CHARACTERS]
    names = [str(fields[key]) for key in ("c", "n") if fields.get(key)]  # a column, a constraint
    code = ", ".join([state, *names])
    if state == "54000" and _WRAPAROUND in message:
        return Fault("passing", code, message)
    kinds = (kind for kind, beginnings in _KINDS_OF_POSTGRESQL.items() if state.startswith(tuple(beginnings)))
    return Fault(next(kinds, "setup"), code, message)


def _mysql_fault(error: object) -> Fault:
    """Return the fault in an error of PyMySQL, whose arguments are the number and the text."""
    arguments = error.args if isinstance(error, Exception) else ()
    number = arguments[0] if arguments and isinstance(arguments[0], int) else 0
    message = oneline(str(arguments[1]) if len(arguments) > 1 else _text(error))[:MAX_CHARACTERS]
    code = str(number) if number else ""
    if not number or number in _LOST_BY_MYSQL:
        return Fault("connection", code, message)
    kinds = (kind for kind, numbers in _KINDS_OF_MYSQL.items() if number in numbers)
    return Fault(next(kinds, "setup"), code, message)


def _sqlite_fault(error: object) -> Fault:
    """Return the fault by the class and the text of Python's error."""
    message = _text(error)
    name = type(error).__name__
    if name in ("DataError", "OverflowError"):
        return Fault("row", "", message)
    if name == "IntegrityError":
        return Fault("repeat" if message.startswith("UNIQUE") else "row", "", message)
    if "no such table" in message:
        return Fault("no_table", "", message)
    if "is locked" in message:
        return Fault("passing", "another program has locked it", message)
    texts_of_setup = ("no column named", "no such column", "ON CONFLICT clause", "readonly")
    is_setup = any(text in message for text in texts_of_setup)
    return Fault("setup" if is_setup or name == "ProgrammingError" else "passing", "", message)


def _text(error: object) -> str:
    """Return the error's text, and that of the error behind it: `network error` alone says little."""
    texts = [str(error)]
    if isinstance(error, Exception) and error.__cause__ is not None:
        texts.append(str(error.__cause__))
    return oneline(": ".join(filter(None, texts)) or type(error).__name__)[:MAX_CHARACTERS]
