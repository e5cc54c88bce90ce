"""What the wiring adds of its own."""

from pathlib import Path

from capacity_adapters.wiring import below


def test_only_paths_below_the_root_may_be_registered_from_afar(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "shop").mkdir(parents=True)
    (root / "escape").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    allowed = below(root)
    assert allowed(str(root / "shop"))
    assert not allowed(str(tmp_path))
    assert not allowed(str(root / ".." / "other"))
    assert not allowed(str(root / "escape" / "other"))
    assert not allowed(str(root / "loop" / "shop"))
    assert not allowed(f"{root}/\ud800")
    assert not allowed("shop")
    assert not allowed(f"{root}/a\0b")
    assert not below(None)(str(root))
