"""The page in a real browser over the real service: from a folder on the disk to a result that is looked at."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser.conftest import JOB_WITHIN_S, Site

MINUS = "\N{MINUS SIGN}"
SPARSE_BYTES = 3 << 30
NO_WEBGL = """
const ask = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind === "webgl2" ? null : ask.call(this, kind, ...rest);
};
"""
# Match a place of a scan with another's and back; the right lung of each is one voxel, of the second 3 mm off.
MATCHED = """async ([a, b, atlas, place]) => {
  const { matching } = await import("/page/viewer/matching.js");
  const lungs = (x) => ({ shape: [1, 1, 1], voxels: [1], affine: [[1, 0, 0, x], [0, 1, 0, 0], [0, 0, 1, 0]] });
  const result = (matrix, atlas_sha256) => (
    { qc: { registration: { matrix } }, warnings: [], provenance: { weights: { atlas_sha256 } } });
  const { toOther, toHere } = matching([result(a, "one"), lungs(0)], [result(b, atlas), lungs(3)]);
  return [toOther(place), toHere(toOther(place))];
}"""


def score(site: Site, code: str, image: str = "raw") -> dict:
    (found,) = (
        score
        for score in site.result["scores"]
        if (score["code"], score["region"], score["image"]) == (code, "whole", image)
    )
    return found


def picture(tab) -> np.ndarray:
    """The slices as they are on the screen, (rows, columns, 3)."""
    shot = tab.page.locator("canvas.slices").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), dtype=np.int16)


def colourful(picture: np.ndarray) -> int:
    """How many pixels are not grey."""
    return int((np.ptp(picture, axis=2) > 40).sum())


def until_changed(tab, before: np.ndarray) -> np.ndarray:
    for _ in range(100):
        now = picture(tab)
        if now.shape != before.shape or np.abs(now - before).max() > 30:
            return now
        tab.page.wait_for_timeout(100)
    raise AssertionError("the picture stays as it was")


def pick(tab, folder: Path) -> None:
    tab.page.locator("input[webkitdirectory]").set_input_files(folder)


def test_a_wrong_key_gets_one_sentence_and_is_kept_nowhere(open_tab) -> None:
    tab = open_tab()
    tab.sign_in("dras_wrong_key")
    told = tab.page.get_by_role("alert").filter(has_text="does not open the service")
    told.wait_for()
    assert tab.page.evaluate("sessionStorage.length + localStorage.length") == 0
    assert not tab.problems()


def test_a_study_goes_from_a_folder_to_a_result_that_is_looked_at(open_tab, site: Site, chest: Path) -> None:
    tab = open_tab()
    tab.sign_in(site.key)
    pick(tab, chest)
    n_files = len(list(chest.iterdir()))
    tab.page.get_by_text(re.compile(rf"{n_files} slices of \d+")).wait_for()
    tab.page.get_by_role("button", name="Send the study").click()
    tab.page.get_by_role("heading", name=re.compile("^Study ")).wait_for()
    tab.wait_for_images(within_s=JOB_WITHIN_S)

    site.job = re.search("job=([0-9a-f-]+)", tab.page.url)[1]
    with site.api as api:
        site.result = api.get(f"/v1/jobs/{site.job}/result").raise_for_status().json()
    numbers = tab.page.locator("dl.numbers").inner_text()
    assert f"{score(site, 'LAA-950insp')['value']:.1f}" in numbers
    assert f"{score(site, 'Perc15')['value']:.0f}".replace("-", MINUS) in numbers
    assert f"{score(site, 'volume')['value']:.0f}" in numbers
    for warning in site.result["warnings"]:
        tab.page.locator("section.warnings").get_by_text(warning["message"]).wait_for()

    validated = next(request for request in tab.asked if request.url.endswith("/v1/validate"))
    sent = validated.response().json()["size_bytes"]
    whole = sum(path.stat().st_size for path in chest.iterdir())
    assert sent < 0.2 * whole  # of 64 slices of 512² 1 %
    for request in tab.asked:
        assert site.key not in request.url
    assert not tab.problems()


def test_slices_windows_and_overlays_change_what_is_seen(open_tab, computed: Site) -> None:
    tab = open_tab(f"/#job={computed.job}", key=computed.key)
    tab.wait_for_images()
    seen = picture(tab)
    assert seen.std() > 20  # a chest, and not a black field
    axial = tab.page.get_by_label("Axial").last
    first = int(axial.input_value())
    canvas = tab.page.locator("canvas.slices")
    box = canvas.bounding_box()
    tab.page.mouse.move(box["x"] + box["width"] * 0.15, box["y"] + box["height"] / 2)
    tab.page.mouse.wheel(0, 240)
    tab.page.wait_for_function("n => document.querySelector('#slice-axial').value != n", arg=str(first))
    seen = until_changed(tab, seen)
    scrolled = int(axial.input_value())
    canvas.focus()
    tab.page.keyboard.press("ArrowUp")
    assert int(axial.input_value()) == scrolled + 1
    tab.page.get_by_text("Mediastinum", exact=True).click()
    seen = until_changed(tab, seen)
    tab.page.select_option("#patch-quantity", "laa950")
    coloured = until_changed(tab, seen)
    assert colourful(coloured) > 3 * colourful(seen)  # the outlines of the lungs have a colour as well
    tab.page.select_option("#patch-quantity", "similarity")
    tab.page.get_by_role("button", name="Pick the patch at the crosshair").click()
    until_changed(tab, coloured)
    picked = int(re.search(r"\d+", tab.page.get_by_text(re.compile(r"^Patch \d+$")).inner_text())[0])
    tab.page.locator("output.reading").get_by_text(f"patch {picked}: Similarity").wait_for()
    assert not tab.problems()


def test_two_scans_move_under_one_cursor_by_the_keyboard(
    open_tab, computed: Site, small_job: str, axe: str
) -> None:
    tab = open_tab(f"/#job={computed.job}&against={small_job}", key=computed.key)
    tab.wait_for_images()
    look = tab.page.get_by_role("button", name="Look at both scans")
    look.focus()
    tab.page.keyboard.press("Enter")
    tab.page.locator(".pair output.reading span").nth(1).wait_for(timeout=180_000)  # two more canvases
    tab.page.get_by_text("One cursor in both:").wait_for()
    baseline, here = (tab.page.locator(".pair canvas").nth(n) for n in (0, 1))
    slider = tab.page.locator("#slice-pair-axial")
    at = int(slider.input_value())
    before = baseline.screenshot()
    assert here.evaluate("canvas => canvas === document.activeElement")
    tab.page.keyboard.press("Shift+ArrowUp")
    assert int(slider.input_value()) == at + 10
    assert baseline.screenshot() != before  # the other scan has followed
    baseline.focus()
    tab.page.keyboard.press("PageUp")
    tab.page.keyboard.press("Shift+ArrowDown")
    assert int(slider.input_value()) < at + 10
    assert _violations(tab, axe) == []
    assert not tab.problems()
    tab.page.set_viewport_size({"width": 360, "height": 800})
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 360


def test_places_of_two_scans_are_matched_through_the_atlas_or_by_millimetres(open_tab) -> None:
    rng = np.random.default_rng(5)
    a, b = (np.eye(4) + np.pad(rng.normal(0, 0.2, (3, 4)), ((0, 1), (0, 0))) for _ in range(2))
    a[:3, 3], b[:3, 3] = (10, -20, 300), (-5, 8, -40)
    to_lps = np.diag([-1, -1, 1, 1])
    place = np.array([12.0, 34.0, 56.0, 1.0])
    (there, back), (moved, _) = (
        open_tab().page.evaluate(MATCHED, [a.tolist(), b.tolist(), other_atlas, place[:3].tolist()])
        for other_atlas in ("one", "another")
    )
    np.testing.assert_allclose(there, (to_lps @ b @ np.linalg.inv(a) @ to_lps @ place)[:3], atol=1e-6)
    np.testing.assert_allclose(back, place[:3], atol=1e-6)
    np.testing.assert_allclose(
        moved, place[:3] + np.array([3.0, 0.0, 0.0])
    )  # as far apart as the middles of the right lungs


def test_a_reload_shows_the_same_study_without_asking_for_the_key(open_tab, computed: Site) -> None:
    tab = open_tab()
    tab.sign_in(computed.key)
    tab.page.locator("button.job").first.click()
    tab.page.get_by_role("heading", name=re.compile("^Study ")).wait_for()
    where = tab.page.url
    tab.page.reload()
    tab.page.get_by_role("heading", name=re.compile("^Study ")).wait_for()
    assert tab.page.url == where
    tab.page.get_by_role("button", name="Sign out").click()
    tab.page.get_by_label("Key").wait_for()
    assert tab.page.evaluate("sessionStorage.length") == 0


def test_a_study_that_would_be_refused_is_told_so_before_it_is_sent(open_tab, site: Site, two_slices) -> None:
    tab = open_tab(key=site.key)
    pick(tab, two_slices)
    tab.page.get_by_text("Refused: Too few slices").wait_for()
    assert tab.page.get_by_role("button", name="Send the study").count() == 0
    assert not [request for request in tab.asked if "/v1/studies" in request.url]


def drop(tab, *paths: Path) -> None:
    """Let go of files over the page as a person does who drags them there: the browser walks the folders itself."""
    box = tab.page.locator(".drop").bounding_box()
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 10}
    held = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    with_protocol = tab.page.context.new_cdp_session(tab.page)
    for kind in ("dragEnter", "dragOver", "drop"):
        with_protocol.send("Input.dispatchDragEvent", {"type": kind, **at, "data": held})


def test_a_folder_and_a_zip_that_are_dropped_are_looked_at_with_all_that_is_in_them(
    open_tab, site: Site, two_slices, tmp_path: Path
) -> None:
    scan = shutil.copytree(two_slices, tmp_path / "From the CD" / "DICOM" / "S1")
    (tmp_path / "From the CD" / ".DS_Store").write_bytes(b"of the system")
    tab = open_tab(key=site.key)
    tab.page.get_by_text("Drop a DICOM folder").wait_for()
    drop(tab, tmp_path / "From the CD")
    tab.page.locator(".picked .what").filter(has_text="From the CD 2 files").wait_for()
    tab.page.get_by_text("Refused: Too few slices").wait_for()
    drop(tab, Path(shutil.make_archive(str(tmp_path / "study"), "zip", scan)))
    tab.page.locator(".picked .what").filter(has_text="study.zip 1 file").wait_for()
    tab.page.get_by_text("Refused: Too few slices").wait_for()
    (tmp_path / "empty").mkdir()
    drop(tab, tmp_path / "empty")
    tab.page.get_by_text("There is no file in it.").wait_for()
    assert not tab.page.locator(".drop.over").count()
    assert not tab.problems()


def test_gigabytes_show_progress_outlive_a_reload_and_can_be_cancelled(
    open_tab, site: Site, relay, tmp_path: Path
) -> None:
    large = tmp_path / "study.tar"
    with large.open("wb") as file:
        file.truncate(SPARSE_BYTES)
    relay.slow_down(0.001)  # 60 MB a second at most
    tab = open_tab(url=relay.url, key=site.key)
    tab.page.locator("input[type=file]:not([webkitdirectory])").set_input_files(large)
    tab.page.get_by_text("Too large to be looked at").wait_for()
    tab.page.get_by_role("button", name="Send the study").click()
    bar = tab.page.get_by_role("progressbar", name="Sending study.tar")
    more_than = "least => document.querySelector('.upload progress')?.value > least"
    tab.page.wait_for_function(more_than, arg=5e6)
    before = bar.evaluate("bar => bar.value")
    tab.page.reload()
    bar.wait_for()
    tab.page.wait_for_function(more_than, arg=before + 5e6)
    assert site.serving.files("incoming")
    tab.page.get_by_role("button", name="Cancel").click()
    tab.page.get_by_text("Cancelled; nothing was kept.").wait_for()
    relay.slow_down(0.0)
    with site.api as api:
        for _ in range(300):
            if not site.serving.files("incoming"):
                break
            tab.page.wait_for_timeout(100)
        assert not site.serving.files("incoming")
        assert "study.tar" not in api.get("/v1/jobs").text


def test_a_gateway_that_goes_away_is_told_and_found_again(open_tab, site: Site, relay) -> None:
    tab = open_tab(url=relay.url, key=site.key)
    line = tab.page.locator("#line")
    line.get_by_text("Live").wait_for()
    relay.cut()
    line.get_by_text("Connection lost").wait_for()
    relay.mend()
    line.get_by_text("Live").wait_for()
    assert not [text for text in tab.problems() if "net::ERR" not in text]


@pytest.mark.parametrize("part", ["result/regions.js", "viewer/viewer.js", "studies/answer.js"])
def test_a_fault_in_one_part_leaves_the_others_standing(open_tab, computed: Site, part: str) -> None:
    def break_it(tab) -> None:
        body = "throw new Error('injected');"
        if part == "studies/answer.js":
            body = "export function answer() { throw new Error('injected'); }"
        tab.page.route(
            f"**/page/{part}", lambda route: route.fulfill(body=body, content_type="text/javascript")
        )

    tab = open_tab(f"/#job={computed.job}", key=computed.key, before=break_it)
    if part == "studies/answer.js":
        tab.page.locator("input[type=file]:not([webkitdirectory])").set_input_files(
            {"name": "a.txt", "mimeType": "text/plain", "buffer": b"no image"}
        )
    tab.page.get_by_text("This part cannot be shown: injected").wait_for()
    tab.page.locator("section.downloads").get_by_text("result.json").wait_for()
    tab.page.locator("dl.numbers").get_by_text("Perc15").wait_for()
    tab.page.locator("button.job").first.wait_for()
    assert tab.page.get_by_text("This part cannot be shown").count() == 1


def test_without_webgl_numbers_and_a_picture_are_shown_and_it_is_said(open_tab, computed: Site) -> None:
    tab = open_tab(f"/#job={computed.job}", key=computed.key, script=NO_WEBGL)
    tab.page.get_by_text("This browser has no WebGL 2").wait_for()
    tab.page.locator("img.qc").wait_for()
    tab.page.locator("section.regions table").first.wait_for()


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (360, "dark")])
def test_axe_finds_no_violation(open_tab, computed: Site, axe: str, width: int, scheme: str) -> None:
    tab = open_tab(width=width, color_scheme=scheme)
    tab.page.get_by_label("Key").wait_for()
    assert _violations(tab, axe) == []
    tab.sign_in(computed.key)
    tab.page.goto(f"{computed.url}/#job={computed.job}")
    tab.wait_for_images()
    tab.page.locator("section.regions summary").click()
    assert _violations(tab, axe) == []
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width


def _violations(tab, axe: str) -> list[str]:
    """Run axe over the page; the protocol's own evaluation is not bound by the page's policy."""
    tab.page.evaluate(f"() => {{ {axe} }}")
    tags = json.dumps(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"])
    found = tab.page.evaluate(f"async () => (await axe.run({{ runOnly: {tags} }})).violations")
    return [f"{each['id']}: {[node['html'][:120] for node in each['nodes']]}" for each in found]
