import pytest
from django.utils.safestring import SafeString, mark_safe

from demo.shop.excerpts import excerpt, heading


def marked(text: str) -> SafeString:
    return mark_safe(text)


def test_a_heading_is_shown_whole_with_the_highlights_of_its_part():
    assert heading(marked("a <mark>kettle</mark> shows E"), "When a kettle shows E-17") == (
        "When a <mark>kettle</mark> shows E-17"
    )


@pytest.mark.parametrize("part", ["", "something <mark>else</mark>", "a &lt;b&gt; … <mark>c</mark>"])
def test_a_heading_of_which_the_part_is_not_a_part_is_shown_escaped(part):
    assert heading(marked(part), "<b>Kettle</b>") == "&lt;b&gt;Kettle&lt;/b&gt;"


def test_an_excerpt_loses_its_markdown_and_keeps_its_entities():
    text = "## The &amp; list\n\n- **Don&#x27;t** <mark>boil</mark> `E-17`\n1. one | two *three*"
    assert excerpt(marked(text), "The text is longer than that.") == (
        "… The &amp; list Don&#x27;t <mark>boil</mark> E-17 one two three …"
    )


def test_a_text_without_a_highlight_is_cut_at_a_word_and_escaped():
    shown = excerpt(marked("whatever"), "<i>word</i> " * 50)
    assert shown.endswith("&lt;/i&gt; …")
    assert "<i>" not in shown


def test_dots_stand_only_where_the_text_goes_on():
    assert excerpt(marked("All of <mark>it</mark>."), "All of it.") == "All of <mark>it</mark>."
