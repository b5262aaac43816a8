"""The ranking statement as a JOIN of a stock ``Query``, written when the query is compiled.

So it sees every filter that the query has by then, wherever it was put, and works in everything that Django
makes of a query: slices, counts, sub-queries, updates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db.models import Expression, Field
from django.db.models.expressions import BaseExpression, RawSQL
from django.db.models.sql.constants import INNER
from django.db.models.sql.where import NothingNode

from lockstep.search.ddl import name
from lockstep.search.query.corpus import Corpus
from lockstep.search.query.fusion import NothingToSearch, ranking
from lockstep.search.query.legs import Scope
from lockstep.search.query.parsing import ParsedQuery
from lockstep.search.query.plan import Plan, make_plan
from lockstep.search.query.session import marker, watch
from lockstep.search.query.spec import SearchSpec
from lockstep.search.query.sql import Sql

if TYPE_CHECKING:
    from django.db.models.sql import Query

__all__ = ["HitCol", "HitsJoin"]

ALIAS = "lockstep_hits"


class HitCol(Expression):
    """A column of the ranking statement."""

    allowed_default = False

    def __init__(self, alias: str, column: str, output_field: Field[Any, Any]) -> None:
        super().__init__(output_field=output_field)
        self.alias = alias
        self.column = column

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        quote = compiler.quote_name_unless_alias
        return f"{quote(self.alias)}.{quote(self.column)}", ()

    def relabeled_clone(self, relabels: Mapping[str, str]) -> HitCol:
        return HitCol(relabels.get(self.alias, self.alias), self.column, self.output_field)

    def get_group_by_cols(self) -> list[BaseExpression]:
        return [self]


class HitsJoin:
    """INNER JOIN (ranking statement) ON primary key. Django's join protocol, see ``sql.datastructures.Join``."""

    table_name = ALIAS
    join_type: str | None = INNER
    filtered_relation = None
    nullable = False
    join_field = None
    join_cols = ()

    def __init__(
        self,
        source: Callable[[str], Corpus],
        spec: SearchSpec,
        parsed: ParsedQuery,
        parent_alias: str,
        pk_column: str,
        memo: dict[str, Plan] | None = None,
    ) -> None:
        self.source = source
        self.spec = spec
        self.parsed = parsed
        self.parent_alias = parent_alias
        self.pk_column = pk_column
        self.table_alias: str = ALIAS
        self.memo: dict[str, Plan] = {} if memo is None else memo

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        quote = compiler.quote_name_unless_alias
        corpus = self.source(connection.alias)
        inherited = compiler.query.get_meta().db_table != corpus.record
        permitted = permitted_by(compiler.query, self.table_alias, compiler, always=inherited)
        plan = self._plan(corpus, permitted, connection)
        scope = Scope(corpus, permitted, plan, self.spec.depth, self.spec.top_n)
        try:
            sql = ranking(scope, self.spec, self.parsed)
        except NothingToSearch:
            raise EmptyResultSet from None
        watch(connection)
        on = f"{quote(self.parent_alias)}.{quote(self.pk_column)} = {quote(self.table_alias)}.id"
        return f"INNER JOIN ({marker(scope.reach)}{sql.text}) {quote(self.table_alias)} ON ({on})", sql.params

    def _plan(self, corpus: Corpus, permitted: Sql | None, connection: Any) -> Plan:
        """The model is asked once for all clones of a queryset."""
        place = f"{connection.alias} {corpus.space}"
        plan = make_plan(corpus, self.spec, self.parsed, permitted, connection.alias, self.memo.get(place))
        self.memo[place] = plan
        return plan

    def __getstate__(self) -> dict[str, Any]:
        """Pickles carry the question, not the vector: it may be asked again years later, in another space."""
        return {**self.__dict__, "memo": {}}

    def relabeled_clone(self, change_map: Mapping[str, str]) -> HitsJoin:
        parent = change_map.get(self.parent_alias, self.parent_alias)
        clone = HitsJoin(self.source, self.spec, self.parsed, parent, self.pk_column, self.memo)
        clone.table_alias = change_map.get(self.table_alias, self.table_alias)
        return clone

    @property
    def identity(self) -> tuple[Any, ...]:
        return (type(self), self.source, self.spec, self.parent_alias)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HitsJoin) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash((self.spec, self.parent_alias))

    def equals(self, other: object) -> bool:
        return self == other

    def demote(self) -> HitsJoin:
        return self

    def promote(self) -> HitsJoin:
        return self


def permitted_by(query: Query, hits: str, compiler: Any, *, always: bool = False) -> Sql | None:
    """The primary keys that the query's own filters let through; None when there are none.

    Args:
        hits: alias of the ranking statement; conditions on its columns act on the result instead.
        always: the model is a child of the indexed one, so that not every record of the index is one of it.

    Raises:
        EmptyResultSet: the filters let nothing through.
    """
    joined = any(
        count and alias not in (hits, query.base_table) for alias, count in query.alias_refcount.items()
    )
    if not (query.where.children or joined or always):
        return None
    inner = query.clone()
    inner.where.children[:] = [child for child in inner.where.children if not mentions(child, hits)]
    inner.alias_refcount[hits] = 0
    others = _joined(inner)
    if not (inner.where.children or others or always):
        return None
    inner.clear_ordering(force=True)
    inner.clear_limits()
    inner.distinct = False
    inner.distinct_fields = ()
    inner.select_for_update = False
    inner.select_related = False
    inner.explain_info = None
    inner.combinator = None
    inner.default_cols = False
    inner.set_annotation_mask(())
    pk = inner.get_meta().pk
    inner.select = (pk.get_col(inner.get_initial_alias()),)
    inner.values_select = ()
    sql, params = inner.get_compiler(connection=compiler.connection).as_sql()
    if _multiplies(inner, others) or inner.group_by:
        table, column = name(inner.get_meta().db_table), name(str(pk.column))
        sql = f"SELECT own.{column} FROM {table} own WHERE own.{column} IN ({sql})"
    return Sql(sql, list(params))


def _joined(query: Query) -> list[str]:
    """The joins that decide what is permitted; others (``select_related``, an order) are left out of the legs."""
    present = [alias for alias, count in query.alias_refcount.items() if count and alias != query.base_table]
    used: set[str] = set()
    if query.group_by is not None or not all(_aliases(child, used) for child in query.where.children):
        return present
    for alias in list(used):
        while (
            alias := getattr(query.alias_map.get(alias), "parent_alias", None) or ""
        ) and alias not in used:
            used.add(alias)
    for alias in present:
        # an INNER JOIN that no filter reads still decides when it leads to a child table of the model
        join = query.alias_map[alias]
        field = getattr(join, "join_field", None)
        if alias not in used and field is not None and not getattr(field.remote_field, "parent_link", False):
            query.alias_refcount[alias] = 0
    return [alias for alias in present if query.alias_refcount[alias]]


def _aliases(node: Any, found: set[str]) -> bool:
    """Collect the tables that a part of a WHERE clause reads; False where that cannot be told."""
    if isinstance(getattr(node, "alias", None), str):
        found.add(node.alias)
        return True
    if isinstance(node, RawSQL):
        return False
    if hasattr(node, "get_external_cols"):
        return all(_aliases(column, found) for column in node.get_external_cols())
    if hasattr(node, "children") or hasattr(node, "get_source_expressions"):
        return all(_aliases(part, found) for part in _parts(node))
    return isinstance(node, NothingNode) or not hasattr(node, "as_sql")


def _multiplies(query: Query, aliases: list[str]) -> bool:
    """Whether a join may give a record several rows."""
    for alias in aliases:
        field = getattr(query.alias_map[alias], "join_field", None)
        if field is not None and not (field.many_to_one or field.one_to_one):
            return True
    return False


def mentions(node: Any, alias: str) -> bool:
    """Whether a part of a WHERE clause reads a column of the ranking statement."""
    if isinstance(node, HitCol):
        return node.alias == alias
    return any(mentions(part, alias) for part in _parts(node))


def _parts(node: Any) -> Iterator[Any]:
    yield from getattr(node, "children", ())
    if hasattr(node, "get_source_expressions"):
        yield from (part for part in node.get_source_expressions() if part is not None)
