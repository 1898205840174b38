"""What schemathesis does not know by itself: how bodies of lines are written."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    """One line."""
    return json.dumps(value).encode() + b"\n"
