#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Completes command lines in bash, zsh and fish, as someone who presses the tab key meets it.

    completions.py TOOLS

Each shell loads what `TOOL --generate-completion-script SHELL` prints. In bash and zsh the keys go to a shell on a terminal, where a
function in place of the tool prints its arguments; fish is asked what it would offer. A shell that is missing is skipped.
"""
import os, pathlib, pty, re, select, shutil, subprocess, sys, tempfile, time
from counting import counts, expect, finish

tools = pathlib.Path(sys.argv[1]).resolve()
NAMES = ["nc-ternarize", "nc-prune", "nc-quantize", "nc-restore", "nc-verify", "nc-run", "nc-info"]
FILE = "my net (1).h5"
# What is typed, and the last argument that comes of it.
CASES = [(f"{name} my", FILE) for name in NAMES] + [
    ("nc-prune --keep .5 my", FILE), ("nc-verify other.h5 my", FILE), ("nc-info other.h5 my", FILE), ("nc-restore -o my", FILE),
    ("nc-info --stats --plot my", FILE), ("nc-run --data my", FILE), ("nc-run --output my", FILE), ("nc-verify --report my", FILE),
    ("nc-ternarize --like my", FILE), ("nc-prune --by nod", "node"), ("nc-prune --by sing", "singular-value"), ("nc-prune --scope net", "network"),
    ("nc-prune --values bf", "bfloat16"), ("nc-ternarize --scale-per ten", "tensor"), ("nc-ternarize --drop opt", "optimizer"),
    ("nc-ternarize --orientation inp", "inputs-outputs"), ("nc-restore --layout pl", "plain"), ("nc-restore --shape red", "reduced"),
    ("nc-quantize --scale-per ten", "tensor"), ("nc-quantize --container non", "none"), ("nc-quantize --biases flo", "float16"), ("nc-quantize --ste", "--step"),
    ("nc-ternarize --map", "--mapped"), ("nc-run --precision fu", "full"), ("nc-run --activation tan", "tanh"), ("nc-verify --activation leaky", "leaky_relu"), ("nc-verify --law mix", "mixture"), ("nc-verify --measure spec", "spectrum"),
    ("nc-prune --target", "--target-size"), ("nc-info --tes", "--test")]


def script(name, shell):
    return subprocess.run([tools / name, "--generate-completion-script", shell], check=True, stdout=subprocess.PIPE).stdout.decode()


class Terminal:
    """A shell with a terminal of its own."""

    def __init__(self, command, folder):
        self.process, self.descriptor = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            # A dumb terminal: the line editor draws nothing that would hide what the commands print.
            os.execvpe(command[0], command, {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb", "LC_ALL": "C.UTF-8", "INPUTRC": "/dev/null"})
        self.text = ""

    def wait_for(self, pattern, seconds=20):
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)) and time.monotonic() < end:
            if select.select([self.descriptor], [], [], .1)[0]:
                try:
                    self.text += os.read(self.descriptor, 65536).decode(errors="replace").replace("\r", "")
                except OSError:
                    break
        return found

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def run(self, line):
        """What the line gives when the tab key is pressed at its end, then return."""
        self.text = ""
        self.type(line + "\t\n")
        found = self.wait_for(r"<<(.*)>>")
        # A completion that is not the only one leaves the line as it was; the next line begins anew.
        self.text = ""
        return found and found.group(1).split("><")

    def close(self):
        os.close(self.descriptor)
        os.waitpid(self.process, 0)


def check(shell, run):
    for line, wanted in CASES:
        found = run(line)
        expect(found and found[-1] == wanted, f"{shell}: {line}: {found}")


def on_terminal(shell, command, lines, folder):
    terminal = Terminal(command, folder)
    functions = [f"{name}() {{ local IFS; printf '<'; printf '<%s>' \"$@\"; printf '>\\n'; }}" for name in NAMES]
    (folder / "setup").write_text("\n".join(lines + functions) + "\n")
    terminal.type(". ./setup; echo read''y\n")
    expect(terminal.wait_for("ready"), f"{shell}: does not begin: {terminal.text[-300:]}")
    check(shell, terminal.run)
    terminal.close()


def bash(folder):
    for name in NAMES:
        (folder / f"{name}.bash").write_text(script(name, "bash"))
    on_terminal("bash", ["bash", "--norc", "--noprofile", "-i"], [f". ./{name}.bash" for name in NAMES], folder)


def zsh(folder):
    (folder / "functions").mkdir()
    for name in NAMES:
        (folder / "functions" / f"_{name}").write_text(script(name, "zsh"))
    on_terminal("zsh", ["zsh", "-f", "-i"], ["fpath=($PWD/functions $fpath)", "autoload -U compinit", "compinit -u -D"], folder)


def fish(folder):
    (folder / "all.fish").write_text("\n".join(script(name, "fish") for name in NAMES))

    def offered(line):
        # The fish configuration of nobody: HOME is the folder.
        result = subprocess.run(["fish", "--no-config", "-c", 'source all.fish; complete -C "$argv[1]"', line], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8", "TERM": "dumb"})
        words = [text.split("\t")[0].replace("\\", "") for text in result.stdout.decode().splitlines()]
        return words if len(words) == 1 else [f"{len(words)} offers", *words[:5]]
    check("fish", offered)


os.environ["PATH"] = f"{tools}:{os.environ['PATH']}"
for shell in (bash, zsh, fish):
    if not shutil.which(shell.__name__):
        counts["skipped"] += len(CASES)
        continue
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in (FILE, "other.h5", "zzz.ncz"):
            (folder / name).write_text("")
        shell(folder)
sys.exit(finish())
