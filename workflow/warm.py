"""Fast start of Python processes: a server imports the packages of all notebooks once, and forks a process for each program.

    python warm.py --serve COMMAND ...   run a command, and serve calls of the other kind while it runs
    python warm.py PROGRAM ...           run python PROGRAM (a file) or python -m PROGRAM (a module) in a process that the
                                         server forks, or in this process if there is no server

The imports of papermill in one process, and of torch, pandas, scikit-learn and matplotlib in its kernel, take 9 s on one core:
twice the time of a small notebook. A forked process is like a new one, because before the fork the server computes nothing and
starts no thread and no GPU context. Kernels are forked too: under the server, Jupyter finds a kernel ``python3`` that starts
with this file.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

SOCKET = "DANCEMVP_WARM"  # environment variable with the address of the server
IMPORTS = "DANCEMVP_WARM_IMPORTS"  # environment variable: what other notebooks import, in place of IMPORTED
# A running process cannot change these variables. A job with other values than the server's starts in its own process.
FIXED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "PYTHONHASHSEED")
IMPORTED = (
    "torch", "pandas", "pyarrow.parquet", "scipy.stats", "sklearn.linear_model", "sklearn.neighbors", "matplotlib.pyplot",
    "matplotlib.backends.backend_pdf", "matplotlib_inline.backend_inline", "transformers.models.bert.modeling_bert", "papermill",
    "papermill.engines", "ipykernel.kernelapp", "ipykernel.ipkernel",
    "librosa.beat", "librosa.feature", "dancemvp_core.tasks.outcomes", "dancemvp_core.paper.figures", "dancemvp_core.dance.music",
    "dancemvp_core.datasets", "torch._dynamo",  # every optimizer of torch imports it, in 2 s
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit status."""
    if arguments[:1] == ["--serve"]:
        status = serve(arguments[1:])
        if status < 0:  # a signal ended the command, so it ends this process too
            os.kill(os.getpid(), -status)
        return status
    if SOCKET in os.environ:
        status = ask(os.environ[SOCKET], arguments)
        if status is not None:
            return status
    return run(arguments)


def run(arguments: list[str]) -> int:
    """Run a program in this process as Python does, and return its exit status."""
    program, sys.argv = arguments[0], arguments
    try:
        if program.endswith(".py"):
            sys.path[0] = str(Path(program).resolve().parent)
            runpy.run_path(program, run_name="__main__")
        else:
            sys.path[0] = os.getcwd()
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def ask(address: str, arguments: list[str]) -> int | None:
    """Let the server run a program, and return its exit status; None if the program must run in this process."""
    job = json.dumps({"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
        except OSError:
            return None
        socket.send_fds(connection, [len(job).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(job)
        answer = connection.makefile("rb").read()  # waits for the end of the forked process, which ends with this one
    if answer == b"own process":
        return None
    return int(answer) if answer else 1  # without an answer, the process was killed


def serve(command: list[str]) -> int:
    """Run a command, fork a process for each ``ask`` while it runs, and return the command's exit status."""
    folder, server = Path(tempfile.mkdtemp(prefix="dancemvp-")), os.getpid()
    kernel = folder / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = [sys.executable, str(Path(__file__).resolve()), "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": argv, "display_name": "Python 3 (ipykernel)", "language": "python"}))
    jupyter = os.pathsep.join(filter(None, [str(folder), os.environ.get("JUPYTER_PATH")]))
    listener, children = socket.socket(socket.AF_UNIX), set[int]()
    environment = os.environ | {SOCKET: str(folder / "warm"), "JUPYTER_PATH": jupyter}
    # Kernels show figures inline. matplotlib reads this variable once, and loads the backend for the first figure.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    try:
        listener.bind(str(folder / "warm"))
        listener.listen()
        process = subprocess.Popen(command, env=environment)
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, lambda number, _: process.send_signal(number))
        pending = imported()  # while the command starts
        while process.poll() is None:
            if pending:
                importlib.import_module(pending.pop(0))
            listener.settimeout(0.001 if pending else 0.1)
            children -= {child for child in children if os.waitpid(child, os.WNOHANG) != (0, 0)}
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                job, streams = receive(connection)
                if any(job["environment"].get(name) != os.environ.get(name) for name in FIXED):
                    connection.sendall(b"own process")
                elif child := fork():
                    children.add(child)
                else:
                    listener.close()
                    return become(job, streams, connection)
                for stream in streams:
                    os.close(stream)
        return process.returncode
    finally:
        if os.getpid() == server:
            for child in children:
                os.kill(child, signal.SIGTERM)
            listener.close()
            shutil.rmtree(folder, ignore_errors=True)


def receive(connection: socket.socket) -> tuple[dict, list[int]]:
    """Return a job that ``ask`` has sent, and its standard streams."""
    connection.settimeout(10)
    size, streams, _, _ = socket.recv_fds(connection, 8, 3)
    text = b""
    while len(text) < int.from_bytes(size, "big"):
        text += connection.recv(1 << 16)
    connection.settimeout(None)
    return json.loads(text), streams


def imported() -> list[str]:
    """Return the names of the modules that the server imports."""
    return os.environ[IMPORTS].split(",") if IMPORTS in os.environ else list(IMPORTED)


def fork() -> int:
    """Import everything and fork; return the process id of the child, 0 in the child.

    Raises RuntimeError if an import has started a GPU context.
    """
    for name in imported():
        importlib.import_module(name)
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        raise RuntimeError("an import has started a GPU context in the server, and a forked process cannot use it")
    return os.fork()


def become(job: dict, streams: list[int], connection: socket.socket) -> int:
    """Run a job in the forked process, with its streams, folder and environment; send its exit status and return it."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler if name == signal.SIGINT else signal.SIG_DFL)
    os.setpgid(0, 0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])

    answered = threading.Event()

    def end_with_the_asker():
        if not connection.recv(1) and not answered.is_set():  # after the answer, the other process may end first
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_with_the_asker, daemon=True).start()
    status = run(job["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    answered.set()
    connection.sendall(str(status).encode())
    connection.shutdown(socket.SHUT_RDWR)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
