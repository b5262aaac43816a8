from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "demo.orders"
    verbose_name = "Orders and refunds"
