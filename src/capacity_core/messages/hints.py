"""What an operator should do about a target that failed, and a database without a size."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from capacity_core.messages.language import Translation

HINTS: Final[Mapping[str, Translation]] = MappingProxyType(
    {
        # What an operator should do, a reason each.
        "hint.unreachable": Translation(
            "检查主机、端口、路由和防火墙", "Check host, port, routing and firewalls"
        ),
        "hint.refused": Translation(
            "端口无监听: 检查端口以及服务器是否在运行",
            "Nothing listens on that port: check the port and that the server runs",
        ),
        "hint.name_resolution": Translation(
            "主机名无法解析: 检查拼写和 DNS",
            "The host name does not resolve: check its spelling and DNS",
        ),
        "hint.address_refused": Translation(
            "该地址不在允许的网络内: 见 CAPACITY_TARGET_NETWORKS",
            "The address is outside the allowed networks: see CAPACITY_TARGET_NETWORKS",
        ),
        "hint.address_refused.port": Translation(
            "该类型的数据库不允许使用此端口: 见 CAPACITY_TARGET_PORTS",
            "This port is not allowed for this engine: see CAPACITY_TARGET_PORTS",
        ),
        "hint.path_missing": Translation(
            "路径不存在或不可读: 检查路径和权限",
            "The path is missing or unreadable: check it and its rights",
        ),
        "hint.timeout": Translation(
            "实例未在限期内应答: 检查 db_type 和端口、服务器负载和网络, 或提高限期",
            "No answer in time: check db_type and port, the server's load and the network, or raise"
            " the deadline",
        ),
        "hint.tls": Translation(
            "TLS 握手失败: 检查 TLS 模式、CA 和证书中的名称",
            "TLS failed: check the TLS mode, the CA and the name in the certificate",
        ),
        "hint.tls.none": Translation(
            "服务器不提供 TLS: 在服务器上启用, 或改用 TLS 模式 prefer",
            "The server offers no TLS: enable it there, or choose the TLS mode prefer",
        ),
        "hint.tls.required": Translation(
            "服务器只接受 TLS 连接: 改用 TLS 模式 verify-full 或 require",
            "The server accepts nothing but TLS: choose the TLS mode verify-full or require",
        ),
        "hint.tls.always": Translation(
            "服务器不提供 TLS, 而密码只在 TLS 内发送: 在服务器上启用",
            "The server offers no TLS, without which it gets no password: enable it there",
        ),
        "hint.tls.authority": Translation(
            "服务器证书不是由受信任的 CA 签发: 检查实例的 CA 文件",
            "The server's certificate is not from an authority that is trusted: check the"
            " instance's CA file",
        ),
        "hint.tls.ca_file": Translation(
            "无法读取 CA 文件 {path}: 须为本进程可读的 PEM 文件",
            "The CA file {path} cannot be read: it is a PEM file that this process may read",
        ),
        "hint.tls.name": Translation(
            "服务器证书中没有该主机名: 用证书中的名称登记实例, 或改用 TLS 模式 verify-ca",
            "The server's certificate is for another host name: register the instance by a name"
            " that is in it, or choose the TLS mode verify-ca",
        ),
        "hint.tls.expired": Translation(
            "服务器证书已过期或尚未生效: 请更换证书, 并检查两端的时钟",
            "The server's certificate has expired or is not valid yet: have it renewed, and check"
            " the clocks of both sides",
        ),
        "hint.tls.client": Translation(
            "服务器要求客户端证书: 设置实例的客户端证书和密钥",
            "The server wants a client certificate: set the instance's certificate and key",
        ),
        "hint.tls.password_asked": Translation(
            "服务器索要密码原文, 只有 TLS 已验证才会发送: 设置 TLS 模式 verify-full 或 verify-ca",
            "The server asks for the password itself, which only verified TLS may carry: "
            "set TLS mode verify-full or verify-ca, and the CA",
        ),
        "hint.auth_failed": Translation(
            "用户名或密码不正确: 更新实例的凭据",
            "Wrong user or password: update the instance's credential",
        ),
        "hint.auth_failed.or_expired": Translation(
            "用户名或密码不正确, 或密码已过期: 更新实例的凭据。若已过期 (VALID UNTIL): {cure}",
            "Wrong user or password, or the password has expired: update the instance's"
            " credential, or prolong the password (VALID UNTIL). {cure}",
        ),
        "hint.auth_failed.or_no_login": Translation(
            "用户不存在, 或不允许登录 (NOLOGIN): 更新实例的凭据。若不允许登录: {cure}",
            "There is no such user, or it may not log in (NOLOGIN): update the instance's"
            " credential, or let it log in. {cure}",
        ),
        "hint.auth_failed.user": Translation(
            "用户不存在: 更新实例的凭据",
            "There is no such user: update the instance's credential",
        ),
        "hint.auth_failed.no_password": Translation(
            "服务器要求密码, 但实例没有密码: 设置实例的凭据",
            "The server wants a password and the instance has none: set its credential",
        ),
        "hint.auth_failed.or_host": Translation(
            "用户名或密码不正确, 或该账号不允许从本机登录、或须使用 TLS,"
            " 或被本机的匿名账号抢先匹配: 更新实例的凭据, 或请管理员检查账号的主机",
            "Wrong user or password, or the account is not for this host, or wants TLS, or an"
            " anonymous account of this host comes first: update the instance's credential, or"
            " have the account's host checked",
        ),
        "hint.auth_failed.none_or_host": Translation(
            "实例没有密码, 服务器拒绝了无密码登录: 设置实例的凭据。若账号本就没有密码,"
            " 则它不允许从本机登录、或须使用 TLS, 或被本机的匿名账号抢先匹配",
            "The instance has no password, and the server refused the login without: set its"
            " credential. If the account has none, it is not for this host, or wants TLS, or an"
            " anonymous account of this host comes first",
        ),
        "hint.auth_failed.anonymous": Translation(
            "服务器将登录当作匿名账号, 而非实例的账号: 请删除匿名账号。{cure}",
            "The server took the login for its anonymous account, not for the instance's: have"
            " the anonymous one dropped. {cure}",
        ),
        "hint.auth_failed.method": Translation(
            "账号的登录方式不是密码, 或不受支持: 请为账号设置密码。{cure}",
            "The account does not log in by password, or in a way that is not supported: have a"
            " password set for it. {cure}",
        ),
        "hint.account_locked": Translation(
            "账号已锁定或过期: 请管理员解锁", "The account is locked or expired: have it unlocked"
        ),
        "hint.account_locked.locked": Translation(
            "账号已锁定。{cure}", "The account is locked. {cure}"
        ),
        "hint.account_locked.no_login": Translation(
            "账号不允许登录 (NOLOGIN)。{cure}", "The account may not log in (NOLOGIN). {cure}"
        ),
        "hint.account_locked.password_expired": Translation(
            "账号的密码已过期: 设置新密码, 并更新实例的凭据。{cure}",
            "The account's password has expired: set a new one, and update the instance's"
            " credential. {cure}",
        ),
        "hint.account_locked.blocked": Translation(
            "账号因多次密码错误被封锁: 先更新实例的凭据。{cure}",
            "The account is blocked after too many wrong passwords: update the instance's"
            " credential first. {cure}",
        ),
        "hint.credential_unavailable": Translation(
            "无法读取密码 ({ref}): 设置它, 或检查密钥",
            "The password could not be read ({ref}): provide it, or check the secret key",
        ),
        "hint.credential_unavailable.client_file": Translation(
            "无法读取 {ref} 的文件: 须为本进程可读的 PEM 文件",
            "The file of {ref} cannot be read: it is a PEM file that this process may read",
        ),
        "hint.credential_unavailable.client_key_open": Translation(
            "其他用户可读取 tls.key 的文件: 请执行 chmod 600",
            "Others may read the file of tls.key: chmod 600 it",
        ),
        "hint.credential_unavailable.client_certificate": Translation(
            "tls.cert 与 tls.key 不匹配: 须为 PEM 格式的证书及其未加密的私钥",
            "tls.cert and tls.key do not fit: they are a certificate and its key, PEM, unencrypted",
        ),
        "hint.too_many_connections": Translation(
            "服务器连接数已满: 稍后重试或提高上限",
            "The server has no free connection: try later or raise its limit",
        ),
        "hint.too_many_connections.login": Translation(
            "账号的连接数或用量已达上限: 稍后重试或提高账号的上限。{cure}",
            "The login has used up its own limit, not the server's: try later or raise it. {cure}",
        ),
        "hint.too_many_connections.database": Translation(
            "登录所用数据库的连接数已满: 稍后重试, 或设置实例的 database_name。{cure}",
            "The database to log in to has no free connection: try later, or set the instance's"
            " database_name. {cure}",
        ),
        "hint.permission_denied": Translation(
            "账号缺少权限。{cure}", "The login lacks a right. {cure}"
        ),
        "hint.permission_denied.hba": Translation(
            "pg_hba.conf 不允许该账号从本机这样登录 (主机、用户、数据库、TLS):"
            " 请管理员增加一行并重新加载。{cure}",
            "pg_hba.conf does not let this login in from here and in this way (host, user,"
            " database, TLS): have a line added, then the file reloaded. {cure}",
        ),
        "hint.permission_denied.host": Translation(
            "服务器没有允许从本机登录的账号: 请管理员为本机地址创建账号",
            "The server has no account that may log in from this host: have one created for our"
            " address",
        ),
        "hint.permission_denied.firewall": Translation(
            "服务器的防火墙不允许本机地址: 请管理员为其增加规则",
            "The server's firewall does not let our address in: have a rule added for it",
        ),
        "hint.permission_denied.blocked": Translation(
            "本机因多次连接错误被服务器封锁。{cure} (MySQL 8.4 起:"
            " TRUNCATE TABLE performance_schema.host_cache)",
            "The server has blocked this host after many connection errors. {cure} (from MySQL 8.4"
            " on: TRUNCATE TABLE performance_schema.host_cache)",
        ),
        "hint.database_missing": Translation(
            "登录所用的数据库不存在: 设置实例的 database_name",
            "The database to log in to does not exist: set the instance's database_name",
        ),
        "hint.database_missing.or_shut": Translation(
            "登录所用的数据库不存在或未打开, 或账号不能进入: 设置实例的 database_name。"
            "若不能进入: {cure}",
            "The database to log in to is missing or not open, or the login may not enter it: set"
            " the instance's database_name. If it may not enter: {cure}",
        ),
        "hint.database_missing.closed": Translation(
            "登录所用的数据库不接受连接: 设置实例的 database_name。或者: {cure}",
            "The database to log in to takes no connections: set the instance's database_name."
            " Or: {cure}",
        ),
        "hint.database_missing.invalid": Translation(
            "登录所用的数据库未删除完: 设置实例的 database_name",
            "The database to log in to is half dropped: set the instance's database_name",
        ),
        "hint.unsupported_version": Translation(
            "服务器版本 {version} 不受支持, 至少需要 {least}",
            "Server version {version} is not supported; at least {least} is needed",
        ),
        "hint.protocol": Translation(
            "对端不是该类型的数据库: 检查 db_type 和端口",
            "The peer does not speak this engine's protocol: check db_type and port",
        ),
        "hint.connection_lost": Translation(
            "连接中断: 检查服务器日志和网络后重试",
            "The connection broke: check the server's log and the network, then try again",
        ),
        "hint.connection_lost.starting": Translation(
            "服务器正在启动、关闭或恢复: 稍后重试",
            "The server is starting, stopping or recovering: try again in a while",
        ),
        "hint.connection_lost.offline": Translation(
            "服务器处于离线模式: 请管理员关闭 offline_mode",
            "The server is in offline mode: have offline_mode switched off",
        ),
        "hint.driver_missing": Translation(
            "缺少驱动: 安装 {package}", "A driver is missing: install {package}"
        ),
        "hint.address_refused.routed": Translation(
            "服务器将客户端转往另一主机, 密码不会发给它: 登记该主机, 或将连接策略设为 Proxy",
            "The server sends its clients on to another host, which gets no password from us: "
            "register that host, or set the connection policy to Proxy",
        ),
        "hint.empty": Translation(
            "没有数据库可以测量: 原因见 unmeasured",
            "No database could be measured: unmeasured lists why",
        ),
        "hint.other": Translation("详情见服务器日志", "The service's log has the details"),
        # What to do about a database without a size, an outcome each.
        "outcome.denied": Translation("账号缺少权限。{cure}", "The login lacks a right. {cure}"),
        "outcome.offline": Translation(
            "数据库未打开: 打开后重试", "The database is not open: open it, then sync again"
        ),
        "outcome.invalid": Translation(
            "数据库已损坏或未删除完: 请修复或删除",
            "The database is damaged or half dropped: repair or drop it",
        ),
        "outcome.vanished": Translation(
            "同步期间数据库被删除", "The database was dropped during the sync"
        ),
        "outcome.timed_out": Translation(
            "未在限期内测量: 提高限期 (--deadline, CAPACITY_SYNC_DEADLINE)",
            "Not measured in time: raise the deadline (--deadline, CAPACITY_SYNC_DEADLINE)",
        ),
        "outcome.not_visible": Translation(
            "账号看不到该数据库。{cure}", "The login cannot see this database. {cure}"
        ),
        "outcome.error": Translation(
            "测量失败: 详情见日志", "Measuring failed: the log has the details"
        ),
        "cure.mssql_azure_master": Translation(
            "连接到 master 才能看到逻辑服务器的全部数据库: 清除实例的 database_name",
            "Only master shows every database of a logical server: "
            "clear the instance's database_name",
        ),
        "cure.mssql_no_stats": Translation(
            "Azure 尚未发布该数据库的大小: 一小时后重试",
            "Azure has not published a size of this database yet: sync again in an hour",
        ),
        "cure.sql": Translation("请管理员执行: {sql}", "As an administrator, run: {sql}"),
        "cure.account": Translation(
            "请管理员执行: {sql} (账号的主机若不是 %, 请替换; 查询: {find})",
            "As an administrator, run: {sql} (with the account's own host, if it is not %; this"
            " finds it: {find})",
        ),
    }
)
