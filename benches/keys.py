#!/usr/bin/env python3
"""Many people typing at once, as the page does: the time from each key to its answer.

    python3 benches/keys.py --clients 200 --keys-per-second 5 --seconds 30 tests/data/classics-test.txt

Each client has a connection and a session of its own, and begins at a place of its own in the text. A key within a word asks for suggestions; a
space appends the finished word and asks for the next one. A key that falls due while the one before it is unanswered waits, and its wait
counts. Only the standard library is needed.
"""

import argparse
import asyncio
import json
import pathlib
import random
import time


class Client:
    """One person: a connection, a session, and the word that is being typed."""

    def __init__(self, args, text):
        self.args = args
        self.text = text
        self.seconds = []

    async def run(self, begin):
        host, _, port = self.args.host.rpartition(":")
        self.reader, self.writer = await asyncio.open_connection(host, int(port))
        body = {"model": self.args.model, "ttl_seconds": 900, "rewind_tokens": 512}
        session = await self.call("POST", "/v1/sessions", body)
        self.path = f"/v1/sessions/{session['id']}"
        self.prefix = ""
        position = session["position"]
        for number, char in enumerate(self.text):
            due = begin + number / self.args.keys_per_second
            if due > begin + self.args.seconds:
                break
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            position = await self.key(char, position)
            self.seconds.append(time.perf_counter() - due)
        await self.call("DELETE", self.path)
        self.writer.close()

    async def key(self, char, position):
        """One key; returns the session's position after it."""
        if char.isspace() and self.prefix.strip():
            finished, self.prefix = self.prefix, char
            body = {"text": finished, "expected_position": position, "next": {"top_k": 8, "special": False}}
            return (await self.call("POST", self.path + "/append", body))["position"]
        self.prefix += char
        if self.prefix.strip():
            suggested = await self.call("POST", self.path + "/suggest", {"prefix": self.prefix, "top_k": 8})
            if suggested["suggestions"]:
                return position
        text = {"text": self.prefix} if self.prefix.strip() else {}
        await self.call("POST", self.path + "/next", {**text, "top_k": 8, "special": False})
        return position

    async def call(self, method, path, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        kind = "content-type: application/json\r\n" if data else ""
        head = f"{method} {path} HTTP/1.1\r\nhost: {self.args.host}\r\n{kind}content-length: {len(data)}\r\n\r\n"
        self.writer.write(head.encode() + data)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        content = await self.reader.readexactly(int(headers.get("content-length", 0)))
        status = int(lines[0].split()[1])
        if status >= 400:
            raise SystemExit(f"{path}: {status} {content.decode()}")
        return json.loads(content) if content else None


async def measure(args):
    text = args.text.read_text(encoding="utf-8").replace("\n", " ")
    draw = random.Random(1)
    keys = int(args.seconds * args.keys_per_second) + 1
    clients = [Client(args, text[at:at + keys]) for at in (draw.randrange(len(text) - keys) for _ in range(args.clients))]
    begin = time.perf_counter() + 1
    # Each begins at another moment of the first key's time.
    await asyncio.gather(*(client.run(begin + draw.random() / args.keys_per_second) for client in clients))
    seconds = sorted(second for client in clients for second in client.seconds)
    shown = " ".join(f"p{share * 100:g} {seconds[int(share * (len(seconds) - 1))] * 1000:.2f} ms" for share in (0.5, 0.9, 0.99, 1))
    print(f"{args.clients} clients, {len(seconds)} keys, {len(seconds) / args.seconds:.0f} per second: {shown}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("text", type=pathlib.Path, help="what is typed")
    parser.add_argument("--host", default="127.0.0.1:8080", help="the server (default: 127.0.0.1:8080)")
    parser.add_argument("--model", default="classics", help="default: classics")
    parser.add_argument("--clients", type=int, default=200, help="default: 200")
    parser.add_argument("--keys-per-second", type=float, default=5, help="of each client (default: 5)")
    parser.add_argument("--seconds", type=float, default=30, help="default: 30")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
