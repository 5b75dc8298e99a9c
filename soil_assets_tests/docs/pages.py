"""The commands of the documentation: fenced ``sh`` blocks, what each is expected to give, and a place to run them in.

A command's exit code is 0 unless a comment behind it says otherwise (``# exit code 1: it drifts``). A line above a
block says where it differs from the rest:

- ``<!-- needs: a cluster -->``: not run, but every ``soil`` command and option in it must exist.
- ``<!-- keeps running -->``: a server; it is started, waited for, and ended with its page.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from soil_assets_tests.delivery.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BIN = Path(sys.executable).parent
BLOCK = re.compile(r"(?:^<!-- (needs|keeps)[: ]*([^>]*?) -->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXPECTED = re.compile(r"#\s*exit code (\d+)")
PATIENCE = 120.0


@dataclass(frozen=True)
class Block:
    """One fenced block: its commands, and whether it is run."""

    text: str
    needs: str = ""
    stays: bool = False

    @property
    def commands(self) -> list[str]:
        """Return its commands, each with its continued lines or here-document."""
        found: list[str] = []
        open_until: str | None = None
        for line in self.text.splitlines():
            if open_until is not None:
                found[-1] += "\n" + line
                if line in (open_until, ""):
                    open_until = None if line == open_until else open_until
            elif found and (found[-1].endswith("\\") or _quote_is_open(found[-1])):
                found[-1] += "\n" + line
            elif line.strip() and not line.startswith("#"):
                found.append(line)
            here = re.search(r"<<'?(\w+)'?", line)
            if here and open_until is None and found and found[-1].endswith(line):
                open_until = here[1]
        return found


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [
        Block(body, needs=why if kind == "needs" else "", stays=kind == "keeps")
        for kind, why, body in BLOCK.findall(text)
    ]


def _quote_is_open(command: str) -> bool:
    if "<<" in command:
        return False  # what a here-document holds is no shell
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return False


def soil_words(command: str) -> list[str]:
    """Return the words of every call of ``soil`` in a command, without what a shell makes of them."""
    plain = re.sub(r"<<'?\w+'?.*", "", command, flags=re.DOTALL).replace("\\\n", " ")
    words = shlex.split(plain, comments=True)
    return words[words.index("soil") :] if "soil" in words else []


@dataclass
class Checkout:
    """A copy of this repository in which a reader types the commands."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    done: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path) -> Checkout:
        """Lay out the tracked and new files as a repository on ``main``, with what `make setup` makes."""
        place = folder / "soil_assets"
        for name in _listed():
            if (ROOT / name).is_file():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, place / name)
        binaries = place / ".venv" / "bin"
        binaries.mkdir(parents=True)
        for file in BIN.iterdir():
            if file.name.startswith("python"):  # a link would not know its packages
                (binaries / file.name).write_text(f'#!/bin/sh\nexec "{file}" "$@"\n', encoding="utf-8")
                (binaries / file.name).chmod(0o755)
            else:
                (binaries / file.name).symlink_to(file)
        later = time.time() + 86_400
        # Nothing is to be installed into the real environment.
        for stamp in ("dev.stamp", "run-time.stamp", "sbom.stamp"):
            (place / ".venv" / stamp).touch()
            os.utime(place / ".venv" / stamp, (later, later))
        kept = {
            "LANG",
            "TZ",
            "OMP_NUM_THREADS",
            "OPENBLAS_NUM_THREADS",
            "OPENBLAS_CORETYPE",
            "OPENBLAS_L2_SIZE",
        }
        made = cls(place, {k: v for k, v in os.environ.items() if k in kept})
        person = {f"GIT_{w}_{k}": v for w in ("AUTHOR", "COMMITTER") for k, v in _PERSON.items()}
        made.environment |= person | {
            "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PYTHONPATH": str(place),
            "HOME": str(folder),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "DVC_NO_ANALYTICS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        for command in ("git init -q -b main", "git add -A", "git commit -qm start"):
            subprocess.run(command.split(), cwd=place, env=made.environment, check=True, capture_output=True)
        return made

    def run(self, page: str) -> list[str]:
        """Run a page's commands once, in one shell; return what went otherwise than the page says."""
        if page not in self.done:
            self.done[page] = _run(self, page)
        return self.done[page]


_PERSON = {"NAME": "Ada Lovelace", "EMAIL": "ada@example.org"}


def _listed() -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")[
        :-1
    ]


def _run(checkout: Checkout, page: str) -> list[str]:
    log = checkout.folder.parent / "logs" / page.replace("/", "-")
    log.mkdir(parents=True, exist_ok=True)
    ports = {
        p: str(free_port()) for p in re.findall(r"--port (\d+)", (DOCS / page).read_text(encoding="utf-8"))
    }
    lines = ["set -m", 'code() { echo "$1 $2" >> "$CODES"; [ "$2" = "$3" ] || exit 99; }']
    told: list[str] = []
    for block in blocks(page):
        if block.needs:
            continue
        for command in block.commands:
            number, want = len(told), EXPECTED.search(command)
            for stated, free in ports.items():
                command = re.sub(rf"\b{stated}\b", free, command)
            told.append(command)
            out = f'"{log}/{number}"'
            if block.stays:
                port = re.search(r"--port (\d+)", command)
                assert port is not None, f"{page}: {command}: a server's page states its --port"
                lines += [f"( export SOIL_ALONE=1; {command}\n ) > {out} 2>&1 &", 'echo $! >> "$SERVERS"']
                lines.append(_wait(port[1]))
            else:
                lines += [f"{{ {command}\n}} > {out} 2>&1", f"code {number} $? {want[1] if want else 0}"]
    script = log / "script.sh"
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    env = checkout.environment | {"CODES": str(log / "codes"), "SERVERS": str(log / "servers")}
    try:
        subprocess.run(
            ["bash", str(script)], cwd=checkout.folder, env=env, check=False, stdin=subprocess.DEVNULL
        )
    finally:
        _end_servers(log / "servers")
    return _differences(log, told)


def _wait(port: str) -> str:
    wait = f"""
import sys, time, urllib.error, urllib.request
end = time.monotonic() + {PATIENCE}
while time.monotonic() < end:
    try:
        urllib.request.urlopen('http://127.0.0.1:{port}/', timeout=5)
        sys.exit(0)
    except urllib.error.HTTPError:
        sys.exit(0)
    except OSError:
        time.sleep(0.3)
sys.exit(1)
"""
    return f'"{sys.executable}" -c "{wait}" || exit 98'


def _end_servers(file: Path) -> None:
    """End what keeps running, with all that it started; what does not go when asked to is killed."""
    groups = [int(pid) for pid in (file.read_text().split() if file.is_file() else ())]
    for sign, patience in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
        end = time.monotonic() + patience
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, sign)
        while groups and time.monotonic() < end:
            groups = [g for g in groups if _lives(g)]
            time.sleep(0.2)
    assert not groups, f"these process groups do not end: {groups}"


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _differences(log: Path, told: list[str]) -> list[str]:
    codes = (
        dict(line.split() for line in (log / "codes").read_text().splitlines())
        if (log / "codes").is_file()
        else {}
    )
    found = []
    for number, command in enumerate(told):
        want = EXPECTED.search(command)
        got, expected = codes.get(str(number)), want[1] if want else "0"
        out = log / str(number)
        said = out.read_text(errors="replace")[-3000:] if out.is_file() else ""
        if got is not None and got != expected:
            found.append(f"$ {command}\nexit code {got}, expected {expected}\n{said}")
            break
        if got is None and not out.is_file():
            found.append(f"$ {command}\nwas not reached")
            break
    return found
