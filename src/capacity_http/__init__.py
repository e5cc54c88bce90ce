"""The Litestar facade of capacity sync."""
