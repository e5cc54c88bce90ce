"""The doctor: how it went, and what each right or setting is good for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacity_core.messages.language import Translation

CHECKS: Final[Mapping[str, Translation]] = MappingProxyType(
    {
        "doctor.ready": Translation(
            "实例 {name} 权限齐备", "No right is missing to size the databases of {name}"
        ),
        "doctor.lacking": Translation(
            "实例 {name} 有缺少或无法确认的权限",
            "Sizing every database of {name} lacks something, or it is unknown",
        ),
        "doctor.failed": Translation("无法诊断实例 {name}", "Could not examine instance {name}"),
        "doctor.connect": Translation(
            "登录, 并列出全部数据库", "Logging in, and the list of all databases"
        ),
        "doctor.read_sizes": Translation("每个数据库的大小", "The size of every database"),
        "doctor.see_schemas": Translation(
            "看到全部数据库, 使列表完整", "Seeing every database, so that the list is complete"
        ),
        "doctor.see_tables": Translation(
            "看到每个数据库的全部表, 使其大小完整",
            "Seeing every table of a database, so that its size is whole",
        ),
        "doctor.read_files": Translation(
            "InnoDB 文件的准确大小, 否则为估计值",
            "Exact sizes of InnoDB's files; without it they are estimates",
        ),
        "doctor.list_folder": Translation(
            "列出目录中的数据库文件", "Listing the database files of the folder"
        ),
        "doctor.read_each_file": Translation("每个文件的大小", "The size of every file"),
        "doctor.mssql_see_databases": Translation("看到全部数据库", "Seeing every database"),
        "doctor.mssql_see_files": Translation(
            "所有状态下数据库的大小", "The size of every database, whatever state it is in"
        ),
        "doctor.mssql_enter_databases": Translation(
            "已用空间, 以及含 FILESTREAM 的数据库和 tempdb 的大小",
            "Used space, and the sizes of databases with FILESTREAM and of tempdb",
        ),
        "doctor.mssql_see_snapshots": Translation(
            "数据库快照的大小", "The sizes of database snapshots"
        ),
    }
)
