import { useState } from 'react';
import { useLocation, useSearch } from 'wouter';
import { useMay } from '../api/access.ts';
import { queryText } from '../api/client.ts';
import { useDiff, useVersion, useVersions } from '../api/queries.ts';
import type { ConfigVersion } from '../api/types.ts';
import { Answer, Badge, Card, Facts, PageHead, Time } from '../parts/basics.tsx';
import { CodeDiff, CodeView } from '../parts/code.tsx';
import { Dialog } from '../parts/action-dialog.tsx';
import { ConfigEditor } from './config-editor.tsx';
import { StartForm } from './start-form.tsx';

/** The versions of one config: read, compare, edit, roll out. What is shown stands in the address. */
export function ConfigPage({ name }: { readonly name: string }) {
  const versions = useVersions(name);
  return <Answer query={versions}>{({ items }) => <History name={name} versions={items} />}</Answer>;
}

function History({ name, versions }: { readonly name: string; readonly versions: readonly ConfigVersion[] }) {
  const parameters = new URLSearchParams(useSearch());
  const [, go] = useLocation();
  const [isEditing, setEditing] = useState(false);
  const [isStarting, setStarting] = useState(false);
  const may = useMay();
  const newest = versions[0]?.version ?? 1;
  const shown = Number(parameters.get('version') ?? newest);
  const against = parameters.has('against') ? Number(parameters.get('against')) : undefined;
  const version = useVersion(name, shown);
  const show = (values: { version: number; against?: number | undefined }): void => go(`/configs/${name}${queryText(values)}`);
  const body = version.data === undefined ? '' : (Object.values(version.data.files)[0]?.body ?? '');
  const hasOneFile = version.data !== undefined && Object.keys(version.data.files).length === 1;

  return (
    <>
      <PageHead
        title={name}
        lead={`${versions.length === 200 ? 'The newest 200' : versions.length} ${versions.length === 1 ? 'version' : 'versions'}`}
      >
        {hasOneFile && may('configs.write', 'shared') ? (
          <button type="button" onClick={() => setEditing(true)}>
            Edit v{shown}
          </button>
        ) : null}
        {may('rollouts.write', 'shared') ? (
          <button type="button" className="primary" onClick={() => setStarting(true)}>
            Roll out v{shown}
          </button>
        ) : null}
      </PageHead>
      {isEditing ? (
        <Dialog title={`New version of ${name}, from v${shown}`} wide onClose={() => setEditing(false)}>
          <ConfigEditor
            name={name}
            initial={body}
            onSaved={({ version: saved }) => {
              setEditing(false);
              show({ version: saved });
            }}
          />
        </Dialog>
      ) : null}
      {isStarting ? (
        <Dialog title="Start a rollout" wide onClose={() => setStarting(false)}>
          <StartForm config={{ name, version: shown }} onStarted={(id) => go(`/rollouts/${id}`)} />
        </Dialog>
      ) : null}
      <div className="split">
        <Card title="Versions" className="versions">
          <ol>
            {versions.map((item) => (
              <VersionLine
                key={item.version}
                item={item}
                isShown={item.version === shown}
                isAgainst={item.version === against}
                onShow={() => show({ version: item.version })}
                onCompare={() => show({ version: shown, against: item.version })}
              />
            ))}
          </ol>
        </Card>
        <Card title={against === undefined ? `v${shown}` : `v${against} against v${shown}`}>
          {against === undefined ? (
            <Answer query={version}>
              {(data) => (
                <>
                  <Facts
                    facts={[
                      [
                        'Hash',
                        <code key="hash" title={data.hash}>
                          {data.hash.slice(0, 16)}
                        </code>,
                      ],
                      ['Stored', <Time key="stored" at={data.createdAt} />],
                      ['By', data.createdBy],
                    ]}
                  />
                  {Object.entries(data.files).map(([file, { body: text }]) => (
                    <div key={file}>
                      {file === '' ? null : <h3>{file}</h3>}
                      <CodeView label={`${name} v${shown} ${file}`} text={text ?? ''} />
                    </div>
                  ))}
                </>
              )}
            </Answer>
          ) : (
            <Compare name={name} from={against} to={shown} right={body} />
          )}
        </Card>
      </div>
    </>
  );
}

function VersionLine({
  item,
  isShown,
  isAgainst,
  onShow,
  onCompare,
}: {
  readonly item: ConfigVersion;
  readonly isShown: boolean;
  readonly isAgainst: boolean;
  readonly onShow: () => void;
  readonly onCompare: () => void;
}) {
  const { version, message, createdBy, createdAt, validation } = item;
  return (
    <li className={isShown ? 'is-shown' : isAgainst ? 'is-against' : ''}>
      <button type="button" className="version" aria-pressed={isShown} onClick={onShow}>
        <strong>v{version}</strong> {message === '' ? <span className="muted">no message</span> : message}
        <span className="sub">
          {createdBy}, <Time at={createdAt} />
        </span>
        {validation.errors > 0 ? <Badge tone="bad">{validation.errors} errors, forced</Badge> : null}
        {validation.warnings > 0 ? <Badge tone="warn">{validation.warnings} warnings</Badge> : null}
      </button>
      {isShown ? null : (
        <button type="button" className="quiet" aria-pressed={isAgainst} aria-label={`Compare with v${version}`} onClick={onCompare}>
          Compare
        </button>
      )}
    </li>
  );
}

function Compare({ name, from, to, right }: { readonly name: string; readonly from: number; readonly to: number; readonly right: string }) {
  const left = useVersion(name, from);
  const diff = useDiff(name, from, to);
  return (
    <>
      <Answer query={diff}>
        {({ identical, structural, truncated }) =>
          identical ? (
            <p>Both have the same content.</p>
          ) : (
            <ul className="changes">
              {structural.map(({ file, path, change }) => (
                <li key={`${file} ${path}`}>
                  <Badge tone={change === 'added' ? 'good' : change === 'removed' ? 'bad' : 'warn'}>{change}</Badge>{' '}
                  <code>{path === '' ? file : path}</code>
                </li>
              ))}
              {structural.length === 0 ? <li className="muted">Only comments or form differ.</li> : null}
              {truncated ? <li className="muted">and more</li> : null}
            </ul>
          )
        }
      </Answer>
      <Answer query={left}>
        {(data) => (
          <CodeDiff left={{ label: `v${from}`, text: Object.values(data.files)[0]?.body ?? '' }} right={{ label: `v${to}`, text: right }} />
        )}
      </Answer>
    </>
  );
}
