"""These tests compare a server's every size, or count its bytes: they have servers of their own."""

from tests.own_servers import mariadb, postgres

__all__ = ["mariadb", "postgres"]
