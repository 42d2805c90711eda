"""A FastAPI application on SQLAlchemy and asyncpg with their defaults: a session, and so a transaction, per request."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

import users

engine = create_async_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+asyncpg:"))
sessions = async_sessionmaker(engine)
app = FastAPI()


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "authors"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    articles: Mapped[list["Article"]] = relationship(back_populates="author")


class Article(Base):
    __tablename__ = "articles"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    title: Mapped[str]
    version: Mapped[int]
    author: Mapped[Author] = relationship(back_populates="articles")
    comments: Mapped[list["Comment"]] = relationship()


class Comment(Base):
    __tablename__ = "comments"
    id: Mapped[int] = mapped_column(primary_key=True)
    article_id: Mapped[int] = mapped_column(ForeignKey("articles.id"))
    body: Mapped[str]


async def session_of_request() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(session_of_request)]
Answer = dict[str, list[users.Article]]


def shown(article: Article, comments: int | None = None) -> users.Article:
    answer: users.Article = {"id": article.id, "version": article.version}
    if comments is not None:
        answer["comments"] = comments
    return answer


@app.get("/articles/{number}")
async def article(number: int, session: Session) -> Answer:
    found = await session.get(Article, number, options=[selectinload(Article.comments)])
    if found is None:
        raise HTTPException(404)
    return {"articles": [shown(found, len(found.comments))]}


@app.get("/articles")
async def page(limit: int, offset: int, session: Session) -> Answer:
    total = await session.scalar(select(func.count()).select_from(Article))
    assert total == users.ARTICLES
    query = select(Article).options(selectinload(Article.author), selectinload(Article.comments))
    rows = await session.scalars(query.order_by(Article.id).limit(limit).offset(offset))
    return {"articles": [shown(row, len(row.comments)) for row in rows]}


@app.get("/authors/{number}")
async def author(number: int, session: Session) -> Answer:
    found = await session.get(Author, number)
    if found is None:
        raise HTTPException(404)
    rows = await session.scalars(select(Article).where(Article.author_id == found.id))
    return {"articles": [shown(row) for row in rows]}


@app.get("/summary")
async def summary(session: Session) -> Answer:
    by_author = select(Article.author_id, func.count(), func.max(Article.version)).group_by(Article.author_id)
    assert len((await session.execute(by_author)).all()) == users.AUTHORS
    await session.execute(select(func.count(Comment.id), func.avg(func.length(Comment.body))))
    return {"articles": []}


@app.get("/feed")
async def feed(session: Session) -> Answer:
    rows = await session.stream_scalars(select(Article).order_by(Article.id.desc()).limit(40))
    return {"articles": [shown(row) async for row in rows]}


@app.put("/articles/{number}")
async def edit(number: int, session: Session) -> Answer:
    found = await session.get_one(Article, number)
    found.version += 1
    found.title = f"article {number}, version {found.version}"
    await session.commit()
    await session.refresh(found)
    return {"articles": [shown(found)]}


@app.post("/articles/{number}/comments")
async def comment(number: int, session: Session) -> Answer:
    found = await session.get_one(Article, number)
    session.add(Comment(article_id=number, body="one more"))
    await session.flush()
    count = await session.scalar(select(func.count()).where(Comment.article_id == number))
    answer = shown(found, count)
    await session.commit()
    return {"articles": [answer]}


async def main() -> None:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:

        async def request(step: users.Step) -> list[users.Article]:
            response = await client.request(*step.http())
            answer: Answer = response.raise_for_status().json()
            return answer["articles"]

        await users.in_tasks(request)
    await engine.dispose()


asyncio.run(main())
