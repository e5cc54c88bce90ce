"""`capacity token`: who may use the service over HTTP."""

import click

from capacity_adapters.cli.output import Report, Table, done, shown
from capacity_adapters.cli.session import Session, with_session
from capacity_core.access import Scope


@click.group("token")
def token() -> None:
    """Make, list and revoke the tokens of the HTTP service."""


@token.command("create")
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in Scope]),
    required=True,
    help="view < update < admin",
)
@with_session
def create(session: Session, *, name: str, scope: str) -> Report:
    """Make a token; it is shown once, and never again."""
    with session.application() as application:
        kept, secret = application.create_token(name, Scope(scope))
    return Report({"token": secret, "name": kept.name, "scope": kept.scope}, (secret,))


@token.command("list")
@with_session
def list_tokens(session: Session) -> Report:
    """List the tokens, revoked ones too."""
    with session.application() as application:
        tokens = application.tokens()
    rows = [
        (
            shown(kept.name),
            kept.scope.value,
            kept.created_at.date().isoformat(),
            kept.revoked_at.date().isoformat() if kept.revoked_at else "-",
        )
        for kept in tokens
    ]
    return done({"tokens": tokens}, Table(("NAME", "SCOPE", "CREATED", "REVOKED"), rows))


@token.command("revoke")
@click.argument("name")
@with_session
def revoke(session: Session, *, name: str) -> Report:
    """Revoke the token of that name; it stops working at once."""
    with session.application() as application:
        application.revoke_token(name)
    return done({"revoked": name}, f"Token {shown(name)} revoked")
