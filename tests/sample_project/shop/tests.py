"""The shop's own tests, by Django's test runner."""

import json
import threading
from urllib.parse import urlencode
from urllib.request import urlopen

from django.contrib.auth.models import User
from django.db import connection, connections, transaction
from django.test import LiveServerTestCase, TestCase, TransactionTestCase, skipUnlessDBFeature, tag

from shop.models import Brand, Page, Product, Review

APPS = ["django.contrib.auth", "django.contrib.contenttypes", "lockstep.core", "lockstep.search", "shop"]


class Ordinary(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.brand = Brand.objects.create(name="Kestrel")
        cls.kettle = Product.objects.create(name="Kettle XR-2000", description="boils water", brand=cls.brand)

    def test_a_product_is_found(self):
        self.assertEqual(list(Product.objects.hybrid_search("XR2000")), [self.kettle])

    def test_a_change_lasts_as_long_as_the_test(self):
        self.kettle.name = "Toaster"
        self.kettle.save()
        self.assertEqual([p.name for p in Product.objects.hybrid_search("toaster")], ["Toaster"])

    def test_nothing_is_left_of_the_test_before(self):
        self.assertEqual(Product.objects.get().name, "Kettle XR-2000")

    def test_the_number_of_queries_does_not_depend_on_the_order_of_tests(self):
        with self.assertNumQueries(4):  # vectors at hand?, INSERT, settle; the refresh
            with transaction.atomic(savepoint=False):
                Product.objects.create(name="counted once")
                self.kettle.refresh_from_db()

    def test_the_same_number_again(self):
        with self.assertNumQueries(3):
            Product.objects.create(name="counted twice")

    def test_subtests_and_rollbacks(self):
        for name in ("a", "b"):
            with self.subTest(name=name):
                try:
                    with transaction.atomic():
                        Product.objects.create(name=name)
                        raise ZeroDivisionError
                except ZeroDivisionError:
                    pass
                self.assertEqual(Product.objects.count(), 1)

    def test_callbacks_on_commit(self):
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            Product.objects.create(name="new")
            transaction.on_commit(lambda: Product.objects.create(name="after"))
        self.assertEqual(len(callbacks), 1)
        self.assertEqual(Product.objects.count(), 3)

    def test_bulk_writes_and_deletes(self):
        Product.objects.bulk_create(Product(name=f"P{i}", brand=self.brand) for i in range(5))
        Product.objects.filter(name__startswith="P").update(description="bulk")
        self.assertEqual(Product.objects.filter(name__startswith="P").delete()[0], 5)

    def test_reviews_wait_for_their_embedding(self):
        with self.assertNumQueries(1):
            Review.objects.create(product=self.kettle, text="Loud but quick.")
        self.assertEqual(Review.objects.hybrid_search("quick", legs=["lexical"]).count(), 1)
        self.assertEqual(Review.objects.hybrid_search("quick", legs=["dense"]).count(), 0)


class Requests(TestCase):
    def test_a_request_that_fails_writes_nothing(self):
        self.client.raise_request_exception = False
        self.assertEqual(self.client.post("/broken/").status_code, 500)
        self.assertFalse(Product.objects.exists())
        self.assertEqual(self.client.post("/products/", {"name": "sound"}).json(), {"names": ["sound"]})

    def test_the_admin_adds_changes_and_deletes(self):
        self.client.force_login(User.objects.create_superuser("admin"))
        form = {"name": "Kettle", "description": "", "price": 3, "brand": ""}
        self.assertEqual(self.client.post("/admin/shop/product/add/", form).status_code, 302)
        product = Product.objects.get()
        url = f"/admin/shop/product/{product.pk}/"
        self.assertEqual(self.client.post(f"{url}change/", form | {"name": "Toaster"}).status_code, 302)
        self.assertEqual([p.name for p in Product.objects.hybrid_search("toaster")], ["Toaster"])
        self.assertEqual(self.client.get("/admin/shop/product/?q=toast").status_code, 200)
        self.assertEqual(self.client.post(f"{url}delete/", {"post": "yes"}).status_code, 302)
        self.assertFalse(Product.objects.exists())

    async def test_the_async_client(self):
        response = await self.async_client.post("/products/", {"name": "async"})
        self.assertEqual(response.json(), {"names": ["async"]})


class TwoDatabases(TestCase):
    databases = {"default", "archive"}

    def test_the_other_database_is_left_alone(self):
        product = Product.objects.using("archive").create(name="old", description="archived")
        product.name = "older"
        product.save()
        Product.objects.using("archive").bulk_create([Product(name="a"), Product(name="b")])
        Product.objects.using("archive").update(description="all")
        Product.objects.using("archive").filter(name="a").delete()
        self.assertEqual(Product.objects.using("archive").count(), 2)
        self.assertFalse(Product.objects.exists())
        product.save(using="default", force_insert=True)
        self.assertEqual(Product.objects.hybrid_search("older").get().description, "archived")

    def test_the_other_database_has_no_tables_of_the_search(self):
        self.assertIn("shop_product", connections["archive"].introspection.table_names())
        self.assertEqual([t for t in connections["archive"].introspection.table_names() if "search" in t], [])


@tag("migrated")
class BroughtByMigrations(TransactionTestCase):
    # by its name in front of the next class, whose flush makes content types anew, under other keys than are kept here
    serialized_rollback = True

    def check(self):
        self.assertEqual(Brand.objects.get().name, "House brand")
        self.assertEqual(Page.objects.hybrid_search("welcome").get().search_context, "House brand")
        Page.objects.all().delete()
        Page.objects.create(title="another")

    def test_data_of_migrations_is_there(self):
        self.check()

    def test_data_of_migrations_is_there_again(self):
        self.check()


class Committed(TransactionTestCase):
    def test_commits_are_real(self):
        Product.objects.create(name="committed")
        with transaction.atomic():
            Product.objects.update(name="changed")
        self.assertEqual(Product.objects.hybrid_search("changed").count(), 1)

    def test_the_database_was_flushed(self):
        self.assertFalse(Product.objects.exists())
        Product.objects.create(name="again")

    @skipUnlessDBFeature("has_select_for_update")
    def test_threads(self):
        product = Product.objects.create(name="shared")
        errors = []

        def work():
            try:
                Product.objects.filter(pk=product.pk).update(name="from a thread")
            except Exception as error:
                errors.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=work) for _ in range(3)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        self.assertEqual(errors, [])


class CommittedWithFewApps(TransactionTestCase):
    available_apps = APPS

    def test_commits_are_real(self):
        Product.objects.create(name="committed")
        self.assertEqual(Product.objects.hybrid_search("committed").count(), 1)

    def test_the_database_was_flushed(self):
        self.assertFalse(Product.objects.exists())
        Product.objects.create(name="again")


class Live(LiveServerTestCase):
    def test_a_server_in_a_thread(self):
        with urlopen(f"{self.live_server_url}/products/", urlencode({"name": "served"}).encode()) as response:
            self.assertEqual(json.load(response), {"names": ["served"]})
        with urlopen(f"{self.live_server_url}/products/?q=served") as response:
            self.assertEqual(json.load(response), {"names": ["served"]})
