"""How connections to an instance are protected, as options of a command."""

from collections.abc import Callable

import click

from capacity_core.model import Tls, TlsMode

Command = Callable[..., object]


def tls_options(command: Command) -> Command:
    for option in (
        click.option("--tls-ca", metavar="FILE", help="PEM file of authorities; kept likewise."),
        click.option(
            "--tls",
            type=click.Choice([mode.value for mode in TlsMode]),
            help="Kept with the instance, but by `doctor`.",
        ),
    ):
        command = option(command)
    return command


def changed_tls(old: Tls, mode: str | None, ca: str | None) -> Tls:
    """Change what was given; an empty file name takes the file away."""
    return Tls(old.mode if mode is None else TlsMode(mode), old.ca if ca is None else ca or None)
