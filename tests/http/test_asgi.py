"""The service as a server starts it, from the environment."""

from pathlib import Path

import pytest
from litestar.testing import TestClient

from capacity_core.errors import SettingsError
from capacity_http.asgi import create_app

pytestmark = pytest.mark.unit


def test_a_service_starts_from_the_environment_on_a_store_that_was_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CAPACITY_STORE_URL", f"sqlite:///{tmp_path / 'capacity.db'}")
    monkeypatch.setenv("CAPACITY_LANGUAGE", "en")
    with TestClient(create_app()) as client:
        assert client.get("/health/ready").status_code == 200
        assert client.get("/api/v1/nope").json()["message"] == "Not found"
    assert [path.name for path in tmp_path.iterdir()] == ["capacity.db"]  # closed: no WAL is left


def test_a_wrong_setting_is_named_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPACITY_WORKERS", "many")
    with pytest.raises(SettingsError, match="CAPACITY_WORKERS"):
        create_app()
