#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Installs into a scratch folder with install.sh, and looks whether man and three shells find what is there.

    install_check.py TOOLS

A shell that is missing is skipped.
"""
import os, pathlib, shutil, subprocess, sys, tempfile
from counting import counts, expect, finish

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = ["nc-ternarize", "nc-prune", "nc-quantize", "nc-restore", "nc-verify", "nc-run", "nc-info"]
tools = pathlib.Path(sys.argv[1]).resolve()


def run(*command, **environment):
    result = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"LC_ALL": "C.UTF-8", "TERM": "dumb"} | environment)
    return result.stdout.decode(errors="replace")


# What each shell says of a command that it can complete, when it looks into its folder below the prefix.
SHELLS = {
    "bash": lambda share, name: run("bash", "--norc", "-c", f". {share}/bash-completion/completions/{name}; complete -p {name}"),
    "zsh": lambda share, name: run("zsh", "-f", "-c", f"fpath=({share}/zsh/site-functions $fpath); autoload -U compinit; compinit -u -D; print complete $_comps[{name}]"),
    # Where the tool is on the path.
    "fish": lambda share, name: run("fish", "-c", f"complete -C '{name} --vers'", HOME=str(share.parent), XDG_DATA_DIRS=f"{share}:/usr/share", PATH=f"{tools}:{os.environ['PATH']}"),
}
WANTED = {"bash": " {}\n", "zsh": "complete _{}\n", "fish": "--version"}

with tempfile.TemporaryDirectory() as folder:
    prefix = pathlib.Path(folder) / "a prefix"
    # Twice: what is there is replaced.
    for _ in range(2):
        # A relative path is one from where it is typed.
        said = run(str(ROOT / "spec/install.sh"), str(prefix)[1:], str(tools)[1:])
        expect(said.startswith(f"installed in {prefix}; ") and said.count("\n") == 1, f"install.sh: {said}")
    said = run(str(ROOT / "spec/install.sh"), str(prefix / "other"), str(prefix / "nothing"))
    expect("build them first" in said and not (prefix / "other").exists(), f"install.sh without tools: {said}")
    said = run(str(ROOT / "spec/install.sh"), "--help")
    expect("install.sh [PREFIX [TOOLS]]" in said and not pathlib.Path("/--help").exists(), f"install.sh --help: {said}")
    share = prefix / "share"
    for name in NAMES:
        expect((prefix / "bin" / name).read_bytes() == (tools / name).read_bytes(), f"{name} is another one")
        expect(run(str(prefix / "bin" / name), "--version").startswith(name), f"{name} does not run")
    # With the tools on the path, man looks beside them.
    for page in [f"{name}.1" for name in NAMES] + ["ncz.5"]:
        name, section = page.split(".")
        found = run("man", "-w", section, name, PATH=f"{prefix}/bin:{os.environ['PATH']}", MANPATH="")
        expect(found.strip() == str(share / f"man/man{section}" / page), f"man -w {section} {name}: {found}")
    expect("version 0.2" in run("file", "-m", str(share / "misc/ncz.magic"), str(ROOT / "fixtures/good/16-ternary-transposed.ncz")), "ncz.magic")
    # Shells are given a path without blanks, as they do not quote it here.
    link = pathlib.Path(folder) / "link"
    link.symlink_to(share)
    for shell, asked in SHELLS.items():
        if not shutil.which(shell):
            counts["skipped"] += len(NAMES)
            continue
        for name in NAMES:
            answer = asked(link, name)
            expect(WANTED[shell].format(name) in answer, f"{shell}: {name}: {answer}")
    count = sum(path.is_file() for path in prefix.rglob("*"))
    expect(count == len(NAMES) * 5 + 2, f"{count} files are installed")
sys.exit(finish())
