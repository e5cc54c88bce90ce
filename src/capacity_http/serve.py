"""Run the service under uvicorn, in this process."""

import sys
from typing import Final

import uvicorn

# Threads of syncs hand over that often: with Python's 5 ms a request would wait for several.
SWITCH_SECONDS: Final = 0.0005


def serve(host: str, port: int) -> None:
    """Serve until a signal comes; running syncs are let finish. Logging is the caller's."""
    sys.setswitchinterval(SWITCH_SECONDS)
    uvicorn.run(
        "capacity_http.asgi:create_app",
        factory=True,
        host=host,
        port=port,
        lifespan="on",
        ws="none",
        log_config=None,
        server_header=False,
    )
