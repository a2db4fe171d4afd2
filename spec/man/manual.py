#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the manual pages from the templates beside this file and from what the tools say about themselves.

    manual.py TOOLS [FOLDER]

TOOLS is the folder of the built tools, FOLDER where the pages go (default: that of this file). A template `nc-prune.in` becomes `nc-prune.1`, `ncz.in` becomes `ncz.5`.
Options, exit statuses, the name and the version come from `TOOL --experimental-dump-help`; what is said of an option beyond its line of help stands in
the template, or in `common.in` for options that several tools have.

A template has lines of mdoc(7) that begin with a point, and text. In text, `code` is bold and *name* is a placeholder. Lines that begin with @:

    @header         date, title, and the section NAME of a tool
    @synopsis MDOC  the synopsis; MDOC are the options that must be there
    @options        all options; then `@ --option` lines with the text for each, up to `@end`
    @exit           exit statuses; then `@ STATUS` lines with the text for each, up to `@end`
    @include NAME   the part of common.in that begins with `@part NAME`
    @see NAME(N) …  SEE ALSO: the pages, sorted

A line `= VALUE text` is about a value of an option. A block between lines of three grave accents is shown as it is. A character that some terminal cannot show is an error.
"""
import json, pathlib, re, subprocess, sys, textwrap

HERE = pathlib.Path(__file__).resolve().parent
TOOLS = ("ternarize", "prune", "quantize", "restore", "verify", "run", "info")
DATE = "November 28, 2026"
# Shown by groff and mandoc in UTF-8, and spelled in ASCII where a locale has no more.
SHOWN = "±×÷−≤≥→·½²–"
SPELLED = {"‖": "||", "₂": "_2", "…": "...", "α̂": "alpha", "σ": "sigma"}


def characters(text, code):
    """Text as roff has it, one line."""
    text = re.sub(r"(?<=\d)…(?=\d)", " to ", text)
    for character, spelling in SPELLED.items():
        text = text.replace(character, spelling)
    text = text.replace("\\", "\\e")
    if code:
        for character, escape in {"-": "\\-", "'": "\\(aq", "`": "\\(ga", "~": "\\(ti", "^": "\\(ha"}.items():
            text = text.replace(character, escape)
    wrong = [character for character in text if ord(character) > 126 and character not in SHOWN]
    if wrong:
        sys.exit(f"{wrong[0]!r} cannot be shown in ASCII: {text}")
    return "".join(character if ord(character) < 127 else f"\\[u{ord(character):04X}]" for character in text)


def prose(line):
    """Text in lines of at most 80 characters: `code` in bold, *name* in italics."""
    parts = re.split(r"(`[^`]+`|\*[A-Za-z][\w-]*\*)", line)
    result = ""
    for part in parts:
        if part.startswith("`") and len(part) > 2:
            result += "\\fB" + characters(part[1:-1], True) + "\\fR"
        elif part.startswith("*") and len(part) > 2:
            result += "\\fI" + characters(part[1:-1], False) + "\\fR"
        else:
            result += characters(part, False)
    # No word with code in it is hyphenated.
    result = re.sub(r"(?<!\S)(?=\S*\\fB)", r"\\%", result)
    result = re.sub(r"\\fB.*?\\fR", lambda code: code[0].replace(" ", " \\%"), result)
    # A sentence begins a line.
    sentences = re.split(r"(?<=\.) (?=[A-Z\\])", result)
    return "\n".join(protected(line) for sentence in sentences for line in textwrap.wrap(sentence, 78, break_long_words=False, break_on_hyphens=False))


def protected(line):
    """A line that roff does not take for a request."""
    return ("\\&" if line[:1] in (".", "'") else "") + line


def quoted(text):
    """An abstract of the help: its options, file suffixes and paths of code in bold."""
    return re.sub(r"(?<![\w`])(--?[A-Za-z][\w-]*(?:…)?|\.(?:h5|ncz|keras)\b|config\.json)", r"`\1`", text)


def literal(lines):
    for line in lines:
        yield protected(characters(line, True))


class Tool:
    """What a tool says about itself."""

    def __init__(self, folder, name):
        self.name = name
        command = json.loads(subprocess.run([folder / name, "--experimental-dump-help"], check=True, stdout=subprocess.PIPE).stdout)["command"]
        self.version = subprocess.run([folder / name, "--version"], check=True, stdout=subprocess.PIPE).stdout.decode().split()[1]
        self.abstract = command["abstract"]
        self.arguments = [argument for argument in command["arguments"] if argument["kind"] == "positional"]
        self.options = [argument for argument in command["arguments"] if argument["kind"] != "positional"]
        statuses = " ".join(command["discussion"].split("Exit status:")[1].split()).rstrip(".")
        self.statuses = [part.split(" ", 1) for part in statuses.split("; ")]

    def synopsis(self, required):
        yield f".Nm {self.name}"
        if required:
            yield from required.split("\\n")
        yield ".Op Ar options"
        for argument in self.arguments:
            name = f"Ar {argument['valueName']}" + (" ..." if argument["isRepeating"] else "")
            yield f".Op {name}" if argument["isOptional"] else f".{name}"


def names(option):
    """`-f`, `--force`: short ones first."""
    given = [("-" if name["kind"] == "short" else "--") + name["name"] for name in option["names"]]
    return sorted(given, key=len)


def heading(option):
    value = f" Ar {characters(option['valueName'], False)}" if option["kind"] == "option" else ""
    return ".It " + " , ".join(f"Fl {characters(name[1:], True)}{value}" for name in names(option))


def first_line(option):
    text = quoted(option["abstract"])
    values = option.get("allValues") or []
    default = option.get("defaultValue")
    if values and not all(re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) for value in values):
        text += f" Values: {', '.join(f'`{value}`' for value in values)}."
    if default and "(default" not in text:
        text += f" Default: `{default}`."
    return prose(text)


def entries(lines):
    """`@ NAME` lines and the text below each."""
    found = {}
    for line in lines:
        if line.startswith("@ "):
            for name in (current := line[2:].split()):
                found[name] = []
        elif line.strip():
            for name in current:
                found[name].append(line)
    return found


class Common:
    """What several pages share: parts, groups of options with a text for each, texts of exit statuses."""

    def __init__(self):
        self.parts, self.groups, self.used = {}, [], set()
        for line in (HERE / "common.in").read_text().splitlines():
            if line.startswith("@part "):
                target = self.parts.setdefault(line[6:], [])
            elif line.startswith("@group "):
                target = []
                self.groups.append((line[7:], target))
            else:
                target.append(line)
        self.groups = [(title, entries(lines)) for title, lines in self.groups]


class Page:
    def __init__(self, template, tool, common, folder):
        self.tool, self.common = tool, common
        self.lines = iter(template.read_text().splitlines())
        self.folder = folder

    def until_end(self):
        found = []
        for line in self.lines:
            if line == "@end":
                return found
            found.append(line)
        sys.exit("an @end is missing")

    def body(self, lines):
        """Text, macros, values and blocks."""
        lines, values = iter(lines), False
        for line in lines:
            if line.startswith("= ") != values:
                values = not values
                yield ".Bl -tag -width Ds" if values else ".El"
            if values:
                name, text = line[2:].split(" ", 1)
                yield from [f".It Cm {characters(name, True)}", prose(text)]
            elif line.startswith("```"):
                block = []
                for inner in lines:
                    if inner.startswith("```"):
                        break
                    block.append(inner)
                yield from [".Bd -literal -offset indent", *literal(block), ".Ed"]
            elif line.startswith("@include "):
                self.common.used.add(line[9:])
                yield from self.body(self.common.parts[line[9:]])
            elif line.startswith("."):
                yield line
            elif line.strip():
                yield prose(line)
        if values:
            yield ".El"

    def options(self, own):
        given = {names(option)[-1]: option for option in self.tool.options}
        for name in own:
            if name not in given:
                sys.exit(f"{self.tool.name} has no option {name}")

        def list_of(chosen, texts):
            yield ".Bl -tag -width Ds"
            for name in chosen:
                yield heading(given[name])
                yield first_line(given[name])
                yield from self.body(own.get(name) or texts.get(name, []))
            yield ".El"
        grouped = {name for _, texts in self.common.groups for name in texts}
        yield from list_of([name for name in given if name not in grouped], {})
        for title, texts in self.common.groups:
            chosen = [name for name in texts if name in given]
            if chosen:
                yield f".Ss {title}"
                yield from list_of(chosen, texts)

    def exit_statuses(self, own):
        common = entries(self.common.parts["exit"])
        yield ".Bl -tag -width Ds"
        for status, meaning in self.tool.statuses:
            yield f".It {status}"
            yield prose(quoted(meaning[0].upper() + meaning[1:] + "."))
            yield from self.body(own.get(status) or common.get(status, []))
        yield ".El"

    def text(self):
        result = []
        for line in self.lines:
            word, _, rest = line.partition(" ")
            if word == "@header":
                title, number = (self.tool.name, 1) if self.tool else rest.split()
                result += [f".Dd {DATE}", f".Dt {title.upper()} {number}", f".Os nc {self.tool.version if self.tool else self.version}", ".Sh NAME", f".Nm {title}"]
                if self.tool:
                    abstract = self.tool.abstract
                    result.append(".Nd " + characters(abstract[0].lower() + abstract[1:].rstrip("."), False))
            elif word == "@synopsis":
                result += [".Sh SYNOPSIS", *self.tool.synopsis(rest)]
            elif word == "@options":
                result += [".Sh OPTIONS", *self.options(entries(self.until_end()))]
            elif word == "@exit":
                result += [".Sh EXIT STATUS", *self.exit_statuses(entries(self.until_end()))]
            elif word == "@see":
                pages = sorted(((page[:-3], page[-2]) for page in rest.split()), key=lambda page: (page[1], page[0]))
                result += [".Sh SEE ALSO", *(f".Xr {name} {number}" + (" ," if index < len(pages) - 1 else "") for index, (name, number) in enumerate(pages))]
            elif line.startswith("```"):
                block = [line]
                for inner in self.lines:
                    block.append(inner)
                    if inner.startswith("```"):
                        break
                result += self.body(block)
            else:
                result += self.body([line])
        return '.\\" Made by manual.py; edit the templates.\n' + "\n".join(result) + "\n"


def pages(folder):
    """File name and text of each page."""
    folder, common, result = pathlib.Path(folder).resolve(), Common(), {}
    for name in [f"nc-{tool}" for tool in TOOLS]:
        tool = Tool(folder, name)
        result[f"{name}.1"] = Page(HERE / f"{name}.in", tool, common, folder).text()
    page = Page(HERE / "ncz.in", None, common, folder)
    page.version = tool.version
    result["ncz.5"] = page.text()
    if unused := common.parts.keys() - common.used - {"exit"}:
        sys.exit(f"common.in: nobody includes {unused}")
    return result


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else HERE
    for name, text in pages(sys.argv[1]).items():
        (target / name).write_text(text)
