"""Asks an application in any language: a line of JSON to it for each request, a line of JSON back.

So every language is judged by the one oracle of tests/orm/users.py.
"""

import json
import subprocess
import sys
import threading
from queue import Queue
from typing import Any

import mix
import users

plan = users.Plan.read()
application = subprocess.Popen(plan.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
assert application.stdin is not None and application.stdout is not None

answers: dict[int, "Queue[dict[str, Any]]"] = {}
lock = threading.Lock()
number = 0


def listen() -> None:
    for line in application.stdout:  # type: ignore[union-attr]
        answer = json.loads(line)
        with lock:
            waiting = answers.pop(answer["n"])
        waiting.put(answer)
    # It has ended: nobody waits for ever.
    with lock:
        for waiting in answers.values():
            waiting.put({"error": "the application has ended"})
        answers.clear()


def request(step: users.Step) -> list[users.Article]:
    global number
    waiting: "Queue[dict[str, Any]]" = Queue()
    asked = {"kind": step.kind, "article": step.article, "author": step.author, "offset": step.offset}
    with lock:
        number += 1
        answers[number] = waiting
        application.stdin.write(json.dumps({"n": number} | asked) + "\n")  # type: ignore[union-attr]
    answer = waiting.get()
    if "error" in answer:
        raise RuntimeError(answer["error"])
    articles: list[users.Article] = answer["articles"]
    return articles


threading.Thread(target=listen, daemon=True).start()
users.in_threads(request, mix.MIX)
application.stdin.close()
sys.exit(application.wait())
