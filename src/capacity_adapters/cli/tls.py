"""How connections to an instance are protected, as options of a command."""

import os.path
from collections.abc import Callable, Mapping
from pathlib import Path

import click
from attrs import evolve

from capacity_core.model import Tls, TlsMode

Command = Callable[..., object]


def tls_options(command: Command) -> Command:
    for option in (
        click.option("--tls-key", metavar="FILE", help="PEM file of its key, mode 0600."),
        click.option("--tls-cert", metavar="FILE", help="PEM file of our certificate."),
        click.option("--tls-ca", metavar="FILE", help="PEM file of authorities; kept likewise."),
        click.option(
            "--tls",
            type=click.Choice([mode.value for mode in TlsMode]),
            help="Kept with the instance, except by `doctor`.",
        ),
    ):
        command = option(command)
    return command


def changed_tls(old: Tls, given: Mapping[str, str | None]) -> Tls:
    """Change what was given; an empty file name takes the file away.

    The paths are kept from the root: the next command may run in another folder.
    """
    files = {name: given[f"tls_{name}"] for name in ("ca", "cert", "key")}
    changed = {name: from_root(path) or None for name, path in files.items() if path is not None}
    mode = given["tls"]
    return evolve(old, mode=old.mode if mode is None else TlsMode(mode), **changed)


def from_root(path: str) -> str:
    """Spell the path of a file so that it does not depend on the working directory."""
    return os.path.normpath(Path(path).absolute()) if path else ""
