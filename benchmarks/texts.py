"""The text of a record as the package embeds it, for tables that are filled without the package."""


def rendered(*fields: str) -> str:
    return "\n\n".join(field for field in fields if field.strip())
