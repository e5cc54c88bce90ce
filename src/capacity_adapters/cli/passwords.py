"""Passwords that a command is given: by variable, by file, in the URL, or at a prompt."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click

from capacity_adapters.cli.output import note, shown
from capacity_adapters.credentials import password, read_password
from capacity_core.model import FileAddress, Instance, Secret

Command = Callable[..., object]


def password_options(command: Command) -> Command:
    """Let a command take a password without showing it in the list of processes."""
    for option in (
        click.option("--password-file", metavar="FILE", help="Read the password from this file."),
        click.option("--password-env", metavar="VAR", help="Read the password from this variable."),
    ):
        command = option(command)
    return command


def given_password(
    password_env: str | None, password_file: str | None, in_url: Secret | None = None
) -> Secret | None:
    """Take the one password given, if any. Raises click.UsageError."""
    if sum(source is not None for source in (password_env, password_file, in_url)) > 1:
        raise click.UsageError("Give one password: by variable, by file or in the URL.")
    if in_url is not None:
        note(
            "warning: shells and process lists remember a password in a URL; "
            "better use --password-env or --password-file."
        )
        return in_url
    if password_env is not None:
        return _from_environment(password_env)
    return None if password_file is None else _from_file(Path(password_file))


def prompted_password(instance: Instance) -> Secret | None:
    """Ask at the terminal for a password that is not known yet; an empty one is none."""
    knows = instance.password_ref is not None or isinstance(instance.address, FileAddress)
    if knows or not instance.username or not sys.stdin.isatty():
        return None
    question = f"Password of {shown(instance.username)} on {shown(instance.name)} (empty for none)"
    said = click.prompt(question, default="", hide_input=True, show_default=False, err=True)
    try:
        return password(said) if said else None
    except ValueError:
        raise click.UsageError("The password is no text.") from None


def _from_environment(variable: str) -> Secret:
    try:
        return password(os.environ[variable])
    except (LookupError, ValueError):
        raise click.BadParameter(
            f"the variable {variable} is not set, or no text", param_hint="--password-env"
        ) from None


def _from_file(path: Path) -> Secret:
    try:
        return read_password(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text without NUL"
        raise click.BadParameter(f"{path}: {why}", param_hint="--password-file") from None
