// Prisma's client without its engine, on its adapter for node-postgres.
import { PrismaPg } from '@prisma/adapter-pg'
import { PrismaClient } from '@prisma/client'
import { ARTICLES, AUTHORS, PAGE, check, serve } from './lines.mjs'

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL }) })

const shown = ({ id, version, comments }) =>
  comments === undefined ? { id, version } : { id, version, comments: comments.length }

async function article({ article }) {
  return [shown(await prisma.article.findUniqueOrThrow({ where: { id: article }, include: { comments: true } }))]
}

async function page({ offset }) {
  check((await prisma.article.count()) === ARTICLES)
  const rows = await prisma.article.findMany({
    include: { author: true, comments: true },
    orderBy: { id: 'asc' },
    take: PAGE,
    skip: offset,
  })
  return rows.map(shown)
}

async function author({ author }) {
  const found = await prisma.author.findUniqueOrThrow({ where: { id: author }, include: { articles: true } })
  return found.articles.map(shown)
}

async function summary() {
  const rows = await prisma.article.groupBy({ by: ['author_id'], _count: true, _max: { version: true } })
  check(rows.length === AUTHORS)
  return []
}

const feed = async () => (await prisma.article.findMany({ orderBy: { id: 'desc' }, take: 40 })).map(shown)

const raw = async ({ author }) =>
  (await prisma.$queryRaw`SELECT id, version FROM articles WHERE author_id = ${author}`).map(shown)

async function report({ author }) {
  const [, rows] = await prisma.$transaction([
    prisma.comment.count(),
    prisma.article.findMany({ where: { author_id: author } }),
  ])
  return rows.map(shown)
}

async function edit({ article }) {
  await prisma.$transaction(async (tx) => {
    const found = await tx.article.findUniqueOrThrow({ where: { id: article } })
    await tx.article.update({ where: { id: article }, data: { version: found.version + 1 } })
  })
  return [shown(await prisma.article.findUniqueOrThrow({ where: { id: article } }))]
}

async function comment(step) {
  await prisma.comment.create({ data: { article_id: step.article, body: 'one more' } })
  return article(step)
}

await serve({ article, page, author, summary, feed, raw, report, edit, comment })
await prisma.$disconnect()
