"""What to do about an instance of a run that did not complete, where its target is not to blame."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacity_core.messages.language import Translation

FLEET: Final[Mapping[str, Translation]] = MappingProxyType(
    {
        "item.instance_missing": Translation(
            "运行开始后实例已被删除: 无需处理",
            "The instance was removed after the run had started: nothing is to be done",
        ),
        "item.instance_moved": Translation(
            "采集期间实例的地址被修改: 重试该运行",
            "The instance was given another address while it was synced: retry the run",
        ),
        "item.sync_in_progress": Translation(
            "该实例的另一次同步正在进行: 结束后自动再试",
            "Another sync of the instance is running: it is tried again once that has ended",
        ),
        "item.worker_lost": Translation(
            "多个工作进程在采集该实例时消失: 检查其日志和内存, 再重试该运行",
            "Worker after worker went silent over this instance: look at their logs and their"
            " memory, then retry the run",
        ),
        "item.internal_error": Translation(
            "存储或服务出错: 查看日志, 再重试该运行",
            "The store or the service failed: look into the log, then retry the run",
        ),
        "item.credential_unavailable": Translation(
            "无法读取实例的密码: 提供其引用的变量或文件, 或检查加密密钥",
            "The instance's password could not be read: provide the variable or file that it"
            " refers to, or check the secret key",
        ),
        "item.same_credential": Translation(
            "上次登录被拒绝, 凭据此后未变, 为免账号被锁未再尝试: 更新实例的凭据;"
            " 若已在服务器上修复, 单独同步该实例一次",
            "The login was refused before and its credential is still the same, so it was not"
            " tried again, lest the account be locked: update the instance's credential, or sync"
            " this instance alone, once, if the server was mended",
        ),
    }
)
