#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the manual pages and the magic for file(1).

    manual_check.py TOOLS

- Each page in spec/man is what spec/man/manual.py makes now.
- `mandoc -T lint` says nothing, of no level. Switched off are that `.Os` names something (here the project and its version, not an operating system) and what depends
  on other pages being installed.
- An option of `--experimental-dump-help` stands in the page, and the other way round.
- The code blocks of the templates do what they show (see readme.py), and stand in the page as they are, in groff and in mandoc.
- In ASCII, where a locale has no more, no character is missing.
- `file -m spec/ncz.magic` tells sound, damaged and newer files, and takes nothing else for a .ncz file.
"""
import json, os, pathlib, re, struct, subprocess, sys, tempfile, zlib
from counting import expect, finish
from readme import Reader, blocks

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAN = ROOT / "spec/man"
sys.path.insert(0, str(MAN))
import manual  # noqa: E402

tools = pathlib.Path(sys.argv[1]).resolve()
UNCHECKED = ("operating system explicitly specified", "outdated mandoc.db", "referenced manual not found: Xr file 1")


def run(*command, **environment):
    # mandoc looks for other pages in the present folder.
    result = subprocess.run(command, cwd=MAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | environment)
    return result.stdout.decode(errors="replace"), result.stderr.decode(errors="replace")


def plain(text):
    """Without what terminals show as bold and underlined."""
    return re.sub(r".\x08", "", re.sub(r"\x1b\[[\d;]*m", "", text))


def rendered(page, formatter):
    """The page as a terminal with UTF-8 or with ASCII alone shows it, and what the formatter complains of."""
    device, locale = formatter.split("-")[1], {"utf8": "C.UTF-8", "ascii": "C"}[formatter.split("-")[1]]
    if formatter.startswith("mandoc"):
        text, errors = run("mandoc", "-T", device, "-O", "width=200", str(page))
    else:
        # What man(1) runs, in a terminal wide enough for every line.
        text, errors = run("man", "-l", str(page), LC_ALL=locale, MANWIDTH="200", MAN_KEEP_FORMATTING="", PAGER="cat", MANPAGER="cat")
    return plain(text), errors


def options_of(name):
    """The spellings of the options of a tool, from its own description."""
    command = json.loads(run(tools / name, "--experimental-dump-help")[0])["command"]
    return {("-" if spelling["kind"] == "short" else "--") + spelling["name"] for argument in command["arguments"] for spelling in argument.get("names", [])}


def check_page(name, text):
    page = MAN / name
    expect(page.is_file() and page.read_text() == text, f"spec/man/{name} is not what spec/man/manual.py makes: run it, and commit the pages")
    lint = [line for line in run("mandoc", "-T", "lint", name)[0].splitlines() if not any(words in line for words in UNCHECKED)]
    expect(not lint, f"{name}: {lint[:3]}")
    if name.endswith(".1"):
        heads = re.findall(r"^\.It Fl .*$", text, re.M)
        found = {"-" + word.replace("\\-", "-") for head in heads for word in re.findall(r"Fl (\S+)", head)}
        given = options_of(name[:-2])
        expect(found == given, f"{name}: missing {given - found}, too many {found - given}")
    template = (MAN / (name.split(".")[0] + ".in")).read_text()
    shown = [line for _, _, _, lines in blocks(template) for line in lines if line.strip()]
    expect(shown, f"{name}: no example")
    for formatter in ("mandoc-utf8", "mandoc-ascii", "man-utf8", "man-ascii"):
        text, errors = rendered(page, formatter)
        expect(len(text) > 2000 and "EXAMPLES" in text, f"{name}: {formatter} shows {len(text)} characters")
        expect("<?>" not in text and "can't find special character" not in errors, f"{name}: {formatter}: a character is missing: {errors[:200]}")
        if formatter.endswith("ascii"):
            expect(text.isascii(), f"{name}: {formatter} is not ASCII")
        else:
            lines = {line.strip() for line in text.splitlines()}
            wrong = [line for line in shown if "…" not in line and line.strip() not in lines]
            expect(not wrong, f"{name}: {formatter} does not show {wrong[:1]}")


def check_examples():
    for template in sorted(MAN.glob("*.in")):
        with tempfile.TemporaryDirectory() as folder:
            reader = Reader(pathlib.Path(folder), template.name)
            for _, where, language, lines in blocks(template.read_text()):
                {"sh": reader.shell, "text": reader.text, "console": reader.console, "python": reader.python}[language](lines, where)


def check_magic():
    def told(path):
        return run("file", "-b", "-m", str(ROOT / "spec/ncz.magic"), str(path))[0].strip()
    sound = "NCZ compressed neural network, version 0."
    good = sorted((ROOT / "fixtures/good").glob("*.ncz"))
    expect(len(good) > 20, "good fixtures")
    for path in good:
        minor, = struct.unpack_from("<H", path.read_bytes(), 10)
        expect(told(path) == f"{sound}{minor}", f"{path.name}: {told(path)}")
    others = [ROOT / "fixtures/networks/fashion_300_100.h5", tools / "nc-info", ROOT / "README.md", *sorted((ROOT / "fixtures/networks").glob("*.keras"))[:1]]
    for path in [*others, pathlib.Path("/dev/null")]:
        expect("NCZ" not in told(path), f"{path.name}: {told(path)}")
    with tempfile.TemporaryDirectory() as folder:
        file, content = pathlib.Path(folder) / "file", good[0].read_bytes()

        def changed(offset, replacement, header=True):
            data = bytearray(content)
            data[offset:offset + len(replacement)] = replacement
            if header:
                data[28:32] = struct.pack("<I", zlib.crc32(data[:28]))
            file.write_bytes(data)
            return told(file)
        newer = changed(8, b"\x09\x00")
        expect("version 9" in newer and "newer" in newer, newer)
        features = changed(12, b"\x01")
        expect("required features 0x1" in features, features)
        # As a transfer in text mode or seven bits leaves it.
        for name, damaged in {"CR LF to LF": content.replace(b"\r\n", b"\n"), "LF to CR LF": content.replace(b"\n", b"\r\n"), "seven bits": bytes([content[0] & 127]) + content[1:]}.items():
            file.write_bytes(damaged)
            expect("damaged" in told(file) and "NCZ" in told(file), f"{name}: {told(file)}")
        file.write_bytes(b"\x89NCX" + content[4:])
        expect("NCZ" not in told(file), f"another signature: {told(file)}")
        for name, cut in {"cut": content[:-32], "joined": content + b"\n"}.items():
            file.write_bytes(cut)
            expect("damaged" in told(file) and "NCZ" in told(file), f"{name}: {told(file)}")
        expect("damaged: header" in changed(20, b"\x01"), f"header: {told(file)}")


def main():
    for name, text in manual.pages(tools).items():
        check_page(name, text)
    check_examples()
    check_magic()
    return finish()


if __name__ == "__main__":
    sys.exit(main())
