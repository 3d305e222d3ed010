"""The page behind a one-time link: a form for the new password, which it sends to `POST /auth/invitation`.

The token stands in the fragment of the address, which browsers do not send: it is in no log of a server or proxy.
"""

import base64
import hashlib

_STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 24rem; margin: 15vh auto; padding: 0 1rem }
input, button { font: inherit; width: 100%; padding: .5rem; margin: .5rem 0; box-sizing: border-box }
"""
_SCRIPT = """
const form = document.forms[0], said = document.getElementById("said");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (form.password.value !== form.again.value) { said.textContent = "The two passwords differ."; return; }
  const sent = {
    method: "POST", headers: {"Content-Type": "application/json"},
    body: JSON.stringify({token: location.hash.slice(1), password: form.password.value}),
  };
  const told = await fetch("invitation", sent).then((answer) => answer.json()).catch(() => null);
  if (!told) { said.textContent = "The service did not answer: try again soon."; return; }
  said.textContent = told.success ? "The password is set: " + told.user.email + " can sign in now." : told.message;
  if (told.success) { form.hidden = true; history.replaceState(null, "", location.pathname); }
});
"""

PAGE = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Set your password</title><style>{_STYLE}</style>
<h1>Set your password</h1>
<form><label>New password <input name="password" type="password" autocomplete="new-password" required></label>
<label>Once more <input name="again" type="password" autocomplete="new-password" required></label>
<button>Set password</button></form><p id="said" role="status"></p>
<script>{_SCRIPT}</script></html>
"""


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


POLICY = (
    f"default-src 'none'; script-src 'sha256-{_hash(_SCRIPT)}'; style-src 'sha256-{_hash(_STYLE)}'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""Exactly this script and this style, and nothing else."""
