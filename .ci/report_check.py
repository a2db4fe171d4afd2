#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Opens pages that nc-verify --report writes in a browser without a window: all is there as text, nothing is wider than the window,
nothing is fetched, and what a hostile file has for names stays text. A page opens with sizes and verdict, is green only where
something was judged, folds what is long, and is dark where the reader's system is. Pictures of nc-info are well-formed, and those of
sizes add up to the file.

    report_check.py TOOLS [FOLDER]        FOLDER: where the screenshots stay

Needs Debian's chromium, which it talks to in JSON through a pipe, as https://chromedevtools.github.io/devtools-protocol describes.
"""
import base64, functools, itertools, shutil, socket, tempfile, threading
import xml.etree.ElementTree as xml
from oracle import *

tools = pathlib.Path(sys.argv[1]).resolve()
folder = tempfile.TemporaryDirectory()
scratch = pathlib.Path(folder.name)
screenshots = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else scratch
WIDTHS = (1200, 400)
# Each is a layer of a network: what would be an element, an attribute, an entity, a comment, a request or another direction of text.
HOSTILE = ["1<script>alert(1)</script>", "2\"><img src=http://leak.example/2.png onerror=alert(2)>", "3'onmouseover='alert(3)", "4&lt;b&gt;&amp;&#60;", "5</title></style></svg><h1>5</h1>",
           "6]]>--><!--", "7url(http://leak.example/7.png)", "8\u202egnp.exe", "9" + "W" * 400, "a<svg onload=alert(4)><a href=javascript:alert(5)>x</a>", "b{{7*7}}${7*7}`"]


class Proxy(threading.Thread):
    """What a page fetched would come past here; nothing is answered."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket, self.asked = socket.create_server(("127.0.0.1", 0)), []
        self.start()

    def run(self):
        while True:
            connection, _ = self.socket.accept()
            with connection:
                connection.settimeout(2)
                try:
                    self.asked.append(connection.recv(4096).split(b"\r\n")[0].decode(errors="replace"))
                except OSError:
                    self.asked.append("nothing")


class Browser:
    def __init__(self, proxy):
        (theirs, self.to), (self.answers, back) = os.pipe(), os.pipe()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                   "--disable-default-apps", "--disable-extensions", "--no-first-run", "--no-pings", "--metrics-recording-only", "--disable-features=OptimizationHints,MediaRouter,Translate",
                   "--hide-scrollbars", f"--user-data-dir={scratch / 'profile'}", f"--proxy-server=127.0.0.1:{proxy}", "--remote-debugging-pipe", "about:blank"]
        self.process = subprocess.Popen(["bash", "-c", f'exec "$0" "$@" 3<&{theirs} 4>&{back}', "chromium", *options], pass_fds=(theirs, back), stderr=subprocess.DEVNULL)
        os.close(theirs), os.close(back)
        self.number, self.rest, self.events = itertools.count(1), b"", []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.ask = functools.partial(self.ask, session=self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.ask(f"{domain}.enable")

    def message(self):
        while b"\0" not in self.rest:
            more = os.read(self.answers, 1 << 16)
            if not more:
                raise RuntimeError("chromium ended")
            self.rest += more
        first, self.rest = self.rest.split(b"\0", 1)
        return json.loads(first)

    def ask(self, method, session=None, **parameters):
        number = next(self.number)
        os.write(self.to, json.dumps({"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})).encode() + b"\0")
        while (answer := self.message()).get("id") != number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def evaluate(self, expression):
        return self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, address, width):
        self.events = []
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.ask("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.message())

    def screenshot(self):
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def close(self):
        self.process.terminate()
        self.process.wait(30)


def written(path, names, seed):
    """A chain of square layers with these names, in the order given by their first characters."""
    generator = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for name in names:
            file[f"{name}/weight"], file[f"{name}/bias"] = generator.standard_normal((6, 6)).astype(np.float32), generator.standard_normal(6).astype(np.float32)
    return path


def cases():
    """The networks of each page, and further options of nc-verify."""
    fixtures, fashion = ROOT / "fixtures/networks", ROOT / "fixtures/data/fashion_test.h5"
    packed = {}
    for name, source, *command in (("ternary", "fashion_300_100.h5", "nc-ternarize"), ("half", "digits_branch.h5", "nc-prune", "--keep", ".5"), ("nodes", "digits_relu.h5", "nc-prune", "--by", "node", "--keep", ".6")):
        packed[name] = scratch / f"{name}.ncz"
        run(tools, command[0], "-q", *command[1:], fixtures / source, packed[name])
    yield "fashion", fixtures / "fashion_300_100.h5", packed["ternary"], "--data", fashion, "--max-output", ".01"
    yield "branches", fixtures / "digits_branch.h5", packed["half"], "--points", 64
    yield "nodes", fixtures / "digits_relu.h5", packed["nodes"], "--points", 64, "--fast"
    yield "unlike", fixtures / "digits_relu.h5", fixtures / "torch_digits.flat.h5"
    yield "one output", *(written(scratch / f"{n}.h5", ["layer"], n) for n in (1, 2)), "--measure", "weights"
    hostile = [written(scratch / f"<img src=x onerror=alert({n})>&lt;.h5", HOSTILE, n) for n in (1, 2)]
    yield "hostile", *hostile, "--points", 16
    run(tools, "nc-prune", "-q", "--keep", ".5", "--only", "*<h1>*", hostile[0], scratch / "<b>.ncz")
    yield "hostile claims", hostile[0], scratch / "<b>.ncz", "--points", 16
    yield "no verdict", fixtures / "digits_branch.h5", packed["half"], "--points", 64, "--no-verdict"
    yield "no limit", fixtures / "fashion_300_100.h5", packed["ternary"], "--points", 64, "--fast"
    yield "within", fixtures / "fashion_300_100.h5", packed["ternary"], "--measure", "weights", "--max-weight", ".6"
    many = written(scratch / "many.h5", [f"{n:03}_{'long_' * 12}layer" for n in range(60)], 3)
    run(tools, "nc-ternarize", "-q", many, scratch / "many.ncz")
    yield "many", many, scratch / "many.ncz", "--points", 16


def check(browser, proxy, blank, name, a, b, *options):
    page = scratch / f"{name}.html"
    report = run(tools, "nc-verify", "--json", "--report", page, *options, a, b, status=(0, 1))
    text = page.read_text()
    expect(not re.search(r"<script|<img|<iframe|<link|<object|<embed|\bsrc=[\"']?\w|https?://(?!www\.w3\.org/)", re.sub(r"(&lt;|&#60;|&quot;|&#34;)[^<]*", "", text)), f"{name}: something to fetch or to run in the page")
    for width in WIDTHS:
        browser.open(page.as_uri(), width)
        wide = browser.ask("Page.getLayoutMetrics")["cssContentSize"]["width"]
        expect(wide <= width, f"{name}: {wide} wide in a window of {width}")
        image = browser.screenshot()
        (screenshots / f"{name}-{width}.png").write_bytes(image)
        expect(len(image) > 3 * blank[width], f"{name}: the screenshot at {width} is {len(image)} bytes, of an empty page {blank[width]}")
        fetched = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
        expect([url for url in fetched if not url.startswith("data:")] == [page.as_uri()], f"{name}: fetched {fetched}")
        said = [e["method"] for e in browser.events if e.get("method") in ("Page.javascriptDialogOpening", "Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")]
        expect(not said, f"{name}: {said}")
    shown = browser.evaluate("document.body.textContent")
    for tensor in report["tensors"]:
        if not tensor["equal"]:
            expect(tensor["name"].replace("\u202e", "\ufffd") in shown, f"{name}: {tensor['name']!r:.60} is not in the page")
    expect("\u202e" not in shown, f"{name}: a character that turns the text around")
    for path in (a, b):
        expect(pathlib.Path(path).name in shown, f"{name}: {pathlib.Path(path).name!r} is not in the page")
    for part in report["parts"]:
        accuracy = part["outputs"] and part["outputs"]["accuracy_b"]
        expect(accuracy is None or re.search(rf"\.{round(accuracy * 1e4) % 10**4:04d}"[:4], shown), f"{name}: no accuracy {accuracy}")
    elements = set(browser.evaluate("[...new Set([...document.querySelectorAll('*')].map(e => e.localName))].join(' ')").split())
    expect(not elements & {"script", "img", "iframe", "object", "embed", "link", "base", "form", "input", "a", "i", "b", "foreignobject", "image", "use", "animate", "set"}, f"{name}: elements {sorted(elements)}")
    expect(browser.evaluate("document.querySelectorAll('h1').length") == 1, f"{name}: more than one heading")
    expect(browser.evaluate("[...document.querySelectorAll('*')].every(e => [...e.attributes].every(a => !/^on|href|^src/.test(a.name)))"), f"{name}: attributes that run or fetch")
    check_order(browser, name, page, report, a, b, options)
    unlabelled = browser.evaluate("[...document.querySelectorAll('svg')].filter(s => !s.querySelector('title') && !s.getAttribute('aria-label') && s.getAttribute('aria-hidden') !== 'true').length")
    expect(unlabelled == 0, f"{name}: {unlabelled} figures that have no title")


def readable(size):
    """As the page spells it: three significant digits."""
    if size < 1000:
        return f"{size} B"
    unit = 0
    while size >= 999.5 and unit < 5:
        size, unit = size / 1000, unit + 1
    return f"{size:.{max(0, 2 - len(str(int(size))) + 1)}f} {['kB', 'MB', 'GB', 'TB', 'PB'][unit - 1]}"


def check_order(browser, name, page, report, a, b, options):
    """What stands where."""
    try:
        xml.fromstring(page.read_text())
    except xml.ParseError as error:
        expect(False, f"{name}: no XML: {error}")
    summary = browser.evaluate("document.querySelector('main > h1 + .scroll').innerText") or ""
    for path in (a, b):
        expect(readable(os.path.getsize(path)) in summary, f"{name}: {readable(os.path.getsize(path))} is not at the top: {summary!r:.300}")
    expect("bits a weight" in summary and re.search("times (smaller|larger)|the same size", summary), f"{name}: no ratio or bits a weight at the top")
    accuracies = [part["outputs"]["accuracy_b"] for part in report["parts"] if part["outputs"] and part["outputs"]["accuracy_b"] is not None]
    expect(all(f"{accuracy:.4f}" in summary for accuracy in accuracies), f"{name}: accuracy is not at the top")
    kind = browser.evaluate("document.querySelector('main > h1 + .scroll + .verdict').classList[1]")
    limits = [check for check in report["checks"] if check["measure"] != "recorded error"]
    expected = {"differs": "bad", "no verdict": "neutral", "within tolerance": "good" if limits else "neutral"}.get(report["verdict"], "good")
    expect(kind == expected, f"{name}: verdict {report['verdict']!r} looks {kind}, expected {expected}")
    headings = browser.evaluate("[...document.querySelectorAll('h2')].map(e => e.textContent)")
    kinds = [re.match("Notes|Weights|Outputs|Conjugate kernel|Neural tangent kernel|How it was measured", heading) for heading in headings]
    expect(all(kinds) and headings[-1] == "How it was measured", f"{name}: sections {headings}")
    expect("Notes" not in headings or headings[0] == "Notes", f"{name}: notes are not first: {headings}")
    kernels = sum(bool(part["spectrum"]) + bool(part["spectrum"] and part["spectrum"]["ntk"]) for part in report["parts"])
    expect(sum("kernel" in heading for heading in headings) == kernels, f"{name}: {kernels} kernels, sections {headings}")
    if "--fast" not in options:
        expect(browser.evaluate("document.querySelectorAll('h2 ~ .beside > .scroll + figure').length") == kernels, f"{name}: not each kernel has its figure beside its table")
    held = [check for check in limits if check["measure"] not in ("bytes of B", "bits a weight of B")]
    bars = browser.evaluate("[...document.querySelectorAll('.verdict + .beside figure svg text')].map(e => e.textContent)")
    expect("limit" in bars and "1.0" in bars if held else not bars, f"{name}: {len(held)} limits, bars with {bars}")
    changed = sum(not tensor["equal"] for tensor in report["tensors"])
    rows = browser.evaluate("[...document.querySelectorAll('main > .scroll')].filter(e => /σ₁/.test(e.textContent)).map(e => e.querySelectorAll('tbody tr').length)")
    folded = browser.evaluate("[...document.querySelectorAll('main > details:not([open]) > .scroll tbody')].map(e => e.children.length)")
    expect(rows == ([min(changed, 20)] if changed else []), f"{name}: {rows} rows of {changed} tensors are open")
    expect(sum(folded) == max(0, changed - 20), f"{name}: {folded} rows of {changed} tensors are folded")
    legends = set(browser.evaluate("[...document.querySelectorAll('svg text')].map(e => e.textContent)"))
    expect(not legends & {"A", "B"}, f"{name}: a legend says A or B")
    expect("original" in legends or not kernels or "--fast" in options, f"{name}: no legend says original")
    if "--max-weight" in options and changed:
        expect(any("--max-weight" in text for text in legends), f"{name}: no tolerance in the bars")
    shown = browser.evaluate("document.body.textContent")
    expect(str(scratch) not in shown and str(ROOT) not in shown, f"{name}: a path is in the page")
    # Dark, and as it was.
    colours = "JSON.stringify([getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color])"
    for scheme, isDark in (("dark", True), ("light", False)):
        browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        ground, ink = ([int(n) for n in re.findall(r"\d+", colour)] for colour in json.loads(browser.evaluate(colours)))
        expect((sum(ground) < sum(ink)) == isDark, f"{name}: {scheme} is {ground} with text {ink}")


def check_pictures(name, file):
    """SVG of sizes adds up to the file, and of errors is well-formed."""
    picture = scratch / "picture.svg"
    run(tools, "nc-info", "-f", "--plot", picture, file)
    root = xml.fromstring(picture.read_text())
    tag = "{http://www.w3.org/2000/svg}"
    bars = [int(bar.find(f"{tag}title").text.removesuffix(" bytes")) for bar in root.iter(f"{tag}rect") if bar.get("class") == "bytes"]
    expect(sum(bars) == os.path.getsize(file), f"{name}: bars of {sum(bars)} bytes, the file has {os.path.getsize(file)}")
    expect(str(scratch) not in picture.read_text(), f"{name}: a path is in the picture")
    first = picture.read_bytes()
    run(tools, "nc-info", "-f", "--plot", picture, file)
    expect(picture.read_bytes() == first, f"{name}: another picture of the same file")
    run(tools, "nc-info", "-f", "--stats", "--plot", picture, file)
    elements = [element.tag.removeprefix(tag) for element in xml.fromstring(picture.read_text()).iter()]
    expect(not set(elements) - {"svg", "title", "rect", "text", "line", "polyline"}, f"{name}: elements {sorted(set(elements))}")


def main():
    if not shutil.which("chromium"):
        sys.exit("report_check.py: no chromium")
    screenshots.mkdir(exist_ok=True)
    proxy = Proxy()
    browser = Browser(proxy.socket.getsockname()[1])
    try:
        blank = {}
        for width in WIDTHS:
            browser.open("data:text/html,<title>.</title>", width)
            blank[width] = len(browser.screenshot())
        for name, *case in cases():
            try:
                check(browser, proxy, blank, name, *case)
                for file in case[:2]:
                    check_pictures(name, file)
            except RuntimeError as error:
                expect(False, f"{name}: {error}")
        # The browser's own connections come past the proxy too; those of a page would be for the names in it.
        browser.open("http://leak.example/", 400)
        expect(any("leak.example" in line for line in proxy.asked), "the proxy was not asked at all")
        expect(sum("leak.example" in line for line in proxy.asked) == sum(line.startswith("GET http://leak.example/ ") for line in proxy.asked), f"a page fetched something: {proxy.asked}")
    finally:
        browser.close()
    return finish()


if __name__ == "__main__":
    sys.exit(main())
