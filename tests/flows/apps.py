from django.apps import AppConfig


class FlowsConfig(AppConfig):
    name = "tests.flows"
    label = "flows"
