"""Visits the running shop as a browser does: cookies, forms, pages read as HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from http.cookiejar import CookieJar
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, OpenerDirector, Request, build_opener

TIMEOUT_S = 60


class HitsParser(HTMLParser):
    """Collects the keys of the records on a results page, shelf by shelf, best first."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if shelf := found.get("data-shelf"):
            self.keys.setdefault(shelf, []).append(found.get("data-key") or "")


class HiddenParser(HTMLParser):
    """Collects what a page's forms send without showing it."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "input" and found.get("type") == "hidden":
            self.fields[found.get("name") or ""] = found.get("value") or ""


class Visitor:
    """Somebody with a browser, looking at the shop as Alice or Bob."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self._cookies = CookieJar()
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(self._cookies))
        self.page("")
        self.send(f"as/{name}/")

    def page(self, path: str, **query: str) -> str:
        """HTML of a page. Raises: HTTPError: its status is 400 or more."""
        address = urljoin(self.url, path) + (f"?{urlencode(query)}" if query else "")
        with self._opener.open(address, timeout=TIMEOUT_S) as response:
            return str(response.read().decode())

    def keys(self, text: str) -> dict[str, list[str]]:
        """Keys of what a search shows, by shelf."""
        parser = HitsParser()
        parser.feed(self.page("", q=text))
        return parser.keys

    def send(self, path: str, **fields: str) -> None:
        """Post the form of a page, with what is hidden in it, and follow where it leads."""
        token = next(cookie.value for cookie in self._cookies if cookie.name == "larkrise_csrf")
        hidden = HiddenParser()
        if fields:
            hidden.feed(self.page(path))
        data = urlencode(hidden.fields | fields | {"csrfmiddlewaretoken": token}).encode()
        request = Request(urljoin(self.url, path), data=data)  # noqa: S310 -- an address of our own
        with self._opener.open(request, timeout=TIMEOUT_S):
            pass
