"""Every port of the store in memory: for trials and tests, under the stores' own contract."""

from capacity_adapters.memory.store import MemoryStore

__all__ = ["MemoryStore"]
