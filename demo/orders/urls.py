"""Addresses of orders and refunds."""

from django.urls import path

from demo.orders import views

urlpatterns = [
    path("orders/", views.orders_page, name="orders"),
    path("orders/<str:number>/", views.order_page, name="order"),
    path("orders/<str:number>/again/", views.order_again, name="order-again"),
    path("refunds/<uuid:run>/", views.refund_page, name="refund"),
]
