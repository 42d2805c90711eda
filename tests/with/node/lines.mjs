// Answers the lines that tests/with/drive.py asks with, all at once as they come.
import { createInterface } from 'node:readline'

export const ARTICLES = 480
export const AUTHORS = 48
export const PAGE = 20

export async function serve(requests) {
  const running = new Set()
  for await (const line of createInterface({ input: process.stdin })) {
    const step = JSON.parse(line)
    const task = requests[step.kind](step)
      .then((articles) => ({ n: step.n, articles }))
      .catch((error) => ({ n: step.n, error: `${step.kind}: ${error?.stack ?? error}` }))
      .then((answer) => console.log(JSON.stringify(answer)))
      .finally(() => running.delete(task))
    running.add(task)
  }
  await Promise.all(running)
}

export function check(right) {
  if (!right) throw new Error('an answer is not what it must be')
}
