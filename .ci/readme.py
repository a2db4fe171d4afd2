#!/usr/bin/env python3
"""Runs what the code blocks of README.md say, one after another in one folder, and compares what a block shows with what is printed.

    readme.py TOOLS

- `console`: what follows `$ ` is run by bash; the lines below it, up to the next `$ `, are what standard output and standard error give.
- `sh`: run by bash, line by line; each line ends with 0. The blocks of the section Build are run by .ci/run, but for `install`.
- `python`: each in a process of its own. `images` and `labels`, which a reader has, are some random ones.

A number may differ by one in its last digit: other processors round otherwise. Amounts of blanks are not compared. Paths below /usr/local
are those of a scratch folder, and `ssh` is a stand-in that runs its command in another one. Any other language is a failure.
"""
import os, pathlib, re, shutil, subprocess, sys, tempfile
from decimal import Decimal
from counting import expect, finish

ROOT = pathlib.Path(__file__).resolve().parent.parent
tools = pathlib.Path(sys.argv[1]).resolve()
NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def near(shown, printed):
    """Whether two lines are the same, but for one in the last digit of each number."""
    if NUMBER.sub("#", shown).split() != NUMBER.sub("#", printed).split():
        return False
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed))
    return all(a == b or "." in a and abs(Decimal(a) - Decimal(b)) <= Decimal(1).scaleb(Decimal(a).as_tuple().exponent) for a, b in pairs)


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
    expect(inside is None, "a code block of README.md has no end")


class Reader:
    """Someone who types what the README says."""

    def __init__(self, folder, page="README.md"):
        self.page = page
        self.folder, self.board, self.prefix, stand_ins = (folder / name for name in ("work", "board", "prefix", "stand-ins"))
        for path in (self.folder, self.board, self.prefix / "bin", stand_ins):
            path.mkdir(parents=True)
        (stand_ins / "ssh").write_text(f'#!/bin/sh\n# ssh HOST COMMAND\n[ $# = 2 ] || exit 255\ncd "{self.board}" && exec sh -c "$2"\n')
        (stand_ins / "ssh").chmod(0o755)
        networks, data = ROOT / "fixtures/networks", ROOT / "fixtures/data"
        for name, source in {"fashion_300_100.h5": networks / "fashion_300_100.h5", "net.h5": networks / "fashion_300_100.h5", "fashion_test.h5": data / "fashion_test.h5", "test.h5": data / "fashion_test.h5"}.items():
            shutil.copy(source, self.folder / name)
        # The installed tools come first: what is installed is what is run.
        path = [str(self.prefix / "bin"), str(stand_ins), str(tools), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
        self.environment = os.environ | {"PATH": os.pathsep.join(path), "PYTHONPATH": str(ROOT / "spec"), "LC_ALL": "C.UTF-8"}

    def run(self, command, where, folder=None):
        """Ends with 0; what it prints."""
        command = command.replace("/usr/local", str(self.prefix)).replace(".build/release", str(tools))
        result = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=folder or self.folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        return result.returncode, result.stdout.decode(errors="replace")

    def shell(self, lines, where):
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.lstrip().startswith("#"):
                status, output = self.run(line, where)
                expect(status == 0, f"{self.page}:{where + number}: {line}: status {status}: {output[-300:]}")

    def console(self, lines, where):
        starts = [index for index, line in enumerate(lines) if line.startswith("$ ")]
        expect(starts and starts[0] == 0, f"{self.page}:{where}: a console block begins with $")
        for start, end in zip(starts, starts[1:] + [len(lines)]):
            command, shown, place = lines[start][2:], lines[start + 1:end], f"{self.page}:{where + start + 1}: {lines[start]}"
            status, output = self.run(command, where)
            # A block shows also what fails; then it shows why.
            expect(status == 0 or status == 1 and shown, f"{place}: status {status}: {output[-300:]}")
            printed = output.splitlines()
            wrong = next((i for i, (a, b) in enumerate(zip(shown, printed)) if not near(a, b)), min(len(shown), len(printed)))
            expect(wrong == len(shown) == len(printed), f"{place}: line {wrong + 1}\n  shown   {(shown + [None])[wrong:][:1]}\n  printed {(printed + [None])[wrong:][:1]}")

    def python(self, lines, where):
        before = "import numpy as np\nimages, labels = np.random.default_rng(1).integers(0, 256, (20, 784), np.uint8), np.arange(20, dtype=np.uint8) % 10\n"
        program = before + "\n".join(lines)
        status, output = self.run(f"python - <<'END'\n{program}\nEND", where)
        expect(status == 0, f"{self.page}:{where}: {output[-500:]}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        reader = Reader(pathlib.Path(folder))
        text = (ROOT / "README.md").read_text()
        for heading, where, language, lines in blocks(text):
            if heading == "Build" and language == "sh":
                lines = [line if line.startswith("install ") else "" for line in lines]
            action = {"sh": reader.shell, "console": reader.console, "python": reader.python}.get(language)
            expect(action, f"README.md:{where}: a code block of {language or 'no language'}: nobody runs it")
            if action:
                action(lines, where)
        installed = sorted(path.name for path in (reader.prefix / "bin").iterdir())
        expect(installed == sorted(f"nc-{name}" for name in ("ternarize", "prune", "restore", "verify", "run", "info")), f"installed: {installed}")
        # The comparison itself: what differs is told.
        expect(near("a  0.4377 holds", "a 0.4378 holds") and not near("a 0.4377", "a 0.4379") and not near("3 of 6", "4 of 6") and not near("equal", "unequal"), "comparison of lines")
    return finish()


if __name__ == "__main__":
    sys.exit(main())
