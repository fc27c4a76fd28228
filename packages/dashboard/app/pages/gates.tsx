import type { Gate, HealthShares, Rollout } from '../api/types.ts';
import { Card, Time, WordBadge } from '../parts/basics.tsx';
import { agentsText } from '../words.ts';

/** What the gates of each wave said last, on what they found it, and who approved; nothing before a gate was asked. */
export function GatesCard({ rollout }: { readonly rollout: Rollout }) {
  const asked = rollout.waves.flatMap(({ gates = [], approvals = [] }, index) =>
    gates.length === 0 && approvals.length === 0 ? [] : [{ index, gates, approvals }],
  );
  if (asked.length === 0) return null;
  return (
    <Card title="Gates">
      <ul className="gates">
        {asked.toReversed().map(({ index, gates, approvals }) => (
          <li key={index}>
            <h3>{index === 0 ? 'Canary' : `Wave ${index + 1}`}</h3>
            <ul>
              {gates.map((gate) => (
                <GateLine key={gate.gate} gate={gate} />
              ))}
              {approvals.map(({ what, by, at, reason }) => (
                <li key={`${what} ${at}`} className="gate">
                  <strong>approval</strong>
                  <WordBadge kind="gate" value="pass" />
                  <span className="gate-said">
                    by {by}, <Time at={at} />
                    {reason === '' ? '' : `: ${reason}`}
                  </span>
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function GateLine({ gate: { gate, outcome, detail, at, evidence, asked, comparison } }: { readonly gate: Gate }) {
  return (
    <li className="gate">
      <strong>{gate}</strong>
      <WordBadge kind="gate" value={outcome} />
      <span className="gate-said">
        {detail === '' ? null : <span>{detail} </span>}
        {at === null ? null : (
          <span className="muted">
            <Time at={at} />
            {asked > 1 ? `, asked ${asked} times` : ''}
          </span>
        )}
        {comparison === null || comparison === undefined ? null : <Comparison {...comparison} />}
        {evidence === '' ? null : (
          <details className="detail">
            <summary>found on</summary>
            <pre>{evidence}</pre>
          </details>
        )}
      </span>
    </li>
  );
}

/** Shares below which a bar never fills its place, so that two agents of a hundred do not look like all of them. */
const FULL_RATIO = 0.1;

/** The agents with the new config beside those without, as bars with their numbers. */
function Comparison({ cohort, control }: { readonly cohort: HealthShares; readonly control: HealthShares }) {
  const rows = [
    { name: 'Unhealthy', ratios: [cohort.unhealthyRatio, control.unhealthyRatio] },
    { name: 'Reconnected', ratios: [cohort.reconnectedRatio, control.reconnectedRatio] },
  ] as const;
  const full = Math.max(FULL_RATIO, ...rows.flatMap(({ ratios }) => ratios));
  return (
    <table className="comparison">
      <thead>
        <tr>
          <td />
          <th scope="col">new config, {agentsText(cohort.agents)}</th>
          <th scope="col">without it, {agentsText(control.agents)}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, ratios }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            {ratios.map((ratio, side) => (
              // A side has no other identity than its place.
              <td key={side}>
                <span className="comparison-number">{(100 * ratio).toFixed(1)} %</span>
                <span className="bar thin" aria-hidden="true">
                  <span className={side === 0 ? 'fill-plain' : 'fill-tone-idle'} style={{ width: `${(100 * ratio) / full}%` }} />
                </span>
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
