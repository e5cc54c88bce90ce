"""Which rights sizing files takes: the commands that give them, and what our process lacks."""

import os
import pwd
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from capacity_core.diagnosis import Capabilities, Check, CheckState, GrantScript
from capacity_core.messages import Text, text
from capacity_core.model import sql_cure

# A file that replaces another is often the same database: vacuumed, copied, restored.
CAPABILITIES: Final = Capabilities(log_size=True, visibility_proof=True)
SAME_USER: Final = os.access in os.supports_effective_ids


def grants(user: str) -> tuple[GrantScript, ...]:
    """Give the commands for one folder; the last one is for the files that come later."""
    account, folder = shlex.quote(user), "/path/to/folder"
    commands = (
        f"setfacl -m u:{account}:rx {folder}",
        f"setfacl -m u:{account}:r {folder}/*.db",
        f"setfacl -d -m u:{account}:r {folder}",
    )
    return (GrantScript("SQLite files of one folder", commands, comment="#"),)


def examined(closed: Mapping[str, Path]) -> tuple[Check, ...]:
    """Tell what may be read; that the folder was listed proves its part. `closed` may not."""
    listed = Check("list_folder", CheckState.OK, text("doctor.list_folder"))
    unlocks = text("doctor.read_each_file")
    if not closed:
        return listed, Check("read_each_file", CheckState.OK, unlocks)
    names = tuple(sorted(closed))
    cure = opening(closed[name] for name in names)
    return listed, Check("read_each_file", CheckState.MISSING, unlocks, names, cure)


def opening(closed: Iterable[Path]) -> Text:
    """Say which commands open these."""
    return sql_cure("; ".join(dict.fromkeys(map(_command, closed))))


def _command(path: Path) -> str:
    """Open what is closed first on the way, or what is at its end."""
    real = Path(os.path.realpath(path))
    for folder in reversed(real.parents):
        if not _may(os.X_OK, folder):
            # An entry of our own takes the place of what everybody may: keep reading.
            return _setfacl("rx" if _may(os.R_OK, folder) else "x", folder)
    return _setfacl("rx" if real.is_dir() else "r", real)


def _may(mode: int, path: Path) -> bool:
    return os.access(path, mode, effective_ids=SAME_USER)


def _setfacl(rights: str, path: Path) -> str:
    return f"setfacl -m u:{_account()}:{rights} {shlex.quote(str(path))}"


def _account() -> str:
    number = os.geteuid()
    try:
        return shlex.quote(pwd.getpwuid(number).pw_name)
    except KeyError:
        return str(number)
