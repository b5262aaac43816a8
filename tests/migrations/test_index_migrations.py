"""A declaration comes, changes and goes by real ``makemigrations`` and ``migrate``, forward and back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.migrations.project import NOTHING_LEFT, Project
from tests.migrations.texts import FILL, INDEXED, PLAIN

pytestmark = pytest.mark.slow
Make = Callable[..., Project]

TITLE = "title = models.CharField(max_length=50)"
BODY = "body = models.TextField(blank=True)"
TEXT = '{"title": "A"}'

MAKE = ("makemigrations", "-v0")
MIGRATE = ("migrate", "-v0")
BACK = ("migrate", "shop", "0001", "-v0")
ZERO = ("migrate", "shop", "zero", "-v0")
REEMBED = ("lockstep_reembed", "-v0")
CHECK = ("check", "--database", "default")

#: Both halves of a strict index work: the ORM passes, raw SQL does not.
WRITE = """
from django.db import IntegrityError, connection
from shop import models
Model = getattr(models, "Story", None) or models.Article
Model.objects.update(title="updated")
Model.objects.create(title="created")
try:
    connection.cursor().execute(f'UPDATE "{Model._meta.db_table}" SET title = 1, body = 2')
except IntegrityError as error:
    assert "without a new embedding" in str(error), error
else:
    raise AssertionError("raw SQL passed")
"""


def changed(text: str, *pairs: str) -> str:
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    return text


def test_max_length_of_an_indexed_field_may_change(shop: Project) -> None:
    shop.migrate_to(changed(INDEXED, TITLE, "title = models.CharField(max_length=200)"))
    assert shop.stale(before='from shop.models import *; Article.objects.create(title="x" * 150)') == []
    assert "value too long" in shop.manage(*BACK, fails=True)
    shop.sql("DELETE FROM shop_article WHERE length(title) > 50")
    assert shop.stale(BACK, before=WRITE) == []


def test_a_nullable_text_may_become_not_null_without_a_new_embedding(project: Make) -> None:
    made = project()
    indexed = changed(INDEXED, TEXT, '{"title": "A", "body": "B"}')
    made.fill(
        changed(indexed, BODY, "body = models.TextField(null=True)"), changed(FILL, 'body="boils", ', "")
    )
    made.migrate_to(changed(indexed, BODY, "body = models.TextField(default='')"))
    assert made.stale() == []


def test_the_type_of_the_key_may_change(project: Make) -> None:
    made = project()
    small = changed(INDEXED, TITLE, f"id = models.AutoField(primary_key=True)\n    {TITLE}")
    made.fill(small, FILL)
    made.migrate_to(changed(small, "models.AutoField", "models.BigAutoField"))
    assert made.stale(before="from shop.models import *; Article(id=2**40, title='big').save()") == []
    assert made.sql("DELETE FROM shop_article WHERE id > 2 RETURNING 1") == [(1,), (1,)]
    assert made.sql("SELECT count(*) FROM shop_article_search_document") == [(2,)]
    assert made.stale(BACK, before=WRITE) == []


CHANGES = {
    "a field added to text": (TEXT, '{"title": "A", "body": "B"}'),
    "weight and identifiers": (TEXT, '{"title": "D"}, identifiers=["title"], config="simple"'),
    "a context": (TEXT, '{"title": "A"}, context=lambda a: a.brand.name if a.brand else ""'),
    "another field": (TEXT, '{"body": "A"}'),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_declaration_migrates_forward_and_back(change: tuple[str, str], shop: Project) -> None:
    again = changed(INDEXED, *change)
    shop.migrate_to(again)
    assert shop.stale(REEMBED) == []
    shop.models(INDEXED)
    assert shop.stale(BACK, REEMBED) == []
    shop.models(again)
    assert shop.stale(MIGRATE, REEMBED, CHECK, before=WRITE) == []
    if "context" in change[1]:
        contexts = "SELECT DISTINCT search_context FROM shop_article WHERE brand_id IS NOT NULL"
        assert shop.sql(contexts) == [("Kestrel",)]


def test_a_changed_declaration_touches_no_row_and_no_index(shop: Project) -> None:
    where = "SELECT relname, relfilenode FROM pg_class WHERE relname LIKE 'shop_article%' ORDER BY 1"
    before = shop.sql(where)
    shop.migrate_to(changed(INDEXED, TEXT, '{"title": "B", "body": "C"}, identifiers=["title"]'))
    assert shop.sql(where) == before


def test_strict_becomes_deferred_and_strict_again(shop: Project) -> None:
    deferred = changed(INDEXED, TEXT, '{"title": "A"}, mode="deferred"')
    shop.migrate_to(deferred)
    shop.sql("UPDATE shop_article SET title = 'raw ' || id WHERE id < 3")
    shop.migrate_to(INDEXED)
    assert len(shop.stale()) == 2
    assert "lockstep_search.W014" in shop.manage(*CHECK)
    assert shop.stale(REEMBED) == []
    assert "no issues" in shop.manage(*CHECK)
    shop.models(deferred)
    shop.manage("migrate", "shop", "0002", "-v0")
    shop.sql("UPDATE shop_article SET title = 'raw again'")
    shop.manage(*REEMBED)
    shop.models(INDEXED)
    assert shop.stale(MIGRATE, before=WRITE) == []


def test_an_indexed_field_is_renamed_forward_and_back(shop: Project) -> None:
    renamed = changed(INDEXED, "body = ", "content = ", TEXT, '{"title": "A", "content": "B"}')
    shop.models(changed(INDEXED, TEXT, '{"title": "A", "body": "B"}'))
    shop.commands(MAKE, MIGRATE, REEMBED)
    assert "Rename field body" in shop.migrate_to(renamed, answers="y\n")
    assert shop.stale(CHECK) == []
    shop.models(changed(INDEXED, TEXT, '{"title": "A", "body": "B"}'))
    assert shop.stale(("migrate", "shop", "0002", "-v0")) == []
    assert shop.stale(before=WRITE) == []


def test_an_indexed_model_is_renamed_forward_and_back_and_its_vectors_follow(shop: Project) -> None:
    renamed = changed(INDEXED, "class Article", "class Story")
    assert "Rename model Article" in shop.migrate_to(renamed, answers="y\n" * 5)
    assert shop.stale(CHECK, model="shop.Story") == []
    assert shop.sql("SELECT count(*) FROM lockstep_search_space") == [(1,)]
    assert shop.stale(before=WRITE, model="shop.Story") == []
    again = "\n".join(line for line in INDEXED.splitlines()[4:] if "brand" not in line)
    shop.migrate_to(f"{renamed}\n{again}")  # the old name is taken again
    assert shop.stale(before="from shop.models import *; Article.objects.create(title='another')") == []
    assert shop.stale(model="shop.Story") == []
    shop.models(INDEXED)
    assert shop.stale(BACK, before=WRITE) == []


def test_table_and_attribute_may_be_renamed(shop: Project) -> None:
    moved = changed(
        INDEXED, "    search =", "    class Meta:\n        db_table = 'My Stories'\n\n    search ="
    )
    shop.migrate_to(moved)
    assert shop.stale() == []
    assert "Rename field search_digest" in shop.migrate_to(
        changed(moved, "    search =", "    finder ="), answers="y\n" * 5
    )
    assert shop.stale() == []
    shop.models(INDEXED)
    assert shop.stale(BACK, before=WRITE) == []


def test_a_declaration_is_removed_leaves_nothing_and_may_come_back(shop: Project) -> None:
    shop.migrate_to(PLAIN)
    shop.sql("INSERT INTO shop_article (title, body, lang) VALUES ('free again', '', 'en')")
    ours = "SELECT proname FROM pg_proc WHERE proname ~ '^ls_' UNION SELECT tgname FROM pg_trigger WHERE tgname ~ 'ls_'"
    assert shop.sql(ours) == []
    assert (
        shop.sql("SELECT relname FROM pg_class WHERE relname ~ 'search_(chunk|document|manifest|pending)'")
        == []
    )
    shop.manage(*BACK)
    shop.models(INDEXED)
    assert "lockstep_search.W014" in shop.commands(BACK, CHECK)
    assert shop.stale(REEMBED, before=WRITE) == []


def test_down_to_zero_and_up_again(shop: Project) -> None:
    shop.commands(ZERO, ("migrate", "lockstep_search", "zero", "-v0"))
    left = "SELECT proname FROM pg_proc WHERE proname ~ '^(ls|lockstep)_' AND proname !~ '^lockstep_core_'"
    assert shop.sql(left) == []
    assert shop.stale(MIGRATE, before=FILL + WRITE) == []


def test_migrations_may_be_squashed(shop: Project) -> None:
    shop.migrate_to(changed(INDEXED, *CHANGES["a field added to text"]))
    shop.migrate_to(PLAIN)
    shop.migrate_to(changed(INDEXED, *CHANGES["a context"]))
    shop.manage("squashmigrations", "shop", shop.migrations()[-1], "--noinput")
    for path in (shop.folder / "shop" / "migrations").glob("0*.py"):
        if "squashed" not in path.name:
            path.unlink()
    assert shop.stale(MIGRATE, ZERO, MIGRATE, NOTHING_LEFT, before=FILL + WRITE) == []


@pytest.mark.parametrize(
    "off", ['{"shop": None}', '{"shop": None, "lockstep_search": None, "lockstep_core": None}']
)
def test_tables_may_be_made_without_migrations(off: str, project: Make) -> None:
    made = project(template=None)
    made.add_settings(f"MIGRATION_MODULES = {off}")
    made.models(INDEXED)
    search = "\nassert Article.objects.hybrid_search('updated').count() == 4"
    assert made.stale(("migrate", "--run-syncdb", "-v0"), before=FILL + WRITE + search) == []


def test_sqlmigrate_shows_both_ways(shop: Project) -> None:
    shop.migrate_to(changed(INDEXED, *CHANGES["weight and identifiers"]))
    created = shop.manage("sqlmigrate", "shop", "0001")
    for part in ("CREATE OR REPLACE FUNCTION", "CREATE TRIGGER", "NOT VALID", "shop_article_search_manifest"):
        assert part in created
    assert "%%" not in created
    backwards = shop.commands(
        ("sqlmigrate", "shop", "0001", "--backwards"), ("sqlmigrate", "shop", "0002", "--backwards")
    )
    for part in ("DROP TABLE", "DROP TRIGGER %I ON %s", "CREATE TRIGGER"):
        assert part in backwards


def test_an_unknown_text_search_configuration_fails_in_the_migration(project: Make) -> None:
    made = project()
    made.models(changed(INDEXED, TEXT, '{"title": "A"}, config="klingon"'))
    assert 'configuration "klingon" does not exist' in made.commands(MAKE, MIGRATE, fails=True)
    assert made.sql("SELECT 1 FROM pg_class WHERE relname = 'shop_article'") == []


DATA = """
from django.db import migrations
from lockstep.search.operations import EmbedRecords

def fill(apps, schema_editor):
    Article = apps.get_model("shop", "Article")
    Article.objects.create(title="from a migration")
    Article.objects.filter(title__startswith="XR").update(title="changed by a migration")

class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [EmbedRecords("shop.Article"), migrations.RunPython(fill, fill), EmbedRecords("shop.Article")]
"""


def test_a_data_migration_embeds_what_it_wrote(shop: Project) -> None:
    shop.migration("0002_data", changed(DATA, ', EmbedRecords("shop.Article")]', "]"))
    assert 'put EmbedRecords("shop.Article") behind RunPython' in shop.manage("migrate", fails=True)
    shop.migration("0002_data", DATA)
    assert "Embed the records of shop.Article" in shop.manage("migrate", "--plan")
    assert shop.stale(MIGRATE) == []
    assert shop.stale(BACK) == []


def test_a_data_migration_embeds_by_the_declaration_of_its_time(shop: Project) -> None:
    """On a fresh database it runs before columns that the declaration of today names."""
    shop.migration("0002_data", DATA)
    later = changed(INDEXED, TEXT, '{"summary": "A", "title": "B"}, context=lambda a: "x"')
    later = changed(later, BODY, f"{BODY}\n    summary = models.TextField(default='')")
    shop.migrate_to(later)
    shop.migrate_to(changed(later, "class Article", "class Story"), answers="y\n" * 5)
    assert shop.stale(BACK, MIGRATE, ZERO, MIGRATE, REEMBED, model="shop.Story") == []
    assert shop.sql("SELECT count(*) FROM lockstep_search_space") == [(1,)]


def test_two_apps_with_indexes_that_need_each_other(project: Make) -> None:
    made = project("shop", "blog")
    link = 'models.ForeignKey("blog.Post", null=True, on_delete=models.CASCADE, related_name="+")'
    made.models(changed(INDEXED, BODY, f"{BODY}\n    post = {link}"))
    made.models(
        f"""
        class Post(models.Model):
            text = models.TextField()
            article = {changed(link, "blog.Post", "shop.Article")}
            search = SearchIndex(text=["text"], context=lambda post: post.article.title if post.article else "")
            objects = SearchQuerySet.as_manager()
        """,
        "blog",
    )
    post = "from blog.models import *; Post.objects.create(text='x', article=Article.objects.first())"
    assert made.stale(MAKE, MIGRATE, NOTHING_LEFT, before=FILL + post) == []
    assert made.stale(model="blog.Post") == []


def test_a_child_of_another_app_s_model_has_an_index_of_its_own(project: Make) -> None:
    made = project("blog", "shop")
    made.models(INDEXED)
    made.models(
        """
        from shop.models import Article
        class Review(Article):
            verdict = models.TextField()
            opinions = SearchIndex(text=["verdict"])
            objects = SearchQuerySet.as_manager()
        """,
        "blog",
    )
    review = """
from blog.models import *
Review.objects.create(title='a', verdict='good')
Review.objects.update(verdict='bad', title='b')
"""
    assert made.stale(MAKE, MIGRATE, NOTHING_LEFT, before=review, model="blog.Review") == []
    made.models("", "blog")
    assert made.stale(MAKE, MIGRATE, before=WRITE) == []


def test_a_schema_of_its_own_on_the_search_path(project: Make) -> None:
    """As with a schema for each tenant: functions and tables are found by the search path."""
    made = project(template=None)
    made.sql("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
    made.models(INDEXED)
    made.manage(*MAKE)
    public = made.database
    for tenant in ("one", "two"):
        made.sql(f"CREATE SCHEMA {tenant}")
        made.database = f"{public} options='-c search_path={tenant},public'"
        assert made.stale(MIGRATE, before=FILL + WRITE) == []
    count = "SELECT count(*) FROM {0}.shop_article_search_document"
    assert made.sql(count.format("one")) == made.sql(count.format("two")) == [(4,)]


def test_a_role_that_may_not_install_pgvector_is_told_the_line_for_the_administrator(project: Make) -> None:
    made = project(template=None)
    if made.sql("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") != [(True,)]:
        pytest.skip("only a superuser can take pgvector away and make a role that may not install it")
    made.sql("DROP EXTENSION IF EXISTS vector")
    made.sql("DROP ROLE IF EXISTS lockstep_poor")
    made.sql("CREATE ROLE lockstep_poor")
    try:
        made.sql("GRANT ALL ON SCHEMA public TO lockstep_poor")
        made.add_settings('DATABASES["default"]["OPTIONS"]["assume_role"] = "lockstep_poor"')
        made.models(INDEXED)
        said = made.commands(MAKE, MIGRATE, fails=True)
        assert "It is not a trusted extension" in said
        assert "CREATE EXTENSION vector;" in said
        made.sql("CREATE EXTENSION vector")
        assert made.stale(MIGRATE, before=FILL + WRITE) == []
    finally:
        made.sql("DROP OWNED BY lockstep_poor")
        made.sql("DROP ROLE lockstep_poor")
