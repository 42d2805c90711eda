"""A pool of SQLAlchemy's through a restart of the primary: what is lost is lost, and afterwards every transaction works.

Prints a line when the pool is at work, goes on through whatever happens until it reads a line, and then counts.
"""

import asyncio
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
warnings.simplefilter("ignore", SAWarning)

POOL = 8
LATER = 48
READ = text("SELECT version FROM articles WHERE id = :id")
WRITE = text("UPDATE articles SET version = version + 1 WHERE id = :id")


async def transaction(engine: AsyncEngine, number: int) -> None:
    async with engine.connect() as connection:
        await connection.execute(READ, {"id": number})
        if number % 2:
            await connection.execute(WRITE, {"id": number})
        await connection.commit()


async def main() -> None:
    engine = create_async_engine(
        os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+asyncpg:"), pool_size=POOL, max_overflow=0
    )
    over = asyncio.Event()
    lost = 0

    async def work(number: int) -> None:
        nonlocal lost
        while not over.is_set():
            try:
                await transaction(engine, number)
            except Exception:
                lost += 1
                await asyncio.sleep(0.01)

    workers = [asyncio.create_task(work(number)) for number in range(1, POOL + 1)]
    await asyncio.sleep(1)
    print("at work", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    over.set()
    await asyncio.gather(*workers)

    later = [transaction(engine, number) for number in range(1, LATER + 1)]
    outcomes = await asyncio.gather(*later, return_exceptions=True)
    errors = [f"{type(error).__name__}: {error}".splitlines()[0] for error in outcomes if error is not None]
    print(json.dumps({"lost": lost, "later": LATER, "failed": len(errors), "last": "".join(errors[-1:])}))
    await engine.dispose()


asyncio.run(main())
