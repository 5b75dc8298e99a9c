"""``soil`` from a process that has imported everything once: tests run hundreds of commands, and imports cost most.

A command is forked from the warm process with the caller's arguments, folder, environment and streams; what it does is
``soil``'s own ``main``. The console script itself is run by other tests, and by blocks that keep running.
"""

from __future__ import annotations

import array
import atexit
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path

#: Stands in for ``soil`` on the path: hands the call over, and ends with its exit code.
CLIENT = """#!{python} -IS
import array, json, os, socket, sys
if os.environ.get("SOIL_ALONE"):
    os.execv({script!r}, [{script!r}, *sys.argv[1:]])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
server.sendmsg([len(call).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
server.sendall(call)
code = server.recv(4)
sys.exit(int.from_bytes(code, "big") if code else 70)
"""


#: The server runs this very file, which a checkout without tests does not hold.
_SERVER = "import runpy, sys; runpy.run_path(sys.argv[1])['serve'](sys.argv[2])"
_NUMBERS = itertools.count()
#: Seconds after which a server whose test run is gone ends by itself.
_LOOK = 5.0


def warm_soil(code: Path, script: str = "") -> tuple[str, Callable[[], None]]:
    """Text of a script that stands in for ``soil``, and what ends the process behind it.

    Parameters
    ----------
    code : Path
        Folder of the checkout whose package answers.
    script : str
        The console script that answers where ``SOIL_ALONE`` is set, for commands that keep running.
    """
    address = f"/tmp/soil-warm-{os.getpid()}-{next(_NUMBERS)}"  # a socket's path is short
    Path(address).unlink(missing_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SOIL_", "DAGSTER_", "GITHUB_"))}
    # In the process's own folder for modules comes first what a reader would import: the checkout.
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(Path(__file__).resolve()), address],
        env={**environment, "PYTHONPATH": str(code)},
        cwd=code,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdout.readline().strip() == b"warm"

    def end() -> None:
        server.terminate()
        server.wait(20)
        if server.stdout is not None:
            server.stdout.close()
        Path(address).unlink(missing_ok=True)

    atexit.register(end)
    return CLIENT.format(python=sys.executable, script=script, address=address), end


@cache
def soil_of_this_checkout() -> str:
    """Address of a ``soil`` with this checkout's code, one per process of the test run."""
    folder = Path(tempfile.mkdtemp(prefix="soil-warm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    text, _ = warm_soil(Path(__file__).resolve().parents[1])
    return str(write_script(folder / "soil", text))


def write_script(place: Path, text: str) -> Path:
    """Write a script that can be run, in the place of whatever is there."""
    place.unlink(missing_ok=True)
    place.write_text(text, encoding="utf-8")
    place.chmod(0o755)
    return place


def serve(address: str) -> None:
    """Import what commands import, then fork one process per call."""
    import dagster  # noqa: F401
    import great_expectations  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import mlflow  # noqa: F401
    import pandas  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.cross_decomposition  # noqa: F401

    import soil_assets.cli
    import soil_assets.defs.build  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(8)
    listening.settimeout(_LOOK)
    parent = os.getppid()
    os.write(1, b"warm\n")
    while True:
        try:
            caller, _ = listening.accept()
        except TimeoutError:
            if os.getppid() != parent:
                return
            continue
        caller.setblocking(True)
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(caller)
        caller.close()


def _answer(caller: socket.socket) -> None:
    """Take a call, fork once more to run it, and say its exit code."""
    streams = array.array("i")
    head, found, _, _ = caller.recvmsg(8, socket.CMSG_SPACE(3 * streams.itemsize))
    streams.frombytes(found[0][2][: 3 * streams.itemsize])
    size, body = int.from_bytes(head, "big"), b""
    while len(body) < size:
        body += caller.recv(size - len(body))
    pid = os.fork()
    if pid == 0:
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
            os.close(stream)
        _run(*json.loads(body))
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(pid, 0)
    caller.sendall(os.waitstatus_to_exitcode(status).__abs__().to_bytes(4, "big"))
    os._exit(0)


def _run(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    import soil_assets.cli

    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["soil", *arguments]
    code: int | str | None = 0
    try:
        soil_assets.cli.main()
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  # what the interpreter itself does with it
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))
