import { Link } from 'wouter';
import { queryText } from '../api/client.ts';
import { useGateways, useHistory } from '../api/queries.ts';
import type { Gateway, History } from '../api/types.ts';
import { Answer, Badge, Card, Empty, PageHead, Time } from '../parts/basics.tsx';
import { HistoryChart } from '../parts/history-chart.tsx';
import { numberText, sumOf } from '../words.ts';

/** Lines of the chart; the others are in the table. */
const LINES = ['series-1', 'series-2', 'series-3', 'series-4', 'series-5', 'series-6'] as const;

/** The gateways, what they carry now and carried over the last day. */
export function GatewaysPage() {
  const gateways = useGateways();
  const items = gateways.data?.items;
  return (
    <>
      <PageHead
        title="Gateways"
        lead={
          items === undefined
            ? undefined
            : `${numberText(sumOf(Object.fromEntries(items.map((item) => [item.id, item.connected]))))} sessions`
        }
      />
      <Card title="Connections over the last day, by gateway" aside={<span className="muted">the lowest of every five minutes</span>}>
        <Answer query={useHistory(true)}>{(history) => <HistoryChart history={history} lines={linesOf(history)} />}</Answer>
      </Card>
      <Answer query={gateways}>
        {(page) =>
          page.items.length === 0 ? (
            <Empty title="No gateway is running">
              <p className="muted">Start one with npm run gateway, or scale the deployment: agents find it through the load balancer.</p>
            </Empty>
          ) : (
            <GatewayTable gateways={page.items} />
          )
        }
      </Answer>
    </>
  );
}

/** The gateways with most sessions at any time, each a line. */
function linesOf(history: History) {
  const peak = (values: readonly (number | null)[]): number => Math.max(0, ...values.map((value) => value ?? 0));
  return Object.entries(history.gateways)
    .toSorted(([, left], [, right]) => peak(right) - peak(left))
    .slice(0, LINES.length)
    .toSorted(([left], [right]) => left.localeCompare(right, 'en', { numeric: true }))
    .map(([label, values], index) => ({ label, color: LINES[index] ?? 'muted', values }));
}

function GatewayTable({ gateways }: { readonly gateways: readonly Gateway[] }) {
  const most = Math.max(1, ...gateways.map(({ connected }) => connected));
  return (
    <div className="card table-scroll">
      <table className="stacks">
        <thead>
          <tr>
            <th scope="col">Gateway</th>
            <th scope="col">State</th>
            <th scope="col" className="right">
              Sessions
            </th>
            <th scope="col" className="right">
              Unhealthy
            </th>
            <th scope="col" className="right">
              To be offered
            </th>
            <th scope="col">Release</th>
            <th scope="col">Started</th>
          </tr>
        </thead>
        <tbody>
          {gateways.map((gateway) => (
            <tr key={gateway.id}>
              <th scope="row">
                <Link href={`/agents${queryText({ gateway: gateway.id })}`}>{gateway.id}</Link>
                <span className="sub">{gateway.address}</span>
              </th>
              <td data-label="State">
                <GatewayState gateway={gateway} />
              </td>
              <td className="right" data-label="Sessions">
                <span className="with-bar">
                  {numberText(gateway.connected)}
                  <span className="bar thin" aria-hidden="true">
                    <span className="fill-plain" style={{ width: `${(100 * gateway.connected) / most}%` }} />
                  </span>
                </span>
              </td>
              <td className={`right ${gateway.unhealthy > 0 ? 'text-bad' : 'muted'}`} data-label="Unhealthy">
                {numberText(gateway.unhealthy)}
              </td>
              <td className="right" data-label="To be offered">
                {numberText(sumOf(gateway.backlog))}
              </td>
              <td data-label="Release">{gateway.version}</td>
              <td data-label="Started">
                <Time at={gateway.startedAt} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Whether a gateway is there. */
export function GatewayState({ gateway: { alive, draining } }: { readonly gateway: Gateway }) {
  if (!alive) return <Badge tone="bad">Lease ended</Badge>;
  return draining ? <Badge tone="warn">Draining</Badge> : <Badge tone="good">Alive</Badge>;
}
