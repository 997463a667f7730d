"""A page in headless Chromium, and what is wrong with it."""

import json
import os
import shutil
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
NO_PROXY_LISTENS = "http://127.0.0.1:9"  # nothing may leave this machine

# Of a section: its id, whether it has words besides its title, its edges, and the pictures and
# tables in it that are shown without a size.
SECTIONS = """
return [...document.querySelectorAll("main > section")].map(section => {
  const box = section.getBoundingClientRect(), title = section.querySelector("h2");
  const parts = [...section.querySelectorAll("svg, table, figure")].filter(
      part => part.checkVisibility());
  return {id: section.id, top: box.top, bottom: box.bottom, left: box.left, right: box.right,
          words: section.innerText.replace(title ? title.innerText : "", "").trim(),
          flat: parts.filter(part => !part.getBoundingClientRect().width ||
                                     !part.getBoundingClientRect().height).length};
});"""

# What reaches beyond the screen, but for what scrolls by itself.
BEYOND = """
return [...document.querySelectorAll("body *")].filter(
    element => element.getBoundingClientRect().right > innerWidth && element.checkVisibility() &&
        !element.parentElement.closest(".scroll")).map(
    element => element.localName + (element.id && "#" + element.id));"""


def start():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for argument in ("headless=new", "disable-gpu", "disable-dev-shm-usage",
                     f"proxy-server={NO_PROXY_LISTENS}"):
        options.add_argument(f"--{argument}")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # which Chromium has for other users only
    driver = webdriver.Chrome(service=Service(DRIVER), options=options)
    driver.set_page_load_timeout(60)
    return driver


def resize(driver, width, height=800):
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
        "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})


def load(driver, path):
    """Opens a file, without what was said of the page before."""
    for kind in ("browser", "performance"):
        driver.get_log(kind)
    driver.get(Path(path).as_uri())


def said(driver):
    """What the console has since the last call: errors and warnings alike."""
    return [f"console: {entry['message']}" for entry in driver.get_log("browser")]


def requests(driver, path):
    """What the page asked for besides itself since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [message["params"]["request"]["url"] for message in messages
             if message["method"] == "Network.requestWillBeSent"]
    return [f"request: {url[:100]}" for url in asked
            if url != Path(path).as_uri() and not url.startswith(("data:", "blob:"))]


def layout(driver, width):
    """What does not fit on a screen of this width, is empty, or lies upon something else."""
    resize(driver, width)
    wrong, end = [], 0
    page = driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    if page[0] > page[1]:
        beyond = ", ".join(driver.execute_script(BEYOND)[:9])
        wrong.append(f"{width} px: the page is {page[0]} wide: {beyond}")
    for section in driver.execute_script(SECTIONS):
        name = f"{width} px: section {section['id']}"
        if not section["words"]:
            wrong.append(f"{name} is empty")
        if section["flat"]:
            wrong.append(f"{name}: {section['flat']} pictures or tables without a size")
        if section["left"] < 0 or section["right"] > width:
            wrong.append(f"{name} goes beyond the screen")
        if end and section["top"] < end - 0.5:
            wrong.append(f"{name} lies upon the one above")
        end = section["bottom"]
    return wrong
