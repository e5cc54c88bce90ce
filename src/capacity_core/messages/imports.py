"""What is said of a file of instances."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacity_core.messages.language import Translation

IMPORTS: Final[Mapping[str, Translation]] = MappingProxyType(
    {
        "import.done": Translation(
            "已添加 {added} 个实例, {unchanged} 个未变",
            "Instances added: {added}, unchanged: {unchanged}",
        ),
        "import.checked": Translation(
            "试运行: 可添加 {added} 个实例, {unchanged} 个未变",
            "Dry run: instances to add: {added}, unchanged: {unchanged}",
        ),
        "import.refused": Translation(
            "有错误的行: {count}, 未导入任何实例", "Faulty lines: {count}. Nothing was imported"
        ),
        "import.empty": Translation(
            "文件为空: 第一行须为列名", "The file is empty: its first line names the columns"
        ),
        "import.encoding": Translation(
            "文件不是 UTF-8 文本 (Excel: 另存为 CSV UTF-8)",
            "This is not text in UTF-8 (Excel: save as CSV UTF-8)",
        ),
        "import.nul": Translation(
            "含有 NUL 字符: 文件须为 UTF-8 文本", "A NUL character: the file is to be text in UTF-8"
        ),
        "import.quotes": Translation(
            "引号有误: 引号内的单元格须以引号结尾, 其中的引号须加倍, 最多 {most} 个字符",
            "A quoted cell ends with a quote, doubles those in it, has at most {most} characters",
        ),
        "import.cells": Translation(
            "有 {found} 个单元格, 表头有 {wanted} 个",
            "{found} cells instead of {wanted}: a separator in a cell needs quotes around it",
        ),
        "import.column_unknown": Translation(
            "未知的列 {column}, 可用: {known}", "Unknown column {column}; there are: {known}"
        ),
        "import.column_missing": Translation("缺少列 {column}", "The column {column} is missing"),
        "import.column_twice": Translation(
            "列 {column} 重复", "The column {column} is there twice"
        ),
        "import.password": Translation(
            "密码不得写入 CSV: 请用 password_ref, 或 capacity instance edit --password-env",
            "No passwords in CSV: use password_ref, or `capacity instance edit --password-env`",
        ),
        "import.boolean": Translation("{field} 须为 true 或 false", "{field} is true or false"),
        "import.name_twice": Translation(
            "名称 {name} 已在第 {line} 行", "The name {name} is in line {line} already"
        ),
        "import.name_taken": Translation(
            "实例 {name} 已存在, 但以下字段不同: {fields}",
            "Instance {name} exists already, and differs in: {fields}",
        ),
        "import.names_taken": Translation(
            "其中有名称刚刚被占用, 请重试", "One of the names was taken just now: try again"
        ),
    }
)
