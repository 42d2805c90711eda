"""Simulated users of an application: what they ask for, and what the answers must show.

An article has a version, which each edit raises, and comments, which only become more. Every article is written by one
user and read by all. So whatever was acknowledged before a request began is the least that its answer may show, and
less than that is a stale read.
"""

import argparse
import asyncio
import json
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

from typing_extensions import NotRequired, TypedDict  # typing's are too old for Pydantic before Python 3.12

AUTHORS = 48
ARTICLES = 480
PAGE = 20

# Between two requests of a user, on average, in seconds.
THOUGHT = 0.05

# One request in ten writes, after it has read.
MIX = {"article": 35, "page": 20, "author": 15, "summary": 13, "feed": 6, "edit": 6, "comment": 5}


class Article(TypedDict):
    """An article as an answer shows it; a list of articles may leave out how many comments each has."""

    id: int
    version: int
    comments: NotRequired[int]


@dataclass(frozen=True)
class Step:
    """One request of one user, and how long the user thinks before it."""

    kind: str
    article: int
    thought: float = 0.0

    @property
    def author(self) -> int:
        return 1 + self.article % AUTHORS

    @property
    def offset(self) -> int:
        return (self.article - 1) // PAGE * PAGE

    def http(self) -> tuple[str, str]:
        """Method and address, the same for all web applications here."""
        return {
            "article": ("GET", f"/articles/{self.article}"),
            "page": ("GET", f"/articles?limit={PAGE}&offset={self.offset}"),
            "author": ("GET", f"/authors/{self.author}"),
            "summary": ("GET", "/summary"),
            "feed": ("GET", "/feed"),
            "edit": ("PUT", f"/articles/{self.article}"),
            "comment": ("POST", f"/articles/{self.article}/comments"),
        }[self.kind]


@dataclass
class Ledger:
    """What was acknowledged, by article: version and comments."""

    acknowledged: dict[int, tuple[int, int]] = field(default_factory=dict)
    requests: int = 0
    stale: int = 0
    failed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def least(self, step: Step) -> dict[int, tuple[int, int]]:
        """What the answer to a request that begins now must show."""
        with self.lock:
            least = dict(self.acknowledged)
        version, comments = least.get(step.article, (0, 0))
        if step.kind == "edit":
            least[step.article] = (version + 1, comments)
        if step.kind == "comment":
            least[step.article] = (version, comments + 1)
        return least

    def answered(self, step: Step, least: dict[int, tuple[int, int]], articles: list[Article]) -> None:
        """Counts the answer, and what is missing in it."""
        with self.lock:
            self.requests += 1
            for article in articles:
                version, comments = least.get(article["id"], (0, 0))
                if article["version"] < version or article.get("comments", comments) < comments:
                    self.stale += 1
                    print("stale:", step, article, "must show", (version, comments))
            if step.kind in ("edit", "comment"):
                article = articles[0]
                _, comments = self.acknowledged.get(step.article, (0, 0))
                self.acknowledged[step.article] = (article["version"], article.get("comments", comments))

    def gone_wrong(self, step: Step, error: Exception) -> None:
        """Counts a request without an answer, and says what the first few died of."""
        with self.lock:
            self.failed += 1
            if self.failed <= 3:
                print("failed:", step, *traceback.format_exception_only(error))

    def report(self) -> None:
        """The last line, for the program that started this one."""
        print(json.dumps({"requests": self.requests, "stale": self.stale, "failed": self.failed}))


@dataclass(frozen=True)
class Plan:
    """How much is asked for, from the command line."""

    users: int
    requests: int
    seed: int
    command: list[str]

    @classmethod
    def read(cls) -> "Plan":
        parser = argparse.ArgumentParser()
        parser.add_argument("--users", type=int, default=24)
        parser.add_argument("--requests", type=int, default=3000)
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("command", nargs="*", help="the application, if it is another program")
        return cls(**vars(parser.parse_args()))

    def steps(self, user: int, mix: dict[str, int]) -> Iterator[Step]:
        """What one user asks for. Every second write is looked at again at once, in a request of its own."""
        dice = Random(f"{self.seed}/{user}")
        kinds, weights = list(mix), list(mix.values())
        look_again: int | None = None
        for _ in range(self.requests // self.users):
            if look_again is not None:
                yield Step("article", look_again)
                look_again = None
                continue
            thought = dice.expovariate(1 / THOUGHT)
            kind = dice.choices(kinds, weights)[0]
            article = dice.randint(1, ARTICLES)
            if kind in ("edit", "comment"):
                article = 1 + user + self.users * dice.randrange((ARTICLES - user - 1) // self.users + 1)
                look_again = article if dice.random() < 0.5 else None
            yield Step(kind, article, thought)


def in_threads(request: Callable[[Step], list[Article]], mix: dict[str, int] = MIX) -> None:
    """All users at once, each in a thread of its own."""
    plan, ledger = Plan.read(), Ledger()

    def live(user: int) -> None:
        for step in plan.steps(user, mix):
            time.sleep(step.thought)
            least = ledger.least(step)
            try:
                ledger.answered(step, least, request(step))
            except Exception as error:
                ledger.gone_wrong(step, error)

    with ThreadPoolExecutor(plan.users) as threads:
        list(threads.map(live, range(plan.users)))
    ledger.report()


async def in_tasks(request: Callable[[Step], Awaitable[list[Article]]], mix: dict[str, int] = MIX) -> None:
    """All users at once, each in a task of its own."""
    plan, ledger = Plan.read(), Ledger()

    async def live(user: int) -> None:
        for step in plan.steps(user, mix):
            await asyncio.sleep(step.thought)
            least = ledger.least(step)
            try:
                ledger.answered(step, least, await request(step))
            except Exception as error:
                ledger.gone_wrong(step, error)

    await asyncio.gather(*map(live, range(plan.users)))
    ledger.report()
