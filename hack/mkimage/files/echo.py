"""A small MCP server with one tool, echo, in the standard library alone."""

import json
import sys

VERSION = "2025-11-25"
TOOL = {
    "name": "echo",
    "description": "Return the text it was given.",
    "inputSchema": {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
}


def call(params):
    text = params.get("arguments", {}).get("text")
    if params.get("name") != "echo" or not isinstance(text, str):
        content = [{"type": "text", "text": "call echo with a string named text"}]
        return {"content": content, "isError": True}
    return {"content": [{"type": "text", "text": text}]}


def answer(method, params):
    if method == "initialize":
        return {
            "protocolVersion": VERSION,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "python-echo", "version": "1"},
        }
    if method == "ping":
        return {}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        return call(params)
    return None


def main():
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue  # a notification asks for no answer
        reply = {"jsonrpc": "2.0", "id": message["id"]}
        result = answer(message.get("method"), message.get("params") or {})
        if result is None:
            reply["error"] = {"code": -32601, "message": "method not found"}
        else:
            reply["result"] = result
        print(json.dumps(reply), flush=True)


main()
