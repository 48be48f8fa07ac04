"""A Chromium without a screen, driven through a pipe by its DevTools protocol: scripts are awaited in real time."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any


class Browser:
    """Call `run` to open a page and await a script in it, and `close` at the end."""

    def __init__(self, program: str, profile: Path, *gpu: str) -> None:
        """Start it; gpu: its flags for one, by default none."""
        read, self._write = os.pipe()
        self._read, write = os.pipe()
        words = [program, "--headless", "--no-sandbox", "--no-first-run", "--remote-debugging-pipe"]
        words += gpu or ["--disable-gpu"]
        self.process = subprocess.Popen(  # which reads from descriptor 3 and writes to 4
            ["bash", "-c", f'exec "$@" 3<&{read} 4>&{write}', "bash", *words, f"--user-data-dir={profile}"],
            pass_fds=(read, write),
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._count, self._rest = 0, b""

    def run(self, page: Path | str, script: str) -> Any:
        """Open a page, a file or an address, and return what `script`, the body of an async function, returns there."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._call("Page.enable", session)
        self._call("Page.navigate", session, url=page if isinstance(page, str) else page.as_uri())
        self._wait_for("Page.loadEventFired", session)
        words = {"expression": f"(async () => {{ {script} }})()", "awaitPromise": True, "returnByValue": True}
        result = self._call("Runtime.evaluate", session, **words)
        self._call("Target.closeTarget", targetId=target)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def close(self) -> None:
        """End the browser."""
        self.process.terminate()
        self.process.wait()
        os.close(self._write)
        os.close(self._read)

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _wait_for(self, event: str, session: str) -> None:
        while (answer := self._next()).get("method") != event or answer.get("sessionId") != session:
            pass

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._read, 2**20)
            assert more, "the browser has ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer
