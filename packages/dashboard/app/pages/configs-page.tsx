import { useState } from 'react';
import { Link, useLocation } from 'wouter';
import { useMay } from '../api/access.ts';
import { useConfigs } from '../api/queries.ts';
import { Dialog } from '../parts/action-dialog.tsx';
import { Answer, Badge, Empty, PageHead, Time } from '../parts/basics.tsx';
import { ConfigEditor } from './config-editor.tsx';

const STARTER = `receivers:
  otlp:
    protocols:
      grpc:
        endpoint: 127.0.0.1:4317

processors:
  batch:
    timeout: 1s

exporters:
  debug:
    verbosity: basic

service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [batch]
      exporters: [debug]
`;

/** The newest version of every config. */
export function ConfigsPage() {
  const [isOpen, setOpen] = useState(false);
  const mayStore = useMay()('configs.write', 'shared');
  const [, go] = useLocation();
  return (
    <>
      <PageHead title="Configs" lead="A version never changes; a rollout moves a group to it.">
        {mayStore ? (
          <button type="button" className="primary" onClick={() => setOpen(true)}>
            New config
          </button>
        ) : null}
      </PageHead>
      {isOpen ? (
        <Dialog title="New config" wide onClose={() => setOpen(false)}>
          <ConfigEditor initial={STARTER} onSaved={({ name }) => go(`/configs/${name}`)} />
        </Dialog>
      ) : null}
      <Answer query={useConfigs()}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="There is no config yet">
              {mayStore ? (
                <button type="button" className="primary" onClick={() => setOpen(true)}>
                  Write the first one
                </button>
              ) : (
                <p className="muted">Somebody who may store configs has to write the first one.</p>
              )}
            </Empty>
          ) : (
            <div className="card table-scroll">
              <table className="stacks">
                <thead>
                  <tr>
                    <th scope="col">Config</th>
                    <th scope="col">Newest version</th>
                    <th scope="col">Message</th>
                    <th scope="col">By</th>
                    <th scope="col">Stored</th>
                  </tr>
                </thead>
                <tbody>
                  {items.map(({ name, version, message, createdBy, createdAt, validation }) => (
                    <tr key={name}>
                      <th scope="row">
                        <Link href={`/configs/${name}`}>{name}</Link>
                      </th>
                      <td data-label="Newest version">
                        v{version} {validation.warnings > 0 ? <Badge tone="warn">{validation.warnings} warnings</Badge> : null}
                      </td>
                      <td data-label="Message">{message === '' ? <span className="muted">none</span> : message}</td>
                      <td data-label="By">{createdBy}</td>
                      <td data-label="Stored">
                        <Time at={createdAt} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Answer>
    </>
  );
}
