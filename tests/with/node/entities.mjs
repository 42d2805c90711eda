// TypeORM's entities and its data source, without decorators, which plain JavaScript does not have.
import { DataSource, EntitySchema } from 'typeorm'
import { Tables1700000000000 } from './migrations.mjs'

export const Author = new EntitySchema({
  name: 'Author',
  tableName: 'authors',
  columns: { id: { type: 'int', primary: true }, name: { type: 'text' } },
  relations: { articles: { type: 'one-to-many', target: 'Article', inverseSide: 'author' } },
})

export const Article = new EntitySchema({
  name: 'Article',
  tableName: 'articles',
  columns: {
    id: { type: 'int', primary: true },
    author_id: { type: 'int' },
    title: { type: 'text' },
    version: { type: 'int' },
  },
  relations: {
    author: { type: 'many-to-one', target: 'Author', inverseSide: 'articles', joinColumn: { name: 'author_id' } },
    comments: { type: 'one-to-many', target: 'Comment', inverseSide: 'article' },
  },
})

export const Comment = new EntitySchema({
  name: 'Comment',
  tableName: 'comments',
  columns: {
    id: { type: 'bigint', primary: true, generated: 'identity', generatedIdentity: 'BY DEFAULT' },
    article_id: { type: 'int' },
    body: { type: 'text' },
  },
  relations: {
    article: { type: 'many-to-one', target: 'Article', inverseSide: 'comments', joinColumn: { name: 'article_id' } },
  },
})

export default new DataSource({
  type: 'postgres',
  url: process.env.DATABASE_URL,
  entities: [Author, Article, Comment],
  migrations: [Tables1700000000000],
})
