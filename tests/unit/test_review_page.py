"""The review page in real Chromium: keys, decisions that stay, editing, search, and thousands of clips."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from made_report import ORDER, Finished, bounds, row
from many_clips import MANY, SCROLL, many_clips
from test_browse import running

from browser import IN_CHROMIUM, Opened, opened
from clipmill.demo import render
from clipmill.report.judge import Judge
from clipmill.review.choose import REVIEW, choose
from clipmill.store.layout import Paths
from clipmill.store.review import Decision, clip_key, read_review

pytestmark = [pytest.mark.browser, *IN_CHROMIUM]  # named here: see tests/conftest.py

FILTERS = bounds(motion=(1, 20), brightness=(20, None), transfer={"allow": ["sdr"]})
SIZE, FPS, SECONDS = (160, 90), 8, 2
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)</script>",
    "$& ${1}",
]


def clips() -> list[dict]:
    """Twelve kept clips; then clips that fail one filter by 0.1 to 0.4, two filters, or other checks."""
    rows = [
        row(n, FILTERS, motion=2.0 + n, transfer="sdr", camera="static" if n % 2 else "pan_left") for n in range(12)
    ]
    rows += [row(12 + n, FILTERS, motion=0.6 + n / 10, transfer="sdr") for n in range(4)]
    rows += [row(16, FILTERS, motion=20.5, transfer="sdr"), row(17, FILTERS, transfer="pq")]
    rows += [row(18, FILTERS, motion=0.9, brightness=10.0, transfer="sdr")]
    rows += [row(19, FILTERS, transfer="sdr", reason="caption failed"), row(20, FILTERS, transfer="sdr", motion=None)]
    return [*rows, row(21, FILTERS, transfer="sdr") | {"kept": False, "reason": "reviewed out"}]


@pytest.fixture(scope="module")
def clip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that every browser plays."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    frames = render.pan(render.photograph("coffee.png"), SIZE, SECONDS, FPS, 10)
    render.encode(path, frames, SIZE, FPS, options={"preset": "ultrafast"})
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clip_file: Path) -> Finished:
    run = Finished(tmp_path_factory.mktemp("made") / "run", FILTERS, clips(), ["v0", "v4"])
    run.review(clip_file)
    return run


@contextmanager
def review(run: Finished, width: int = 1000, scheme: str = "light") -> Iterator[Opened]:
    """The page, opened from disk beside the dataset."""
    with opened(run.outdir / "review.html", width, scheme, beside=(run.outdir / "dataset").as_uri()) as page:
        yield page


def ids(page: Opened) -> list[str]:
    """Of the clips in the document, in order."""
    cards = page.page.locator(".one").all()
    return [
        card.get_attribute("aria-label")
        for card in sorted(cards, key=lambda one: int(one.get_attribute("aria-posinset")))
    ]


def name(number: int) -> str:
    """How a card of the clip with this number is called."""
    start = 4 * (number % 3)
    return f"video {number // 3}.mp4, 0:{start:04.1f}–0:{start + 4:04.1f}"


def at(page: Opened) -> str | None:
    return page.page.locator(".one.current").get_attribute("aria-label")


def walk(page: Opened, number: int) -> None:
    """Go to a clip by the keyboard."""
    press(page, "Home")
    for _ in range(20):
        if at(page) == name(number):
            return
        press(page, "j")
    raise AssertionError(f"{name(number)} is not among {ids(page)}")


def until(page: Opened, is_true: str, *arguments: object) -> None:
    """Wait until something holds. Playwright's own way evaluates texts in the page, which its policy forbids."""
    for _ in range(200):
        if page.page.evaluate(is_true, *arguments):
            return
        page.page.wait_for_timeout(50)
    raise AssertionError(f"never true: {is_true}")


def press(page: Opened, *keys: str) -> None:
    for key in keys:
        page.page.keyboard.press(key)
    page.settle()


def saved(page: Opened, tmp_path: Path) -> dict[str, Decision]:
    """The decisions in the file that the page saves, as a run reads them."""
    with page.page.expect_download() as download:
        page.page.locator('[data-is="save"]').click()
    assert download.value.suggested_filename == "review.jsonl"
    download.value.save_as(tmp_path / "review.jsonl")
    return read_review(tmp_path / "review.jsonl")


# --- which clips ------------------------------------------------------------------------------------------------------


def test_kept_clips_and_those_that_fail_one_filter_are_shown_nearest_first(made):
    with review(made) as page:
        sizes = [page.text(f"count-{which}") for which in ("kept", "near", "all")]
        assert sizes == ["12", "7", "19"] and ids(page)[:2] == [name(0), name(1)]
        page.page.locator('[data-set="near"]').click()
        reasons = page.page.locator(".why").all_text_contents()
        near = {
            15: 0,
            16: 0,
            17: 0,
            21: 0,
            14: 1,
            13: 2,
            12: 3,
        }  # by rank: the nearest of each threshold, then the next
        assert ids(page) == [name(number) for number in near][: len(reasons)]
        assert reasons[:4] == [
            "Dropped by motion: 0.9 is below 1.",
            "Dropped by motion: 20.5 is above 20.",
            "Dropped by transfer: pq.",
            "Dropped by a person's decision: reviewed out.",
        ]
        assert page.told == []


def test_more_clips_than_a_page_can_hold_become_a_sample(made, monkeypatch):
    monkeypatch.setattr(choose, "__defaults__", (5, 5))
    before = (made.outdir / "review.html").read_bytes()
    with opened(made.write_review(made.outdir / "sample.html"), beside=(made.outdir / "dataset").as_uri()) as page:
        assert page.text("count-kept") == "5"
        assert "The run kept 12 clips. This page has a random sample of 5" in page.page.locator(".sampled").inner_text()
    monkeypatch.undo()
    assert made.write_review(made.outdir / "same.html").read_bytes() == before


def test_of_clips_that_decisions_dropped_the_thrown_out_ones_come_first(tmp_path):
    starless = [row(n, FILTERS, transfer="sdr") | {"kept": False, "reason": "not starred"} for n in range(3)]
    run = Finished(tmp_path / "run", FILTERS, [*starless, *clips()[3:]], [])
    found = choose(Paths(run.outdir).final_verdicts, Judge(FILTERS, ORDER, cascade=False), most_returned=3)
    assert {place: one.rank for place, one in found.near.items() if one.end == REVIEW} == {21: 0, 0: 1, 1: 2}


def test_words_scores_labels_and_decisions_narrow_the_list_and_scores_order_it(made):
    with review(made) as page:
        press(page, "/")
        page.page.keyboard.type("CLIP is 7")
        until(page, "document.querySelectorAll('.one').length === 1")
        assert ids(page) == [name(7)]
        assert page.page.locator(".caption mark").all_text_contents() == ["clip", "is", "7", "is"]
        page.page.locator('[data-is="search"]').fill("")
        until(page, "document.querySelectorAll('.one').length > 2")
        page.page.locator('[data-is="filters"]').click()
        page.page.get_by_label("motion at least").fill("9")
        page.page.get_by_label("camera", exact=True).select_option("static")
        until(page, "document.querySelectorAll('.one').length === 3")
        assert ids(page) == [name(7), name(9), name(11)] and page.text("count-filters") == "2"
        page.page.locator('[data-is="sort"]').select_option("motion")
        page.page.locator('[data-is="direction"]').click()
        assert ids(page) == [name(11), name(9), name(7)]
        assert page.page.locator(".scores li").first.inner_text() == "motion 13"
        for order in ("video", "text", "camera"):
            page.page.locator('[data-is="sort"]').select_option(order)
            assert sorted(ids(page)) == sorted([name(7), name(9), name(11)]), order
        page.page.locator('[data-is="sort"]').select_option("text")
        assert ids(page) == [name(9), name(7), name(11)], "falling, as texts are: 9, 7, 11"
        page.page.locator('[data-is="sort"]').select_option("motion")
        press(page, "j")
        page.page.keyboard.press("Escape")
        page.page.get_by_text("Clear filters").click()
        page.page.get_by_label("part of the video's name").fill("VIDEO 2")
        until(page, "document.querySelectorAll('.one').length === 3")
        assert ids(page) == [name(8), name(7), name(6)]
        page.page.get_by_text("Clear filters").click()
        page.page.locator("h1").click()
        press(page, "Home", "d")
        page.page.locator('[data-is="decision"]').select_option("drop")
        assert ids(page) == [name(11)]
        page.page.locator('[data-is="decision"]').select_option("star")
        assert page.page.locator('[data-is="empty"]').is_visible() and ids(page) == []
        press(page, "j", "d", " ", "u")  # nothing is there, and nothing happens
        assert page.told == []


# --- decisions --------------------------------------------------------------------------------------------------------


def test_keys_decide_undo_and_go_on_and_a_reload_keeps_it(made, tmp_path):
    with review(made) as page:
        assert at(page) == name(0)
        press(page, "d", "j", "s", "j", "j", "k", "y", "ArrowDown", "d", "d")
        assert at(page) == name(3)
        focused = "document.activeElement.matches('.one.current')"
        assert page.page.evaluate(focused), "the clip has the focus"
        assert page.page.locator('[data-is="tally"]').inner_text().split("\n") == [
            "1 dropped",
            "1 approved",
            "1 starred",
        ]
        press(page, "u", "u", "u")
        assert at(page) == name(2) and page.page.locator('[data-is="tally"]').inner_text() == "1 dropped\n1 starred"
        press(page, "?")
        assert page.page.get_by_role("dialog", name="Keys").is_visible()
        press(page, "d", "Escape")
        page.page.locator(".one").nth(0).get_by_role("button", name="Approve").click()
        page.page.reload()
        page.page.wait_for_selector("html[data-ready]", state="attached")
        assert page.page.locator(".one .mark:visible").all_text_contents() == ["approved", "★"]
        found = saved(page, tmp_path)
        assert {clip_id: (one.decision, one.star, one.text) for clip_id, one in found.items()} == {
            "v0_0": ("keep", False, None),
            "v0_1": (None, True, None),
        }
        assert {one.clip for one in found.values()} == {
            clip_key({"source_key": "key", "start_frame": 8 * n, "end_frame": 8 * n + 8}) for n in (0, 1)
        }
        assert page.told == []


def test_captions_are_edited_and_put_back(made, tmp_path):
    own = "The number of this clip is 1, and it is about a cat."
    with review(made) as page:
        card = page.page.locator(".one").nth(1)
        area = card.get_by_label("Caption")
        press(page, "j", "e")
        assert area.is_visible() and area.input_value() == own
        area.fill("  A <b>cat</b>\n sits.  d s u ")
        press(page, "Control+Enter")
        assert card.locator(".caption").inner_text().startswith("A <b>cat</b> sits. d s u")
        assert page.page.evaluate("document.activeElement.matches('.one.current')")
        press(page, "e")
        area.fill("never")
        press(page, "Escape")
        press(page, "j", "e")
        page.page.locator(".one").nth(2).get_by_label("Caption").fill("Taken when the focus leaves it.")
        page.page.locator('[data-is="search"]').focus()
        assert {clip_id: one.text for clip_id, one in saved(page, tmp_path).items()} == {
            "v0_1": "A <b>cat</b> sits. d s u",
            "v0_2": "Taken when the focus leaves it.",
        }
        page.page.locator("h1").click()
        press(page, "u", "k")
        for text in ("", own):  # an empty text, and the model's own, are no edit
            press(page, "e")
            area.fill(text)
            press(page, "Control+Enter")
            assert card.locator(".caption").inner_text() == own and saved(page, tmp_path) == {}
        assert page.told == []


def test_a_saved_file_is_opened_again_and_a_decision_about_other_pictures_does_not_count(made, tmp_path):
    key = clip_key({"source_key": "key", "start_frame": 0, "end_frame": 8})
    lines = [Decision("v0_0", "drop", False, None, key, "2026-11-30T22:30:00Z").as_line()]
    lines += [Decision("v0_1", "drop", False, None, "other", "2026-11-30T22:30:00Z").as_line(), "no line\n"]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(lines))
    with review(made) as page:
        page.page.locator('[data-is="open"] input').set_input_files(file)
        until(page, "document.querySelector('[data-is=saved]').textContent.includes('mine')")
        assert page.text("saved") == "1 read from mine.jsonl, 1 lines cannot be read"
        assert page.text("tally") == "1 dropped"
        why = page.page.locator(".one").nth(1).locator(".why").inner_text()
        assert why == "Looked at on 2026-11-30, but its pictures have changed since."
        assert saved(page, tmp_path).keys() == {"v0_0"}


# --- playing ----------------------------------------------------------------------------------------------------------

SAVED = "document.querySelector('[data-is=saved]').textContent === 'saved in review.jsonl'"
PLAYS = "(card) => { const video = card.querySelector('video'); return !video.paused && video.currentTime > 0; }"


def test_clips_play_by_the_pointer_and_by_a_key_and_dropped_ones_move(made):
    with review(made) as page:
        first, second = page.page.locator(".one").nth(0), page.page.locator(".one").nth(1)
        first.locator(".media").hover()
        until(page, PLAYS, first.element_handle())
        assert first.locator("video").evaluate("one => one.muted"), "the pointer passes over many clips"
        press(page, "j", " ")
        until(page, PLAYS, second.element_handle())
        assert not second.locator("video").evaluate("one => one.muted")
        assert first.locator("video").evaluate("one => one.paused")
        press(page, " ")
        assert second.locator("video").evaluate("one => one.paused")
        page.page.mouse.move(0, 0)
        page.page.locator('[data-set="near"]').click()
        reels = {card.get_attribute("aria-label"): card for card in page.page.locator(".one").all()}
        reel = reels[name(14)].locator(".reel")  # of a video whose frames were kept
        assert reel.is_visible() and "lost" not in reels[name(14)].inner_text()
        walk(page, 14)
        press(page, " ")
        assert reel.evaluate("one => one.getAnimations().length") == 1
        assert "No picture: its kept frames are not there" in reels[name(15)].inner_text()
        assert page.told == []


def test_without_the_dataset_beside_it_the_page_says_so(made, tmp_path):
    page_alone = tmp_path / "review.html"
    page_alone.write_bytes((made.outdir / "review.html").read_bytes())
    with opened(page_alone, beside=(tmp_path / "dataset").as_uri()) as page:
        lost = page.page.locator(".one", has=page.page.locator(".lost:visible"))
        until(page, "document.querySelectorAll('.lost:not([hidden])').length > 4")
        assert (
            "Not beside this page, or in a format that this browser does not play: dataset/clips/v1/"
            in lost.first.inner_text()
        )
        assert page.page.locator(".one").first.locator(".reel").is_visible(), "the picture in the page stands for it"
        press(page, "d")
        assert page.text("tally") == "1 dropped"


def test_served_by_browse_decisions_are_written_at_once_and_dropped_clips_play(made, clip_file):
    made.index_source("v5", clip_file)
    file = made.outdir / "review.jsonl"
    with running(made.outdir) as server:
        beside = server.address.removesuffix("review.html")
        with opened(made.outdir / "review.html", 1000, "light", server.address, beside) as page:
            assert page.text("saved") == "saved in review.jsonl"
            assert not page.page.locator('[data-is="save"]').is_visible()
            press(page, "d", "j", "s", "j", "e")
            page.page.locator(".one").nth(2).get_by_label("Caption").fill("edited – <b>")
            press(page, "Control+Enter", "k", "k", "u")
            until(page, SAVED)
            page.page.wait_for_timeout(300)
            found = read_review(file)
            assert {clip_id: (one.decision, one.star, one.text) for clip_id, one in found.items()} == {
                "v0_0": ("drop", False, None),
                "v0_1": (None, True, None),
            }
            page.page.evaluate("localStorage.clear()")
            page.page.reload()
            page.page.wait_for_selector("html[data-ready]", state="attached")
            assert page.text("tally") == "1 dropped\n1 starred"
            page.page.locator('[data-set="near"]').click()
            walk(page, 15)
            press(page, " ")
            video = page.page.locator(".one.current video")
            until(page, PLAYS, page.page.locator(".one.current").element_handle())
            assert "/source/v5#t=0,4" in video.evaluate("one => one.src")
            token, server.token = server.token, "another"  # as after a new start: the page's requests are refused
            press(page, "d")
            until(page, "document.querySelector('[data-is=saved]').classList.contains('bad')")
            assert page.text("saved").startswith("not saved: Open the whole address")
            told = [line for line in page.told if "403" not in line]
            assert told == []
            # What the page kept is written when the server answers again, and nothing else; also that it is taken back.
            for decision in ("drop", None):
                server.token = token
                page.page.reload()
                page.page.wait_for_selector("html[data-ready]", state="attached")
                until(page, SAVED)
                page.page.wait_for_timeout(300)
                found = read_review(file)
                assert (found["v5_15"].decision if "v5_15" in found else None) == decision
                lines = file.read_text().count("\n")
                page.page.reload()
                page.page.wait_for_selector("html[data-ready]", state="attached")
                page.page.wait_for_timeout(300)
                assert file.read_text().count("\n") == lines, "what the server has is not sent again"
                page.page.locator('[data-set="near"]').click()
                walk(page, 15)
                server.token = "another"
                press(page, "d")
                until(page, "document.querySelector('[data-is=saved]').classList.contains('bad')")
    file.unlink()


def test_what_is_decided_while_a_decision_is_being_written_is_written_too(made):
    file = made.outdir / "review.jsonl"
    with running(made.outdir) as server:
        beside = server.address.removesuffix("review.html")
        with opened(made.outdir / "review.html", 1000, "light", server.address, beside) as page:
            with server.writing:
                press(page, "d")
                page.page.wait_for_timeout(400)  # the request waits for the lock
                press(page, "s")
            page.page.wait_for_timeout(400)
            until(page, SAVED)
            assert [(one.decision, one.star) for one in read_review(file).values()] == [("drop", True)]
    file.unlink()


def test_two_tabs_add_to_each_others_decisions_and_neither_overwrites_the_other(made):
    file = made.outdir / "review.jsonl"
    with running(made.outdir) as server:
        beside = server.address.removesuffix("review.html")
        with opened(made.outdir / "review.html", 1000, "light", server.address, beside) as page:
            with page.page.context.expect_page() as tab:
                page.page.evaluate("open(location.href)")
            other = tab.value
            other.wait_for_selector("html[data-ready]", state="attached")
            press(page, "s", "e")
            page.page.locator(".one").nth(0).get_by_label("Caption").fill("A person's words.")
            press(page, "Control+Enter")
            caption = other.locator(".one .caption").first
            caption.get_by_text("A person's words.").wait_for()
            other.keyboard.press("d")
            page.page.locator(".one").nth(0).get_by_text("dropped").wait_for()
            other.wait_for_timeout(400)
            found = read_review(file)["v0_0"]
            assert (found.decision, found.star, found.text) == ("drop", True, "A person's words.")
    file.unlink()


# --- many clips, every window, hostile texts --------------------------------------------------------------------------


def test_twenty_thousand_clips_scroll_with_a_few_cards_in_the_document(tmp_path):
    page_path = many_clips(tmp_path / "review.html")
    assert page_path.stat().st_size < 30_000_000 and page_path.stat().st_size < 1100 * MANY
    with opened(page_path, 1600, beside=(tmp_path / "dataset").as_uri()) as page:
        found = page.page.evaluate(SCROLL)
        assert found["most"] <= 20 and found["made"] <= 20, found
        assert found["height"] == MANY / 2 * 240
        press(page, "End", "d")
        assert at(page) == page.page.locator(f'.one[aria-posinset="{MANY}"]').get_attribute("aria-label")
        page.page.locator('[data-is="sort"]').select_option("motion")
        page.page.locator('[data-is="search"]').fill("19876")
        until(page, "document.querySelectorAll('.one').length === 1")
        assert "19876 " in page.page.locator(".caption").inner_text()


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1600, "light")])
def test_it_fits_every_window_and_axe_finds_nothing_serious(made, width, scheme):
    with review(made, width, scheme) as page:
        press(page, "d", "j", "y", "j", "s")
        page.page.locator('[data-is="filters"]').click()
        assert page.overflow == 0 and page.faults() == []
        page.page.locator('[data-is="filters"]').click()
        page.page.locator('[data-set="near"]').click()
        press(page, "e")
        assert page.overflow == 0 and page.faults() == []
        press(page, "Escape", "?")
        assert page.faults() == [] and page.told == []


def test_what_comes_from_outside_is_text(tmp_path):
    rows = [
        row(n, FILTERS, name=word, caption=word, text=f"{word} \u2028", transfer="sdr")
        for n, word in enumerate(HOSTILE)
    ]
    run = Finished(tmp_path, FILTERS, rows)
    run.review()
    with opened(run.outdir / "review.html", beside=(run.outdir / "dataset").as_uri()) as page:
        press(page, "/")
        page.page.keyboard.type("<script> (a|b) alert(1)")
        page.page.wait_for_timeout(300)
        page.page.locator('[data-is="search"]').fill("")
        until(page, f"document.querySelectorAll('.one').length === {len(HOSTILE)}")
        text = page.page.locator("main").inner_text()
        for word in HOSTILE:
            assert text.count(word) >= 2
        assert page.page.locator("img, .one script").count() == 0 and page.page.locator("script").count() == 1
        page.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 2'}))"
        )
        assert page.page.title() == "clipmill review: 4 kept clips"
        page.page.evaluate("fetch('https://example.com/').catch(() => 0)")
        expected = ("Content Security Policy", "Fetch API cannot load", "net::ERR_FILE_NOT_FOUND")  # there are no clips
        assert sum(expected[0] in line for line in page.told) >= 2
        assert all(any(part in line for part in expected) for line in page.told), page.told
