"""Run the service under uvicorn, in this process."""

import uvicorn


def serve(host: str, port: int) -> None:
    """Serve until a signal comes; running syncs are let finish. Logging is the caller's."""
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
