"""Every setting: its default, what it takes, and how a wrong value is told."""

import os
from base64 import b64encode
from ipaddress import ip_network
from pathlib import Path

import pytest

from capacity_adapters.credentials import secret_key_of
from capacity_adapters.settings import MAX_CONFIG_BYTES, SETTINGS, Settings, read_settings
from capacity_adapters.target_rules import PortRule
from capacity_adapters.wiring import store_url_of
from capacity_core.errors import SettingsError
from capacity_core.messages import Language, render

KEY = b64encode(bytes(range(32))).decode()

WRONG = {
    "CAPACITY_STORE_URL": ["mysql://h/db", "capacity.db", "sqlite:", "sqlite:///", "postgresql://"],
    "CAPACITY_TIMEZONE": ["Mars/Olympus", "../etc", "Europe", "UTC+1"],
    "CAPACITY_LANGUAGE": ["fr", "EN", "zh_CN"],
    "CAPACITY_CONNECT_DEADLINE": ["soon", "0", "-1", "nan", "inf", "86401"],
    "CAPACITY_SYNC_DEADLINE": ["5m", "0", "1e9"],
    "CAPACITY_SIZE_CONNECTIONS": ["0", "17", "1.5", "many"],
    "CAPACITY_WORKERS": ["0", "257", "-2"],
    "CAPACITY_QUEUE": ["celery", "Embedded"],
    "CAPACITY_ZONES": ["two words", "a;b", "x" * 300],
    "CAPACITY_SCHEDULE": ["daily", "0 3 * *", "0 24 * * *", "0 3 31 2 *", "@reboot"],
    "CAPACITY_SCHEDULE_JITTER": ["soon", "-1", "86401", "nan"],
    "CAPACITY_SECRET_KEY": ["password", KEY[:-8], KEY + "AAAA", "schlüssel", "%" * 44],
    "CAPACITY_SECRET_FOLDER": ["secrets", "./x"],
    "CAPACITY_SQLITE_ROOT": ["data", "~"],
    "CAPACITY_TARGET_NETWORKS": ["10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/8;::/0", "10.0.0.0/8,"],
    "CAPACITY_FLEET_WORKERS": ["0", "257", "x"],
    "CAPACITY_HOST_LIMIT": ["0", "257", "x"],
    "CAPACITY_ENGINE_LIMITS": ["8", "mysql", "mysql:", ":8", "mysql:0", "mysql:257", "mysql:8,"],
    "CAPACITY_TARGET_PORTS": [
        *("5432", "pg", "pg:", ":5432", "pg:0", "pg:65536", "pg:2-1", "pg:1-2-3", "pg:1,", "pg:-1"),
    ],
}


def the_error(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings(environ)
    return render(caught.value.message, Language.EN)


def test_every_setting_has_wrong_values_to_try() -> None:
    assert {setting.variable for setting in SETTINGS} == WRONG.keys()


@pytest.mark.parametrize(
    ("variable", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_named_with_what_is_allowed(variable: str, value: str) -> None:
    setting = next(setting for setting in SETTINGS if setting.variable == variable)
    said = the_error({variable: value})
    assert said.startswith(variable)
    assert setting.allowed in said
    assert (repr(value) in said) is not setting.is_secret


def test_a_wrong_secret_is_not_repeated() -> None:
    assert "hunter2" not in the_error({"CAPACITY_SECRET_KEY": "hunter2"})
    assert "hunter2" not in the_error({"CAPACITY_STORE_URL": "mysql://me:hunter2@host/db"})


def test_nothing_set_gives_the_defaults(tmp_path: Path) -> None:
    expected = Settings(data_directory=tmp_path / "capacity-sync")
    assert read_settings({"XDG_DATA_HOME": str(tmp_path)}) == expected
    assert read_settings({"XDG_DATA_HOME": str(tmp_path), "CAPACITY_TIMEZONE": ""}) == expected


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_table_tells_the_default_that_holds(setting: object) -> None:
    ours = next(row for row in SETTINGS if row is setting)
    default = getattr(Settings(data_directory=Path("/data")), ours.name)
    try:
        told = ours.parse(ours.default)
    except ValueError:  # told in words: there is no value
        told = default or None
    assert told == (default or None)


def test_without_an_absolute_data_home_the_users_own_folder_is_taken() -> None:
    for home in ({}, {"XDG_DATA_HOME": "relative"}):
        directory = read_settings({"HOME": "/home/eve", **home}).data_directory
        assert directory == Path("/home/eve/.local/share/capacity-sync")


def test_every_value_is_read_as_its_type() -> None:
    settings = read_settings(
        {
            "XDG_DATA_HOME": "/data",
            "CAPACITY_STORE_URL": "postgresql://me:secret@host/db",
            "CAPACITY_TIMEZONE": "Asia/Shanghai",
            "CAPACITY_LANGUAGE": "en",
            "CAPACITY_CONNECT_DEADLINE": "2.5",
            "CAPACITY_SYNC_DEADLINE": "60",
            "CAPACITY_SIZE_CONNECTIONS": "2",
            "CAPACITY_WORKERS": "16",
            "CAPACITY_FLEET_WORKERS": "32",
            "CAPACITY_HOST_LIMIT": "4",
            "CAPACITY_ENGINE_LIMITS": "oracle:4, my sql:8",
            "CAPACITY_SECRET_KEY": KEY,
            "CAPACITY_SECRET_FOLDER": "/run/secrets",
            "CAPACITY_SQLITE_ROOT": "/srv",
            "CAPACITY_TARGET_NETWORKS": "10.0.0.0/8, fd00::/8",
            "CAPACITY_TARGET_PORTS": "pg:5432, postgresql:6432-6440,sql server:1433",
        }
    )
    assert settings == Settings(
        data_directory=Path("/data/capacity-sync"),
        store_url="postgresql://me:secret@host/db",
        timezone="Asia/Shanghai",
        language=Language.EN,
        connect_deadline=2.5,
        sync_deadline=60.0,
        size_connections=2,
        workers=16,
        fleet_workers=32,
        host_limit=4,
        engine_limits={"oracle": 4, "my sql": 8},
        secret_key=bytes(range(32)),
        secret_folder=Path("/run/secrets"),
        sqlite_root=Path("/srv"),
        target_networks=(ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
        target_ports=(
            PortRule("pg", range(5432, 5433)),
            PortRule("postgresql", range(6432, 6441)),
            PortRule("sql server", range(1433, 1434)),
        ),
    )
    assert "secret@" not in repr(settings)
    assert repr(bytes(range(32))) not in repr(settings)


def written(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "capacity.toml"
    path.write_text(text, "utf-8")
    return {"CAPACITY_CONFIG": str(path), "XDG_DATA_HOME": str(tmp_path)}


def test_a_toml_file_says_the_same_and_the_environment_wins(tmp_path: Path) -> None:
    environ = written(
        tmp_path,
        'timezone = "Europe/Berlin"\nworkers = 4\nsync_deadline = 12.5\n'
        'target_networks = ["10.0.0.0/8", "::1/128"]\n',
    )
    settings = read_settings({**environ, "CAPACITY_WORKERS": "5"})
    assert (settings.timezone, settings.workers, settings.sync_deadline) == (
        "Europe/Berlin",
        5,
        12.5,
    )
    assert settings.target_networks == (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('timezon = "UTC"', "timezon"),
        ("[workers]\nx = 1", "workers"),
        ("workers = true", "workers"),
        ("workers = 1000", "workers in"),
        ("timezone = 2026-01-01", "timezone"),
        ("timezone = ", "capacity.toml"),
    ],
)
def test_a_wrong_file_is_named_with_the_key(tmp_path: Path, content: str, named: str) -> None:
    said = the_error(written(tmp_path, content))
    assert named in said
    assert "capacity.toml" in said


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "nowhere.toml" in the_error({"CAPACITY_CONFIG": str(tmp_path / "nowhere.toml")})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert "binary.toml" in the_error({"CAPACITY_CONFIG": str(tmp_path / "binary.toml")})


def test_a_file_that_never_ends_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "huge.toml").write_bytes(b"#" * (MAX_CONFIG_BYTES + 1))
    for path in (Path("/dev/zero"), tmp_path / "pipe.toml", tmp_path, tmp_path / "huge.toml"):
        assert str(path) in the_error({"CAPACITY_CONFIG": str(path)})


def test_without_a_home_only_the_data_directory_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)  # of nobody in the list of users
    settings = read_settings({"CAPACITY_STORE_URL": "sqlite:////x.db"})
    assert store_url_of(settings) == "sqlite:////x.db"
    for needs_it in (lambda: store_url_of(read_settings({})), lambda: secret_key_of(settings)):
        with pytest.raises(SettingsError) as caught:
            needs_it()
        said = render(caught.value.message, Language.EN)
        assert "XDG_DATA_HOME" in said
        assert "CAPACITY_STORE_URL" in said
