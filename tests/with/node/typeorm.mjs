// TypeORM: repositories with relations, the query builder and its stream, transactions and plain SQL.
import { ARTICLES, AUTHORS, PAGE, check, serve } from './lines.mjs'
import source, { Article, Author, Comment } from './entities.mjs'

const db = await source.initialize()
const articles = db.getRepository(Article)

const shown = ({ id, version, comments }) =>
  comments === undefined ? { id, version } : { id, version, comments: comments.length }

async function article({ article }) {
  return [shown(await articles.findOneOrFail({ where: { id: article }, relations: { comments: true } }))]
}

async function page({ offset }) {
  const [rows, total] = await articles.findAndCount({
    relations: { author: true, comments: true },
    order: { id: 'ASC' },
    take: PAGE,
    skip: offset,
  })
  check(total === ARTICLES)
  return rows.map(shown)
}

async function author({ author }) {
  const found = await db.getRepository(Author).findOneOrFail({ where: { id: author }, relations: { articles: true } })
  return found.articles.map(shown)
}

async function summary() {
  const rows = await articles
    .createQueryBuilder('a')
    .select(['a.author_id', 'count(*)', 'max(a.version)'])
    .groupBy('a.author_id')
    .getRawMany()
  check(rows.length === AUTHORS)
  return []
}

async function feed() {
  const stream = await articles.createQueryBuilder('a').orderBy('a.id', 'DESC').limit(40).stream()
  const rows = []
  for await (const row of stream) rows.push({ id: row.a_id, version: row.a_version })
  return rows
}

const raw = async ({ author }) =>
  (await db.query('SELECT id, version FROM articles WHERE author_id = $1', [author])).map(shown)

const report = ({ author }) =>
  db.transaction(async (manager) => {
    await manager.count(Comment)
    return (await manager.findBy(Article, { author_id: author })).map(shown)
  })

async function edit({ article }) {
  await db.transaction(async (manager) => {
    const found = await manager.findOneByOrFail(Article, { id: article })
    found.version += 1
    await manager.save(Article, found)
  })
  return [shown(await articles.findOneByOrFail({ id: article }))]
}

async function comment(step) {
  await db.getRepository(Comment).insert({ article_id: step.article, body: 'one more' })
  return article(step)
}

await serve({ article, page, author, summary, feed, raw, report, edit, comment })
await db.destroy()
