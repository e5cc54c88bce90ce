"""What is special to one engine: what it does not tell, and what its doctor looks at."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacity_core.messages.language import Translation

SPECIAL: Final[Mapping[str, Translation]] = MappingProxyType(
    {
        # What is special to MySQL and MariaDB.
        "mysql.untold": Translation(
            "服务器不提供 CSV 表的大小: 请换用其他存储引擎或删除。查询这些表: {find}",
            "The server does not tell the size of its CSV tables: give them another storage engine,"
            " or drop them. This finds them: {find}",
        ),
        "mysql.damaged": Translation(
            "有无法读取的表: 请修复或删除。查询这些表: {find}",
            "It has tables that cannot be read: repair or drop them. This finds them: {find}",
        ),
        "mysql.uncounted": Translation(
            "共享表空间中有尚未统计页数的表: 对该库的表执行 ANALYZE TABLE 后重试",
            "The server has not counted the pages of a table in a shared tablespace: run ANALYZE"
            " TABLE on the tables of this schema, then sync again",
        ),
        # What is special to Oracle.
        "oracle.files_offline": Translation(
            "{n} 个数据文件离线, 大小未知: 请恢复并联机",
            "{n} of its data files are offline, so its size is unknown: recover and online them",
        ),
        "doctor.oracle_list": Translation("列出可插拔数据库", "The list of pluggable databases"),
        "doctor.oracle_used": Translation("已用空间", "How much of the files is in use"),
        "doctor.oracle_proof": Translation(
            "证明列表完整", "Proof that the list of databases is complete"
        ),
        "doctor.oracle_containers": Translation(
            "查看全部可插拔数据库", "The sight of every pluggable database"
        ),
    }
)
