// Answers the lines that tests/with/drive.py asks with, all at once as they come.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

const withComments = `SELECT a.id, a.version, count(c.id) AS comments
  FROM articles a LEFT JOIN comments c ON c.article_id = a.id`

type step struct {
	N       int    `json:"n"`
	Kind    string `json:"kind"`
	Article int    `json:"article"`
	Author  int    `json:"author"`
	Offset  int    `json:"offset"`
}

type article struct {
	ID       int  `json:"id"`
	Version  int  `json:"version"`
	Comments *int `json:"comments,omitempty"`
}

func serve(request func(step) ([]article, error)) {
	var running sync.WaitGroup
	var writing sync.Mutex
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked step
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		running.Add(1)
		go func() {
			defer running.Done()
			articles, err := request(asked)
			answer := map[string]interface{}{"n": asked.N, "articles": append([]article{}, articles...)}
			if err != nil {
				answer = map[string]interface{}{"n": asked.N, "error": asked.Kind + ": " + err.Error()}
			}
			text, _ := json.Marshal(answer)
			writing.Lock()
			defer writing.Unlock()
			fmt.Println(string(text))
		}()
	}
	running.Wait()
}
