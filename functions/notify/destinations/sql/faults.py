"""The outcome of a database's error: a passing one, the row's own, or one that an operator has to repair.

https://www.postgresql.org/docs/current/errcodes-appendix.html and https://dev.mysql.com/doc/mysql-errors/8.4/en/
"""

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from sqlalchemy.exc import DBAPIError, SQLAlchemyError, TimeoutError as PoolTimeout

from functions.notify.destinations.sql.settings import Driver
from shared.delivery import Disabled, Failed, Outcome, RetryLater
from shared.event import oneline

Kind: TypeAlias = Literal["row", "repeat", "contended", "passing", "connection", "no_table", "setup"]

UNREACHABLE_SECONDS: Final = 60.0
MAX_CHARACTERS: Final = 500

# Classes and codes of PostgreSQL (SQLSTATE).
_CONTENDED: Final = ("40", "55P03")
_CONNECTION_CLASSES: Final = ("08", "57P")
_PASSING: Final = ("53", "55006", "55P", "57", "58", "XX", "25")
_ROW: Final = ("21", "22", "23", "44", "54000", "P0")  # 54000: a row or a key that is too long
_FULL: Final = "wraparound"  # 54000 too: the database takes no transactions until it is vacuumed
# Numbers of MySQL and MariaDB.
_MYSQL_CONNECTION: Final = frozenset({1040, 1053, 1077, 1079, 1080, 1129, 1158, 1159, 1160, 1161, 1203, 1226, 1927})
_MYSQL_LOST: Final = range(2000, 2100)
_MYSQL_CONTENDED: Final = frozenset({1205, 1213})
_MYSQL_PASSING: Final = frozenset(
    {1021, 1026, 1030, 1037, 1041, 1114, 1206, 1290, 1317, 1836, 1969, 3024, 3101, 4031}
    | {1047}  # a node of Galera that is not in step
)
_MYSQL_ROW: Final = frozenset(
    {1048, 1062, 1118, 1138, 1153, 1216, 1217, 1264, 1265, 1292, 1300, 1301, 1364, 1366, 1367, 1369, 1406, 1411, 1416}
    | {1441, 1451, 1452, 1525, 1526, 1557, 1586, 1644, 1690, 1748, 1761, 1762, 3140, 3141, 3156, 3819, 3903, 4025, 4078}
)
_MYSQL_NO_TABLE: Final = 1146
_MYSQL_REPEAT: Final = 1062


DRIVER_ERRORS: Final = (SQLAlchemyError, ArithmeticError, ValueError, RuntimeError, OSError)
"""Drivers raise Python's own errors too: for a value that they cannot encode, or a certificate that is not valid."""
_CREATE: Final = "create the table, or set `create: true`"
_COLUMN: Final = "the table lacks a column of `columns`"
_RIGHTS: Final = "grant the user the rights INSERT, SELECT and, with `key`, UPDATE on the table"
_LOGIN: Final = "the user, its password or the database's name is wrong: set the secret again"
_INDEX: Final = "the table needs a unique index over `key`, or else over `delivery_id`"
_TOO_LONG: Final = "a text is longer than its column allows"
_TOO_LARGE: Final = "a number is larger than its column allows"
_OTHER_TYPE: Final = "a value is not of its column's type; set the column's `type`"
_NO_VALUE: Final = "a column that needs a value has none"
_TAKEN: Final = "another row has the same value in a column that must be unique"
_ADVICE: Final = {
    "22001": _TOO_LONG,
    "1406": _TOO_LONG,
    "22003": _TOO_LARGE,
    "1264": _TOO_LARGE,
    "22P02": _OTHER_TYPE,
    "22007": _OTHER_TYPE,
    "22008": _OTHER_TYPE,
    "1292": _OTHER_TYPE,
    "1366": _OTHER_TYPE,
    "23502": _NO_VALUE,
    "1048": _NO_VALUE,
    "1364": _NO_VALUE,
    "23505": _TAKEN,
    "1062": _TAKEN,
    "42P01": _CREATE,
    "1146": _CREATE,
    "42703": _COLUMN,
    "1054": _COLUMN,
    "42501": _RIGHTS,
    "1142": _RIGHTS,
    "1143": _RIGHTS,
    "28P01": _LOGIN,
    "28000": _LOGIN,
    "3D000": _LOGIN,
    "1044": _LOGIN,
    "1045": _LOGIN,
    "1049": _LOGIN,
    "42P10": _INDEX,
}
_SQLITE_ADVICE: Final = {
    "no such table": _CREATE,
    "has no column named": _COLUMN,
    "NOT NULL constraint": _NO_VALUE,
    "does not match any PRIMARY KEY or UNIQUE constraint": _INDEX,
    "UNIQUE constraint": _TAKEN,
    "unable to open database file": "the folder of the file `database` must exist and be writable for notify",
    "readonly database": "notify must be able to write to the file `database`",
}
"""The advice for a part of SQLite's texts, which has no codes here."""
_NO_TLS: Final = "the server offers no TLS: turn it on there, or set `tls: off`"
_TLS_ADVICE: Final = {
    " SSL": _NO_TLS,
    "server doesn't support it": _NO_TLS,
    "self-signed certificate": "name the authority that signed the server's certificate in `authorities`",
    "unable to get local issuer": "name the authority that signed the server's certificate in `authorities`",
    "mismatch": "the server's certificate is for another name: connect by the name in it",
    "certificate has expired": "the server's certificate has expired",
}
"""By what the drivers and OpenSSL say."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` says whom the error concerns: `row` this row alone, `setup` every row until an operator acts.

    A fault of the `connection` leaves it useless. `no_table` is a missing table, `repeat` a key that is there.
    `contended`: somebody else has locked a row, or changed it at the same time.
    """

    kind: Kind
    code: str
    message: str

    @property
    def concerns_row(self) -> bool:
        return self.kind in ("row", "repeat")

    @property
    def advice(self) -> str:
        """Return what the operator can do about it, or what the code means for a row; nothing where it is not known."""
        if self.kind == "connection":
            return next((advice for text, advice in _TLS_ADVICE.items() if text in self.message), "")
        if not self.code:
            found = next((advice for text, advice in _SQLITE_ADVICE.items() if text in self.message), None)
            if found is not None:
                return found
        default = "correct the configuration, the table or its rights" if self.kind in ("setup", "no_table") else ""
        return _ADVICE.get(self.code[:5], default)

    @property
    def is_of_one(self) -> bool:
        """Return whether the other rows of the transaction can be written without the row that has the fault."""
        return self.concerns_row or self.kind == "contended"

    @property
    def outcome(self) -> Outcome:
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
    fields = error.args[0] if isinstance(error, Exception) and error.args else None
    if not isinstance(fields, dict):
        return Fault("connection", "", _text(error))
    state = str(fields.get("C", ""))
    message = oneline(str(fields.get("M", "")))[:MAX_CHARACTERS]
    names = [str(fields[key]) for key in ("c", "n") if fields.get(key)]  # a column, a constraint
    code = ", ".join([state, *names])
    if state == "42P01":
        return Fault("no_table", code, message)
    if state.startswith(_CONNECTION_CLASSES) and state != "57014":
        return Fault("connection", code, message)
    if state.startswith(_CONTENDED):
        return Fault("contended", code, message)
    if state.startswith(_PASSING) or (state == "54000" and _FULL in message):
        return Fault("passing", code, message)
    if state == "23505":
        return Fault("repeat", code, message)
    return Fault("row" if state.startswith(_ROW) else "setup", code, message)


def _mysql_fault(error: object) -> Fault:
    arguments = error.args if isinstance(error, Exception) else ()
    number = arguments[0] if arguments and isinstance(arguments[0], int) else 0
    message = oneline(str(arguments[1]) if len(arguments) > 1 else _text(error))[:MAX_CHARACTERS]
    code = str(number) if number else ""
    if not number or number in _MYSQL_LOST or number in _MYSQL_CONNECTION:
        return Fault("connection", code, message)
    if number in _MYSQL_CONTENDED:
        return Fault("contended", code, message)
    if number in _MYSQL_PASSING:
        return Fault("passing", code, message)
    if number == _MYSQL_NO_TABLE:
        return Fault("no_table", code, message)
    if number == _MYSQL_REPEAT:
        return Fault("repeat", code, message)
    return Fault("row" if number in _MYSQL_ROW else "setup", code, message)


def _sqlite_fault(error: object) -> Fault:
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
    is_setup = any(part in message for part in ("no column named", "no such column", "ON CONFLICT clause", "readonly"))
    return Fault("setup" if is_setup or name == "ProgrammingError" else "passing", "", message)


def _text(error: object) -> str:
    """Return the error's text, and that of the error behind it: `network error` alone says little."""
    texts = [str(error)]
    if isinstance(error, Exception) and error.__cause__ is not None:
        texts.append(str(error.__cause__))
    return oneline(": ".join(filter(None, texts)) or type(error).__name__)[:MAX_CHARACTERS]
