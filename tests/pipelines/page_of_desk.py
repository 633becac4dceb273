"""The page of a desk in headless Chromium, driven by selenium. Skipped in words where either is missing.

With MASSFLOW_SCREENSHOTS=FOLDER, `look` writes what the page shows there.
"""
import os
import shutil
import unittest

import harness
from desk import Desk

try:
    from selenium import webdriver
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait
    MISSING = "" if shutil.which("chromium") and shutil.which("chromedriver") else "no chromium or no chromedriver"
except ImportError:
    ActionChains = Keys = None
    MISSING = "no selenium (python3-selenium)"

BROWSER = unittest.skipIf(MISSING, MISSING)
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1300,850",
           "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")


class Page(harness.Massflow):
    """A test with a desk on a graph file, and a browser at it. Each class has one browser."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for word in OPTIONS:
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.chrome.service.Service(shutil.which("chromedriver"))
        cls.browser = webdriver.Chrome(service=service, options=options)
        cls.addClassCleanup(cls.browser.quit)

    def open(self, graph, *words):
        self.write("graph.yaml", graph)
        self.desk = Desk(self, "graph.yaml", *words)
        self.browser.get(self.desk.url)
        self.until(lambda: self.browser.current_url.split("#")[0] == self.desk.own + "/", "the token leaves the address")

    def until(self, condition, what, *rest):
        """Until a condition of the page holds (of a process, as the class above does)."""
        if rest or not callable(condition):
            return super().until(condition, what, *rest)
        return WebDriverWait(self.browser, 60, poll_frequency=0.05).until(lambda _: condition(), what)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.until(lambda: self.all(selector), "there is " + selector)[0]

    def text(self, selector):
        """Of all that match, read at once: the page may change what it has shown."""
        return self.browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent).join(' | ')", selector)

    def until_text(self, selector, words):
        self.until(lambda: words in self.text(selector), f"{selector} says '{words}', not '{self.text(selector)}'")

    def go(self, part):
        self.browser.execute_script("location.hash = arguments[0]", part)

    def look(self, name):
        folder = os.environ.get("MASSFLOW_SCREENSHOTS")
        if folder:
            self.browser.save_screenshot(os.path.join(folder, name + ".png"))

    def in_the_dark(self, dark):
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})

    def tearDown(self):
        """Nothing was refused by the policy, and no script failed."""
        super().tearDown()
        self.assertEqual([entry["message"] for entry in self.browser.get_log("browser")
                          if entry["level"] == "SEVERE" and entry["source"] != "network"], [])
