"""The SQL that keeps one index in step: triggers, their functions and the keys.

The guarantee is the foreign keys. A record points at its manifest (strict mode) and the manifest at the
record, both by (id, digest); so neither can commit with another text's embedding, whoever writes. The
triggers only compute: the digest before a write, words and identifiers after it.

Nothing here names a column in a trigger's definition (no ``UPDATE OF``, no ``WHEN`` over text): Postgres
would then refuse to alter the column's type, and ``DROP COLUMN … CASCADE`` would take the trigger along.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["DIGEST", "Shape", "create", "drop", "literal", "name", "recipe"]

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
    document: str
    manifest: str
    pending: str
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
    yield _digest_function(shape)
    yield (
        f"CREATE TRIGGER {name('zzz_' + shape.slug + '_digest')} BEFORE INSERT OR UPDATE ON %(record)s"
        f" FOR EACH ROW EXECUTE FUNCTION {name(shape.slug + '_digest')}()"
    )
    yield _document_function(shape)
    yield (
        f"CREATE TRIGGER {name('zzz_' + shape.slug + '_document')} AFTER INSERT OR UPDATE ON %(record)s"
        f" FOR EACH ROW EXECUTE FUNCTION {name(shape.slug + '_document')}()"
    )
    yield from _keys(shape)
    if shape.strict:
        yield from _strict(shape)


def drop(shape: Shape) -> Iterator[str]:
    """Everything of ``create`` in reverse order; each statement passes when its object is gone already."""
    slug, record = shape.slug, name(shape.record)
    for kind in ("insert", "update"):
        yield f"DROP TRIGGER IF EXISTS {name(f'A_{slug}_{kind}')} ON {record}"
    for suffix in ("document", "digest"):
        yield f"DROP TRIGGER IF EXISTS {name(f'zzz_{slug}_{suffix}')} ON {record}"
    for suffix in ("refuse", "document", "digest"):
        yield f"DROP FUNCTION IF EXISTS {name(f'{slug}_{suffix}')}()"
    yield f"ALTER TABLE {record} DROP CONSTRAINT IF EXISTS {name(slug + '_embedded')}"
    yield f"ALTER TABLE IF EXISTS {name(shape.manifest)} DROP CONSTRAINT IF EXISTS {name(slug + '_in_step')}"
    for table in (shape.document, shape.pending):
        yield f"ALTER TABLE IF EXISTS {name(table)} DROP CONSTRAINT IF EXISTS {name(f'{slug}_of')}"
    yield f"ALTER TABLE {record} DROP CONSTRAINT IF EXISTS {name(slug + '_digest')}"


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
          length(words), {literal(shape.recipe)})
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
    slug, pk, digest = shape.slug, name(shape.pk), name(shape.digest)
    deferred = "DEFERRABLE INITIALLY DEFERRED"
    yield f"ALTER TABLE %(record)s ADD CONSTRAINT {name(slug + '_digest')} UNIQUE ({pk}, {digest})"
    for table in ("document", "pending"):
        yield (
            f"ALTER TABLE %({table})s ADD CONSTRAINT {name(slug + '_of')} FOREIGN KEY (record_id)"
            f" REFERENCES %(record)s ({pk}) ON DELETE CASCADE {deferred}"
        )
    yield (
        f"ALTER TABLE %(manifest)s ADD CONSTRAINT {name(slug + '_in_step')} FOREIGN KEY (record_id, digest)"
        f" REFERENCES %(record)s ({pk}, {digest}) ON DELETE CASCADE {deferred}"
    )


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
     AND NOT EXISTS (SELECT FROM %(record)s r WHERE r.{digest} IS NOT NULL AND NOT EXISTS
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
        ' or declare mode="deferred".'
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


#: The digest of a record: length-prefixed fields, NULL apart from ''. ``index.text_digest`` computes the same.
DIGEST = """
CREATE OR REPLACE FUNCTION lockstep_digest_v1(fields text[]) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT substr(encode(sha256(convert_to(
    'v1|' || coalesce(string_agg(coalesce(length(field)::text || ':' || field, 'N'), '|' ORDER BY place), ''), 'UTF8'
  )), 'hex'), 1, 32)::uuid
  FROM unnest(fields) WITH ORDINALITY AS f (field, place))
"""
