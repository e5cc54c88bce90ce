"""Where passwords and the key come from, and what is refused."""

import os
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from attrs import evolve
from tests.builders import an_instance

from capacity_adapters.credentials import PasswordSource, read_password, secret_key_of
from capacity_adapters.settings import Settings, read_settings
from capacity_core.errors import SettingsError, StoreError
from capacity_core.messages import Language, Text, render
from capacity_core.model import CollectFailed, Instance, Reason, Secret


def source(
    environ: Mapping[str, str] | None = None, folder: Path | None = None, kept: str | None = None
) -> PasswordSource:
    return PasswordSource(environ or {}, folder, lambda _id: Secret(kept) if kept else None)


def found(passwords: PasswordSource, reference: str | None) -> str:
    return passwords.secret_for(evolve(an_instance(), password_ref=reference)).reveal()


def refused(passwords: PasswordSource, reference: str) -> str:
    with pytest.raises(CollectFailed) as caught:
        found(passwords, reference)
    assert caught.value.failure.reason is Reason.CREDENTIAL_UNAVAILABLE
    return render(caught.value.failure.hint, Language.EN)


def test_an_instance_without_a_reference_has_an_empty_password() -> None:
    assert found(source(), None) == ""


def test_a_password_comes_from_a_variable_read_late() -> None:
    environ = {"CAPACITY_SECRET_SHOP": "old"}
    passwords = source(environ)
    environ["CAPACITY_SECRET_SHOP"] = "pässwörd "
    assert found(passwords, "env:CAPACITY_SECRET_SHOP") == "pässwörd "


def test_a_sealed_password_comes_from_the_store() -> None:
    assert found(source(kept="s3cret"), "sealed") == "s3cret"


@pytest.mark.parametrize(
    ("content", "password"),
    [("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), (" two\n\n", " two\n"), ("", "")],
)
def test_a_file_loses_one_newline_and_nothing_else(
    tmp_path: Path, content: str, password: str
) -> None:
    (tmp_path / "shop").write_bytes(content.encode())
    assert found(source(folder=tmp_path), "file:shop") == password


def test_a_link_inside_the_folder_is_followed_as_mounted_secrets_need(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "shop").write_text("s3cret")
    (tmp_path / "shop").symlink_to("..data/shop")
    assert found(source(folder=tmp_path), "file:shop") == "s3cret"


@pytest.mark.parametrize(
    "reference",
    [
        "env:CAPACITY_SECRET_MISSING",
        "env:CAPACITY_SECRET_HALF",
        "env:CAPACITY_SECRET_NUL",
        "env:PATH",
        "env:CAPACITY_SECRET_KEY",
        "env:CAPACITY_SECRET_FOLDER",
        "file:missing",
        "file:../outside",
        "file:/etc/hostname",
        "file:escape",
        "file:pipe",
        "file:folder",
        "file:binary",
        "file:nul",
        "file:huge",
        "file:nul\0name",
        "file:",
        "sealed",
        "plain:text",
        "",
    ],
)
def test_what_cannot_be_had_names_the_reference_only(tmp_path: Path, reference: str) -> None:
    folder = tmp_path / "secrets"
    (folder / "folder").mkdir(parents=True)
    (tmp_path / "outside").write_text("s3cret")
    (folder / "escape").symlink_to(tmp_path / "outside")
    (folder / "binary").write_bytes(b"s3cret\xff")
    (folder / "nul").write_bytes(b"s3cret\0 sslmode=disable")
    (folder / "huge").write_bytes(b"s3cret" * 11_000)
    os.mkfifo(folder / "pipe")
    environ = {"CAPACITY_SECRET_KEY": "s3cret", "PATH": "s3cret", "CAPACITY_SECRET_HALF": "\udcff"}
    environ["CAPACITY_SECRET_FOLDER"] = str(folder)
    environ["CAPACITY_SECRET_NUL"] = "s3cret\0 sslmode=disable"
    passwords = source(environ, folder)
    said = refused(passwords, reference)
    assert reference in said
    assert "s3cret" not in said + repr(passwords)


def test_without_a_folder_no_file_is_read() -> None:
    assert "file:shop" in refused(source(), "file:shop")


@pytest.mark.parametrize("error", [StoreError(Text("gone")), SettingsError(Text("key"))])
def test_a_store_or_key_that_fails_is_a_credential_that_is_unavailable(error: Exception) -> None:
    def failing(_instance: Instance) -> Secret:
        raise error

    assert "sealed" in refused(PasswordSource({}, None, failing), "sealed")


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_directory=tmp_path / "share" / "capacity-sync")
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _n: secret_key_of(settings), range(32)))
    assert [len(key) for key in keys] == [32]
    [file] = settings.data_folder().iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.data_folder().stat().st_mode) == 0o700


def test_a_key_that_is_set_needs_no_file(tmp_path: Path) -> None:
    settings = Settings(data_directory=tmp_path / "none", secret_key=b"k" * 32)
    assert secret_key_of(settings) == b"k" * 32
    assert not settings.data_folder().exists()


def test_a_key_file_can_move_into_the_variable(tmp_path: Path) -> None:
    settings = Settings(data_directory=tmp_path)
    key = secret_key_of(settings)
    environ = {"CAPACITY_SECRET_KEY": read_password(tmp_path / "secret.key").reveal()}
    assert read_settings(environ).secret_key == key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    settings = Settings(data_directory=tmp_path)
    secret_key_of(settings)
    (tmp_path / "secret.key").chmod(mode)
    with pytest.raises(SettingsError) as caught:
        secret_key_of(settings)
    assert f"{tmp_path / 'secret.key'}: chmod 600" in render(caught.value.message, Language.EN)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 44])
def test_a_key_file_without_a_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SettingsError):
        secret_key_of(Settings(data_directory=tmp_path))
    assert path.read_bytes() == content


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError) as caught:
        secret_key_of(Settings(data_directory=tmp_path / "file" / "capacity-sync"))
    assert str(tmp_path / "file") in render(caught.value.message, Language.EN)
