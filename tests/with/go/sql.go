// database/sql on lib/pq: its pool, prepared statements and transactions.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	_ "github.com/lib/pq"
)

var ctx = context.Background()

type querier interface {
	QueryContext(context.Context, string, ...interface{}) (*sql.Rows, error)
}

func articles(q querier, query string, values ...interface{}) ([]article, error) {
	rows, err := q.QueryContext(ctx, query, values...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var found []article
	for rows.Next() {
		var one article
		into := []interface{}{&one.ID, &one.Version, &one.Comments}
		if err := rows.Scan(into[:len(names)]...); err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, rows.Err()
}

func one(db *sql.DB, asked step) ([]article, error) {
	return articles(db, withComments+" WHERE a.id = $1 GROUP BY a.id", asked.Article)
}

func edit(db *sql.DB, asked step) ([]article, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	var version int
	if err := tx.QueryRowContext(ctx, "SELECT version FROM articles WHERE id = $1", asked.Article).Scan(&version); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE articles SET version = $1 WHERE id = $2", version+1, asked.Article); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, err
	}
	return articles(db, "SELECT id, version FROM articles WHERE id = $1", asked.Article)
}

func report(db *sql.DB, asked step) ([]article, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	var count int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM comments").Scan(&count); err != nil {
		return nil, err
	}
	found, err := articles(tx, "SELECT id, version FROM articles WHERE author_id = $1", asked.Author)
	if err != nil {
		return nil, err
	}
	return found, tx.Commit()
}

func main() {
	db, err := sql.Open("postgres", os.Getenv("DATABASE_URL")+"?sslmode=disable")
	if err != nil {
		panic(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(10)
	db.SetMaxIdleConns(10)
	byAuthor, err := db.PrepareContext(ctx, "SELECT r.id, r.version FROM authors a JOIN articles r ON r.author_id = a.id WHERE a.id = $1")
	if err != nil {
		panic(err)
	}
	serve(func(asked step) ([]article, error) {
		switch asked.Kind {
		case "article":
			return one(db, asked)
		case "page":
			var count int
			if err := db.QueryRowContext(ctx, "SELECT count(*) FROM articles").Scan(&count); err != nil {
				return nil, err
			}
			return articles(db, withComments+" GROUP BY a.id ORDER BY a.id LIMIT 20 OFFSET $1", asked.Offset)
		case "author":
			return articles(prepared{byAuthor}, "", asked.Author)
		case "summary":
			_, err := articles(db, "SELECT count(*), max(version) FROM articles GROUP BY author_id")
			return nil, err
		case "feed":
			return articles(db, "SELECT id, version FROM articles ORDER BY id DESC LIMIT 40")
		case "raw":
			return articles(db, fmt.Sprint("SELECT id, version FROM articles WHERE author_id = ", asked.Author))
		case "report":
			return report(db, asked)
		case "edit":
			return edit(db, asked)
		}
		if _, err := db.ExecContext(ctx, "INSERT INTO comments (article_id, body) VALUES ($1, 'one more')", asked.Article); err != nil {
			return nil, err
		}
		return one(db, asked)
	})
}

// A prepared statement where a query is expected.
type prepared struct{ statement *sql.Stmt }

func (p prepared) QueryContext(ctx context.Context, _ string, values ...interface{}) (*sql.Rows, error) {
	return p.statement.QueryContext(ctx, values...)
}
