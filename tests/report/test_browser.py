"""Pages in a real browser: they draw, answer to keyboard and pointer, fit a phone, follow dark mode, and print."""

import html
import json
import os
import re
import shutil
import subprocess

import pytest

from i2i.evaluation import compare_scores
from i2i.report.page import page_of, write_report
from i2i.report.record import labels, read_run
from i2i.report.scores import keep_scores
from tests.evaluation.test_comparing import PAIRS
from tests.report.test_page import HOSTILE, rows_to

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium")
DARK = "--blink-settings=preferredColorScheme=0"
PROBE = """
window.found = {errors: []};
window.addEventListener("error", (event) => found.errors.push(event.message));
"""
REPORT = """
document.title = "FOUND" + JSON.stringify(found) + "END";
"""


def browse(page, tmp_path, *arguments, act=""):
    """Open a page, run `act` in it after its own script, and return what it left in `found`.

    In a frame as wide as a phone if `act` says so: the window of a browser without a screen has a least width.
    """
    file = tmp_path / "page.html"
    first, last = page.index("<script"), page.rindex("</body>")
    act = f"try {{ {act} }} catch (error) {{ found.errors.push(String(error)); }}"
    probed = f"{page[:first]}<script>{PROBE}</script>{page[first:last]}<script>{act}{REPORT}</script>{page[last:]}"
    file.write_text(probed, encoding="utf-8")
    words = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
    words += [
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    done = subprocess.run(
        [*words, "--virtual-time-budget=2000", *arguments, "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    shown = re.search(r"<title>FOUND(.*?)END</title>", done.stdout, re.DOTALL)
    assert shown, done.stderr[-2000:]
    found = json.loads(html.unescape(shown[1]))
    assert found.pop("errors") == []
    return found


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    """A run with what strangers may call things, a diagnosis, scores, and a loss that is not always there."""
    out = shutil.copytree(tiny_run, tmp_path_factory.mktemp("browser") / "run")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rows += [{"images": k, "seconds": k / 9, "epochs": k / 8, "split": "train", "G_L1": 1 / k} for k in range(17, 200)]
    rows.append({"images": 200, "seconds": 30, "split": HOSTILE, HOSTILE: 3.0})
    rows_to(out, rows)
    finding = {"name": HOSTILE, "severity": "high", "number": 1.5, "threshold": 1, "advice": "Lower it."}
    (out / "diagnosis.json").write_text(json.dumps([finding]))
    keep_scores(out, PAIRS)
    return out


def test_a_page_draws_and_answers_to_the_keyboard(run, tmp_path):
    page = write_report(run).read_text(encoding="utf-8")
    found = browse(
        page,
        tmp_path,
        act="""
        found.images = [...document.images].every((one) => one.complete && one.naturalWidth > 0);
        const svgs = [...document.querySelectorAll(".chart svg")];
        found.charts = svgs.length;
        found.drawn = svgs.filter((svg) => svg.querySelector("path.curve, circle")).length;
        found.labelled = svgs.every((svg) => svg.getAttribute("aria-label").includes(" to "));
        const value = () => document.querySelector(".chart .legend b").textContent;
        const key = (target, name) => target.dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true}));
        found.focusable = svgs.every((svg) => svg.tabIndex === 0);
        found.before = value();
        key(svgs[0], "ArrowLeft"); for (let i = 0; i < 60; i++) key(svgs[0], "ArrowLeft");
        found.first = value();
        found.said = document.getElementById("cursor").textContent;
        key(svgs[0], "Escape");
        found.after = value();
        const path = () => document.querySelector("path.curve").getAttribute("d");
        const set = (id, change) => {
          const input = document.getElementById(id), old = path();
          change(input); input.dispatchEvent(new Event("input"));
          return path() !== old;
        };
        found.axis = set("by", (input) => { input.value = "seconds"; });
        found.logarithmic = set("log", (input) => { input.checked = true; });
        const wide = [...document.querySelectorAll(".chart")].find((one) => one.textContent.startsWith("G_L1"));
        const old = wide.querySelector("path.curve").getAttribute("d");
        document.getElementById("smooth").value = 10;
        document.getElementById("smooth").dispatchEvent(new Event("input"));
        found.smoothed = wide.querySelector("path.curve").getAttribute("d") !== old;
        const slider = document.querySelector(".samples input"), image = document.querySelector(".samples img");
        const newest = image.src;
        slider.value = 0; slider.dispatchEvent(new Event("input"));
        found.turned = image.src !== newest;
        found.after8 = document.querySelector(".samples .after").textContent;
        const several = [...document.querySelectorAll(".legend")].find((one) => one.children.length === 2);
        several.children[0].click();
        found.hidden = several.children[0].getAttribute("aria-pressed") === "false";
        const ranges = [[1200, 9600], [0.11, 1.05], [40, 800], [0, 6.1e-5], [-3, 4.1e6]];
        found.ticks = ranges.map(([low, high]) => ticks(low, high).length);
        found.alerted = document.body.innerHTML.includes("<img src=\\"x\\"");
        """,
    )
    (loss,) = (line for line in found["said"].split("\n"))
    assert loss == "at 4 images"
    assert found["charts"] == found["drawn"] >= 9
    assert found["before"] == found["after"] != found["first"]
    truths = ("labelled", "focusable", "axis", "logarithmic", "smoothed", "turned", "hidden", "images")
    assert {name: found[name] for name in truths} == dict.fromkeys(truths, True)
    assert all(2 <= count <= 7 for count in found["ticks"]), found["ticks"]
    assert found["after8"] == "after 8 images"
    assert not found["alerted"]


@pytest.mark.parametrize("arguments", [[], [DARK]], ids=["light", "dark"])
def test_text_can_be_read_in_light_and_dark(run, tmp_path, arguments):
    """Every text has a contrast of 4.5 at least with what is behind it (WCAG 2.2, 1.4.3)."""
    found = browse(
        write_report(run).read_text(encoding="utf-8"),
        tmp_path,
        *arguments,
        act="""
        const parse = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
          .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
          .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
        const behind = (node) => {
          for (let one = node; one; one = one.parentElement) {
            const colour = parse(getComputedStyle(one).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
          }
        };
        found.low = [];
        const texts = "h1, h2, h3, p, dt, dd, td, th, caption, label, text, summary, b, .range, .severity";
        for (const node of document.querySelectorAll(texts)) {
          if (!node.textContent.trim() || node.closest("[hidden]")) continue;
          const style = getComputedStyle(node), own = parse(node.tagName === "text" ? style.fill : style.color);
          const [a, b] = [light(own), light(behind(node))].sort((x, y) => y - x);
          const contrast = (a + 0.05) / (b + 0.05);
          if (contrast < 4.5) found.low.push([node.tagName, node.textContent.slice(0, 20), contrast]);
        }
        found.dark = light(behind(document.body)) < 0.1;
        """,
    )
    assert found == {"low": [], "dark": bool(arguments)}


def test_a_page_fits_a_phone(run, tmp_path):
    """390 px wide, in a frame: nothing but tables in their own boxes is wider."""
    page = write_report(run).read_text(encoding="utf-8")
    too_wide = page.replace("<main>", '<main><p style="width: 600px">wide</p>')  # the control
    for fits, one in ((True, page), (True, side_by_side(run, tmp_path)), (False, too_wide)):
        found = on_a_phone(
            one,
            tmp_path,
            """
            const page = inside.documentElement;
            found.ready = page.dataset.ready;
            found.wide = page.scrollWidth;
            found.across = page.clientWidth;
            """,
        )
        assert found["ready"] == "1"
        assert found["across"] <= 390
        assert (found["wide"] <= found["across"]) == fits


def side_by_side(run, tmp_path):
    runs = [run, shutil.copytree(run, tmp_path / "another run", dirs_exist_ok=True)]
    records, names = [read_run(one) for one in runs], labels(runs)
    return page_of(records, names, *compare_scores(records, names))


def on_a_phone(page, tmp_path, act):
    """Return what `act` finds in `inside`, the document of a page in a frame of 390 px."""
    frame = f'<iframe width="390" height="844" srcdoc="{html.escape(page)}"></iframe>'
    return browse(
        f"<!doctype html><body>{frame}<script></script></body>",
        tmp_path,
        act=f"""
        document.querySelector("iframe").addEventListener("load", () => {{
          const inside = document.querySelector("iframe").contentDocument;
          {act}
          document.title = "FOUND" + JSON.stringify(found) + "END";
        }});
        """,
    )


def test_on_a_phone_short_values_stay_in_one_line(run, tmp_path):
    """Beside long names of settings; the control has cells without a least width and names that do not break."""
    wider = shutil.copytree(run, tmp_path / "wider")
    config = (wider / "config.yaml").read_text(encoding="utf-8")
    changed, names = re.subn(r"(?m)^(  \w+_images: )\d+", r"\g<1>123456", config)
    assert names
    (wider / "config.yaml").write_text(changed, encoding="utf-8")
    records = [read_run(run), read_run(wider)]
    page = page_of(records, ["first", "second"], [], [])
    lines = """
      const cells = [...inside.querySelectorAll("td")].filter((cell) => /^\\d{1,6}$/.test(cell.textContent));
      found.cells = cells.length;
      found.broken = cells.filter((cell) => {
        const range = inside.createRange();
        range.selectNodeContents(cell);
        return range.getClientRects().length > 1;
      }).length;
    """
    found = on_a_phone(page, tmp_path, lines)
    assert found["cells"] > 2
    assert found["broken"] == 0
    squeezed = page.replace("min-width: 4.5rem", "").replace("<wbr>", "")
    assert on_a_phone(squeezed, tmp_path, lines)["broken"] > 0


def test_several_runs_share_charts_and_slider(run, tmp_path):
    found = browse(
        side_by_side(run, tmp_path),
        tmp_path,
        act="""
        const chart = document.querySelector(".chart");
        const colours = () => [...chart.querySelectorAll("path.curve")].map((one) => getComputedStyle(one).stroke);
        found.colours = new Set(colours()).size;
        const button = chart.querySelector(".legend button");
        const said = [...chart.querySelectorAll(".legend button")].map((one) => one.textContent);
        found.names = said.map((one) => one.split(" ").slice(0, -1).join(" "));
        button.click();
        found.left = colours().length;
        const elsewhere = document.querySelectorAll(".chart")[1];
        found.everywhere = elsewhere.querySelectorAll("path.curve").length;
        const slider = document.querySelector(".samples input");
        slider.value = 0; slider.dispatchEvent(new Event("input"));
        found.after = [...document.querySelectorAll(".samples .after")].map((one) => one.textContent);
        """,
    )
    assert found == {
        "colours": 2,
        "names": ["run", "another run"],
        "left": 1,
        "everywhere": 1,
        "after": ["after 8 images"] * 2,
    }


def test_a_page_prints(run, tmp_path):
    write_report(run)
    words = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", DARK]
    target = tmp_path / "page.pdf"
    page = (run / "report.html").as_uri()
    subprocess.run(
        [*words, "--virtual-time-budget=2000", f"--print-to-pdf={target}", page],
        capture_output=True, timeout=120, check=False, env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    content = target.read_bytes()
    assert content.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 8
