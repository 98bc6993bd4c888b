import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from functions.notify.destinations.document import document
from functions.notify.destinations.document.markdown import encoded, link_of, paragraphs_of, section_requests
from shared.errors import Permanent
from shared.jsontext import Json
from tests.google_documents import Document
from tests.unit.notify.http_kinds import HOSTILE, delivery_of, json_of, request_of


def written(markdown: str, data: Json = None) -> Document:
    """Return the document that the section of an event is written into."""
    settings: Json = {"append_to": "1ExampleOfADocument", "markdown": markdown}
    requests = json_of(request_of(document, settings, delivery_of(data)))["requests"]
    assert isinstance(requests, list)
    made = Document()
    for each in requests:
        made.apply(each)
    return made


def styles_of(made: Document) -> list[tuple[str, str]]:
    """Return the styles but for the two that reset the section's own."""
    return made.styles[2:]


def test_headings_emphasis_code_and_links_are_styles() -> None:
    made = written("# One\n\n### Three\n\nA **b *c*** `d` ~~e~~ [f](https://x.example/y) ![g](https://x.example/z.png)")

    assert made.text == "One\nThree\nA b c d e f g\n"
    assert styles_of(made) == [
        ("One", "HEADING_1"),
        ("Three", "HEADING_3"),
        ("b ", "bold"),
        ("c", "bold,italic"),
        ("d", "weightedFontFamily"),
        ("e", "strikethrough"),
        ("f", "link"),
    ]


def test_a_list_is_one_list_with_its_levels() -> None:
    made = written("- a\n  - b\n\n    more of b\n- c\n\ntext\n\n1. d\n2. e")

    assert made.text == "a\nb\vmore of b\nc\ntext\nd\ne\n"
    assert styles_of(made) == [
        ("d\ne", "NUMBERED_DECIMAL_ALPHA_ROMAN"),
        ("a\n\tb\vmore of b\nc", "BULLET_DISC_CIRCLE_SQUARE"),
    ]


def test_quotes_code_tables_and_rules_are_paragraphs() -> None:
    made = written("> q\n\n```\nx = 1\n\ty\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n<b>no HTML</b>")

    assert made.text == f"q\nx = 1\v\ty\na\tb\n1\t2\n{'―' * 20}\n<b>no HTML</b>\n"
    assert ("q", "indentStart,indentFirstLine") in made.styles
    assert [text for text, fields in made.styles if fields == "bold"] == ["a", "b"]


def test_a_row_keeps_its_columns_where_a_cell_is_empty() -> None:
    made = written("| a | b | c |\n|---|---|---|\n| {{ data.a }} | {{ data.b }} | 3 |\n|||", {"a": "", "b": "2"})

    assert made.text == "a\tb\tc\n\t2\t3\n"


def test_a_section_after_a_text_begins_a_paragraph_of_its_own() -> None:
    made = Document("before 👩\n")
    end = len(made.text.encode("utf-16-le")) // 2 + 1
    for each in section_requests(paragraphs_of("## 👩‍💻 T\n\nx"), "key", end):
        made.apply(each)

    assert made.text == "before 👩\n👩‍💻 T\nx\n"
    assert styles_of(made) == [("👩‍💻 T", "HEADING_2")]


@pytest.mark.parametrize(
    "value",
    [
        "# x",
        "- x",
        "1. x",
        "**x**",
        "`x`",
        "[x](https://evil.example)",
        "<b>x</b>",
        "| x |",
        "> x",
        "    x",
        "\\*",
        "&amp;",
    ],
)
@pytest.mark.parametrize("template", ["{{ data }}", "- {{ data }}", "a {{ data }}", "## {{ data }}"])
def test_a_value_is_text_and_never_markdown(template: str, value: str) -> None:
    made = written(template, value)

    assert made.text.removesuffix("\n").endswith(value)
    assert not {"bold", "link", "weightedFontFamily"} & {fields for _, fields in made.styles}


def test_the_lines_of_a_value_stay_in_its_paragraph() -> None:
    made = written("- {{ data }}\n- b", "one\r\n\r\n# two\u2028three")

    assert made.text == "one\v\v# two\vthree\nb\n"


@example("\t")
@given(st.text(max_size=60) | st.sampled_from(HOSTILE))
def test_no_value_changes_the_paragraphs_or_breaks_an_index(value: str) -> None:
    made = written("# {{ data }}\n\n- {{ data }}\n  - **{{ data }}**\n\nend {{ data }}", value)

    *paragraphs, last, rest = made.text.split("\n")
    assert last.startswith("end")
    assert rest == ""
    assert len(paragraphs) in {0, 3}


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("https://x.example/a?b=c", "https://x.example/a?b=c"),
        ("mailto:a@x.example", "mailto:a@x.example"),
        (encoded("https://x.example/ä"), "https://x.example/ä"),
        (f"https://x.example/{encoded('a/../b c')}", "https://x.example/a%2F..%2Fb%20c"),
        (f"https://x.example/?u=a%26b%3D{encoded('c&d')}", "https://x.example/?u=a%26b%3Dc%26d"),
        (encoded("javascript:alert(1)"), None),
        (encoded("https://x.example/a b"), None),
        ("/relative", None),
    ],
)
def test_a_link_leads_to_a_web_or_mail_address_only(address: str, link: str | None) -> None:
    assert link_of(address) == link
    runs = paragraphs_of(f"[x](<{address}>)")[0].runs
    assert runs[0].style == ({"link": {"url": link}} if link else {})


def test_a_text_that_is_empty_with_an_event_fails() -> None:
    with pytest.raises(Permanent, match="its text is empty"):
        written("{{ data }}", "")
