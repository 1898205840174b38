"""A server as a child process, and weights for it, for the other scripts of this folder. Only the standard library is needed."""

import http.client
import json
import os
import pathlib
import re
import struct
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/rnnlm-server"


class Client:
    """Who asks the server at an address."""

    def __init__(self, address):
        self.address = address

    def connect(self, source=None, timeout=300):
        """A connection, from the local address `source`."""
        return http.client.HTTPConnection(self.address, timeout=timeout, source_address=source and (source, 0))

    def post(self, path, body, source=None):
        """The status, or the name of the error, and the body of an answer."""
        connection = self.connect(source)
        body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        try:
            connection.request("POST", path, body, {"content-type": "application/json"})
        except (BrokenPipeError, ConnectionResetError):
            pass  # It was refused before it was sent whole: the answer is there.
        try:
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (http.client.HTTPException, OSError) as error:
            return type(error).__name__, b""
        finally:
            connection.close()

    def get(self, path):
        """The text of an answer."""
        connection = self.connect()
        connection.request("GET", path)
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    def metric(self, name):
        """The sum of the metric over its labels."""
        values = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", self.get("/metrics"), re.MULTILINE)
        return sum(map(float, values))


class Server(Client):
    """A server with these arguments, on a free port, from `with` to its end. Fails if it ends by itself, or not in order.

    `before` is put before the program, such as `["env", "NAME=value"]`.
    """

    def __init__(self, program, *arguments, models=ROOT / "models", before=(), log=subprocess.DEVNULL):
        self.command = [*before, program, "serve", "--models", models, "--listen", "127.0.0.1:0", *arguments]
        self.log = log
        self.is_killed = False

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on http://"):
            raise SystemExit(f"the server ended with {self.process.wait()} before it was ready")
        self.address = line.removeprefix("listening on http://").strip()
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait()
        if code and kind is None and not self.is_killed:
            raise SystemExit(f"the server ended with {code}")

    def kill(self):
        """SIGKILL: nothing is written, nobody is told."""
        self.process.kill()
        self.process.wait()
        self.is_killed = True

    def resident(self, field="VmRSS"):
        """Bytes of resident memory; with `VmHWM`, the most since the start or since `forget_peak`."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


def load_client():
    """The program that `cargo bench --bench peers` has built, whose `load` is a client that costs little."""
    found = (ROOT / "target/release/deps").glob("peers-*")
    programs = [path for path in found if os.access(path, os.X_OK) and path.suffix == ""]
    if not programs:
        raise SystemExit("found no client; `cargo bench --bench peers --no-run` builds it")
    return max(programs, key=lambda path: path.stat().st_mtime)


def write_zeros(path, shapes):
    """Writes weights of zeros, as safetensors: rows and columns by name."""
    header, end = {}, 0
    for name, (rows, columns) in shapes.items():
        begin, end = end, end + 4 * rows * columns
        header[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [begin, end]}
    header = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(end))
