"""Let the data base itself refuse to rewrite what was written down."""

from collections.abc import Iterable

from django.db import migrations

# A migration that calls `append_only` depends on the one that makes the functions.
DEPENDENCY = ("audit", "0001_initial")

FUNCTIONS = """
CREATE FUNCTION worka_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    allowed text[] := string_to_array(TG_ARGV[0], ',');
    write_once text[] := string_to_array(TG_ARGV[1], ',');
    was jsonb;
    becomes jsonb;
    name text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION '% is append-only: rows are never deleted', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    was := to_jsonb(OLD) - allowed;
    becomes := to_jsonb(NEW) - allowed;
    FOREACH name IN ARRAY write_once LOOP
        IF was -> name IS DISTINCT FROM 'null'::jsonb AND was -> name IS DISTINCT FROM becomes -> name THEN
            RAISE EXCEPTION '%.% is written once', TG_TABLE_NAME, name USING ERRCODE = 'restrict_violation';
        END IF;
    END LOOP;
    IF was - write_once IS DISTINCT FROM becomes - write_once THEN
        RAISE EXCEPTION '% is append-only: rows are never changed', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION worka_no_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: it is never truncated', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
"""

DROP_FUNCTIONS = "DROP FUNCTION worka_append_only(); DROP FUNCTION worka_no_truncate();"


def create_functions() -> migrations.RunSQL:
    """Return the operation that makes the two trigger functions; audit's first migration runs it."""
    return migrations.RunSQL(FUNCTIONS, DROP_FUNCTIONS)


def append_only(table: str, allowed: Iterable[str] = (), write_once: Iterable[str] = ()) -> migrations.RunSQL:
    """Return the operation that makes a table append-only, for the migrations of any app.

    `allowed` columns may change freely (`state`, `state_changed_at`); `write_once` columns from null to a value, once.
    A refused statement raises `IntegrityError` (SQLSTATE 23001).
    """
    columns = [",".join(_name(column) for column in part) for part in (allowed, write_once)]
    return migrations.RunSQL(
        f"""
        CREATE TRIGGER worka_append_only BEFORE UPDATE OR DELETE ON {_name(table)}
            FOR EACH ROW EXECUTE FUNCTION worka_append_only('{columns[0]}', '{columns[1]}');
        CREATE TRIGGER worka_no_truncate BEFORE TRUNCATE ON {_name(table)}
            FOR EACH STATEMENT EXECUTE FUNCTION worka_no_truncate();
        """,
        f"DROP TRIGGER worka_append_only ON {_name(table)}; DROP TRIGGER worka_no_truncate ON {_name(table)};",
    )


def _name(text: str) -> str:
    if not text.isidentifier():
        raise ValueError(f"{text!r} is not the name of a table or column")
    return text
