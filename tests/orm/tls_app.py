"""Drivers that are encrypted, and trust one authority: asyncpg after asking and from the first byte on, and psycopg."""

import argparse
import asyncio
import json
import os
import ssl

import asyncpg
import psycopg

URL = os.environ["DATABASE_URL"]
READS = 100
AT_ONCE = 8


def context(authority: str) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=authority)
    made.set_alpn_protocols(["postgresql"])
    return made


async def with_asyncpg(authority: str, direct: bool) -> int:
    async with asyncpg.create_pool(
        URL, ssl=context(authority), direct_tls=direct, min_size=AT_ONCE, max_size=AT_ONCE
    ) as pool:
        done = await asyncio.gather(
            *(pool.fetchval("SELECT id FROM articles WHERE id = $1", article) for article in range(1, READS + 1))
        )
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("UPDATE articles SET version = version + 1 WHERE id = 1")
            long = await connection.fetchval("SELECT repeat('x', 5000000)")
            assert len(long) == 5_000_000
        try:
            # The driver cancels what takes too long.
            await pool.execute("SELECT pg_sleep(60)", timeout=0.2)
        except TimeoutError:
            return len(done)
    raise AssertionError("nobody sleeps that short")


def with_psycopg(authority: str) -> int:
    with psycopg.connect(
        URL, sslmode="verify-full", sslrootcert=authority, channel_binding="require"
    ) as connection:
        rows = [connection.execute("SELECT id FROM articles WHERE id = %s", [n]).fetchone() for n in range(1, READS + 1)]
        return len(rows)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--authority", required=True)
    authority = parser.parse_args().authority
    asked = await with_asyncpg(authority, direct=False)
    direct = await with_asyncpg(authority, direct=True)
    print(json.dumps({"asked": asked, "direct": direct, "psycopg": with_psycopg(authority)}))


asyncio.run(main())
