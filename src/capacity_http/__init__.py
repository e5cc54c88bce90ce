"""The Litestar facade of capacity sync."""

from capacity_http.app import create_app
from capacity_http.plugin import CapacityConfig, CapacityPlugin

__all__ = ["CapacityConfig", "CapacityPlugin", "create_app"]
