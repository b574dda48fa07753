// Logs through pino as an application does, and prints what it logged, as send.py does.
//
// pino.js PAGE HOST PORT COUNT     PAGE is docs/INTAKE.md, whose block about pino is run as it stands
//
// It has to lie beside node_modules.

import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import pino from 'pino'

const [page, host, port, count] = process.argv.slice(2)
const block = /\n### pino\n.*?```js\n(.*?)```/s.exec(readFileSync(page, 'utf8'))[1]
const code = block.replace('127.0.0.1', host).replace('9020', port)
const { transport, log } = new Function('pino', `${code}; return { transport, log }`)(pino)
const say = (sent) => console.log(JSON.stringify(sent))

const input = createInterface({ input: process.stdin })
const lines = input[Symbol.asyncIterator]()
for (let order = 0; order < count; order++) {
  if (order === Math.floor(count / 2)) {
    say({ pause: order })
    await lines.next()
  }
  const message = `order ${order}: 5 % off, “naïve” \u{1f600}\n\ttwo lines`
  if (order % 10 === 5) {
    const err = new RangeError('no such order')
    log.error({ err, order }, message)
    say({ message, order, traceback: err.stack, level: 'ERROR' })
  } else if (order % 7 === 3) {
    log.warn({ order }, message)
    say({ message, order, level: 'WARNING' })
  } else {
    log.info({ order }, message)
    say({ message, order, level: 'INFO' })
  }
}
input.close()
transport.end()
