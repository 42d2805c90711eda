"""A pool of SQLAlchemy's while servers fail: what is lost is lost, and afterwards every transaction works.

Prints a line when the pool is at work, goes on through whatever happens until it reads a line, and then counts.
"""

import argparse
import asyncio
import collections
import json
import logging
import os
import sys
import warnings

from sqlalchemy import text
from sqlalchemy.exc import SAWarning
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

# That connections are lost is what this is about.
logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
logging.getLogger("asyncio").setLevel(logging.CRITICAL)
warnings.simplefilter("ignore", SAWarning)

POOL = 8
LATER = 48
THINKING = 0.005
READ = text("SELECT version FROM articles WHERE id = :id")
WRITE = text("UPDATE articles SET version = version + 1 WHERE id = :id")


async def transaction(engine: AsyncEngine, article: int) -> None:
    async with engine.connect() as connection:
        await connection.execute(READ, {"id": article})
        if article % 2:
            await connection.execute(WRITE, {"id": article})
        await connection.commit()


def kind(error: BaseException) -> str:
    """The SQLSTATE, or what the driver calls a connection without one."""
    origin = getattr(error, "orig", None) or error
    return getattr(origin, "sqlstate", None) or type(origin.__cause__ or origin).__name__


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    parser.add_argument("--first", type=int, required=True, help="the first article that is this program's alone")
    arguments = parser.parse_args()
    url = os.environ["DATABASE_URL"].replace("postgresql:", f"postgresql+{arguments.driver}:")
    engine = create_async_engine(url, pool_size=POOL, max_overflow=0)
    over = asyncio.Event()
    kinds: collections.Counter[str] = collections.Counter()
    done = 0

    async def work(article: int) -> None:
        nonlocal done
        while not over.is_set():
            try:
                await transaction(engine, article)
                done += 1
            except Exception as error:
                kinds[kind(error)] += 1
            await asyncio.sleep(THINKING)

    workers = [asyncio.create_task(work(arguments.first + number)) for number in range(POOL)]
    await asyncio.sleep(1)
    print("at work", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    over.set()
    await asyncio.gather(*workers)

    later = [transaction(engine, arguments.first + number) for number in range(LATER)]
    outcomes = await asyncio.gather(*later, return_exceptions=True)
    errors = [f"{kind(error)} {error}".splitlines()[0] for error in outcomes if error is not None]
    print(
        json.dumps(
            {
                "done": done,
                "lost": kinds.total(),
                "kinds": ", ".join(f"{count} {name}" for name, count in kinds.most_common()),
                "later": LATER,
                "failed": len(errors),
                "last": "".join(errors[-1:]).replace('"', "'"),
            }
        )
    )
    await engine.dispose()


asyncio.run(main())
