"""What keeps a table's rows to their last day, in the database itself.

Row security hides a row from the moment it expires, whoever asks and whatever job has stopped: parent and every
partition have the same policies, because a query that names a partition never meets those of its parent. They are
*restrictive*: a policy that somebody adds for another purpose cannot widen them. Dropping partitions only gives the
disk back.

All functions run with a search_path of their own that ends in ``pg_temp``. Those marked SECURITY DEFINER do what only
the owner of the tables may, for a role that is not (level B); each admits no more than any caller may want: a partition
within the longest lifetime, a purge of what has expired. A body that does otherwise takes a new name.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["DROP", "DROP_RECORD", "RECORD", "RECORDS", "TRUNCATE_GUARD", "TRUNCATE_GUARDS", "create"]

RECORDS = ("lockstep_core_legalhold", "lockstep_core_purge")

# A hold covers what had not expired when it was made, so that nobody revives content by holding it. Policies call a
# function: an EXISTS in them is planned anew for every partition, 0.7 ms a query. It is only asked of what has expired,
# so its cost is stated as none, and plans stay those of a table without row security.
_IS_HELD = """
CREATE FUNCTION lockstep_core_is_held_v1(retained text, key text, subject text, expires timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE COST 1 SET search_path = {path} AS $body$
BEGIN
    RETURN EXISTS (
        SELECT FROM lockstep_core_legalhold AS h WHERE h.released_at IS NULL AND h.table_name IN ('', $1) AND h.at < $4
        AND (h.key = $2 OR h.subject <> '' AND h.subject = $3));
END $body$
"""

# The same of many rows at once, as text.
_HELD = """
CREATE FUNCTION lockstep_core_held_v1(retained text, alias text) RETURNS text LANGUAGE plpgsql STABLE
SET search_path = {path} AS $body$
DECLARE
    t lockstep_core_expiringtable;
BEGIN
    SELECT * INTO STRICT t FROM lockstep_core_expiringtable WHERE table_name = retained;
    RETURN format(
        'EXISTS (SELECT FROM {schema}.lockstep_core_legalhold lockstep_h WHERE lockstep_h.released_at IS NULL'
        ' AND lockstep_h.table_name IN ('''', %1$L) AND lockstep_h.at < %2$I.%3$I'
        ' AND (lockstep_h.key = %2$I.%4$I::text'
        || CASE WHEN t.subject_column <> ''
                THEN ' OR lockstep_h.subject <> '''' AND lockstep_h.subject = %2$I.%5$I::text' ELSE '' END || '))',
        retained, alias, t.expires_column, t.key_column, t.subject_column);
END $body$
"""

# statement_timestamp() and not now(): a transaction that is left open would stop the clock for itself.
_GUARD = """
CREATE FUNCTION lockstep_core_guard_v1(retained text, relation regclass) RETURNS void LANGUAGE plpgsql
SET search_path = {path} AS $body$
DECLARE
    t lockstep_core_expiringtable;
    name text := (SELECT relname FROM pg_class WHERE oid = relation);
    fresh text;
    held text;
    allowed text;
    one record;
BEGIN
    SELECT * INTO STRICT t FROM lockstep_core_expiringtable WHERE table_name = retained;
    fresh := format('%I.%I > statement_timestamp()', name, t.expires_column);
    held := format('{schema}.lockstep_core_is_held_v1(%1$L, %2$I.%3$I::text, %4$s, %2$I.%5$I)',
        retained, name, t.key_column,
        CASE WHEN t.subject_column <> '' THEN format('%I.%I::text', name, t.subject_column) ELSE quote_literal('') END,
        t.expires_column);
    allowed := fresh || format(
        ' AND %1$I.%2$I <= least(%1$I.%3$I, statement_timestamp())'
        ' + (SELECT lockstep_t.most FROM {schema}.lockstep_core_expiringtable lockstep_t'
        ' WHERE lockstep_t.table_name = %4$L)',
        name, t.expires_column, t.begins_column, retained);
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', relation);
    FOR one IN SELECT polname FROM pg_policy WHERE polrelid = relation AND polname LIKE 'lockstep\\_%' LOOP
        EXECUTE format('DROP POLICY %I ON %s', one.polname, relation);
    END LOOP;
    EXECUTE format('CREATE POLICY lockstep_any ON %s USING (true) WITH CHECK (true)', relation);
    EXECUTE format('CREATE POLICY lockstep_unexpired ON %s AS RESTRICTIVE FOR SELECT USING (%s OR %s)',
        relation, fresh, held);
    EXECUTE format('CREATE POLICY lockstep_lifetime ON %s AS RESTRICTIVE FOR INSERT WITH CHECK (%s)',
        relation, allowed);
    EXECUTE format('CREATE POLICY lockstep_unrevived ON %s AS RESTRICTIVE FOR UPDATE USING (%s) WITH CHECK (%s)',
        relation, fresh, allowed);
    EXECUTE format('CREATE POLICY lockstep_erasable ON %s AS RESTRICTIVE FOR DELETE USING (%s OR %s)',
        relation, fresh, held);
END $body$
"""

# A new value alone cannot show that a lifetime grew; and what is held shall neither change nor go.
_KEEP_TO_IT = """
CREATE FUNCTION lockstep_core_expiring_v1() RETURNS trigger LANGUAGE plpgsql
SET search_path = {path} AS $body$
DECLARE
    retained constant text := TG_ARGV[0];
    held boolean;
BEGIN
    EXECUTE format('SELECT %s FROM (SELECT ($1).*) AS %I',
        lockstep_core_held_v1(retained, TG_TABLE_NAME), TG_TABLE_NAME) INTO held USING OLD;
    IF held THEN
        RAISE EXCEPTION 'A row of % is under legal hold.', retained USING ERRCODE = 'restrict_violation',
            HINT = 'It can be changed or erased when the hold is released: manage.py lockstep_retention holds.';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    EXECUTE format('SELECT ($1).%1$I > ($2).%1$I OR ($1).%2$I <> ($2).%2$I OR ($1).%3$I <> ($2).%3$I',
        TG_ARGV[1], TG_ARGV[2], TG_ARGV[3]) INTO held USING NEW, OLD;
    IF held THEN
        RAISE EXCEPTION 'A row of % cannot be kept longer than it was written for.', retained
            USING ERRCODE = 'check_violation', CONSTRAINT = 'lockstep_lifetime',
                HINT = format('%s may come nearer; %s and %s stay.', TG_ARGV[1], TG_ARGV[2], TG_ARGV[3]);
    END IF;
    RETURN NEW;
END $body$
"""

_NAME = """
CREATE FUNCTION lockstep_core_partition_name_v1(retained text, moment timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN octet_length(retained) <= 48 THEN retained
            ELSE left(retained, 30) || '_' || left(md5(retained), 8) END
    || '_' || to_char(moment AT TIME ZONE 'UTC', 'YYYYMMDD')
"""

# CREATE … PARTITION OF would lock readers of the parent out; ATTACH does not. There is no DEFAULT partition for the
# same reason: each ATTACH would have to lock and search it.
_PARTITION = """
CREATE FUNCTION lockstep_core_partition_v1(retained text, moment timestamptz, ahead boolean DEFAULT false)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = {path} AS $body$
DECLARE
    t lockstep_core_expiringtable;
    name constant text := lockstep_core_partition_name_v1(retained, moment);
    day constant timestamptz := date_trunc('day', moment, 'UTC');
BEGIN
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN;
    END IF;
    SELECT * INTO t FROM lockstep_core_expiringtable WHERE table_name = retained;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is no table that expires.', retained USING ERRCODE = 'undefined_table';
    END IF;
    IF moment <= statement_timestamp() OR day > statement_timestamp() + t.most + interval '72 hours' THEN
        RETURN;  -- what would be written there is refused anyway
    END IF;
    -- what ATTACH takes anyway; an advisory lock would leave us with a cached "no such table"
    EXECUTE format('LOCK TABLE ONLY %I IN SHARE UPDATE EXCLUSIVE MODE', retained);
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN;  -- another session was faster
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, retained);
    PERFORM lockstep_core_guard_v1(retained, to_regclass(quote_ident(name)));
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', retained, name,
        to_char(day AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' 00:00:00+00',
        to_char((day + interval '24 hours') AT TIME ZONE 'UTC', 'YYYY-MM-DD') || ' 00:00:00+00');
    IF NOT ahead AND coalesce(t.swept_at, t.since) < statement_timestamp() - interval '25 hours' THEN
        PERFORM lockstep_core_notify_v1('retention.unswept',
            format('The purge of %s has not run since %s UTC', retained,
                to_char(coalesce(t.swept_at, t.since) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')),
            'What has expired cannot be read, but it takes up disk. Start: manage.py lockstep_retention purge --follow',
            'warning', 'retention.unswept ' || retained, false, jsonb_build_object('table', retained));
    END IF;
END $body$
"""

_PARTITIONS = """
CREATE FUNCTION lockstep_core_partitions_v1(retained text)
RETURNS TABLE (name text, relation regclass, since timestamptz, until timestamptz, leftover boolean)
LANGUAGE sql STABLE SET search_path = {path} SET TimeZone = 'UTC' SET DateStyle = 'ISO' AS $body$
    SELECT c.relname::text, c.oid::regclass, bound.parts[1]::timestamptz, bound.parts[2]::timestamptz,
           c.relname = lockstep_core_partition_name_v1(retained, bound.parts[1]::timestamptz) || '_held'
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid,
         regexp_match(pg_get_expr(c.relpartbound, c.oid), $re$FROM \\('([^']+)'\\) TO \\('([^']+)'\\)$re$)
             AS bound (parts)
    WHERE i.inhparent = to_regclass(quote_ident(retained)) AND NOT i.inhdetachpending
    ORDER BY 3
$body$
"""

# One day, one transaction: whatever ends it in the middle, nothing has happened. The parent comes first, as for
# readers, so that they cannot deadlock with us; whoever calls gives up early and tries again, for readers queue behind
# a lock that waits. DETACH CONCURRENTLY would not lock, but cannot run in a function (level B), nor see to held rows in
# one step.
_PURGE = """
CREATE FUNCTION lockstep_core_purge_v1(retained text, patience_ms int) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {path} SET lock_timeout = 0 AS $body$
DECLARE
    victim record;
    columns text;
    size bigint;
    total bigint;
    kept bigint;
    moved bigint;
    next_name text;
    done lockstep_core_purge;
BEGIN
    PERFORM set_config('lock_timeout', patience_ms::text, true);
    PERFORM FROM lockstep_core_expiringtable WHERE table_name = retained;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% is no table that expires.', retained USING ERRCODE = 'undefined_table';
    END IF;
    IF NOT EXISTS (SELECT FROM lockstep_core_due_v1(retained)) THEN
        RETURN NULL;
    END IF;
    EXECUTE format('LOCK TABLE ONLY %I IN ACCESS EXCLUSIVE MODE', retained);
    SELECT p.* INTO victim FROM lockstep_core_due_v1(retained) AS p ORDER BY p.since LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;  -- another purge was faster
    END IF;
    EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', victim.relation);  -- the owner sees what has expired
    size := pg_total_relation_size(victim.relation);
    EXECUTE format('SELECT count(*), count(*) FILTER (WHERE %s) FROM %s',
        lockstep_core_held_v1(retained, victim.name), victim.relation) INTO total, kept;
    next_name := lockstep_core_partition_name_v1(retained, victim.since) || '_next';
    IF kept > 0 THEN
        SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns FROM pg_attribute
        WHERE attrelid = victim.relation AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', next_name, retained);
        EXECUTE format('INSERT INTO %1$I (%2$s) SELECT %2$s FROM %3$s WHERE %4$s', next_name, columns, victim.relation,
            lockstep_core_held_v1(retained, victim.name));
        GET DIAGNOSTICS moved = ROW_COUNT;
        IF moved <> kept THEN
            RAISE EXCEPTION '% of % rows under legal hold were moved.', moved, kept;
        END IF;
    END IF;
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %s', retained, victim.relation);
    EXECUTE format('DROP TABLE %s', victim.relation);
    IF kept > 0 THEN
        EXECUTE format('ALTER TABLE %I RENAME TO %I', next_name, replace(next_name, '_next', '_held'));
        next_name := replace(next_name, '_next', '_held');
        PERFORM lockstep_core_guard_v1(retained, to_regclass(quote_ident(next_name)));
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', retained, next_name,
            to_char(victim.since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00',
            to_char(victim.until AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00');
    END IF;
    INSERT INTO lockstep_core_purge (at, table_name, partition, day, rows, held, size_bytes, by)
    VALUES (clock_timestamp(), retained, victim.name, (victim.since AT TIME ZONE 'UTC')::date, total - kept, kept, size,
            session_user)
    RETURNING * INTO done;
    RETURN to_jsonb(done);
END $body$
"""

# A day that only has held rows left is due again when fewer of them are held than were moved.
_DUE = """
CREATE FUNCTION lockstep_core_due_v1(retained text)
RETURNS TABLE (name text, relation regclass, since timestamptz, until timestamptz)
LANGUAGE plpgsql STABLE SET search_path = {path} AS $body$
DECLARE
    one record;
    kept bigint;
BEGIN
    FOR one IN SELECT * FROM lockstep_core_partitions_v1(retained) AS p WHERE p.until <= statement_timestamp() LOOP
        IF one.leftover THEN
            EXECUTE format('SELECT count(*) FROM %s WHERE %s', one.relation, lockstep_core_held_v1(retained, one.name))
                INTO kept;
            CONTINUE WHEN kept >= (SELECT p.held FROM lockstep_core_purge AS p
                WHERE p.table_name = retained AND p.day = (one.since AT TIME ZONE 'UTC')::date
                ORDER BY p.id DESC LIMIT 1);
        END IF;
        name := one.name; relation := one.relation; since := one.since; until := one.until;
        RETURN NEXT;
    END LOOP;
END $body$
"""

_SWEPT = """
CREATE FUNCTION lockstep_core_swept_v1(retained text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {path} AS $body$
DECLARE
    t lockstep_core_expiringtable;
BEGIN
    SELECT * INTO STRICT t FROM lockstep_core_expiringtable WHERE table_name = retained;
    FOR days IN 0..2 LOOP
        PERFORM lockstep_core_partition_v1(retained, statement_timestamp() + t.keep + days * interval '24 hours', true);
    END LOOP;
    IF coalesce(t.swept_at, t.since) < statement_timestamp() - interval '25 hours' THEN
        PERFORM lockstep_core_notify_v1('retention.unswept', format('The purge of %s runs again', retained), '', 'info',
            'retention.unswept ' || retained, true, jsonb_build_object('table', retained));
    END IF;
    UPDATE lockstep_core_expiringtable SET swept_at = clock_timestamp(), swept_by = session_user
    WHERE table_name = retained;
END $body$
"""

_HOLD = """
CREATE FUNCTION lockstep_core_hold_v1(retained text, key text, subject text, actor text, reason text) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = {path} AS $body$
    INSERT INTO lockstep_core_legalhold (table_name, key, subject, at, actor, reason, released_by, release_reason)
    VALUES ($1, $2, $3, clock_timestamp(), $4, $5, '', '') RETURNING id
$body$
"""

_RELEASE = """
CREATE FUNCTION lockstep_core_release_v1(hold bigint, actor text, reason text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = {path} AS $body$
    WITH done AS (
        UPDATE lockstep_core_legalhold SET released_at = clock_timestamp(), released_by = $2, release_reason = $3
        WHERE id = $1 AND released_at IS NULL RETURNING 1)
    SELECT EXISTS (SELECT FROM done)
$body$
"""

_RECORD = """
CREATE FUNCTION lockstep_core_record_v1() RETURNS trigger LANGUAGE plpgsql
SET search_path = {path} AS $body$
BEGIN
    IF TG_TABLE_NAME = 'lockstep_core_legalhold' AND TG_OP = 'INSERT' THEN
        NEW.at := clock_timestamp();  -- a hold of earlier would bring back what has expired meanwhile
        IF NEW.released_at IS NULL THEN
            RETURN NEW;
        END IF;
    ELSIF TG_TABLE_NAME = 'lockstep_core_legalhold' AND TG_OP = 'UPDATE' THEN
        IF OLD.released_at IS NULL AND NEW.released_at IS NOT NULL
           AND NEW.released_by ~ '\\S' AND NEW.release_reason ~ '\\S'
           AND (NEW.id, NEW.table_name, NEW.key, NEW.subject, NEW.at, NEW.actor, NEW.reason)
             = (OLD.id, OLD.table_name, OLD.key, OLD.subject, OLD.at, OLD.actor, OLD.reason) THEN
            NEW.released_at := clock_timestamp();
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'The record of % stays as it was written.', TG_TABLE_NAME USING ERRCODE = 'restrict_violation',
        HINT = 'A hold ends with manage.py lockstep_retention release, an actor and a reason.';
END $body$
"""

_TRIGGERS = (
    "CREATE TRIGGER lockstep_record BEFORE INSERT OR UPDATE OR DELETE ON {schema}.lockstep_core_legalhold"
    " FOR EACH ROW EXECUTE FUNCTION {schema}.lockstep_core_record_v1()",
    "CREATE TRIGGER lockstep_record BEFORE UPDATE OR DELETE ON {schema}.lockstep_core_purge"
    " FOR EACH ROW EXECUTE FUNCTION {schema}.lockstep_core_record_v1()",
)

RECORD = (
    "CREATE TRIGGER lockstep_record BEFORE UPDATE OR DELETE ON {table}"
    " FOR EACH ROW EXECUTE FUNCTION lockstep_core_record_v1()"
)
"""Makes a table of another app such a record: rows are added, and stay as they were written."""
DROP_RECORD = "DROP TRIGGER IF EXISTS lockstep_record ON {table}"

TRUNCATE_GUARD = (
    "CREATE OR REPLACE TRIGGER lockstep_record_whole BEFORE TRUNCATE ON {table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION lockstep_core_record_v1()"
)
"""Put on after migrate, and not on a database that a test runner made: a flush truncates everything."""
TRUNCATE_GUARDS = tuple(TRUNCATE_GUARD.format(table=table) for table in RECORDS)

_OWN = (
    "lockstep_core_partition_v1(text, timestamptz, boolean)", "lockstep_core_purge_v1(text, int)",
    "lockstep_core_swept_v1(text)", "lockstep_core_hold_v1(text, text, text, text, text)",
    "lockstep_core_release_v1(bigint, text, text)",
)  # fmt: skip
"""What runs with the owner's rights: nobody may call it who was not given leave."""


def create(schema: str) -> Iterator[str]:
    """Statements in order.

    Args:
        schema: where the tables of core stand, quoted.
    """
    places = {"schema": schema, "path": f"{schema}, pg_temp"}
    functions = (
        _IS_HELD, _HELD, _GUARD, _KEEP_TO_IT, _NAME, _PARTITION, _PARTITIONS, _DUE, _PURGE, _SWEPT, _HOLD, _RELEASE,
        _RECORD,
    )  # fmt: skip
    for statement in (*functions, *_TRIGGERS):
        for name, value in places.items():
            statement = statement.replace(f"{{{name}}}", value)
        yield statement
    for function in _OWN:
        yield f"REVOKE ALL ON FUNCTION {schema}.{function} FROM PUBLIC"


DROP = (
    *(f"DROP TRIGGER IF EXISTS lockstep_record ON {table}" for table in RECORDS),
    *(f"DROP TRIGGER IF EXISTS lockstep_record_whole ON {table}" for table in RECORDS),
    *(
        f"DROP FUNCTION IF EXISTS {function}"
        for function in (
            "lockstep_core_record_v1()", *reversed(_OWN), "lockstep_core_due_v1(text)",
            "lockstep_core_partitions_v1(text)", "lockstep_core_partition_name_v1(text, timestamptz)",
            "lockstep_core_expiring_v1()", "lockstep_core_guard_v1(text, regclass)",
            "lockstep_core_held_v1(text, text)", "lockstep_core_is_held_v1(text, text, text, timestamptz)",
        )
    ),
)  # fmt: skip
