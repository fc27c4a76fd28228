/** `npm run bench`: what the hot paths cost, one by one. A table, no verdict: figures depend on the machine. */
import { formatTable } from './demo/terminal.ts';
import { benchFlush } from './bench/flush.ts';
import { benchPure } from './bench/pure.ts';
import { currentLoad, describeMachine } from './harness/machine.ts';
import { formatNumber } from './report/format.ts';

const load = currentLoad();
const results = [...(await benchPure()), ...(await benchFlush())];
const machine = await describeMachine(undefined, load);
process.stdout.write(
  `opamp-gateway ${machine.product}, Node ${machine.node}, ${machine.cpus} × ${machine.cpu}, load average ${machine.loadAverage.toFixed(2)}\n\n`,
);
for (const line of formatTable(
  ['benchmark', 'per operation', 'per second'],
  results.map(({ name, perOperationUs, perSecond }) => [name, `${formatNumber(perOperationUs)} µs`, formatNumber(perSecond)]),
)) {
  process.stdout.write(`${line}\n`);
}
