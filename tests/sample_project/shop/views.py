from django.http import JsonResponse
from django.views.decorators.csrf import csrf_exempt

from shop.models import Product


@csrf_exempt
def products(request):
    if request.method == "POST":
        Product.objects.create(name=request.POST["name"])
    found = Product.objects.all()
    if request.GET.get("q"):
        found = found.hybrid_search(request.GET["q"])
    return JsonResponse({"names": [product.name for product in found]})


@csrf_exempt
def broken(request):
    Product.objects.create(name="half done")
    raise ZeroDivisionError
