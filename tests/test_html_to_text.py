"""Html as text: what each element becomes, what is left out, and that nothing breaks or slows it."""
# ruff: noqa: E501 - a case is easier to read in one line

from __future__ import annotations

import re
import sys
import time

from cases import each
from hypothesis import given
from hypothesis import strategies as st

from mailer.html_to_text import html_to_text
from mailer.html_tokens import Tag, tokens

CASES = {
    "paragraphs": ("<p>One\n two</p><p>three<br>four<br/><br>five</p>", "One two\n\nthree\nfour\n\nfive"),
    "inline": ("a<b>b</b> <i>c</i>d <q>e</q><span> f </span>", 'ab cd "e" f'),
    "entities": (
        "&lt;b&gt; &amp;amp; &eacute;&#8364;&#x20AC; &nope; &#0; &#1114112; &#99999999999999999999999;",
        "<b> &amp; é€€ &nope; \ufffd \ufffd \ufffd",
    ),
    "bare less-than": ("1 < 2 and 3 > 2 <", "1 < 2 and 3 > 2 <"),
    "headings": ("<h1>Top</h1>text<h2>Second</h2><h3>Third</h3>x", "Top\n===\n\ntext\n\nSecond\n------\n\nThird\n\nx"),
    "rule": ("a<hr>b", f"a\n\n{'-' * 40}\n\nb"),
    "divs": ("<div>a<div>b</div>c</div>d", "a\nb\nc\nd"),
    # links
    "link": ('See <a href="https://x.test/a?b=1&amp;c=2">this page</a>.', "See this page\n[https://x.test/a?b=1&c=2]."),
    "link that says itself": (
        '<a href="https://www.x.test/">x.test</a> <a href="http://x.test/a">http://x.test/a</a>',
        "x.test http://x.test/a",
    ),
    "mailto": (
        '<a href="mailto:a@b.test?subject=x">a@b.test</a> <a href="MAILTO:a@b.test">write</a>',
        "a@b.test write [a@b.test]",
    ),
    "tel": ('<a href="tel:+431234">+43 1 234</a> <a href="tel:1">call</a>', "+43 1 234 call [1]"),
    "links to nowhere": (
        '<a href="#top">up</a> <a href="javascript:x()">js</a> <a>none</a> <a href="">e</a> <a href="cid:x">c</a>',
        "up js none e c",
    ),
    "link around an image": (
        '<a href="https://x.test"><img src="a.png" alt="Logo"></a> <a href="https://y.test"><img src=b></a>',
        "Logo [https://x.test] [https://y.test]",
    ),
    "link around blocks": ('<a href="https://x.test"><div>A</div><p>B</p></a>c', "A\n\nB\n\n[https://x.test]\nc"),
    "link that is not closed": (
        '<a href="https://x.test">a <a href="https://y.test">b',
        "a [https://x.test] b [https://y.test]",
    ),
    "blanks in a url": ('<a href=" https://x.test/a b\n">x</a>', "x [https://x.test/a%20b]"),
    "image": ('<img alt="Logo &amp; co"> <img alt=""> <img>', "Logo & co"),
    # lists
    "list": ("a<ul><li>one<li>two</ul>b", "a\n\n- one\n- two\n\nb"),
    "ordered": ('<ol start="9"><li>a</li><li>b</li><li value="20">c<li>d</ol>', "9. a\n10. b\n20. c\n21. d"),
    "nested": (
        "<ul><li>a<ol><li>b<li>c<ul><li>d</ul></ol><li>e</ul>",
        "- a\n  1. b\n  2. c\n     - d\n- e",
    ),
    "paragraphs in items": ("<ul><li><p>a</p><p>b</p><li><p>c</p></ul>", "- a\n\n  b\n- c"),
    "items of no list": ("<li>a<li>b", "- a\n- b"),
    "definitions": ("<dl><dt>T<dd>d<dt>U<dd>e</dl>", "T\n    d\nU\n    e"),
    "long item": (f"<ul><li>{'word ' * 9}</ul>", "- " + " ".join(["word"] * 7) + "\n  word word"),
    # quotes, preformatted
    "quote": (
        "a<blockquote>b<br>c<p>d<blockquote>e</blockquote>f</blockquote>g",
        "a\n\n> b\n> c\n>\n> d\n>\n> > e\n>\n> f\n\ng",
    ),
    "pre": ("a<pre>\n  b\n\n    c  \n</pre>d", "a\n\n  b\n\n    c\n\nd"),
    "a long line in pre": (f"<pre>{'x ' * 40}</pre>", ("x " * 40).rstrip()),
    # tables
    "layout": (
        "<table><tr><td><p>a</p><td><p>b</p></tr><tr><td><div>c</div></td></tr></table>",
        "a\n\nb\n\nc",
    ),
    "cells of plain text": (
        "<table><tr><td>Tea</td><td>2</td></tr><tr><td>Milk</td><td>1</td></table>",
        "Tea  2\nMilk  1",
    ),
    "data": (
        "<table><caption>Order</caption><tr><th>Item<th>Price<tr><td>Tea <b>green</b><td>3.00 €<tr><td>Cup<td>12.50 €</table>",
        "Order\nItem         Price\n---------  -------\nTea green   3.00 €\nCup        12.50 €",
    ),
    "data with header cells at the side": (
        "<table><tbody><tr><th>Name</th><td>Ann</td></tr><tr><th>Town</th><td>Graz</td></tr></tbody></table>",
        "Name  Ann\nTown  Graz",
    ),
    "data that is too wide": (
        f"<table><tr><th>Item<th>Note</tr><tr><td>Tea<td>{'long ' * 9}</tr><tr><td>Cup<td></tr></table>",
        "Item: Tea\nNote: " + " ".join(["long"] * 9) + "\n\nItem: Cup",
    ),
    "spans": (
        "<table><tr><th colspan=2>A<th>B<tr><td>1<td>2<td>3<tr><td colspan=3>all</table>",
        "A       B\n---  -  -\n1    2  3\nall",
    ),
    "presentation": (
        "<table role=presentation><tr><th><p>a</p></th><th><p>b</p></th></tr></table>",
        "a\n\nb",
    ),
    "tables in tables": (
        "<table><tr><th><table><tr><th>A<th>B<tr><td>1<td>2</table></th></tr><tr><td>end</td></tr></table>",
        "A  B\n-  -\n1  2\n\nend",
    ),
    # what is not shown
    "head, script, style": (
        "<html><head><title>t</title><style>p{}</style><meta name=x>junk</head><body>a<script>if (1<2) '<p>b'</script>"
        "<template><p>c</p></template><svg><text>d</text></svg>e",
        "ae",
    ),
    "head that is not closed": ("<head><title>t</title><p>shown", "shown"),
    "comments": (
        "a<!-- b --><!--[if mso]><p>c</p><![endif]--><!--[if !mso]><!-->d<!--<![endif]--><![if !mso]>e<![endif]><!doctype x><?x?>f",
        "adef",
    ),
    "hidden": (
        '<p hidden>a</p><div style="color:red; DISPLAY : none !important">b<p>c</p></div><p aria-hidden="true">d</p>'
        '<span style="visibility:hidden">e</span><p style="opacity:0">f</p><i style="opacity:0.5">g</i>'
        '<div style="max-height:0;overflow:hidden">h</div><span class="big preheader">i</span><p style="font-size:0">j',
        "g\n\nj",
    ),
    "a hidden paragraph that is not closed": ("<p hidden>a<p>b<div hidden>c</div>d", "b\n\nd"),
    "hidden void": ("a<br hidden><img alt=x hidden>b", "ab"),
    "preheader padding": (
        f"<div>Hi{'&nbsp;&zwnj;' * 50}{'&#847; &#8203;&shy;' * 20}</div><p>&nbsp;</p><p>text",
        "Hi\n\ntext",
    ),
    "joiners inside words": (
        "می\u200cخواهم 👩\u200d👩 10&nbsp;kg soft&shy;hyphen",
        "می\u200cخواهم 👩\u200d👩 10 kg softhyphen",
    ),
    # broken html
    "end tags of nothing": ("</p></div>a</b></table></td></ul>b", "ab"),
    "tags crossed": ("<b>a<i>b</b>c</i><table><tr><td><p>x</div></p></td></tr></table>", "abc\n\nx"),
    "cut off in a tag": ("text<a href='x", "text"),
    "cut off in a comment": ("text<!-- x <p>y", "text"),
    "controls": ("a\x00b\x1bc\x1ed\x1f\x7f\x85e\ud800f", "abcd ef"),
    "nothing": ("", ""),
}


@each("name", CASES)
def test_each_element(name):
    html, wanted = CASES[name]
    assert html_to_text(html, width=40) == wanted


def test_lines_are_wrapped_and_long_words_and_urls_are_not_broken():
    url = "https://x.test/" + "a" * 100
    text = html_to_text(f'<p>{"word " * 40}<a href="{url}">link</a> {"y" * 90} end</p><blockquote>{"quoted " * 30}')
    lines = text.split("\n")
    assert f"[{url}]" in lines
    assert "y" * 90 in lines
    assert all(len(line) <= 76 for line in lines if "a" * 100 not in line and "y" * 90 not in line)
    assert all(line.startswith("> quoted") for line in lines[lines.index("") + 1 :])


def test_the_depth_of_quotes_is_bounded():
    text = html_to_text("<blockquote>" * 500 + "x" + "</blockquote>" * 500 + "<ul><li>" * 500 + "y")
    assert "> > x" in text
    assert max(map(len, text.split("\n"))) < 60


def test_tokens_are_those_of_the_standard():
    found = list(tokens("<A HREF=x HREF=y b='c&amp;' d>t</a ><br/><p/q=1>x</"))
    assert found == [
        Tag("a", attributes={"href": "x", "b": "c&", "d": ""}),
        "t",
        Tag("a", is_end=True),
        Tag("br"),
        Tag("p", attributes={"q": "1"}),
        "x",
        "<",
        "/",
    ]


# --- anything at all --------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    "<p> </p> <div> </div> <b> </b> <a href=x> <a href='https://x.test'> </a> <table> </table> <tr> </tr> <td> </td> <th>"
    " </th> <ul> <ol start=5> </ul> </ol> <li> </li> <blockquote> </blockquote> <pre> </pre> <br> <hr> <img alt=pic> <h1>"
    " </h1> <head> </head> <body> <style> </style> <script> </script> <!-- --> <div hidden> <p style=display:none> <dl>"
    " <dt> <dd> </dl> <q> </q> <caption> </caption> <svg> </svg> &amp; &#x0; &nbsp; < > \" ' = word".split()
)
HTML = st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=60).map("".join)
NOT_IN_TEXT = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@given(HTML, st.integers(1, 100))
def test_it_never_raises_and_what_it_gives_is_clean(html, width):
    text = html_to_text(html, width)
    without_pre = text if "<pre" in html else NOT_IN_TEXT.sub("", text)
    assert text == without_pre
    assert all(line == line.rstrip() for line in text.split("\n"))
    assert not text.startswith("\n")
    assert not text.endswith("\n")


WORD = st.text("abcdefgh", min_size=1, max_size=8).map(lambda word: f"w{word}")


def wrapped_in(children):
    inside = st.lists(children, min_size=1, max_size=4).map("".join)
    return st.tuples(
        st.sampled_from("p div b i span h1 h3 blockquote li ul ol pre section a q td table dl dd sup".split()), inside
    ).map(lambda pair: f"<{pair[0]}>{pair[1]}</{pair[0]}>")


@given(st.recursive(WORD.map(lambda word: f" {word} "), wrapped_in, max_leaves=25), st.integers(20, 80))
def test_no_word_is_lost_and_none_is_added(html, width):
    words = re.findall(r"w[a-h]+", re.sub(r"<[^>]*>", " ", html))
    assert re.findall(r"w[a-h]+", html_to_text(html, width)) == words


@each(
    "piece",
    [
        "<a ", "<a b='", '<a b="', "</a", "<!--", "<!", "&#", "<", "<b>", "</b>", "<b></i>", "<p>", "<div>", "<table>",
        "<td>", "<tr>", "<th>x", "<table><th>", "<ul>", "<li>", "<ul><li>x", "<blockquote>x", "<a href=x>y", "<br>", "&nbsp; ",
        "<p hidden>", "<script>", "<pre>\n", "<h1>x", "<dl><dd>", "\u200c ", "&nbsp;", "<td><ul>", "x\x1f", "<a href='b '>",
        "<table><tr><td>x<td colspan=9>y", "<p style='display:none;", "&#99999999999999999999;", "word ", "<q>", "<h1><table><td>x",
    ],
)  # fmt: skip
def test_it_is_linear(piece):
    """Twice the input is far from four times the work: counted in lines of code that run, not in time."""

    def steps(html):
        count = 0

        def tracer(frame, event, arg):
            nonlocal count
            count += event == "line"
            return tracer

        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            html_to_text(html)
        finally:
            sys.settrace(before)
        return count

    small, large = steps(piece * 100), steps(piece * 200)
    assert large < small * 2.5 + 100

    # What runs inside one line (a regular expression, a join) shows in the time only: a bound with much room.
    start = time.process_time()
    html_to_text(piece * 2_500)
    assert time.process_time() - start < 2


def test_a_long_run_of_joiners_is_read_once():
    """Joiners are looked at for the blank behind them: from each of them anew it took minutes."""
    start = time.process_time()
    assert html_to_text("<p>a" + "\u200d" * 100_000 + "a") == "a" + "\u200d" * 100_000 + "a"
    assert html_to_text("<p>a" + "\u200c" * 100_000 + " b") == "a b"
    assert time.process_time() - start < 5
