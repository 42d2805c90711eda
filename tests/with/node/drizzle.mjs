// Drizzle on node-postgres: relational queries, the query builder, transactions and plain SQL.
import { count, desc, eq, max, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { ARTICLES, AUTHORS, PAGE, check, serve } from './lines.mjs'
import * as schema from './schema.mjs'

const { articles, authors, comments } = schema
const db = drizzle(process.env.DATABASE_URL, { schema })

const shown = ({ id, version, comments }) =>
  comments === undefined ? { id, version } : { id, version, comments: comments.length }

async function article({ article }) {
  return [shown(await db.query.articles.findFirst({ where: eq(articles.id, article), with: { comments: true } }))]
}

async function page({ offset }) {
  check((await db.$count(articles)) === ARTICLES)
  const rows = await db.query.articles.findMany({
    with: { author: true, comments: true },
    orderBy: articles.id,
    limit: PAGE,
    offset,
  })
  return rows.map(shown)
}

async function author({ author }) {
  const found = await db.query.authors.findFirst({ where: eq(authors.id, author), with: { articles: true } })
  return found.articles.map(shown)
}

async function summary() {
  const rows = await db
    .select({ author: articles.author_id, count: count(), version: max(articles.version) })
    .from(articles)
    .groupBy(articles.author_id)
  check(rows.length === AUTHORS)
  return []
}

const feed = async () => (await db.select().from(articles).orderBy(desc(articles.id)).limit(40)).map(shown)

const raw = async ({ author }) =>
  (await db.execute(sql`SELECT id, version FROM articles WHERE author_id = ${author}`)).rows.map(shown)

const report = ({ author }) =>
  db.transaction(
    async (tx) => {
      await tx.$count(comments)
      return (await tx.select().from(articles).where(eq(articles.author_id, author))).map(shown)
    },
    { accessMode: 'read only' },
  )

async function edit({ article }) {
  await db.transaction(async (tx) => {
    const [found] = await tx.select().from(articles).where(eq(articles.id, article))
    await tx.update(articles).set({ version: found.version + 1 }).where(eq(articles.id, article))
  })
  return (await db.select().from(articles).where(eq(articles.id, article))).map(shown)
}

async function comment(step) {
  await db.insert(comments).values({ article_id: step.article, body: 'one more' })
  return article(step)
}

await serve({ article, page, author, summary, feed, raw, report, edit, comment })
await db.$client.end()
