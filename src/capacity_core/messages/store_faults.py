"""What is wrong with the store, and what to do about it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacity_core.messages.language import Translation

STORE_FAULTS: Final[Mapping[str, Translation]] = MappingProxyType(
    {
        "store.url": Translation(
            "存储地址须为 sqlite:///文件 或 postgresql://用户@主机/数据库",
            "A store is sqlite:///file or postgresql://user@host/database",
        ),
        "store.sqlite_version": Translation(
            "SQLite {found} 过旧, 至少需要 3.38",
            "SQLite {found} is too old; 3.38 or newer is needed",
        ),
        "store.missing": Translation(
            "存储 {where} 不存在: 请重新启动以创建",
            "The store {where} is missing: start again to create it",
        ),
        "store.empty": Translation(
            "存储 {where} 没有任何表: 请重新启动以创建",
            "The store {where} has no tables: start again to create them",
        ),
        "store.older": Translation(
            "存储 {where} 的版本较旧: 请执行 capacity store upgrade",
            "The store {where} has an older schema: run `capacity store upgrade`",
        ),
        "store.newer": Translation(
            "存储 {where} 的版本比本程序新: 请升级程序",
            "The store {where} has a newer schema than this program knows: upgrade the program",
        ),
        "store.foreign": Translation(
            "{where} 含有其他程序的表: 请另选一个空的数据库",
            "{where} holds the tables of something else: choose another file or an empty database",
        ),
        "store.folder_missing": Translation(
            "存储 {where} 所在目录 {folder} 不存在: 请先创建",
            "The folder {folder} of the store {where} does not exist: create it first",
        ),
        "store.readonly": Translation(
            "存储 {where} 不可写: 检查文件、目录和账号的权限",
            "The store {where} is read-only: check the rights of the file, its folder and the user",
        ),
        "store.cannot_open": Translation(
            "无法打开存储 {where}: 检查路径和权限",
            "The store {where} cannot be opened: check its path and rights",
        ),
        "store.locked": Translation(
            "存储 {where} 被占用过久: 结束占用它的程序后重试",
            "The store {where} stayed busy for too long: end what holds it, then try again",
        ),
        "store.not_a_database": Translation(
            "{where} 不是 SQLite 数据库: 请另选文件",
            "{where} is not a SQLite database: choose another file",
        ),
        "store.damaged": Translation(
            "存储 {where} 已损坏: 请从备份恢复", "The store {where} is damaged: restore a backup"
        ),
        "store.full": Translation(
            "存储 {where} 无法写入磁盘: 检查剩余空间",
            "The store {where} cannot be written to disk: check the free space",
        ),
        "store.unreachable": Translation(
            "无法连接存储 {where}: 检查主机、端口以及服务器是否在运行",
            "The store {where} cannot be reached: check host and port, and that the server runs",
        ),
        "store.login": Translation(
            "存储 {where} 拒绝登录: 检查用户名和密码",
            "The store {where} refused the login: check its user and password",
        ),
        "store.no_database": Translation(
            "存储 {where} 的数据库不存在: 请先用 createdb 创建",
            "The database of the store {where} does not exist: create it first (createdb)",
        ),
        "store.denied": Translation(
            "账号在存储 {where} 中缺少权限: 请授予 CREATE 和读写权限",
            "The login lacks rights in the store {where}: grant it CREATE on the schema",
        ),
        "store.too_many_connections": Translation(
            "存储 {where} 的连接数已满: 稍后重试或提高上限",
            "The store {where} has no free connection: try later or raise its limit",
        ),
        "store.failed": Translation(
            "存储 {where} 操作失败: 详情见日志", "The store {where} failed: the log has the details"
        ),
        "store.name": Translation(
            "名称 {name} 无法保存: 含有 NUL 或无效字符",
            "The name {name} cannot be kept: it holds NUL or half a character",
        ),
        "store.no_key": Translation(
            "没有用于加密密码的密钥: 设置 CAPACITY_SECRET_KEY",
            "There is no key to seal passwords with: set CAPACITY_SECRET_KEY",
        ),
    }
)
