"""The page that a browser sees when it opens the port of ``serve echo``.

It is one file that loads nothing else, and its Content-Security-Policy says so: no other script runs in it, and it can
connect to nothing but its own server.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

__all__ = ("PAGE",)

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 48rem; padding: 0 1rem; }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end; margin: .75rem 0; }
label { display: flex; flex-direction: column; font-size: .875rem; }
label.wide { flex: 1; }
input, button { font: inherit; padding: .25rem .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; }
dd { margin: 0; overflow-wrap: anywhere; }
#log { border: 1px solid; height: 20rem; overflow: auto; padding: .5rem; }
#log p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
#log [data-kind=sent]::before { content: "sent: "; font-weight: bold; }
#log [data-kind=received]::before { content: "received: "; font-weight: bold; }
#log [data-kind=note] { font-style: italic; }
"""

_SCRIPT = """
"use strict";
const get = (id) => document.getElementById(id);
const url = (location.protocol === "https:" ? "wss://" : "ws://") + location.host + "/";
let socket = null;

function show(kind, text) {
  const line = document.createElement("p");
  line.dataset.kind = kind;
  line.textContent = text.length > 10000 ? text.slice(0, 10000) + "… (" + text.length + " characters)" : text;
  const log = get("log");
  log.append(line);
  while (log.childElementCount > 500) log.firstElementChild.remove();
  log.scrollTop = log.scrollHeight;
}

function hex(bytes) {
  const shown = Array.from(bytes.subarray(0, 64), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return "(binary, " + bytes.length + " bytes) " + shown + (bytes.length > 64 ? " …" : "");
}

function update(status) {
  const open = status === "open";
  get("status").textContent = status;
  get("extensions").textContent = open ? socket.extensions || "none" : "";
  get("connect").disabled = status !== "closed";
  for (const id of ["close", "send-text", "send-hex", "send-file"]) get(id).disabled = !open;
}

function connect() {
  socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  get("closed-with").textContent = "";
  socket.onopen = () => update("open");
  socket.onmessage = (event) =>
    show("received", typeof event.data === "string" ? event.data : hex(new Uint8Array(event.data)));
  socket.onclose = (event) => {
    const text = event.code + (event.reason ? " " + event.reason : "");
    get("closed-with").textContent = text;
    show("note", "closed: " + text + (event.wasClean ? "" : " (not clean)"));
    update("closed");
  };
  update("connecting");
}

function sendBytes(bytes) {
  socket.send(bytes);
  show("sent", hex(bytes));
}

function on(id, action) {
  get(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await action();
    } catch (error) {
      show("note", String(error.message));
    }
  });
}

on("text-form", () => {
  const text = get("text").value;
  socket.send(text);
  show("sent", text);
  get("text").value = "";
});
on("hex-form", () => {
  const digits = get("hex").value.replace(/\\s/g, "");
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error("not sent: give two hexadecimal digits for each byte");
  sendBytes(Uint8Array.from(digits.match(/../g) || [], (pair) => parseInt(pair, 16)));
});
on("file-form", async () => {
  const file = get("file").files[0];
  if (!file) throw new Error("not sent: choose a file first");
  sendBytes(new Uint8Array(await file.arrayBuffer()));
});
on("close-form", () => {
  const code = get("close-code").value;
  const reason = get("close-reason").value;
  if (code) socket.close(Number(code), reason);
  else socket.close();
  update("closing");
});
get("connect").addEventListener("click", connect);
get("url").textContent = url;
connect();
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>WebSocket echo</title>
<style>{style}</style>
</head>
<body>
<h1>WebSocket echo</h1>
<p>What you send comes back.</p>
<dl>
<dt>Server</dt><dd id="url"></dd>
<dt>Connection</dt><dd id="status" role="status">closed</dd>
<dt>Extensions</dt><dd id="extensions"></dd>
<dt>Closed with</dt><dd id="closed-with" role="status"></dd>
</dl>
<form id="text-form">
<label class="wide">Text <input id="text" autocomplete="off"></label>
<button id="send-text" disabled>Send text</button>
</form>
<form id="hex-form">
<label class="wide">Bytes, as hexadecimal digits <input id="hex" autocomplete="off" value="00 ff 80"></label>
<button id="send-hex" disabled>Send bytes</button>
</form>
<form id="file-form">
<label class="wide">File <input id="file" type="file"></label>
<button id="send-file" disabled>Send file</button>
</form>
<form id="close-form">
<label>Close code <input id="close-code" type="number" min="1000" max="4999" value="1000"></label>
<label class="wide">Close reason <input id="close-reason" autocomplete="off"></label>
<button id="close" disabled>Close</button>
<button id="connect" type="button">Connect</button>
</form>
<h2 id="messages">Messages</h2>
<div id="log" role="log" aria-labelledby="messages" tabindex="0"></div>
<script>{script}</script>
</body>
</html>
"""


def _hash(source: str) -> str:
    return f"'sha256-{b64encode(sha256(source.encode()).digest()).decode()}'"


def _policy() -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(_SCRIPT)}",
            f"style-src {_hash(_STYLE)}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


PAGE = _PAGE.format(policy=_policy(), style=_STYLE, script=_SCRIPT)
"""The page, as HTML."""
