#!/usr/bin/env python3
"""Types a text into a session of a running server, and counts the keystrokes that suggestions save.

    python3 benches/typing.py --model classics --sentences 200 tests/data/classics-test.txt

Each keystroke is one request, which the server answers with the top suggestions. A suggestion is accepted, with one keystroke, as soon as it is
the rest of the word; the space after the word comes with it. Only the standard library is needed.
"""

import argparse
import http.client
import json
import re
import time

WORD = re.compile(r"[\w'’]")


class Session:
    """A session of the server, and what is typed but not yet in it."""

    def __init__(self, args):
        self.connection = http.client.HTTPConnection(args.host)
        self.top_k = args.top_k
        self.seconds = []
        self.pending = ""
        created = self.call("/v1/sessions", {"model": args.model})
        self.path = "/v1/sessions/" + created["id"]

    def call(self, path, body):
        self.connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = self.connection.getresponse()
        content = json.loads(answer.read())
        if answer.status >= 400:
            raise SystemExit(f"{path}: {content['error']['message']}")
        return content

    def key(self, finished, pending):
        """One key: `finished` is appended, if anything, and suggestions for `pending` come back."""
        self.pending = pending
        suggest = {"prefix": pending, "top_k": self.top_k}
        start = time.perf_counter()
        if finished.strip(" "):
            suggested = self.call(self.path + "/append", {"text": finished, "suggest": suggest})["suggest"]
        else:
            suggested = self.call(self.path + "/suggest", suggest)
        self.seconds.append(time.perf_counter() - start)
        return [one["append"] for one in suggested["suggestions"]]

    def type(self, char):
        if WORD.match(char):
            return self.key("", self.pending + char)
        if char != " ":
            return self.key(self.pending + char, "")
        if self.pending.strip(" "):
            return self.key(self.pending, " ")
        return self.key("", self.pending + " ")


def sentences(text, count):
    """The beginning of `text`: so many sentences."""
    ends = re.finditer(r"[.!?]+[”’\"]?(?=\s)", text)
    ends = [found.end() for _, found in zip(range(count), ends)]
    return text[: ends[-1]]


def readable(session, model, text):
    """`text` without the characters for which the model has no token."""

    def is_known(char):
        body = json.dumps({"model": model, "text": char})
        session.connection.request("POST", "/v1/tokenize", body, {"content-type": "application/json"})
        answer = session.connection.getresponse()
        answer.read()
        return answer.status == 200

    dropped = {char for char in set(text) if not is_known(char)}
    return "".join(char for char in text if char not in dropped)


def type_text(session, text):
    """The number of keys that `text` takes."""
    keys = 0
    at = 0
    offered = []
    while at < len(text):
        keys += 1
        accepted = next((rest for rest in offered if completes(text, at, rest)), None)
        if accepted is None:
            offered = session.type(text[at])
            at += 1
            continue
        at += len(accepted)
        is_spaced = text[at : at + 1] == " "
        offered = session.key(session.pending + accepted, " " if is_spaced else "")
        at += is_spaced
    return keys


def completes(text, at, rest):
    """Whether `rest` is the rest of the word at `at`."""
    return rest and text.startswith(rest, at) and not WORD.match(text[at + len(rest) : at + len(rest) + 1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="a UTF-8 text")
    parser.add_argument("--host", default="127.0.0.1:8080")
    parser.add_argument("--model", default="classics")
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--top-k", type=int, default=3)
    args = parser.parse_args()
    session = Session(args)
    with open(args.file, encoding="utf-8") as file:
        whole = sentences(file.read(), args.sentences)
    text = readable(session, args.model, whole)
    keys = type_text(session, text)
    times = sorted(session.seconds)
    p50, p99 = (times[int(len(times) * share)] * 1e6 for share in (0.5, 0.99))
    print(f"model       {args.model}")
    print(f"characters  {len(text)} ({len(whole) - len(text)} more are unknown to the model)")
    print(f"keystrokes  {keys}")
    print(f"saved       {100 * (1 - keys / len(text)):.1f} %")
    print(f"us of each  {p50:.0f} (p50), {p99:.0f} (p99)")


if __name__ == "__main__":
    main()
