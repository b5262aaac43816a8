"""What the throw-away shop says in its ``models.py``, and how it is filled."""

PLAIN = """
class Brand(models.Model):
    name = models.CharField(max_length=50)

class Article(models.Model):
    title = models.CharField(max_length=50)
    body = models.TextField(blank=True)
    lang = models.CharField(max_length=5, default="en")
    brand = models.ForeignKey(Brand, null=True, on_delete=models.CASCADE)
"""
INDEXED = f"""{PLAIN}
    search = SearchIndex(text={{"title": "A"}})
    objects = SearchQuerySet.as_manager()
"""
FILL = """
from shop.models import *
brand = Brand.objects.create(name="Kestrel")
Article.objects.bulk_create(Article(title=f"XR-{i} kettle", body="boils", brand=brand) for i in range(3))
"""
