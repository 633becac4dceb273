#!/usr/bin/env python3
"""The parts Run and Measure of massflow desk in a browser: test_desk_page.py MASSFLOW"""
import harness
from desk import PHANTOMS, Pools
from page_of_desk import BROWSER, ActionChains, Keys, Page

MARKUP = '<img src=x onerror="document.title=1">'

# A command that says how far it is, and what it logs; a table with steps, and one without.
MEASURED = """massflow: 1
params: {rate: 0.5}   # %s
cases: {count: 3}
stages:
  train:
    use: exec.run
    with:
      shell: true
      command: >-
        python3 -c 'print("step,loss,note"); [print("%%d,%%g,%%s" %% (i, ${rate} / i, "<b>")) for i in range(1, 40)]' >{out.table}
  judge:
    use: exec.run
    each: case
    with: {shell: true, command: "printf 'organ,dice\\nliver,0.9%s\\n\\"=1+1\\",0.5\\n' >{out.table}"}
""" % (MARKUP, "${case.id}")


FAILING = """massflow: 1
stages:
  it: {use: exec.run, with: {shell: true, command: "echo '<img src=x>'; exit 3; echo >{out.text}"}}
"""


@BROWSER
class Run(Page):
    def test_run(self):
        self.open(PHANTOMS)
        self.until_text("#counts", "0 of 6 nodes in the cache")
        self.assertEqual(len(self.all(".graph .box")), 3)
        self.assertEqual(self.text(".field label"), "sizes | seed")
        self.assertIn("mm, of supervoxels", self.text("#help-sizes"))
        self.look("run-before")
        self.one("#start").click()
        self.until_text("#said", "finished")
        self.until_text("#counts", "6 of 6 nodes in the cache")
        self.assertEqual(self.text(".states"), " 6 cached")
        self.node()
        self.settings()
        self.keyboard()
        self.narrow()

    def node(self):
        self.all(".graph .box")[1].click()
        self.until_text("#node .log", "masks of")
        self.assertIn("found[case=000]", self.text("#node h2"))
        self.one("#node .steps button:last-child").click()
        self.until_text("#node h2", "found[case=001]")
        self.until_text("#node .why", "cached")
        self.look("run-node")

    def settings(self):
        """A value that can't be is marked at once; one that the engine refuses is told with its place."""
        field = self.one("#set-sizes")
        self.type(field, "20")
        self.assertEqual(field.get_attribute("aria-invalid"), "true")
        self.type(field, "[-20]")
        self.assertEqual(field.get_attribute("aria-invalid"), "false")
        self.one("#start").click()
        self.until_text("#said", "--set sizes=[-20]")
        self.assertIn("bad", self.one("#said").get_attribute("class"))
        self.look("run-refused")
        self.type(field, "[30]")
        self.type(self.one("#targets"), "found[case=001]")
        self.one("#start").click()
        self.until_text("#said", "finished")
        self.until_text(".states", "to run")
        self.until(lambda: self.desk.get("/api/runs")[0]["counts"] == {"done": 1, "cached": 1}, "one node ran")
        self.one(".field.changed .reset").click()
        self.assertEqual(self.one("#set-sizes").get_attribute("value"), "[20, 40]")

    def type(self, field, text):
        field.clear()
        field.send_keys(text)

    def keyboard(self):
        """The graph by arrows and Enter, a run by Ctrl and Enter, the parts by Alt and a digit."""
        self.browser.execute_script("document.querySelector('.graph .box').focus()")
        self.press(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ENTER)
        self.until_text("#node h2", "picture[case=")
        self.type(self.one("#targets"), Keys.BACKSPACE)
        self.chord(Keys.CONTROL, Keys.ENTER)
        self.until(lambda: len(self.desk.get("/api/runs")) == 3, "it runs")
        self.until_text("#counts", "6 of 6 nodes in the cache")
        self.chord(Keys.ALT, "2")
        self.until_text("[role=tab][aria-selected=true]", "Measure")
        self.chord(Keys.ALT, "1")
        self.until_text("[role=tab][aria-selected=true]", "Run")

    def press(self, *keys):
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    def chord(self, held, key):
        ActionChains(self.browser).key_down(held).send_keys(key).key_up(held).perform()

    def narrow(self):
        """Nothing reaches out of a narrow window but what scrolls by itself."""
        self.browser.set_window_size(500, 850)
        self.until(lambda: self.browser.execute_script(
            "return document.documentElement.scrollWidth <= innerWidth"), "it fits")
        self.look("run-narrow")
        self.in_the_dark(True)
        self.browser.set_window_size(1300, 850)
        self.look("run-dark")
        self.in_the_dark(False)

    def test_trouble(self):
        """A file that can't be read is told with its place; a node that fails with what it said."""
        self.open(PHANTOMS.replace("slic.masks", "slic.mask"))
        self.until_text("#said", "did you mean 'slic.masks'?")
        self.write("graph.yaml", PHANTOMS.replace("{count: 2}", "{glob: '${seed}/*.txt'}"))
        self.one(".graphs button").click()
        self.until_text("#said", "no file matches")
        self.write("a.txt", "")
        self.type(self.one("#bare"), f"seed={self.folder}")
        self.one(".graphs button").click()
        self.until_text("#said", "'seed' is given by --set seed=/")
        self.write("graph.yaml", PHANTOMS.replace("slic.masks", "slic.mask"))
        self.one(".graphs button").click()
        self.until_text("#said", "did you mean 'slic.masks'?")
        self.assertRegex(self.text("#said"), r"graph\.yaml:12:10: error")
        self.write("graph.yaml", FAILING)
        self.type(self.one("#bare"), " ")
        self.one(".graphs button").click()
        self.until_text("#counts", "0 of 1 nodes")
        self.one("#start").click()
        self.until_text("#said", "finished with failures")
        self.until_text(".states", "1 failed")
        self.one(".graph .box").click()
        self.until_text("#node pre.bad", "3")
        self.until_text("#node .log", "<img src=x")
        self.assertEqual(self.all("img"), [])
        self.look("run-failed")

    def test_stop(self):
        self.open('massflow: 1\nstages:\n  it: {use: exec.run, with: {shell: true, command: '
                  '"echo begun; exec sleep 1000 >{out.text}"}}\n')
        self.until_text("#counts", "0 of 1")
        self.one("#start").click()
        self.until_text("#active .name", "it")
        self.assertFalse(self.one("#start").is_enabled())
        self.one("#stop").click()
        self.until_text("#said", "stopped")
        self.assertTrue(self.one("#start").is_enabled())


@BROWSER
class AtWorkers(Page):
    def test_run(self):
        """A pool is ticked and this machine is not; the worker is seen while it works."""
        pools = Pools(self)
        self.open(pools.graph, "--pools", "pools.yaml")
        self.until_text("#places", "other")
        self.assertIn("at most 1 worker", self.text("#places"))
        self.one("#place-local").click()
        self.one("#start").click()
        self.until_text("#said", "a run needs this machine, or a pool")
        self.one("[data-pool=here]").click()
        self.one("#start").click()
        self.until_text("#workers tbody tr", "here")
        self.until_text("#workers tbody tr", "open")
        self.until_text("#workers", "1 connected")
        self.look("run-workers")
        pools.go()
        self.until_text("#said", "finished")
        self.until(lambda: not self.one("#workers").is_displayed(), "the workers are gone with the run")

    def test_a_broken_file(self):
        """It is said where; a run with a pool that was ticked before is refused, not done elsewhere."""
        Pools(self)
        self.open(PHANTOMS, "--pools", "pools.yaml")
        self.one("[data-pool=here]").click()
        self.write("pools.yaml", self.read("pools.yaml").replace("submit: command", "submit: comand", 1))
        self.one("#start").click()
        self.until_text("#said", "pools.yaml:4:18: error: 'submit' is slurm or command, not 'comand'")
        self.until_text("#pools-trouble", "pools.yaml:4:18: error: ")
        self.assertTrue(self.one("[data-pool=here]").is_selected())
        self.look("run-broken-pools")


@BROWSER
class Measure(Page):
    def test_measure(self):
        self.open(MEASURED)
        self.desk.run()
        self.desk.post("/api/open", {"set": {"rate": "0.9"}})
        self.desk.run()
        self.go("measure")
        self.curves()
        self.followed()
        self.table()
        self.assertEqual(self.all("img"), [])

    def curves(self):
        self.until_text(".sources", "train")
        self.one(".source").click()
        self.until_text(".chart figcaption", "loss")
        self.until_text(".legend", "run 1")
        self.all(".legend input")[1].click()
        self.assertEqual(self.colours(), 2)
        self.browser.execute_script("document.querySelector('.chart canvas').focus()")
        self.browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
        self.until_text(".tip", "0.9 at 1")
        self.assertIn("0.5 at 1", self.text(".tip"))
        self.look("measure-curves")

    def followed(self):
        """While nodes run, the one that trains is drawn, and the list stays under the mouse."""
        self.browser.execute_async_script("""
            const done = arguments[0];
            import('/api.js').then(({events}) => {
              window.tick = (step, words) => events.dispatchEvent(new CustomEvent('run', {detail: {kind: 'tick', memory: 0, active: [
                {node: 'train', seconds: step, done: step, total: 9, words},
                {node: 'judge[case=000]', seconds: step, done: 1, total: 2, words: 'source 1'}]}}));
              tick(0, 'source 2');
              tick(1, 'loss 0.9');
              tick(2, 'loss 0.7');
              window.button = document.querySelector('.source');
              tick(3, 'loss 0.6');
              done();
            });""")
        self.until_text(".sources h2", "Running")
        self.assertEqual([b.text for b in self.all(".source")][0], "train")
        self.assertNotIn("judge[case=000]", self.text(".source"))
        self.assertTrue(self.browser.execute_script("return button.isConnected"))
        self.all(".source")[0].click()
        self.until_text(".head", "live")
        self.assertEqual(self.text(".chart figcaption"), "loss")
        self.look("measure-live")

    def colours(self):
        """How many of the lines' colours the first chart shows."""
        return self.browser.execute_script("""
            const canvas = document.querySelector('.chart canvas'), found = new Set();
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            for (let i = 0; i < data.length; i += 4)
              if (data[i + 3] === 255) found.add(data.slice(i, i + 3).join());
            return ['0,114,178', '230,159,0'].filter((c) => found.has(c)).length;""")

    def table(self):
        self.all(".source")[-1].click()
        self.until_text(".data thead", "organ")
        self.assertEqual(len(self.all(".data tbody tr")), 6)
        self.all(".sort")[2].click()
        self.until(lambda: self.text(".data tbody tr:first-child td:last-child") == "0.5", "it is sorted")
        self.all(".sort")[2].click()
        self.until(lambda: self.text(".data tbody tr:first-child td:last-child") == "0.9002", "the other way")
        self.one(".filter").send_keys("dice > 0.6 002")
        self.until(lambda: self.text(".data tbody") == "case=002liver0.9002", "it is filtered")
        self.assertIn("1 of 6 rows", self.text(".sheet .tools"))
        # The file that the button saves: formulas of a spreadsheet are texts in it.
        self.assertEqual(self.browser.execute_async_script("""
            import('/table.js').then(({csv}) => arguments[0](csv([{name: 'a,b'}, {name: 'c'}], [['=1+1', 0.1], ['x"y', null]])))"""),
            '"a,b",c\r\n\'=1+1,0.1\r\n"x""y",\r\n')
        self.look("measure-table")


if __name__ == "__main__":
    harness.main(1)
