#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the code blocks of README.md and spec/verifying.md, checks the README's table and picture, and follows every link.

    readme.py TOOLS

The blocks of a document run one after another in one folder, which has `fixtures`, `.build/release`, and the names that a reader has.

- `sh`: a script of bash that ends with 0. A block `text` after it is what it prints. The commands of the section Build are run by
  .ci/run, but for `spec/install.sh`. `ssh` is a stand-in that runs its command in another folder.
- `console`: what follows `$ ` is run by bash; the lines below it, up to the next `$ `, are what standard output and standard error give.
- `python`: each in a process and a folder of its own, with the `.ncz` files that were written before. What it writes as net.h5 must be the network that it was given. Where torch is
  not installed, a stand-in of one function takes its place: it opens what is no file of torch, but gives what torch gives.

A number may differ by one in its last digit: other processors round otherwise. Amounts of blanks are not compared. Paths below /usr/local
are those of a scratch folder. A block of any other language is a failure.
"""
import importlib.util, os, pathlib, re, shutil, subprocess, sys, tempfile
from decimal import Decimal
from counting import expect, finish

ROOT = pathlib.Path(__file__).resolve().parent.parent
tools = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
NETWORK, DATA = (ROOT / "fixtures" / name for name in ("networks/fashion_300_100.h5", "data/fashion_test.h5"))
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?")

# What a reader has: images with labels, layers as pairs of arrays, and net.pt, a state dictionary (outputs × inputs).
GIVEN = """
import h5py, numpy as np
with h5py.File("fashion_300_100.h5") as file:
    groups = [file[f"model_weights/{name}/{name}"] for name in ("fc1", "fc2", "fc3")]
    layers = [(group["kernel"][...], group["bias"][...]) for group in groups]
images, labels = np.random.default_rng(1).integers(0, 256, (20, 784), np.uint8), np.arange(20, dtype=np.uint8) % 10
state = {f"{2 * i}.{name}": value for i, (w, b) in enumerate(layers) for name, value in (("weight", w.T.copy()), ("bias", b))}
"""
TORCH = "import torch\ntorch.save({name: torch.from_numpy(value) for name, value in state.items()}, 'net.pt')\n"
STAND_IN = """
import pickle
bfloat16 = object()
class Tensor:
    def __init__(self, values): self.values, self.dtype = values, values.dtype
    def numpy(self): return self.values
def load(path, map_location, weights_only):
    with open(path, "rb") as file:
        return {name: Tensor(value) for name, value in pickle.load(file).items()}
"""
PICKLED = "import pickle\nwith open('net.pt', 'wb') as file:\n    pickle.dump(state, file)\n"


def near(shown, printed, tolerance=None):
    """Whether two lines are the same, but for one in the last digit of each number, or for `tolerance`."""
    if NUMBER.sub("#", shown).split() != NUMBER.sub("#", printed).split():
        return False
    unit = lambda a: Decimal(1).scaleb(Decimal(a).as_tuple().exponent)
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed))
    return all(a == b or (tolerance or "." in a) and abs(Decimal(a) - Decimal(b)) <= (tolerance or unit(a)) for a, b in pairs)


def blocks(text):
    """Heading, line number, language and lines of each code block."""
    heading, inside = "", None
    for number, line in enumerate(text.splitlines(), 1):
        if inside is None and re.match("#+ ", line):
            heading = line.lstrip("# ")
        if line.startswith("```"):
            if inside is None:
                inside = (heading, number, line[3:].strip(), [])
            else:
                yield inside
                inside = None
        elif inside is not None:
            inside[3].append(line)
    expect(inside is None, "a code block has no end")


class Reader:
    """Someone who types what a document says."""

    def __init__(self, folder, document="README.md"):
        self.document, self.printed = document, ""
        self.folder, self.board, self.prefix, self.modules, stand_ins = (folder / name for name in ("work", "board", "prefix", "modules", "stand-ins"))
        for path in (self.folder / ".build", self.board, self.prefix / "bin", self.modules, stand_ins):
            path.mkdir(parents=True)
        (stand_ins / "ssh").write_text(f'#!/bin/sh\n# ssh HOST COMMAND\n[ $# = 2 ] || exit 255\ncd "{self.board}" && exec sh -c "$2"\n')
        (stand_ins / "ssh").chmod(0o755)
        (self.folder / ".build/release").symlink_to(tools)
        for name in ("fixtures", "spec"):
            (self.folder / name).symlink_to(ROOT / name)
        for name, source in {"fashion_300_100.h5": NETWORK, "net.h5": NETWORK, "fashion_test.h5": DATA, "test.h5": DATA, "train.h5": DATA}.items():
            shutil.copy(source, self.folder / name)
        if not importlib.util.find_spec("torch"):
            (self.modules / "torch.py").write_text(STAND_IN)
        # The installed tools come first: what is installed is what is run.
        path = [str(self.prefix / "bin"), str(stand_ins), str(tools), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
        self.environment = os.environ | {"PATH": os.pathsep.join(path), "PYTHONPATH": f"{ROOT / 'spec'}:{self.modules}", "LC_ALL": "C.UTF-8"}

    def run(self, command, folder=None):
        """Status and what is printed."""
        command = command.replace("/usr/local", str(self.prefix)).replace("spec/install.sh", f"spec/install.sh {self.prefix} {tools}")
        result = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=folder or self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        return result.returncode, result.stdout.decode(errors="replace")

    def place(self, number):
        return f"{self.document}:{number}"

    def compare(self, shown, printed, place):
        printed = printed.splitlines()
        wrong = next((i for i, (a, b) in enumerate(zip(shown, printed)) if not near(a, b)), min(len(shown), len(printed)))
        expect(wrong == len(shown) == len(printed), f"{place}: line {wrong + 1}\n  shown   {(shown + [None])[wrong:][:1]}\n  printed {(printed + [None])[wrong:][:1]}")

    def shell(self, lines, where):
        status, self.printed = self.run("\n".join(lines))
        expect(status == 0, f"{self.place(where)}: status {status}: {self.printed[-300:]}")

    def text(self, lines, where):
        self.compare(lines, self.printed, self.place(where))

    def console(self, lines, where):
        starts = [index for index, line in enumerate(lines) if line.startswith("$ ")]
        expect(starts and starts[0] == 0, f"{self.place(where)}: a console block begins with $")
        for start, end in zip(starts, starts[1:] + [len(lines)]):
            command, shown, place = lines[start][2:], lines[start + 1:end], f"{self.place(where + start + 1)}: {lines[start]}"
            status, output = self.run(command)
            # A block shows also what fails; then it shows why.
            expect(status == 0 or status == 1 and shown, f"{place}: status {status}: {output[-300:]}")
            self.compare(shown, output, place)

    def python(self, lines, where):
        folder = self.folder / f"python-{where}"
        folder.mkdir()
        for path in (NETWORK, *self.folder.glob("*.ncz")):
            (folder / path.name).symlink_to(path)
        given = GIVEN + (PICKLED if (self.modules / "torch.py").exists() else TORCH)
        program = given + "\n".join(lines)
        status, output = self.run(f"python - <<'END'\n{program}\nEND", folder)
        expect(status == 0, f"{self.place(where)}: {output[-500:]}")
        if (folder / "net.h5").exists():
            commands = f"nc-ternarize net.h5 check.ncz; nc-run --activation relu --data '{DATA}' net.h5"
            status, output = self.run(commands, folder)
            same = self.run(f"nc-run --data '{DATA}' '{NETWORK}'", folder)[1].splitlines()[1:]
            expect(status == 0 and "3 tensors changed" in output and output.splitlines()[-2:] == same, f"{self.place(where)}: net.h5: {output[-500:]}")

    def read(self):
        """Runs all blocks."""
        for heading, where, language, lines in blocks((ROOT / self.document).read_text()):
            if self.document == "README.md" and heading == "Build" and language == "sh":
                lines = [line if line.startswith("spec/install.sh") else "" for line in lines]
            action = {"sh": self.shell, "text": self.text, "console": self.console, "python": self.python}.get(language)
            if expect(action, f"{self.place(where)}: a code block of {language or 'no language'}: nobody runs it"):
                action(lines, where)


def anchors(path):
    """What a link can name in a document: its headings, as they are spelled in addresses."""
    names = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in names}


def links():
    """Every relative link leads somewhere."""
    for document in sorted([*ROOT.glob("*.md"), *(ROOT / "spec").rglob("*.md")]):
        for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```|`[^`\n]*`", "", document.read_text(), flags=re.M | re.S)):
            if re.match(r"https?:", target):
                continue
            name, _, anchor = target.partition("#")
            path = (document.parent / name).resolve() if name else document
            what = f"{document.relative_to(ROOT)}: {target}"
            if expect(path.exists() and path.is_relative_to(ROOT), f"{what}: no such file") and anchor:
                expect(anchor in anchors(path), f"{what}: no such heading")


def size():
    lines = (ROOT / "README.md").read_text().splitlines()
    expect(len(lines) <= 150, f"README.md: {len(lines)} lines, at most 150")
    for number, line in enumerate(lines, 1):
        expect(len(line) <= 160 or line.startswith("|"), f"README.md:{number}: {len(line)} characters, at most 160")


def measured(reader):
    """The README's table is what its commands give, and its picture what nc-experiments makes."""
    shown = re.findall(r"^\| [^|]+ \| (?:`(nc-.+?)`)? *\| ([\d,]+) \| ([\d.]+) \| (\.\d+) \|$", (ROOT / "README.md").read_text().replace("\\|", "¦"), re.M)
    expect(len(shown) > 4, f"README.md: a table of {len(shown)} methods")
    for command, count, ratio, accuracy in shown:
        first, *rest = (command or "cat").split("¦")
        pipeline = " | ".join([f"{first} '{NETWORK}'", *rest])
        status, printed = reader.run(f"{pipeline} 2> notes > row; stat -c %s row; nc-run --data '{DATA}' row")
        found = re.search(r"\A(\d+)\n(?:.*\n)*accuracy +0(\.\d+) ", printed)
        same = status == 0 and found and int(count.replace(",", "")) == int(found[1]) and near(f"{float(ratio):.3g}", f"{NETWORK.stat().st_size / int(found[1]):.3g}") and near(accuracy, found[2])
        expect(same, f"README.md: {command or 'original'}: {count} {ratio} {accuracy}, measured {printed[-300:]}")
    status, printed = reader.run(f"nc-experiments tradeoff '{NETWORK}' --data '{DATA}' -o tradeoff.svg")
    if not expect(status == 0, f"nc-experiments tradeoff: status {status}: {printed[-300:]}"):
        return
    new, old = (path.read_text().splitlines() for path in (reader.folder / "tradeoff.svg", ROOT / "spec/results/tradeoff.svg"))
    wrong = next((b for a, b in zip(old, new) if not near(a, b, Decimal("0.2"))), None)
    expect(len(new) == len(old) and wrong is None, f"spec/results/tradeoff.svg: {len(old)} lines, now {len(new)}; differs: {wrong}")


def main():
    for document in ("README.md", "spec/verifying.md"):
        with tempfile.TemporaryDirectory() as folder:
            reader = Reader(pathlib.Path(folder), document)
            reader.read()
            if document == "README.md":
                installed = sorted(path.name for path in (reader.prefix / "bin").iterdir())
                expect((reader.prefix / "share/man/man1/nc-prune.1").exists() and installed == sorted(f"nc-{name}" for name in ("ternarize", "prune", "quantize", "restore", "verify", "run", "info")), f"installed: {installed}")
                measured(reader)
    size()
    links()
    # The comparison itself: what differs is told.
    expect(near("a  0.4377 holds", "a 0.4378 holds") and not near("a 0.4377", "a 0.4379") and not near("3 of 6", "4 of 6") and not near("equal", "unequal"), "comparison of lines")
    return finish()


if __name__ == "__main__":
    sys.exit(main())
