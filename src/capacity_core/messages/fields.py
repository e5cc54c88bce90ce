"""What is wrong with a field."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacity_core.messages.language import Translation

FIELDS: Final[Mapping[str, Translation]] = MappingProxyType(
    {
        "field.required": Translation("缺少 {field}", "{field} is required"),
        "field.unknown": Translation("未知字段 {field}", "Unknown field {field}"),
        "field.type": Translation("{field} 的类型不正确", "{field} has the wrong type"),
        "field.text": Translation(
            "{field} 须为 1 到 {limit} 个字符, 且不含 NUL",
            "{field} needs 1 to {limit} characters and no NUL",
        ),
        "field.substituted": Translation(
            "{field} 不能含 {found}: 执行脚本的命令行客户端会替换它",
            "{field} may not hold {found}, which a line client that runs the script replaces",
        ),
        "field.digits": Translation("名称不能全为数字", "A name may not be all digits"),
        "field.port": Translation("端口须在 1 到 65535 之间", "A port is a number from 1 to 65535"),
        "field.port_refused": Translation(
            "{db_type} 不允许使用端口 {port}: 见 CAPACITY_TARGET_PORTS",
            "{db_type} may not have port {port}: see CAPACITY_TARGET_PORTS",
        ),
        "field.host": Translation(
            "{host} 不是主机名或 IP 地址", "{host} is neither a host name nor an IP address"
        ),
        "field.path": Translation("路径 {path} 不被允许", "The path {path} is not allowed here"),
        "field.absolute": Translation(
            "{field} 须为绝对路径", "{field} is an absolute path, from the root"
        ),
        "field.not_for_engine": Translation(
            "{db_type} 不使用 {field}", "{field} does not apply to {db_type}"
        ),
        "field.db_type": Translation(
            "不支持的数据库类型 {value}, 可用: {known}",
            "Unknown db_type {value}; installed engines: {known}",
        ),
        "field.label": Translation(
            "{field} 中的 {value} 无效: 须为 1 到 63 个字母, 数字或 _ . : / -, 最多 50 个",
            "{value} in {field}: 1 to 63 letters, digits or _ . : / -, and at most 50 of them",
        ),
        "field.instances_missing": Translation(
            "没有这些编号的活跃实例: {ids}", "No active instance has the id {ids}"
        ),
        "field.timezone": Translation("未知时区 {value}", "Unknown time zone {value}"),
        "field.tls": Translation("TLS 模式须为 {known} 之一", "The TLS mode is one of {known}"),
        "field.tls_pair": Translation(
            "tls.cert 与 tls.key 须同时给出", "tls.cert and tls.key are given together"
        ),
        "field.tls_unused": Translation(
            "TLS 模式 insecure 不使用证书", "TLS mode insecure shows no certificate"
        ),
        "field.level": Translation("级别须为 {known} 之一", "The level is one of {known}"),
        "field.rule": Translation("过滤规则 {rule} 无效", "The filter rule {rule} is not valid"),
        "field.password_ref": Translation(
            "password_ref 须为 env:CAPACITY_SECRET_... 或 file:文件名",
            "password_ref is env:CAPACITY_SECRET_... or file: with a plain file name",
        ),
        "field.password_ref_again": Translation(
            "实例换了地址: 请重新给出 password_ref 或 password",
            "The instance moves to another address: give password_ref again, or a password",
        ),
        "field.one_password": Translation(
            "password 与 password_ref 只能有一个", "Give password or password_ref, not both"
        ),
        "field.age": Translation(
            "时长为天、月或年数, 如 90d、24mo、2y",
            "An age is a number of days, months or years: 90d, 24mo, 2y",
        ),
        "field.date": Translation("{field} 须为 YYYY-MM-DD", "{field} is a date, YYYY-MM-DD"),
        "field.date_from": Translation(
            "日期 {day} 早于 {least}", "The day {day} is before {least}, the earliest there is"
        ),
        "field.date_order": Translation(
            "起始日期 {first} 晚于结束日期 {last}",
            "The range ends before it begins: {first} is after {last}",
        ),
        "field.date_future": Translation(
            "起始日期 {first} 晚于今天 ({today}), 其后尚无数据",
            "The range begins on {first}, after today ({today}): those days hold nothing yet",
        ),
        "field.date_range": Translation(
            "日期范围最多 {most} 天", "The dates are at most {most} days apart"
        ),
        "field.values": Translation(
            "{field} 最多 {most} 个", "{field} is given at most {most} times"
        ),
        "field.one_of": Translation("{field} 须为 {known} 之一", "{field} is one of {known}"),
        "field.limit": Translation(
            "上限须为 1 到 {most} 字节", "A limit is from 1 to {most} bytes"
        ),
        "field.days": Translation(
            "{field} 须为 0 到 {most} 的整数, 单位为天",
            "{field} is a whole number of days, from 0 to {most}",
        ),
        "field.page": Translation(
            "{field} 须为 {least} 到 {most} 的整数",
            "{field} is a whole number from {least} to {most}",
        ),
    }
)
