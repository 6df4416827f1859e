import jinja2
import pytest

from s2e.core.templates import fill


def test_what_is_filled_into_a_page_is_escaped_and_into_a_card_is_not(tmp_path):
    for name in ("page.html", "card.md"):
        (tmp_path / name).write_text("<p>\n  <b>{{ word }}</b>\n</p>\n")
    page, card = (fill(tmp_path / name, word="a < 'b'") for name in ("page.html", "card.md"))
    assert page == "<p><b>a &lt; &#39;b&#39;</b></p>\n"
    assert card == "<p>\n  <b>a < 'b'</b>\n</p>\n"


def test_what_is_not_given_is_an_error(tmp_path):
    (tmp_path / "card.md").write_text("{{ word }} {{ other }}")
    with pytest.raises(jinja2.UndefinedError, match="other"):
        fill(tmp_path / "card.md", word="")
