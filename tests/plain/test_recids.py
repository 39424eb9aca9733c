"""Words of INPUTDIR at a portal, pages of it that people copy, and searches as its addresses have them."""

from __future__ import annotations

import pytest

from gridsync_parts.errors import UsageError
from gridsync_parts.recids import Query, check_words, is_page_of, page_of, query_of, word_of, words_in

DOI = "10.7483/OPENDATA.CMS.JKB8.RR42"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5500", ["5500"]),
        ("cms-8886", ["cms-8886"]),
        ("5500:cms-8886", ["5500", "cms-8886"]),
        (" 5500 : cms-8886 :", ["5500", "cms-8886"]),
        (DOI, [DOI]),
        (f"doi:{DOI}", [DOI]),
        (f"DOI: {DOI}", [DOI]),
        (f"5500:{DOI}:doi:{DOI}x:7", ["5500", DOI, f"{DOI}x", "7"]),
        (f"{DOI}:{DOI}", [DOI, DOI]),
        ("5500/record.json", ["5500/record.json"]),
        ("//5500//sub/./a.root", ["5500/sub/a.root"]),
        ("?q=a//b:c", ["?q=a//b:c"]),
        ("?experiment:DELPHI", ["?experiment:DELPHI"]),
        ("5500:?f=experiment:CMS&q=a:b", ["5500", "?f=experiment:CMS&q=a:b"]),
        ("?f=year:2010:?q=muon", ["?f=year:2010", "?q=muon"]),
        ("?q=is it? yes", ["?q=is it? yes"]),
        ("/", []),
        ("", []),
        (":", []),
    ],
)
def test_the_words_of_an_inputdir(text, words):
    assert words_in(text) == words


@pytest.mark.parametrize("text", ["../5500", "5500/../../x"])
def test_a_word_that_leads_upwards(text):
    with pytest.raises(UsageError, match=r"leave out '\.\.'"):
        words_in(text)


SITE = "https://opendata.cern.ch"
PAGES = {
    f"{SITE}/record/5500": "5500",
    f"{SITE}/record/cms-5500#files": "cms-5500",
    f"{SITE}/record/5500?ln=en": "5500",
    f"{SITE}//record/5500/": "5500",
    f"{SITE}/api/records/5500": "5500",
    f"{SITE}/record/5500/export/json": "5500",
    f"{SITE}/record/5500/file_index/CMS_file_index.json": "5500",
    f"{SITE}/record/5500/files/a%20b.root": "5500/a b.root",
    f"{SITE}/search?q=a//b&f=experiment%3ACMS": "?q=a//b&f=experiment%3ACMS",
    f"{SITE}/search/?q=#top": "?q=",
    f"{SITE}/api/records/?q=muon&size=10": "?q=muon&size=10",
    f"https://doi.org/{DOI}": DOI,
    f"http://dx.doi.org/{DOI}/": DOI,
}


@pytest.mark.parametrize("url", PAGES)
def test_a_page_means_what_it_shows(url):
    assert word_of(url) == PAGES[url]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("records/17", "17"),
        ("records/17/files/a%20b.root?download=1", "17/a b.root"),
        ("uploads/17", "17"),
        ("api/records/17/draft/files/a/content", "17/a"),
        ("particles/records/abcde-01234", "abcde-01234"),
        ("particles/abcde-01234", "abcde-01234"),  # as NRP has it
        ("particles/abcde-01234/preview/a.csv", "abcde-01234/a.csv"),
        ("search?q=muon", "?q=muon"),
    ],
)
def test_a_page_of_a_repository_means_what_it_shows(path, word):
    assert word_of(f"https://repository.example.org/{path}", "invenio") == word


def test_a_page_of_a_repository_without_a_record():
    with pytest.raises(UsageError, match=r"give one like https://repository[.]example[.]org/records/ID"):
        word_of("https://repository.example.org/communities/agata", "invenio")


@pytest.mark.parametrize("path", ["", "/", "/docs/about", "/record", "/eos/opendata/cms/a.root", "/visualise/events"])
def test_a_page_that_shows_no_record(path):
    with pytest.raises(UsageError, match="is no page of a record or a search; give one like https:"):
        word_of(SITE + path)


@pytest.mark.parametrize(
    ("url", "is_one"),
    [
        (f"{SITE}/record/1", True),
        ("http://opendata.cern.ch/record/1", True),
        ("https://OpenData.cern.ch:443/record/1", True),
        ("https://opendata.cern.ch:8443/record/1", False),
        ("https://opendata.cern.ch.example.org/record/1", False),
        (f"https://doi.org/{DOI}", False),
    ],
)
def test_what_is_at_the_portal(url, is_one):
    assert is_page_of(SITE, url) is is_one


def test_the_page_of_a_word():
    assert [page_of(SITE, word) for word in ("5500/a b", "?q=a b", DOI)] == [
        f"{SITE}/record/5500", "?q=a b", f"https://doi.org/{DOI}"
    ]  # fmt: skip


OF_ITS_PAGE = "l=list&order=desc&p=1&s=10&sort=mostrecent"
QUERIES = {
    "?": Query("", {}),
    "?q=": Query("", {}),
    "?muon pairs": Query("muon pairs", {}),
    "?q=heavy+ion": Query("heavy ion", {}),
    "?q=heavy%20ion&q=": Query("heavy ion", {}),
    "?experiment:DELPHI": Query("", {"experiment": ["DELPHI"]}),
    "?experiment=CMS&experiment=DELPHI": Query("", {"experiment": ["CMS", "DELPHI"]}),
    "?muon&experiment:CMS&type:Dataset": Query("muon", {"experiment": ["CMS"], "type": ["Dataset"]}),
    f"?q=&f=experiment%3ACMS&f=file_type%3Ananoaod&{OF_ITS_PAGE}": Query(
        "", {"experiment": ["CMS"], "file_type": ["nanoaod"]}
    ),
    f"?q=&f=type%3ADataset%2Bsubtype%3ACollision&f=year%3A2010&{OF_ITS_PAGE}": Query(
        "", {"type": ["Dataset::Collision"], "year": ["2010--2010"]}
    ),
    "?f=type:Dataset+subtype:Collision&f=type:Software": Query("", {"type": ["Dataset::Collision", "Software"]}),
    "?f=category:Standard Model Physics+subcategory:Top physics": Query(
        "", {"category": ["Standard Model Physics::Top physics"]}
    ),
    "?page=1&size=20&type=Dataset&subtype=Collision&experiment=CMS&year=2011": Query(
        "", {"type": ["Dataset::Collision"], "experiment": ["CMS"], "year": ["2011--2011"]}
    ),
    "?year:2010--2012": Query("", {"year": ["2010--2012"]}),
    "?p=higgs": Query("higgs", {}),
    "?q=higgs&p=2": Query("higgs", {}),
    "?title.tokens:*muon*": Query("title.tokens:*muon*", {}),
    '?keywords:"heavy-ion physics"': Query("", {"keywords": ["heavy-ion physics"]}),
    "?experiment:CMS AND type.secondary:Collision": Query("experiment:CMS AND type.secondary:Collision", {}),
    "?experiment:(CMS OR ATLAS)": Query("experiment:(CMS OR ATLAS)", {}),
    "?experiment:CMS muon": Query("experiment:CMS muon", {}),
    "?type:Dataset::Collision&keywords:heavy-ion physics": Query(
        "", {"type": ["Dataset::Collision"], "keywords": ["heavy-ion physics"]}
    ),
    "?q=a//b:c": Query("a//b:c", {}),
    "?availability:on demand&ondemand=true": Query("", {"availability": ["on demand"], "ondemand": ["true"]}),
}


@pytest.mark.parametrize("word", QUERIES)
def test_a_search_is_read_as_its_page_has_it(word):
    assert query_of(word) == QUERIES[word]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("?experimnt=CMS", "the portal does not filter by 'experimnt', but by .*; did you mean experiment$"),
        ("?f=colour:red", "the portal does not filter by 'colour'"),
        ("?subtype=Collision", "a subtype stands beside its type; add &type=...$"),
    ],
)
def test_what_the_portal_would_ignore_is_refused(word, says):
    with pytest.raises(UsageError, match=says):
        query_of(word)


@pytest.mark.parametrize("word", ["?q=\udcff", "10.7483/\udcff", "?experiment=\udcff"])
def test_words_that_no_url_can_have_are_refused(word):
    """They come from a terminal that is not set to UTF-8."""
    with pytest.raises(UsageError, match=r"is not UTF-8, as all that a portal is asked; write it anew$"):
        check_words([word], "OPEN")
