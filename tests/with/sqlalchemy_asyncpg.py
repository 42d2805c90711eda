"""SQLAlchemy's asyncio extension on asyncpg: sessions, relationships, a stream and plain SQL."""

import asyncio
import os

import users
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload

import mix
from blog import Article, Author, Comment

engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+asyncpg:"))
sessions = async_sessionmaker(engine)
reporting = async_sessionmaker(engine.execution_options(postgresql_readonly=True))


def shown(article: Article, comments: int | None = None) -> users.Article:
    answer: users.Article = {"id": article.id, "version": article.version}
    if comments is not None:
        answer["comments"] = comments
    return answer


async def article(session: AsyncSession, step: users.Step) -> list[users.Article]:
    found = await session.get_one(Article, step.article, options=[selectinload(Article.comments)])
    return [shown(found, len(found.comments))]


async def page(session: AsyncSession, step: users.Step) -> list[users.Article]:
    total = await session.scalar(select(func.count()).select_from(Article))
    assert total == users.ARTICLES
    query = select(Article).options(selectinload(Article.author), selectinload(Article.comments))
    rows = await session.scalars(query.order_by(Article.id).limit(users.PAGE).offset(step.offset))
    return [shown(row, len(row.comments)) for row in rows]


async def author(session: AsyncSession, step: users.Step) -> list[users.Article]:
    found = await session.get_one(Author, step.author, options=[selectinload(Author.articles)])
    return [shown(row) for row in found.articles]


async def summary(session: AsyncSession, _: users.Step) -> list[users.Article]:
    by_author = select(Article.author_id, func.count(), func.max(Article.version)).group_by(Article.author_id)
    assert len((await session.execute(by_author)).all()) == users.AUTHORS
    return []


async def feed(session: AsyncSession, _: users.Step) -> list[users.Article]:
    rows = await session.stream_scalars(select(Article).order_by(Article.id.desc()).limit(40))
    return [shown(row) async for row in rows]


async def raw(session: AsyncSession, step: users.Step) -> list[users.Article]:
    query = text("SELECT id, version FROM articles WHERE author_id = :author ORDER BY id")
    return [{"id": id, "version": version} for id, version in await session.execute(query, {"author": step.author})]


async def report(_: AsyncSession, step: users.Step) -> list[users.Article]:
    async with reporting() as session:
        await session.scalar(select(func.count()).select_from(Comment))
        return await author(session, step)


async def edit(session: AsyncSession, step: users.Step) -> list[users.Article]:
    found = await session.get_one(Article, step.article)
    found.version += 1
    found.title = f"article {step.article}, version {found.version}"
    await session.commit()
    await session.refresh(found)
    return [shown(found)]


async def comment(session: AsyncSession, step: users.Step) -> list[users.Article]:
    session.add(Comment(article_id=step.article, body="one more"))
    await session.commit()
    return await article(session, step)


REQUESTS = {f.__name__: f for f in (article, page, author, summary, feed, raw, report, edit, comment)}


async def request(step: users.Step) -> list[users.Article]:
    async with sessions() as session:
        return await REQUESTS[step.kind](session, step)


async def main() -> None:
    await users.in_tasks(request, mix.MIX)
    await engine.dispose()


asyncio.run(main())
