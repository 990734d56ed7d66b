"""Functions and tables that a query of the customer's may not use, by dialect.

Reading is not harmless by itself: a function can wait, write a file of the server's, or run a
statement that it is given as text.
"""

_HARMLESS_PG = frozenset(
    {
        "pg_typeof",
        "pg_size_pretty",
        "pg_size_bytes",
        "pg_column_size",
        "pg_relation_size",
        "pg_table_size",
        "pg_total_relation_size",
        "pg_indexes_size",
        "pg_database_size",
        "pg_get_viewdef",
        "pg_get_constraintdef",
        "pg_get_indexdef",
        "pg_get_expr",
        "pg_get_serial_sequence",
        "pg_get_userbyid",
        "pg_table_is_visible",
        "pg_encoding_to_char",
        "pg_char_to_encoding",
        "pg_client_encoding",
        "pg_input_is_valid",
        "pg_timezone_names",
        "pg_timezone_abbrevs",
    }
)
"""Of the functions that PostgreSQL's own prefix marks, those that only compute."""

_DENIED = {
    "postgresql": frozenset(
        {
            "set_config",
            "current_setting",
            "nextval",
            "setval",
            "loread",
            "lowrite",
            "lo_close",
            "lo_creat",
            "lo_create",
            "lo_export",
            "lo_from_bytea",
            "lo_get",
            "lo_import",
            "lo_lseek",
            "lo_lseek64",
            "lo_manage",
            "lo_oid",
            "lo_open",
            "lo_put",
            "lo_tell",
            "lo_tell64",
            "lo_truncate",
            "lo_truncate64",
            "lo_unlink",
            "http",
            "http_delete",
            "http_get",
            "http_head",
            "http_list_curlopt",
            "http_patch",
            "http_post",
            "http_put",
            "http_reset_curlopt",
            "http_set_curlopt",
            "query_to_xml",
            "query_to_xmlschema",
            "query_to_xml_and_xmlschema",
            "ts_stat",
            "ts_rewrite",
            "crosstab",
            "crosstabn",
            "crosstab2",
            "crosstab3",
            "crosstab4",
            "crosstab_hash",
            "connectby",
            "xpath_table",
            "xslt_process",
            "txid_current",
            "txid_current_if_assigned",
        }
    ),
    "sqlite": frozenset(
        {
            "load_extension",
            "readfile",
            "writefile",
            "edit",
            "eval",
            "lsdir",
            "lsmode",
            "fsdir",
            "zipfile",
            "sqlar_uncompress",
            "sqlite_log",
            "sqlite_offset",
            "fts3_tokenizer",
        }
    ),
}
_DENIED_BEGINNINGS = {
    "postgresql": (
        "pg_",
        "dblink",
        "cursor_to_xml",
        "table_to_xml",
        "schema_to_xml",
        "database_to_xml",
        "binary_upgrade_",
        "brin_",
        "gin_",
        "postgres_fdw_",
    ),
    "sqlite": ("pragma_", "sqlite_dbpage", "sqlite_dbdata"),
}
_DENIED_SCHEMAS = {
    # Of extensions that call out to other services.
    "postgresql": frozenset({"aws_lambda", "aws_s3", "aws_ml", "cron", "net"}),
    "sqlite": frozenset[str](),
}
_DENIED_TABLES = {
    "postgresql": frozenset(
        {
            "pg_authid",
            "pg_shadow",
            "pg_user_mapping",
            "pg_user_mappings",
            "pg_subscription",
            "pg_hba_file_rules",
            "pg_ident_file_mappings",
            "pg_file_settings",
            "pg_largeobject",
            # Samples of all columns, those of pg_authid too.
            "pg_statistic",
            "pg_statistic_ext_data",
            "pg_stats",
            "pg_stats_ext",
            "pg_stats_ext_exprs",
            "pg_settings",
            "pg_config",
            "pg_stat_activity",
            "pg_stat_statements",
            "pg_stat_replication",
            "pg_stat_wal_receiver",
            "user_mapping_options",
            "_pg_user_mappings",
            "_pg_foreign_servers",
        }
    ),
    "sqlite": frozenset({"sqlite_dbpage", "sqlite_dbdata", "sqlite_dbptr"}),
}


def denied_function(name: str, dialect: str) -> bool:
    """Whether a query may not call `name`."""
    name = name.lower()
    if dialect == "postgresql" and name in _HARMLESS_PG:
        return False
    return name in _DENIED[dialect] or name.startswith(_DENIED_BEGINNINGS[dialect])


def denied_schema(name: str, dialect: str) -> bool:
    """Whether a query may not call what is in the schema `name`."""
    return name.lower() in _DENIED_SCHEMAS[dialect]


def denied_table(name: str, dialect: str) -> bool:
    """Whether a query may not read the table `name`."""
    name = name.lower()
    return name in _DENIED_TABLES[dialect] or (dialect == "sqlite" and name.startswith("pragma_"))
