// node-postgres in plain SQL: a pool, transactions on a client of it, a stream.
import pg from 'pg'
import QueryStream from 'pg-query-stream'
import { ARTICLES, AUTHORS, PAGE, check, serve } from './lines.mjs'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })

const shown = ({ id, version, comments }) =>
  comments === undefined ? { id, version } : { id, version, comments: Number(comments) }

const WITH_COMMENTS = `SELECT a.id, a.version, count(c.id) AS comments
  FROM articles a LEFT JOIN comments c ON c.article_id = a.id`

async function rows(client, sql, values) {
  return (await client.query(sql, values)).rows.map(shown)
}

async function transaction(begin, body) {
  const client = await pool.connect()
  try {
    await client.query(begin)
    const answer = await body(client)
    await client.query('COMMIT')
    return answer
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
  }
}

const article = ({ article }) => rows(pool, `${WITH_COMMENTS} WHERE a.id = $1 GROUP BY a.id`, [article])

async function page({ offset }) {
  const { rows: [{ count }] } = await pool.query('SELECT count(*) FROM articles')
  check(Number(count) === ARTICLES)
  return rows(pool, `${WITH_COMMENTS} GROUP BY a.id ORDER BY a.id LIMIT ${PAGE} OFFSET $1`, [offset])
}

const author = ({ author }) =>
  rows(pool, {
    name: 'articles-of-author',
    text: 'SELECT r.id, r.version FROM authors a JOIN articles r ON r.author_id = a.id WHERE a.id = $1',
  }, [author])

async function summary() {
  const { rows } = await pool.query('SELECT author_id, count(*), max(version) FROM articles GROUP BY author_id')
  check(rows.length === AUTHORS)
  return []
}

async function feed() {
  const client = await pool.connect()
  try {
    const stream = client.query(new QueryStream('SELECT id, version FROM articles ORDER BY id DESC LIMIT 40', [], { batchSize: 10 }))
    const articles = []
    for await (const row of stream) articles.push(shown(row))
    return articles
  } finally {
    client.release()
  }
}

const raw = ({ author }) => rows(pool, `SELECT id, version FROM articles WHERE author_id = ${author}`)

const report = (step) =>
  transaction('BEGIN READ ONLY', async (client) => {
    await client.query('SELECT count(*) FROM comments')
    return rows(client, 'SELECT id, version FROM articles WHERE author_id = $1', [step.author])
  })

async function edit({ article }) {
  await transaction('BEGIN', async (client) => {
    const [{ version }] = await rows(client, 'SELECT id, version FROM articles WHERE id = $1', [article])
    await client.query('UPDATE articles SET version = $1 WHERE id = $2', [version + 1, article])
  })
  return rows(pool, 'SELECT id, version FROM articles WHERE id = $1', [article])
}

async function comment(step) {
  await pool.query("INSERT INTO comments (article_id, body) VALUES ($1, 'one more')", [step.article])
  return article(step)
}

await serve({ article, page, author, summary, feed, raw, report, edit, comment })
await pool.end()
