"""The page of scripts/report.py in headless Chromium: it is whole, silent, asks for nothing, and
its controls do what they say. Skipped (exit status 77) where chromium, chromedriver, selenium or
matplotlib is missing: scripts/packages.sh browser installs them."""

import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from pythons import go_on_with

go_on_with("selenium", "matplotlib")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

import browser
import planted_run

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "report.py"
WIDTHS = (1280, 400)
SAMPLES, EVERY = 12, 10
STEPS = [1, *range(EVERY, SAMPLES * EVERY + 1, EVERY)]
SINK = (1, 2)  # layer and head, from step 60 on


def planted(name, step, layer, head):
    return (0.45 if step >= 60 else 0.04) if (name, layer, head) == ("sink", *SINK) else None


def make_page(folder, probes):
    planted_run.write_run(folder, samples=SAMPLES, every=EVERY, value=planted)
    if probes:
        planted_run.write_probes(folder, "structure", last=STEPS[-1])
    subprocess.run([sys.executable, "-B", SCRIPT, folder], check=True, timeout=120,
                   stdout=subprocess.DEVNULL)
    return folder / "report.html"


def setUpModule():
    global folder, page, driver
    folder = Path(tempfile.mkdtemp(prefix="quern-browser-"))
    unittest.addModuleCleanup(shutil.rmtree, folder)
    page = make_page(folder / "run", probes=True)
    driver = browser.start()
    unittest.addModuleCleanup(driver.quit)


def problems(path):
    browser.resize(driver, WIDTHS[0])
    browser.load(driver, path)
    found = [wrong for width in WIDTHS for wrong in browser.layout(driver, width)]
    return found + browser.said(driver) + browser.requests(driver, path)


class Whole(unittest.TestCase):
    def test_nothing_is_wrong(self):
        self.assertEqual(problems(page), [])
        sections = [x["id"] for x in driver.execute_script(browser.SECTIONS)]
        links = [x.get_attribute("href").split("#")[1]
                 for x in driver.find_elements(By.CSS_SELECTOR, "nav a")]
        self.assertEqual(set(links) - set(sections), set())
        self.assertGreater(len(links), 10)

    def test_nor_with_what_was_not_recorded(self):
        self.assertEqual(problems(make_page(folder / "sampled", probes=False)), [])

    def assert_seen(self, faults):
        before, end, after = page.read_text().rpartition("</main>")
        self.assertTrue(end)
        path = folder / "seeded.html"
        path.write_text("".join((before, *faults, end, after)))
        found = problems(path)
        for what, part in faults.items():
            with self.subTest(what):
                self.assertEqual(len([x for x in found if re.match(part, x)]), 1, found)

    def test_each_fault_is_seen(self):
        self.assert_seen({
            "<script>nothing.at.all()</script>": "console: .*nothing is not defined",
            "<script>console.error('lost')</script>": 'console: .*"lost"',
            '<img src="https://example.com/x.png" alt="">': "request: https://example.com/x",
            '<link rel="stylesheet" href="other.css">': "request: file://.*other.css",
            "<script>fetch('https://example.com/y').catch(() => 0)</script>":
                "request: https://example.com/y",
            '<div id="wide" style="width:450px">.</div>':
                "400 px: the page is 4.. wide.*: div#wide",
            '<section id="bare"><h2>Bare</h2></section>': "400 px: section bare is empty",
            '<section id="flat">.<svg style="height:0"></svg></section>':
                "1280 px: section flat: 1 pictures",
            '<section id="above" style="margin-top:-50px">.</section>':
                "1280 px: section above lies upon"})
        self.assert_seen({'<div id="wide" style="width:1500px">.</div>':
                          "1280 px: the page is 15.. wide.*: div#wide"})


class Controls(unittest.TestCase):
    def setUp(self):
        browser.resize(driver, WIDTHS[0])
        browser.load(driver, page)

    def tearDown(self):
        self.assertEqual(browser.said(driver), [])

    def find(self, selector):
        return driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.find(selector).text

    def press(self, selector, *keys):
        for key in keys:
            self.find(selector).send_keys(key)

    def press_where_the_focus_is(self, *keys):
        for key in keys:
            driver.switch_to.active_element.send_keys(key)

    def sample(self, i):
        return f"step {STEPS[i]}, {STEPS[i] * planted_run.TOKENS:,} tokens"

    def cell(self, layer, head):
        return f"#heat-map tbody tr:nth-child({4 - layer}) td:nth-child({head + 2})"

    def excess(self, layer, head):
        return float(self.text(self.cell(layer, head)).replace("−", "-"))

    def test_slider_of_the_heat_map(self):
        Select(self.find("#heat-metric")).select_by_visible_text("sink mass")
        self.assertEqual(self.text("#heat-at"), self.sample(-1))
        self.assertAlmostEqual(self.excess(*SINK), 0.41, delta=0.02)
        self.press("#heat-step", Keys.ARROW_LEFT)
        self.assertEqual(self.text("#heat-at"), self.sample(-2))
        self.press("#heat-step", Keys.HOME)
        self.assertEqual(self.text("#heat-at"), self.sample(0))
        self.assertAlmostEqual(self.excess(*SINK), 0, delta=0.02)
        self.press("#heat-step", Keys.END, Keys.ARROW_RIGHT)
        self.assertEqual(self.text("#heat-at"), self.sample(-1))
        self.assertAlmostEqual(self.excess(0, 0), 0, delta=0.02)

    def test_a_measure_of_probes_keeps_the_step(self):
        Select(self.find("#heat-metric")).select_by_visible_text("induction")
        self.assertRegex(self.text("#heat-at"), rf"^step {STEPS[-1]},")
        self.assertAlmostEqual(self.excess(1, 0), 0.68, delta=0.02)
        self.assertAlmostEqual(self.excess(0, 1), 0, delta=0.02)
        self.press("#heat-step", Keys.HOME)
        self.assertEqual(self.text("#heat-at"), "step 0, 0 tokens")

    def test_keys_of_the_heat_map(self):
        def at():
            return re.match(r"layer (\d+), head (\d+):", self.text("#heat-cell")).groups()

        self.find(self.cell(0, 0)).click()
        for key, place in ((Keys.ARROW_LEFT, "00"), (Keys.ARROW_RIGHT, "01"),
                           (Keys.ARROW_UP, "11"), (Keys.END, "12"), (Keys.ARROW_DOWN, "02"),
                           (Keys.HOME, "00"), (Keys.ARROW_DOWN, "00")):
            self.press_where_the_focus_is(key)
            self.assertEqual(at(), tuple(place))
        self.press_where_the_focus_is(Keys.ARROW_UP, Keys.END, Keys.ENTER)
        self.assertEqual(self.text("#heat-head h3"), f"layer 1, head 2 at step {STEPS[-1]}")
        self.assertEqual(self.find(self.cell(1, 2)).get_attribute("aria-selected"), "true")
        self.press_where_the_focus_is(Keys.ARROW_LEFT)
        self.assertIn("layer 1, head 2", self.text("#heat-head h3"))
        self.press("#heat-step", Keys.HOME)
        self.assertEqual(self.text("#heat-head h3"), "layer 1, head 2 at step 1")

    def test_the_course_of_a_head_is_spaced_by_steps(self):
        def places(selector, attribute):
            return [float(x.get_attribute(attribute)) for x in driver.find_elements(
                By.CSS_SELECTOR, f"#heat-head svg {selector}")]

        self.find(self.cell(*SINK)).click()
        ticks = driver.find_elements(By.CSS_SELECTOR, "#heat-head svg .x:not(.name)")
        self.assertEqual([x.text for x in ticks], ["0", "1", "10", "100"])
        at = dict(zip((0, 1, 10, 100), places(".x:not(.name)", "x")))
        self.assertAlmostEqual((at[100] - at[0]) / (at[1] - at[0]), math.log(101) / math.log(2), 3)
        line = self.find("#heat-head polyline:not(.base)").get_attribute("points").split()
        self.assertAlmostEqual(float(line[0].split(",")[0]), at[1], delta=0.1)
        self.assertAlmostEqual(float(line[1].split(",")[0]), at[10], delta=0.1)
        self.assertEqual([x.text for x in driver.find_elements(
            By.CSS_SELECTOR, "#heat-head svg .name")],
            ["normalised entropy (H / ln n)", "training step (log axis)"])

    def test_the_table_of_heads_fits(self):
        box = self.find("#types .scroll")
        hidden = driver.execute_script("return arguments[0].scrollWidth - arguments[0].clientWidth",
                                       box)
        self.assertEqual(hidden, 0)
        self.assertIn("rows (n)", box.text)

    def test_one_measure_of_layers_at_a_time(self):
        chooser = Select(self.find("#layers-metric"))
        for name in (chooser.first_selected_option.text, "sink mass", "mean distance"):
            chooser.select_by_visible_text(name)
            titles = [x.text for x in driver.find_elements(By.CSS_SELECTOR,
                                                                "[data-metric] > h3")]
            self.assertEqual([title for title in titles if title], [name])

    def test_attention_pictures(self):
        def shows(*parts):
            WebDriverWait(driver, 10).until(lambda _: all(
                part in self.text("#pictures-at") + self.text("#pictures-cell")
                for part in parts), f"{parts} in the words below the picture")

        def weight():
            return float(self.text("#pictures-cell").rpartition(": ")[2])

        def planted_weight(step, row, column):
            lines = map(json.loads, (folder / "run/pictures.jsonl").read_text().splitlines())
            found = next(x["weights"] for x in lines if (x["step"], x["sentence"], x["layer"],
                                                         x["head"]) == (step, 0, 0, 1))
            return found[row * (row + 1) // 2 + column] / 100

        shows(f"step {STEPS[-1]}", "The (0) looks at The (0)")
        Select(self.find("#pictures-head")).select_by_visible_text("1")
        self.press("#pictures-picture svg", Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
        shows("·sat (2) looks at ·cat (1)")
        self.assertEqual(weight(), planted_weight(STEPS[-1], 2, 1))
        self.press("#pictures-picture svg", Keys.END)
        shows("·sat (2) looks at ·sat (2)")
        self.press("#pictures-picture svg", Keys.HOME)
        shows("·sat (2) looks at The (0)")
        self.press("#pictures-step", Keys.HOME)
        shows("step 0")
        self.assertEqual(weight(), planted_weight(0, 2, 0))
        Select(self.find("#pictures-sentence")).select_by_index(1)
        shows("·of (2) looks at ·A (0)")


if __name__ == "__main__":
    if not (browser.CHROMIUM and browser.DRIVER):
        print("skipped: no chromium with chromedriver; scripts/packages.sh browser installs them")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
