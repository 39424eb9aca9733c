"""A page in a real browser: what it asks for, what runs in it, and what it looks like."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support import TOP

VENV = TOP / "build/notebook"
BROWSER = Path("/usr/bin/chromium")
AXE = TOP / "build/axe/node_modules/axe-core/axe.min.js"
LIMIT = 60  # seconds for a step in the browser
DRAWN = "html[data-drawn]"
DRIVE = """
import json, sys
from playwright.sync_api import sync_playwright

browser, order = sys.argv[1], json.loads(sys.argv[2])
seen = {"requests": [], "dialogs": [], "said": []}
with sync_playwright() as play:
    window = play.chromium.launch(executable_path=browser, args=["--no-sandbox"])
    context = window.new_context(
        viewport={"width": order["width"], "height": order["height"]}, color_scheme=order["scheme"],
        java_script_enabled=order["scripts"], bypass_csp=order["bypass_csp"], device_scale_factor=order["scale"],
    )
    page = context.new_page()
    page.set_default_timeout(1000 * order["limit"])
    page.on("request", lambda request: seen["requests"].append(request.url))
    page.on("dialog", lambda dialog: (seen["dialogs"].append(dialog.message), dialog.dismiss()))
    page.on("console", lambda line: seen["said"].append(line.text))
    page.on("pageerror", lambda error: seen["said"].append(str(error)))
    page.goto("file://" + order["page"])
    if order["scripts"]:
        page.wait_for_selector(order["ready"], state="attached")
    for number, step in enumerate(order["steps"]):
        if "key" in step:
            page.keyboard.press(step["key"])
        elif "width" in step:
            page.set_viewport_size({"width": step["width"], "height": order["height"]})
            page.wait_for_timeout(400)  # until it has been drawn anew
        elif "scheme" in step:
            page.emulate_media(color_scheme=step["scheme"])
        elif "screenshot" in step:
            page.screenshot(path=step["screenshot"], full_page=step.get("whole", False))
        elif "pdf" in step:
            page.pdf(path=step["pdf"], format="A4")
        else:
            if "load" in step:
                page.evaluate(open(step["load"]).read() + "; 0")
            seen[str(number)] = page.evaluate(step["ask"])
    window.close()
print(json.dumps(seen))
"""


def missing() -> str:
    """What it needs and is not there, and how to get it."""
    if not BROWSER.exists():
        return "chromium is not installed; on Debian: apt install chromium"
    return "" if (VENV / "done").exists() else "the venv is not there; make build/notebook/done makes it"


def visit(page: Path, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Open a page and take steps in it; what was seen, and under the number of a step what it has answered."""
    usual = {"width": 1200, "height": 900, "scheme": "light", "scripts": True, "bypass_csp": False, "scale": 1}
    order = {**usual, "ready": DRAWN, "limit": LIMIT, "page": str(page), "steps": steps, **more}
    words = [VENV / "bin/python", "-c", DRIVE, BROWSER, json.dumps(order)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=5 * LIMIT)
    if done.returncode:
        raise RuntimeError(done.stderr)
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen
