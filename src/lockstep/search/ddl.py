"""The SQL that keeps one index in step: triggers, their functions and the keys.

The guarantee is the foreign keys. A record points at its manifest (strict mode) and the manifest at the
record, both by (id, digest); so neither can commit with another text's embedding, whoever writes. The
triggers only compute: the digest before a write, words and identifiers after it.

The definition of a trigger names no column but the digest: Postgres refuses to alter the type of a column
that a trigger names, and ``DROP COLUMN … CASCADE`` takes such triggers along. That is why each of them names
the digest: deleting a model runs no SQL of its constraints, but removing the column ends the triggers too.

What does not depend on the declaration (unique indexes and foreign keys between tables) is made once and goes
with its table: a changed weight then costs a big table nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["DIGEST", "ORPHANS", "Shape", "create", "drop", "literal", "name", "recipe"]

#: Rows up to which a migration checks existing rows at once; above, ``lockstep_reembed`` does, without a lock.
VALIDATE_AT_ONCE = 10_000


@dataclass(frozen=True)
class Shape:
    """What the SQL of one index depends on. Names are columns and tables, unquoted."""

    slug: str
    label: str
    record: str
    pk: str
    digest: str
    context: str | None
    text: tuple[tuple[str, str], ...]
    """(column, weight)"""
    identifiers: tuple[tuple[str, bool], ...]
    """(column, whether it is an array)"""
    config: str
    strict: bool
    recipe: str

    @property
    def rendered(self) -> list[tuple[str, str]]:
        """(column, weight) of everything that is embedded, the context last."""
        return [*self.text, (self.context, "B")] if self.context else list(self.text)


def create(shape: Shape) -> Iterator[str]:
    """Statements in order. Placeholders: ``%(record)s`` and so on for tables, so that renames are followed."""
    yield f"SELECT {literal(shape.config)}::regconfig"  # fails here if unknown, not at the first write
    # ts_rank unpacks a tsvector once for every word of a query: kept in the row it costs 50 ms where it cost 124.
    yield "ALTER TABLE %(document)s SET (toast_tuple_target = 8160)"
    yield _digest_function(shape)
    yield _document_function(shape)
    for suffix, moment in (("digest", "BEFORE"), ("document", "AFTER")):
        yield (
            f"CREATE TRIGGER {name(f'zzz_{shape.slug}_{suffix}')} {moment} INSERT OR UPDATE ON %(record)s"
            f" FOR EACH ROW WHEN (NEW.{name(shape.digest)} IS NULL OR NEW.{name(shape.digest)} IS NOT NULL)"
            f" EXECUTE FUNCTION {name(f'{shape.slug}_{suffix}')}()"
        )
    yield from _keys(shape)
    if shape.strict:
        yield from _strict(shape)


def drop(slug: str) -> Iterator[str]:
    """What depends on the declaration. It is found by its name: the tables may have been renamed before."""
    functions = [f"{slug}_{suffix}" for suffix in ("digest", "document", "refuse")]
    yield f"""DO $ls$ DECLARE one record; BEGIN
  FOR one IN SELECT t.tgname, t.tgrelid::regclass AS place FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
      WHERE p.proname IN ({", ".join(map(literal, functions))}) AND pg_function_is_visible(p.oid) LOOP
    EXECUTE format('DROP TRIGGER %%I ON %%s', one.tgname, one.place);
  END LOOP;
  FOR one IN SELECT conname, conrelid::regclass AS place FROM pg_constraint
      WHERE conname = {literal(slug + "_embedded")} AND pg_table_is_visible(conrelid) LOOP
    EXECUTE format('ALTER TABLE %%s DROP CONSTRAINT %%I', one.place, one.conname);
  END LOOP;
END $ls$"""
    for function in functions:
        yield f"DROP FUNCTION IF EXISTS {name(function)}()"


#: Functions whose triggers went with a column or table. ``post_migrate`` drops them.
ORPHANS = """
SELECT p.proname FROM pg_proc p WHERE p.proname ~ '^ls_[0-9a-f]{8}_(digest|document|refuse)$'
  AND pg_function_is_visible(p.oid) AND p.prorettype = 'trigger'::regtype
  AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = p.oid)
"""


def _digest_function(shape: Shape) -> str:
    # Collation "C": under a case-insensitive one 'a' would count as unchanged when it becomes 'A'.
    same = " AND ".join(
        f"{_text('NEW', c)} IS NOT DISTINCT FROM {_text('OLD', c)}" for c, _ in shape.rendered
    )
    values = ", ".join(f"NEW.{name(column)}::text" for column, _ in shape.rendered)
    digest = name(shape.digest)
    return f"""
CREATE OR REPLACE FUNCTION {name(shape.slug + "_digest")}() RETURNS trigger LANGUAGE plpgsql AS $ls$
BEGIN
  -- A digest that someone else wrote, a stale instance for example, is computed anew like a changed text.
  IF TG_OP = 'UPDATE' THEN
    IF NEW.{digest} IS NOT DISTINCT FROM OLD.{digest} AND {same} THEN
      RETURN NEW;
    END IF;
  END IF;
  NEW.{digest} := lockstep_digest_v1(ARRAY[{values}]);
  RETURN NEW;
END $ls$"""


def _document_function(shape: Shape) -> str:
    pk, digest = name(shape.pk), name(shape.digest)
    changed = [f"NEW.{name(c)} IS DISTINCT FROM OLD.{name(c)}" for c, _ in shape.identifiers]
    texts = ", ".join(f"NEW.{name(column)}::text" for column, _ in shape.rendered)
    weights = ", ".join(f"'{weight}'" for _, weight in shape.rendered)
    declared = _declared(shape)
    flag = f"coalesce(current_setting('lockstep.{shape.slug}', true), '')"
    queue = f"{flag} = 'on'" if shape.strict else "TRUE"
    return f"""
CREATE OR REPLACE FUNCTION {name(shape.slug + "_document")}() RETURNS trigger LANGUAGE plpgsql AS $ls$
DECLARE
  reworded boolean := TRUE;
  words tsvector;
BEGIN
  IF NEW.{digest} IS NULL THEN
    RETURN NULL;  -- not enrolled yet
  END IF;
  IF TG_OP = 'UPDATE' THEN
    IF NEW.{pk} IS DISTINCT FROM OLD.{pk} THEN
      DELETE FROM %(document)s WHERE record_id = OLD.{pk};
      DELETE FROM %(manifest)s WHERE record_id = OLD.{pk};
      DELETE FROM %(pending)s WHERE record_id = OLD.{pk};
      DELETE FROM %(chunk)s WHERE record_id = OLD.{pk};
    ELSE
      reworded := NEW.{digest} IS DISTINCT FROM OLD.{digest};
      IF NOT (reworded{"".join(f" OR {c}" for c in changed)} OR {flag} = 'renew') THEN
        RETURN NULL;
      END IF;
    END IF;
  END IF;
  words := lockstep_tsv_v1({literal(shape.config)}::regconfig, ARRAY[{texts}], ARRAY[{weights}]);
  INSERT INTO %(document)s (record_id, tsv, ids, grams, length, recipe)
  VALUES (NEW.{pk}, words, lockstep_ids_v1({declared}, ARRAY[{texts}]), lockstep_grams_v1({declared}),
          lockstep_length_v1(words), {literal(shape.recipe)})
  ON CONFLICT (record_id) DO UPDATE SET tsv = excluded.tsv, ids = excluded.ids, grams = excluded.grams,
    length = excluded.length, recipe = excluded.recipe;
  IF reworded THEN
    DELETE FROM %(manifest)s WHERE record_id = NEW.{pk} AND digest <> NEW.{digest};
    IF {queue} THEN
      INSERT INTO %(pending)s (record_id, queued_at) VALUES (NEW.{pk}, now())
      ON CONFLICT (record_id) DO UPDATE SET queued_at = now(), not_before = now(), attempts = 0, error = '';
    END IF;
  END IF;
  RETURN NULL;
END $ls$"""


def _declared(shape: Shape) -> str:
    """A text[] of the values that count whole: declared identifiers and the lines of the context."""
    single = ", ".join(f"NEW.{name(column)}::text" for column, is_array in shape.identifiers if not is_array)
    parts = [f"ARRAY[{single}]::text[]"]
    parts += [
        f"coalesce(NEW.{name(column)}::text[], '{{}}')" for column, is_array in shape.identifiers if is_array
    ]
    if shape.context:
        parts.append(f"string_to_array(NEW.{name(shape.context)}, E'\\n')")
    return " || ".join(parts)


def _keys(shape: Shape) -> Iterator[str]:
    pk, digest = shape.pk, shape.digest
    yield _unique("record", pk, digest)
    yield _unique("manifest", "record_id", "digest")
    for table in ("document", "pending"):
        yield _cascade(f"{shape.slug}_of", table, ("record_id",), (pk,))
    yield _cascade(f"{shape.slug}_in_step", "manifest", ("record_id", "digest"), (pk, digest))


def _unique(table: str, *columns: str) -> str:
    """Postgres picks the name: one of ours would be taken when a new model gets a renamed one's old name."""
    return f"""DO $ls$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_index WHERE indrelid = {_oid(table)} AND indisunique AND indisvalid AND indpred IS NULL
      AND indkey::text = array_to_string({_attributes(table, columns)}, ' ')) THEN
    ALTER TABLE %({table})s ADD UNIQUE ({_list(columns)});
  END IF;
END $ls$"""


def _cascade(key: str, table: str, columns: Sequence[str], target: Sequence[str]) -> str:
    return f"""DO $ls$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND conrelid = {_oid(table)}
      AND confrelid = {_oid("record")} AND conkey = {_attributes(table, columns)}) THEN
    ALTER TABLE %({table})s ADD CONSTRAINT {name(key)} FOREIGN KEY ({_list(columns)})
      REFERENCES %(record)s ({_list(target)}) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED;
  END IF;
END $ls$"""


def _oid(table: str) -> str:
    return f"$t$%({table})s$t$::regclass"


def _attributes(table: str, columns: Sequence[str]) -> str:
    """The numbers of columns, in order."""
    wanted = ", ".join(map(literal, columns))
    return (
        f"(SELECT array_agg(attnum ORDER BY array_position(ARRAY[{wanted}]::name[], attname)) FROM pg_attribute"
        f" WHERE attrelid = {_oid(table)} AND attname IN ({wanted}))"
    )


def _list(columns: Sequence[str]) -> str:
    return ", ".join(map(name, columns))


def _strict(shape: Shape) -> Iterator[str]:
    slug, pk, digest = shape.slug, name(shape.pk), name(shape.digest)
    key = name(slug + "_embedded")
    yield _refuse_function(shape)
    # Deferred triggers of one event fire by name: A… comes before RI_ConstraintTrigger…, so that people
    # read this message; the foreign key behind it is the guarantee.
    for kind, condition in (
        ("insert", f"NEW.{digest} IS NOT NULL"),
        ("update", f"NEW.{digest} IS DISTINCT FROM OLD.{digest} AND NEW.{digest} IS NOT NULL"),
    ):
        yield (
            f"CREATE CONSTRAINT TRIGGER {name(f'A_{slug}_{kind}')} AFTER {kind.upper()} ON %(record)s"
            f" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ({condition})"
            f" EXECUTE FUNCTION {name(slug + '_refuse')}()"
        )
    yield (
        f"ALTER TABLE %(record)s ADD CONSTRAINT {key} FOREIGN KEY ({pk}, {digest})"
        f" REFERENCES %(manifest)s (record_id, digest) DEFERRABLE INITIALLY DEFERRED NOT VALID"
    )
    yield f"""DO $ls$ BEGIN
  IF (SELECT count(*) FROM (SELECT FROM %(record)s LIMIT {VALIDATE_AT_ONCE + 1}) few) <= {VALIDATE_AT_ONCE}
     AND NOT EXISTS (SELECT FROM %(record)s r WHERE NOT EXISTS
       (SELECT FROM %(manifest)s m WHERE m.record_id = r.{pk} AND m.digest = r.{digest})) THEN
    ALTER TABLE %(record)s VALIDATE CONSTRAINT {key};
  END IF;
END $ls$"""


def _refuse_function(shape: Shape) -> str:
    pk, digest = name(shape.pk), name(shape.digest)
    _, model, attribute = shape.label.rsplit(".", 2)
    message = f"{model} %%s: its text changed without a new embedding, so this transaction is refused."
    detail = f"The index {shape.label} is strict: text and embedding commit together."
    hint = (
        "Write through the ORM (save, bulk_create, bulk_update, update), wrap raw SQL in"
        f" `with {model}.{attribute}.in_step():`, call {model}.{attribute}.embed(pks) in the same transaction,"
        f' put EmbedRecords("{shape.label.rpartition(".")[0]}") behind RunPython, or declare mode="deferred".'
    )
    return f"""
CREATE OR REPLACE FUNCTION {name(shape.slug + "_refuse")}() RETURNS trigger LANGUAGE plpgsql AS $ls$
DECLARE
  present uuid;
BEGIN
  -- A row that was written twice queues two events: only its present text counts.
  SELECT {digest} INTO present FROM %(record)s WHERE {pk} = NEW.{pk};
  IF present IS NULL OR EXISTS
     (SELECT FROM %(manifest)s WHERE record_id = NEW.{pk} AND digest = present) THEN
    RETURN NULL;
  END IF;
  RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation', MESSAGE = format({literal(message)}, NEW.{pk}),
    DETAIL = {literal(detail)}, HINT = {literal(hint)},
    SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME, CONSTRAINT = {literal(shape.slug + "_embedded")};
END $ls$"""


def _text(row: str, column: str) -> str:
    return f'{row}.{name(column)}::text COLLATE "C"'


def name(identifier: str) -> str:
    """A quoted identifier, percent signs doubled for the placeholders around it."""
    return '"' + identifier.replace('"', '""').replace("%", "%%") + '"'


def literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def recipe(parts: Sequence[object]) -> str:
    """Eight hex digits that change when the declaration changes what triggers write or models embed."""
    import hashlib

    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


#: The digest of a record: length-prefixed fields, NULL like '', for both embed alike: a column may become
#: NOT NULL without a new embedding. ``declaration.text_digest`` computes the same.
DIGEST = """
CREATE OR REPLACE FUNCTION lockstep_digest_v1(fields text[]) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT substr(encode(sha256(convert_to(
    'v1|' || string_agg(length(field)::text || ':' || field, '|' ORDER BY place), 'UTF8'
  )), 'hex'), 1, 32)::uuid
  FROM (SELECT coalesce(field, '') AS field, place FROM unnest(fields) WITH ORDINALITY AS f (field, place)) one)
"""
