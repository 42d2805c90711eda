// TypeORM's migrations; the number is when one was made, as `typeorm migration:create` would have it.
import { Table } from 'typeorm'

const column = (name, type, more = {}) => ({ name, type, ...more })
const reference = (name, table) => ({ columnNames: [name], referencedTableName: table, referencedColumnNames: ['id'] })

export class Tables1700000000000 {
  async up(runner) {
    const id = column('id', 'int', { isPrimary: true })
    await runner.createTable(new Table({ name: 'authors', columns: [id, column('name', 'text')] }))
    await runner.createTable(
      new Table({
        name: 'articles',
        columns: [id, column('author_id', 'int'), column('title', 'text'), column('version', 'int')],
        foreignKeys: [reference('author_id', 'authors')],
        indices: [{ columnNames: ['author_id'] }],
      }),
    )
    const generated = { isPrimary: true, isGenerated: true, generationStrategy: 'identity', generatedIdentity: 'BY DEFAULT' }
    await runner.createTable(
      new Table({
        name: 'comments',
        columns: [column('id', 'bigint', generated), column('article_id', 'int'), column('body', 'text')],
        foreignKeys: [reference('article_id', 'articles')],
        indices: [{ columnNames: ['article_id'] }],
      }),
    )
  }

  async down(runner) {
    for (const table of ['comments', 'articles', 'authors']) await runner.dropTable(table)
  }
}
