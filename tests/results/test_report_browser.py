"""A report in a real browser: the plots are drawn, a picked trial shows its nodes, and foreign scripts do not run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_fakes import FRONT, content, row

from results.report import render

BROWSER = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --virtual-time-budget=4000"
).split()

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here")


def opened(folder: Path, page: str, fragment: str = "", *, size: str = "1366,768") -> str:
    """Returns the document that a browser makes of a page."""
    (folder / "report.html").write_text(page, encoding="utf-8")
    url = (folder / "report.html").as_uri() + fragment
    own = [f"--user-data-dir={folder / 'profile'}", f"--window-size={size}"]
    call = [str(BROWSER), *QUIET, *own, "--dump-dom", url]
    return subprocess.run(call, capture_output=True, text=True, timeout=120, check=True).stdout


def tag(document: str, name: str) -> str:
    """Returns what the element of an id holds, up to the next section."""
    return document.split(f'id="{name}"', 1)[1].split("</section>")[0]


def test_the_plots_are_drawn_and_a_picked_trial_shows_its_nodes(tmp_path: Path) -> None:
    document = opened(tmp_path, render(content()), "#trial=0")
    scatter = tag(document, "scatter").split("</figure>")[0]
    assert len(re.findall(r'class="point front( selected)?"', scatter.split("</svg>")[0])) == 2
    assert scatter.split("</svg>")[0].count('class="point other"') == 1
    assert scatter.count('class="whisker front"') >= 2 and 'class="front-line"' in scatter
    assert not re.search(r"NaN|undefined|Infinity", scatter)
    detail = tag(document, "detail")
    assert "front 2, trial 0: design sodet-s" in detail and "words of aa" in detail
    assert "accuracy: 20 % (15 to 25)" in detail and "GFLOPs: 0.2, 0.4 at 2x" in detail
    assert "2 nodes, 15 parameters, 100 MACs (200 at 2x)" in detail
    assert "<td>layer:conv</td>" in detail and "those of stem" in detail
    for name in ("hypervolume", "best"):
        assert 'class="curve"' in tag(document, name).split("</figure>")[0]
    boxes = tag(document, "boxes").split("</figure>")[0]
    assert boxes.count('class="bar"') == 4 and boxes.count('class="stride"') == 2 and "Of the boxes" in boxes


def test_both_conventions_of_flops_stand_under_the_plot(tmp_path: Path) -> None:
    scatter = tag(opened(tmp_path, render(content())), "scatter").split("</svg>")[0]
    upper = [float(each) for each in re.findall(r'class="tick" text-anchor="middle">([\d.]+)<', scatter)]
    lower = [float(each) for each in re.findall(r'class="tick second" text-anchor="middle">([\d.]+)<', scatter)]
    assert len(upper) > 2 and lower == pytest.approx([2 * each for each in upper])


def test_a_trial_of_a_lower_rung_and_one_that_is_not_plotted(tmp_path: Path) -> None:
    page = render(content())
    below = opened(tmp_path, page, "#trial=2")
    assert "trial 2: tpe, rung 1 only" in tag(below, "detail") and 'class="point lower selected"' in below
    assert "Trial 4 is not in the plot." in tag(opened(tmp_path, page, "#trial=4"), "detail")


@pytest.mark.parametrize(
    "rows", [[FRONT[0]], [FRONT[2]], [], [row(0, "aa", 0.0, 0.2)]], ids=["one", "below", "none", "zero"]
)
def test_hardly_anything_can_be_drawn_too(rows: list[dict[str, object]], tmp_path: Path) -> None:
    document = opened(tmp_path, render(content(rows)))
    drawn = document.split("<script")[0]
    assert not re.search(r'="[^"]*(NaN|Infinity|undefined)', drawn)
    assert ('class="point' in drawn) == bool(rows) and ("No trial is complete yet" in drawn) == (
        rows in ([], [FRONT[2]])
    )


def test_a_script_that_got_in_would_not_run(tmp_path: Path) -> None:
    page = render(content())
    foreign = "<script>document.body.dataset.foreign = 'ran'</script>"
    foreign += '<b onclick="1" style="color:red"></b><img src=x onerror="document.body.dataset.foreign = \'ran\'">'
    document = opened(tmp_path, page.replace("<main>", f"<main>{foreign}"))
    assert "data-foreign" not in document.split("<main>")[0] and 'class="point front"' in document
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", page)
    assert 'data-foreign="ran"' in opened(tmp_path, open_page.replace("<main>", f"<main>{foreign}"))


def test_a_click_on_a_point_opens_its_nodes(tmp_path: Path) -> None:
    webdriver = pytest.importorskip("selenium.webdriver")
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("there is no chromedriver here")
    (tmp_path / "report.html").write_text(render(content()), encoding="utf-8")
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*QUIET[:-1], f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        for width, height in ((1366, 768), (390, 844)):
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get((tmp_path / "report.html").as_uri())
            browser.execute_script("location.hash = ''")
            point = browser.find_elements("css selector", "#scatter .point.front")[0]
            actions = webdriver.ActionChains(browser)
            browser.execute_script("document.getElementById('scatter').scrollIntoView({block: 'center'})")
            actions.move_to_element(point).perform()
            assert "words of " in browser.find_element("id", "tip").text
            actions.click().perform()
            assert "#trial=" in browser.current_url
            assert len(browser.find_elements("css selector", "#nodes tbody tr")) == 2
            wide, inside = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
            assert wide <= inside == width
    finally:
        browser.quit()
