import type { Gate, Rollout } from '../api/types.ts';
import { Card, Time, WordBadge } from '../parts/basics.tsx';

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

function GateLine({ gate: { gate, outcome, detail, at, evidence, asked } }: { readonly gate: Gate }) {
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
