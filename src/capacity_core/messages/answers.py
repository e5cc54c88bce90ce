"""What the product says of an action, a request or a sync's result."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacity_core.messages.language import Translation

ANSWERS: Final[Mapping[str, Translation]] = MappingProxyType(
    {
        # The action's own sentences.
        "sync.succeeded": Translation(
            "实例 {name} 的容量同步任务已成功完成", "Capacity sync of instance {name} completed"
        ),
        "sync.saved": Translation(
            "成功采集并保存 {n} 个数据库的容量信息", "Measured and kept the sizes of {n} databases"
        ),
        "sync.inventory_only": Translation(
            "未发现活跃数据库,已仅同步数据库列表",
            "No active database found; only the list of databases was synced",
        ),
        "sync.connect_failed": Translation(
            "无法连接到实例 {name}", "Could not connect to instance {name}"
        ),
        "sync.collect_failed": Translation("容量采集失败", "Collecting the sizes failed"),
        "sync.nothing_measured": Translation(
            "未采集到任何数据库大小数据", "No database could be measured"
        ),
        "sync.in_progress": Translation(
            "实例 {name} 正在同步中", "A sync of instance {name} is already running"
        ),
        "sync.engine_not_supported": Translation(
            "实例 {name} 的数据库类型未安装", "The engine of instance {name} is not installed"
        ),
        # Other answers.
        "done": Translation("操作成功", "Done"),
        "instance.created": Translation("实例 {name} 已创建", "Instance {name} created"),
        "instance.changed": Translation("实例 {name} 已更新", "Instance {name} changed"),
        "instance.removed": Translation("实例 {name} 已删除", "Instance {name} removed"),
        "run.started": Translation(
            "运行 {id} 已开始: {total} 个实例", "Run {id} started over {total} instances"
        ),
        "run.joined": Translation(
            "同样范围的运行 {id} 正在进行, 未另行开始",
            "Run {id} of the same selection is running already",
        ),
        "run.cancelled": Translation("运行 {id} 已取消", "Run {id} was cancelled"),
        "run.cancelling": Translation(
            "运行 {id} 正在取消, 等待 {running} 个进行中的同步结束",
            "Run {id} is being cancelled: {running} running syncs are let finish",
        ),
        "run.retried": Translation("运行 {id} 正在进行", "Run {id} is running again"),
        "aggregation.done": Translation(
            "聚合结束: 完成 {completed}, 跳过 {skipped}, 失败 {failed}",
            "Aggregated: {completed} completed, {skipped} skipped, {failed} failed",
        ),
        "aggregation.running": Translation(
            "该周期尚未结束, 读取时再计算", "The period still runs: it is computed when read"
        ),
        "aggregation.pruned": Translation(
            "所需日期的数据已被清理, 保留已存的聚合, 之后更正的日期不再计入",
            "Days that it needs were pruned: what is kept of it stays, "
            "and days corrected since are not taken up",
        ),
        "aggregation.nothing_known": Translation(
            "该周期内没有已知的大小", "No size is known in this period"
        ),
        "aggregation.failed": Translation(
            "聚合失败, 详情见服务日志", "Aggregating failed: the service's log has the details"
        ),
        "aggregation.databases_failed": Translation(
            "数据库级聚合失败, 实例级无从得知断点",
            "The aggregates of its databases failed, which tell of breaks",
        ),
        "error.not_aggregated": Translation(
            "未清理任何数据: 实例 {name} 自 {start} 起的 {kind} 聚合失败",
            "Nothing was pruned: the {kind} aggregates from {start} of instance {name} failed",
        ),
        "error.run_missing": Translation("运行不存在", "No such run"),
        "error.run_ended": Translation("运行已结束: {status}", "The run has ended: {status}"),
        "error.run_nothing_to_retry": Translation(
            "运行中没有可重试的实例", "The run has nothing to do again"
        ),
        "error.run_cancelling": Translation(
            "运行 {id} 正在取消, 请在其结束后再试",
            "Run {id} is being cancelled: try again when it has ended",
        ),
        "error.run_other_running": Translation(
            "同样范围的另一次运行正在进行", "Another run of the same selection is running"
        ),
        "error.run_selects_nothing": Translation(
            "没有找到活跃的数据库实例", "No active instance is selected"
        ),
        "error.too_many_streams": Translation(
            "同时跟踪的运行过多, 请稍后再试",
            "Too many runs are being followed at once: try again later",
        ),
        "error.instance_missing": Translation("实例不存在", "No such instance"),
        "error.database_missing": Translation(
            "实例没有名为 {name} 的数据库", "The instance has no database named {name}"
        ),
        "error.database_gone": Translation(
            "数据库 {name} 已不存在, 保存的最后一天是 {day}",
            "The database {name} was dropped, or is left out; the last day kept of it is {day}",
        ),
        "error.limit_missing": Translation("没有设置这样的上限", "No such limit is set"),
        "error.token_missing": Translation("令牌不存在", "No such token"),
        "error.not_found": Translation("资源不存在", "Not found"),
        "error.method": Translation("不支持的请求方法", "Method not allowed"),
        "error.internal": Translation(
            "服务器内部错误", "Internal error; the log has the details under this error_id"
        ),
        "error.unauthenticated": Translation(
            "请提供有效的访问令牌", "A valid bearer token is required"
        ),
        "error.forbidden": Translation("需要 {scope} 权限", "This needs the scope {scope}"),
        "error.refused": Translation("请求被拒绝", "The request was refused"),
        "error.too_large": Translation("请求内容过大", "The request body is too large"),
        "error.malformed": Translation(
            "请求内容无法解析: {why}", "The request is malformed: {why}"
        ),
        "error.name_taken": Translation("名称 {name} 已存在", "The name {name} is taken"),
        "error.other_user": Translation(
            "该地址已登记为实例 {name}(用户 {user}), 请用 instance edit 修改",
            "This address is registered as {name} with user {user}; change it with "
            "`capacity instance edit {name} --username ...`",
        ),
        "error.instance_moved": Translation(
            "实例 {name} 在同步期间被修改, 请重新同步",
            "Instance {name} was changed during its sync: sync it again",
        ),
        "error.other_database": Translation(
            "该地址已登记为实例 {name}(数据库 {database}), 请用 instance edit 修改",
            "This address is registered as {name} with database {database}; change it with "
            "`capacity instance edit {name} --database-name ...`",
        ),
        # Warnings in a result.
        "warning.inventory_incomplete": Translation(
            "登录账号看不到全部数据库, 未见的数据库保持原状。{cure}",
            "The login cannot see every database; those unseen were left as they are. {cure}",
        ),
        "warning.aggregation_failed": Translation(
            "容量同步后触发聚合失败", "The sizes were kept, but their daily aggregation failed"
        ),
        "warning.total_overflow": Translation(
            "实例总容量超出 64 位整数, 未保存",
            "The instance's total exceeds 64 bits and was not kept",
        ),
        # When a database will be full.
        "forecast.full_on": Translation(
            "预计 {full_on} 达到上限 (最早 {earliest}, 最晚 {latest})",
            "Full on {full_on}, between {earliest} and {latest}",
        ),
        "forecast.full_on.open": Translation(
            "预计 {full_on} 达到上限 (最早 {earliest}, 也可能不会)",
            "Full on {full_on}, {earliest} at the earliest, perhaps never",
        ),
        "forecast.not_growing": Translation("没有增长", "Not growing"),
        "forecast.not_growing.open": Translation(
            "没有增长, 但最早可能在 {earliest} 达到上限",
            "Not growing, though it may be full by {earliest} at the earliest",
        ),
        "forecast.not_enough_data": Translation(
            "数据不足: 至少需要 {days} 天的大小, 其间至少变化 {steps} 次",
            "Not enough data: it takes sizes on at least {days} days, with {steps} changes",
        ),
        "forecast.over_on": Translation(
            "{said}; {day} 曾达到上限", "{said}; it was at its ceiling or above on {day}"
        ),
        "forecast.as_of": Translation("{said} (截至 {day})", "{said} (as of {day})"),
        "forecast.already_over": Translation("已超出上限", "Already over its ceiling"),
        "forecast.no_ceiling": Translation("没有上限", "No ceiling is known"),
        # Suggestions of the error envelope, a category each.
        "suggest.validation": Translation("检查请求参数", "Check the request's parameters"),
        "suggest.authentication": Translation("使用有效的令牌", "Use a valid token"),
        "suggest.authorization": Translation("检查令牌的权限", "Check the token's scope"),
        "suggest.business": Translation("确认资源和业务规则", "Check the resource and the rules"),
        "suggest.system": Translation("查看错误日志", "Look into the service's log"),
    }
)
