"""What we ask a SQL Server. Every statement reads, and names the schema of what it reads."""

from typing import Final

# Which edition, where we are, who we are, and what we may: 1, 0, or NULL where a version does not
# know the right. Rights that others imply are told, too.
RIGHTS: Final = (
    "VIEW ANY DATABASE",
    "ALTER ANY DATABASE",
    "VIEW ANY DEFINITION",
    "CONNECT ANY DATABASE",
    "VIEW SERVER STATE",
    "VIEW SERVER PERFORMANCE STATE",
)
_ASKED: Final = ", ".join(f"HAS_PERMS_BY_NAME(NULL, NULL, '{right}')" for right in RIGHTS)
SERVER: Final = (
    "SELECT CAST(SERVERPROPERTY('EngineEdition') AS int), DB_NAME(), SUSER_SNAME(), " + _ASKED
)
# May we enter it? Not one that only one session may use, nor one that would have to be started.
DATABASES: Final = """
SELECT database_id, name, CAST(state AS int), source_database_id,
    CASE WHEN state = 0 AND user_access <> 1 AND is_cleanly_shutdown = 0
        THEN HAS_DBACCESS(name) ELSE 0 END,
    DATEDIFF(SECOND, '2010-01-01', create_date)
FROM sys.databases
"""
# Pages have 8 KiB. A file that may not grow ends at its size, and -1 is no end at all.
_CEILING: Final = """
    SUM(CASE WHEN growth = 0 OR max_size < size THEN CAST(size AS bigint)
        ELSE CAST(max_size AS bigint) END),
    MAX(CASE WHEN growth <> 0 AND max_size = -1 THEN 1 ELSE 0 END)"""
FILES: Final = f"""
SELECT d.database_id, d.name, CAST(f.type AS int), SUM(CAST(f.size AS bigint)), {_CEILING}
FROM sys.databases AS d LEFT JOIN sys.master_files AS f ON f.database_id = d.database_id
GROUP BY d.database_id, d.name, f.type
"""  # noqa: S608 -- put together from our own words
# FILESTREAM has no pages: there the size is what it holds.
INSIDE: Final = f"""
SELECT CAST(type AS int), SUM(CAST(size AS bigint)), {_CEILING},
    CASE WHEN COUNT(*) = COUNT(used) THEN SUM(CAST(used AS bigint)) END
FROM (SELECT type, size, max_size, growth,
        CASE WHEN type = 2 THEN size ELSE FILEPROPERTY(name, 'SpaceUsed') END AS used
    FROM sys.database_files) AS files
GROUP BY type
"""  # noqa: S608 -- put together from our own words
# The server itself goes from database to database; each answers or fails on its own. Its id alone
# ends an answer, for without it some files may be missing.
_QUOTED_INSIDE: Final = INSIDE.replace("SELECT", "SELECT @id,", 1).replace("'", "''")
EACH_INSIDE: Final = f"""
SET NOCOUNT ON; SET LOCK_TIMEOUT 2000;
DECLARE @id int, @there nvarchar(400);
DECLARE asked CURSOR LOCAL STATIC READ_ONLY FORWARD_ONLY FOR
    SELECT database_id, QUOTENAME(name) + N'.sys.sp_executesql' FROM sys.databases
    WHERE state = 0 AND database_id IN (%s);
OPEN asked;
FETCH NEXT FROM asked INTO @id, @there;
WHILE @@FETCH_STATUS = 0
BEGIN
    BEGIN TRY
        EXEC @there N'{_QUOTED_INSIDE}', N'@id int', @id;
        SELECT @id;
    END TRY
    BEGIN CATCH
        SELECT @id, ERROR_NUMBER();
    END CATCH;
    FETCH NEXT FROM asked INTO @id, @there;
END;
CLOSE asked; DEALLOCATE asked;
"""  # noqa: S608 -- put together from our own words
# A snapshot's file has a size that it may reach; on disk is only what has changed since.
SPARSE: Final = """
SELECT database_id, SUM(size_on_disk_bytes) FROM sys.dm_io_virtual_file_stats(NULL, NULL)
GROUP BY database_id
"""
# The latest row of each; of a database by that name that was there before, none (see `created`).
AZURE_SIZES: Final = """
SELECT database_name, CAST(allocated_storage_in_megabytes * 1048576 AS bigint),
    CAST(storage_in_megabytes * 1048576 AS bigint), DATEDIFF(SECOND, '2010-01-01', end_time)
FROM (SELECT database_name, allocated_storage_in_megabytes, storage_in_megabytes, end_time,
        ROW_NUMBER() OVER (PARTITION BY database_name ORDER BY end_time DESC) AS place
    FROM sys.resource_stats WHERE allocated_storage_in_megabytes IS NOT NULL) AS told
WHERE place = 1
"""
# Nobody waits for us, nor we for who creates or restores a database meanwhile.
SESSION: Final = (
    "SET NOCOUNT ON; SET DEADLOCK_PRIORITY LOW; SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED"
)

QUERIES: Final = (SERVER, DATABASES, FILES, INSIDE, SPARSE, AZURE_SIZES)
